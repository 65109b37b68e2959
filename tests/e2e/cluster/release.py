"""What a trial makes and takes away: bucket, databases, namespace, Secrets, and the release of the chart."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import boto3
import psycopg
from cluster import apply, call, forwarded, helm, kubectl, objects
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from settings import LABEL, REGION, Names, Settings, destination

from evernas.config_cluster import STEPS
from evernas.registry.keys import public_text
from small_config import SMALL as SMALLEST

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "evernas"
RELEASE, RUNS_NAMESPACE, DEVICE = "evernas", "kubeflow", "node"
# How pods reach KFP's API.
KFP = "http://ml-pipeline.kubeflow:8888"
PATIENCE = "600s"
NIGHTLY = "0 0 2 * * *"
RESTRICTED = "pod-security.kubernetes.io/enforce"
# A training that lasts long enough to be interrupted; here nobody asks what a device measures, only that it does.
SMALL = {**SMALLEST, "supernet": {**SMALLEST["supernet"], "warm_steps": 500, "checkpoint_every": 20}}


@dataclass
class Place:
    """One trial's place in the world."""

    settings: Settings
    names: Names
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    lake: str = field(default_factory=lambda: secrets.token_hex(32))
    # MLflow's users with their passwords.
    passwords: dict[str, str] = field(
        default_factory=lambda: {user: secrets.token_hex(16) for user in ("admin", "training", "promoter")}
    )

    @property
    def s3(self) -> Any:
        given = self.settings
        return boto3.client(
            "s3",
            endpoint_url=given.s3_endpoint,
            region_name=REGION,
            aws_access_key_id=given.promoter_keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given.promoter_keys["AWS_SECRET_ACCESS_KEY"],
        )

    def address(self, prefix: str) -> str:
        """A place in the trial's bucket, as the config writes it."""
        return f"s3://{self.names.bucket}/{prefix}?endpoint={self.settings.s3_endpoint}&region={REGION}"

    def document(self, run: str, name: str) -> Any:
        """A JSON document of a run."""
        key = f"state/candidates/state/_runs/{run}/{name}"
        return json.loads(self.s3.get_object(Bucket=self.names.bucket, Key=key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.names.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def database_url(self, what: str) -> str:
        parts = urlsplit(self.settings.postgres_url)
        return urlunsplit(parts._replace(path=f"/{self.names.database(what)}"))

    def prepare(self) -> None:
        """All that the chart expects to find. The namespace first: by its label, what a trial left is found again."""
        labels = {LABEL: self.names.number}
        metadata = {"name": self.names.namespace, "labels": {**labels, RESTRICTED: "restricted"}}
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.s3.create_bucket(Bucket=self.names.bucket)
        if self.settings.separate:
            self.s3.put_bucket_policy(Bucket=self.names.bucket, Policy=json.dumps(self.bucket_policy()))
        with psycopg.connect(self.settings.postgres_url, autocommit=True) as connection:
            for what in ("inbox", "mlflow"):
                connection.execute(f'CREATE DATABASE "{self.names.database(what)}"')
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        for namespace, name, data in (
            (self.names.namespace, "evernas-inbox-database", {"url": self.database_url("inbox")}),
            (self.names.namespace, "evernas-mlflow-database", {"url": self.database_url("mlflow")}),
            (self.names.namespace, "lake", {"key": self.lake}),
            (self.names.namespace, "store", self.settings.s3_keys),
            (self.names.namespace, "gate", {"EVERNAS_GATE_KEY": pem, **self.settings.promoter_keys}),
            (self.names.namespace, "evernas-mlflow-admin", self.mlflow_admin()),
            (self.names.namespace, "evernas-mlflow-promoter", self.mlflow_user("promoter")),
            (self.names.namespace, "evernas-mlflow-training", self.mlflow_user("training")),
            (RUNS_NAMESPACE, self.names.secret("mlflow"), self.mlflow_user("training")),
            (RUNS_NAMESPACE, self.names.secret("store"), self.settings.s3_keys),
        ):
            metadata = {"name": name, "namespace": namespace, "labels": labels}
            apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})

    def mlflow_user(self, user: str) -> dict[str, str]:
        """The environment by which MLflow's client is a user."""
        return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": self.passwords[user]}

    def mlflow_admin(self) -> dict[str, str]:
        return {
            "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.passwords["admin"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        }

    def bucket_policy(self) -> dict[str, Any]:
        """What the keys of runs may do in the bucket: all but read what is judged by, and write the registry."""
        whole, runs = f"arn:aws:s3:::{self.names.bucket}", {"AWS": [self.settings.s3_access_key]}
        judged, kept = f"{whole}/state/gate/*", f"{whole}/state/registry/*"

        def said(effect: str, actions: list[str], *on: str) -> dict[str, Any]:
            return {"Effect": effect, "Principal": runs, "Action": actions, "Resource": list(on)}

        return {
            "Version": "2012-10-17",
            "Statement": [
                said("Allow", ["s3:*"], whole, f"{whole}/*"),
                said("Deny", ["s3:GetObject"], judged),
                said("Deny", ["s3:PutObject", "s3:DeleteObject"], kept),
            ],
        }

    def config(self, cron: str = NIGHTLY, ttl_hours: int = 2) -> dict[str, Any]:
        """The project's config."""
        given = {key: key for key in self.settings.s3_keys}
        return {
            "version": 1,
            "project": self.names.project,
            "data": {
                "source": self.address("raw"),
                "signal": {"channels": ["ax", "ay", "az", "wx", "wy", "wz"], "length": 128, "stride": 64},
                "labels": ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"],
                "domain_noun": "people",
                "splits": {"gate": ["2", "7", "9"], "search": ["3", "8"]},
            },
            "devices": [{"name": DEVICE, "runtime": "onnxruntime-cpu", "threads": 1}],
            **SMALL,
            "registry": {"verdict_keys": [public_text(self.key.public_key())]},
            "triggers": {
                "sources": [
                    {"name": "lake", "kind": "signed", "secrets": [{"file": "/etc/evernas/secrets/lake/key"}]}
                ],
                "rules": [{"name": "recordings", "source": "lake", "bucket": self.names.bucket, "prefix": "raw/"}],
                "own": [f"{self.names.bucket}/{prefix}" for prefix in ("state", "mlflow", "kfp")],
                # Only events start runs here, so that runs can be counted.
                "watch_config": False,
                "debounce": {"quiet_s": 2, "max_wait_s": 20},
                "schedule": {"cron": cron},
                "submit": {"to": "kfp", "poll_s": 2, "kfp": {"home": self.address("state"), "host": KFP}},
            },
            "cluster": {
                "root": f"s3://{self.names.bucket}/kfp",
                "core": {"memory": "2Gi"},
                "train": {"memory": "3Gi"},
                "devices": {DEVICE: {"memory": "2Gi"}},
                "environment": {
                    "MLFLOW_TRACKING_URI": f"http://{self.names.project}-mlflow.{self.names.namespace}.svc.cluster.local:5000"
                },
                "secrets": [
                    {"name": self.names.secret("store"), "keys": given, "steps": list(STEPS)},
                    {
                        "name": self.names.secret("mlflow"),
                        "keys": {name: name for name in self.mlflow_user("training")},
                        "steps": list(STEPS),
                    },
                ],
                "scratch_size": "4Gi",
                "ttl_hours": ttl_hours,
            },
        }  # fmt: skip

    def values(self, metadata: list[dict[str, Any]], read_only: bool = False, **config: Any) -> dict[str, Any]:
        """The chart's values; `metadata` is where ML Metadata answers, if not in a pod.

        `read_only` is whether the cluster is asked to make the root of the runs' containers read-only.
        """
        return {
            "fullnameOverride": self.names.project,
            "images": {"core": self.settings.image("core"), "mlflow": self.settings.image("mlflow")},
            "receiver": {"secretFiles": ["lake"], "secretEnvironment": ["store"]},
            "mlflow": {
                "artifacts": f"s3://{self.names.bucket}/mlflow",
                "s3Endpoint": self.settings.s3_endpoint,
                "region": REGION,
                "s3SecretName": "store",
            },
            "runs": {
                "namespace": RUNS_NAMESPACE,
                "metadata": {"extraTo": metadata},
                "readOnlyRoot": {"enabled": read_only},
            },
            "decision": {"secretEnvironment": ["gate"]},
            "promotion": {"groups": [self.names.promoters]},
            "networkPolicies": {
                "postgresql": destination(self.settings.postgres_url),
                "objectStore": destination(self.settings.s3_endpoint),
            },
            "config": self.config(**config),
        }

    def install(self, **config: Any) -> None:
        """Install the chart, or upgrade it to another config."""
        command = ("upgrade", "--install", RELEASE, str(CHART), "--namespace", self.names.namespace, "--wait")
        given = json.dumps(self.values(metadata_elsewhere(), changes_pods(), **config))
        helm(*command, "--timeout", PATIENCE, "--values", "-", given=given)

    def roll_back(self) -> None:
        helm("rollback", RELEASE, "--namespace", self.names.namespace, "--wait", "--timeout", PATIENCE)

    def uninstall(self, *options: str) -> None:
        helm("uninstall", RELEASE, "--namespace", self.names.namespace, "--wait", "--timeout", PATIENCE, *options)

    def post(self, key: str, version: str, message: str = "", moment: int = 0) -> tuple[int, str]:
        """Tell the receiver that an object changed, signed as Standard Webhooks; its answer."""
        body = json.dumps({"bucket": self.names.bucket, "key": key, "label": "created", "version": version}).encode()
        message, moment = message or f"msg-{uuid.uuid4().hex}", moment or int(time.time())
        mac = base64.b64encode(
            hmac.digest(self.lake.encode(), f"{message}.{moment}.".encode() + body, "sha256")
        ).decode()
        headers = {
            "webhook-id": message,
            "webhook-timestamp": str(moment),
            "webhook-signature": f"v1,{mac}",
            "content-type": "application/json",
        }
        with forwarded(self.names.namespace, f"service/{self.names.project}-receiver", 80) as port:
            return ask(f"http://127.0.0.1:{port}/v1/events/lake", body, headers)

    def champion(self) -> dict[str, Any] | None:
        """The version that MLflow's alias of the champion names; None without one."""
        path = f"api/2.0/mlflow/registered-models/alias?name={self.names.model}&alias=champion-{DEVICE}"
        with forwarded(self.names.namespace, f"service/{self.names.project}-mlflow", 5000) as port:
            login = base64.b64encode(f"promoter:{self.passwords['promoter']}".encode()).decode()
            headers = {"host": "localhost", "authorization": f"Basic {login}"}
            status, text = ask(f"http://127.0.0.1:{port}/{path}", headers=headers)
        # The model is there from the start, and its alias with the first champion.
        if status == 404 or f"alias champion-{DEVICE} not found" in text:
            return None
        assert status == 200, f"MLflow answers {status}: {text}"
        found: dict[str, Any] = json.loads(text)["model_version"]
        return found

    def remove(self) -> None:
        """Take away what `prepare` has made, and what of the release is left; what is not there is no error."""
        if RELEASE in helm("list", "--namespace", self.names.namespace, "--all", "--short").split():
            self.uninstall("--no-hooks")
        kubectl(
            "-n", RUNS_NAMESPACE, "delete", "secret,pod", "-l", f"{LABEL}={self.names.number}", "--ignore-not-found"
        )
        with psycopg.connect(self.settings.postgres_url, autocommit=True) as connection:
            for what in ("inbox", "mlflow"):
                connection.execute(f'DROP DATABASE IF EXISTS "{self.names.database(what)}" WITH (FORCE)')
        self._remove_bucket()
        kubectl("delete", "namespace", self.names.namespace, "--ignore-not-found", f"--timeout={PATIENCE}")

    def _remove_bucket(self) -> None:
        if self.names.bucket not in {found["Name"] for found in self.s3.list_buckets()["Buckets"]}:
            return
        for key in self.keys(""):
            self.s3.delete_object(Bucket=self.names.bucket, Key=key)
        self.s3.delete_bucket(Bucket=self.names.bucket)

    def left(self) -> list[str]:
        """What is still there of a trial."""
        kinds = "pod,secret,serviceaccount,role,rolebinding,networkpolicy,workflow"
        found = [
            f"{item['kind']} {item['metadata']['name']}"
            for selector in (f"evernas.dev/project={self.names.project}", f"{LABEL}={self.names.number}")
            for item in objects(kinds, RUNS_NAMESPACE, selector)
        ]
        with psycopg.connect(self.settings.postgres_url) as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %s", (self.names.database("%"),)
            )
            found += [f"database {name}" for (name,) in rows]
        found += [f"bucket {b['Name']}" for b in self.s3.list_buckets()["Buckets"] if b["Name"] == self.names.bucket]
        found += call("kubectl", "get", "namespace", "-l", f"{LABEL}={self.names.number}", "-o", "name").split()
        return found


def ask(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """An answer's status and text."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metadata_elsewhere() -> list[dict[str, Any]]:
    """Where ML Metadata answers outside of pods, as entries of a network policy's `to`."""
    slices = objects("endpointslice", RUNS_NAMESPACE, "kubernetes.io/service-name=metadata-grpc-service")
    endpoints = [endpoint for found in slices for endpoint in found.get("endpoints") or []]
    outside = [address for endpoint in endpoints if "targetRef" not in endpoint for address in endpoint["addresses"]]
    return [{"ipBlock": {"cidr": f"{address}/32"}} for address in outside]


def changes_pods() -> bool:
    """Whether the cluster serves policies that change what is made."""
    served = kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "--output=name").split()
    return "mutatingadmissionpolicies.admissionregistration.k8s.io" in served


def leftovers() -> list[Names]:
    """The trials of which something is left."""
    found = json.loads(kubectl("get", "namespace", "-l", LABEL, "-o", "json"))["items"]
    return [Names(item["metadata"]["labels"][LABEL]) for item in found]
