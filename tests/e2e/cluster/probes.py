"""What a training pod can reach and do: asked from a pod that is one in all but what it computes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cluster import apply, kubectl, python_in
from release import DEVICE, KFP, RUNS_NAMESPACE, Place
from settings import LABEL, REGION

# What a step's pod is by: the chart's policies, Kubernetes' rights, and its own Secrets.
KEPT_LABELS = ("evernas.dev/project", "evernas.dev/part")
REACH = """
import json, socket, sys
found = {}
for name, (host, port) in json.loads(sys.argv[1]).items():
    try:
        socket.create_connection((host, port), timeout=4).close()
        found[name] = True
    except OSError:
        found[name] = False
print(json.dumps(found))
"""
# Where nothing prevents it, each changes nothing that counts: the alias moves to where it is, bytes become themselves.
ACTS = """
import base64, json, os, sys, urllib.request
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
given = json.loads(sys.argv[1])
once = Config(connect_timeout=5, retries={"total_max_attempts": 1})
s3 = boto3.client("s3", endpoint_url=given["endpoint"], region_name=given["region"], config=once)
login = ":".join(os.environ[f"MLFLOW_TRACKING_{part}"] for part in ("USERNAME", "PASSWORD"))
user = "Basic " + base64.b64encode(login.encode()).decode()
def ask(url, document=None):
    body = None if document is None else json.dumps(document).encode()
    headers = {"content-type": "application/json", "authorization": user}
    urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5)
def start():
    ask(given["kfp"] + "/apis/v2beta1/runs", {})
def tell():
    ask(given["mlflow"] + "/api/2.0/mlflow/experiments/get-by-name?experiment_name=" + given["experiment"])
def alias():
    ask(given["mlflow"] + "/api/2.0/mlflow/registered-models/alias", given["alias"])
def model():
    ask(given["mlflow"] + "/api/2.0/mlflow/registered-models/create", {"name": given["alias"]["name"] + "-other"})
def overwrite():
    whole = {"Bucket": given["bucket"], "Key": given["champion"]}
    s3.put_object(Body=s3.get_object(**whole)["Body"].read(), **whole)
def judges():
    s3.get_object(Bucket=given["bucket"], Key=given["judged"])
found = {}
for act in (tell, start, alias, model, overwrite, judges):
    try:
        act()
        found[act.__name__] = ""
    except urllib.error.HTTPError as error:
        found[act.__name__] = "" if act is start else f"{error.code}"
    except (OSError, BotoCoreError, ClientError) as error:
        found[act.__name__] = type(error).__name__
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Pods:
    """A pod with a training pod's labels, account, image and Secrets, and one in the same namespace without labels."""

    place: Place
    training: str
    other: str

    def remove(self) -> None:
        kubectl(
            "-n",
            RUNS_NAMESPACE,
            "delete",
            "pod",
            self.training,
            self.other,
            "--ignore-not-found",
            "--grace-period=0",
            "--force",
        )

    def reaches(self, pod: str, destinations: dict[str, tuple[str, int]]) -> dict[str, bool]:
        found: dict[str, bool] = json.loads(python_in(pod, RUNS_NAMESPACE, REACH, json.dumps(destinations)))
        return found

    def acts(self) -> dict[str, str]:
        """By act, why the training pod could not do it; empty where it could."""
        place, names = self.place, self.place.names
        champion = place.champion()
        assert champion is not None
        given = {
            "endpoint": place.settings.s3_endpoint,
            "region": REGION,
            "bucket": names.bucket,
            "kfp": KFP,
            "mlflow": f"http://{names.project}-mlflow.{names.namespace}.svc.cluster.local:5000",
            "experiment": names.model,
            "alias": {"name": names.model, "alias": f"champion-{DEVICE}", "version": champion["version"]},
            "champion": place.keys(f"state/registry/{names.project}/champions/")[0],
            "judged": place.keys(f"state/gate/{names.project}/")[0],
        }
        found: dict[str, str] = json.loads(python_in(self.training, RUNS_NAMESPACE, ACTS, json.dumps(given)))
        return found


def pods_like(place: Place, step: dict[str, Any]) -> Pods:
    """Two pods that sleep, one like the pod of a step."""
    (main,) = [c for c in step["spec"]["containers"] if c["name"] == "main"]
    kept = ("image", "imagePullPolicy", "securityContext", "resources")
    environment = [e for e in main["env"] if "fieldRef" not in e.get("valueFrom", {})]
    names = [f"{place.names.project}-{kind}" for kind in ("like-training", "like-another")]
    for name in names:
        labels = {LABEL: place.names.number}
        if name == names[0]:
            labels |= {key: step["metadata"]["labels"][key] for key in KEPT_LABELS}
        container = {
            **{key: main[key] for key in kept if key in main},
            "name": "main",
            "command": ["python3", "-c", "import time; time.sleep(3600)"],
            "env": environment,
        }
        spec = {
            "serviceAccountName": step["spec"]["serviceAccountName"],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        }
        metadata = {"name": name, "namespace": RUNS_NAMESPACE, "labels": labels}
        apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    for name in names:
        kubectl("-n", RUNS_NAMESPACE, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")
    return Pods(place, *names)


def declared(place: Place) -> dict[str, tuple[str, int]]:
    """What the network policy of runs names."""
    return {
        "the object store": address(place.settings.s3_endpoint, 80),
        "MLflow": (f"{place.names.project}-mlflow.{place.names.namespace}.svc.cluster.local", 5000),
        "ML Metadata": ("metadata-grpc-service.kubeflow", 8080),
        "the Kubernetes API": ("kubernetes.default", 443),
    }


def undeclared(place: Place) -> dict[str, tuple[str, int]]:
    """What it does not name, and what is there."""
    return {
        "KFP's API": ("ml-pipeline.kubeflow", 8888),
        "KFP's API by gRPC": ("ml-pipeline.kubeflow", 8887),
        "KFP's database": ("mysql.kubeflow", 3306),
        "PostgreSQL": address(place.settings.postgres_url, 5432),
    }


def address(url: str, usual: int) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts.hostname, parts.port or usual
