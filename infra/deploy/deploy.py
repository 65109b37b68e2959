"""Installs what runs on the cluster: Kubeflow Pipelines, the databases and the chart, from Terraform's outputs alone.

usage: python infra/deploy/deploy.py ENV [--config EVERNAS.YAML]

ENV is a folder of infra/envs to which Terraform was applied; the config is the project's, which the chart needs.

It needs terraform, aws, kubectl and helm on the PATH, a session in AWS with an access entry of the cluster, and a way
to the Kubernetes API. Every step may be run again. Nothing of your own kubeconfig is read or changed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from string import Template
from typing import Any

import databases
import users

INFRA = Path(__file__).resolve().parents[1]
CHART = INFRA.parent / "charts" / "evernas"
TOOLS = ("terraform", "aws", "kubectl", "helm")
KFP_VERSION = "2.17.0"
KFP = "github.com/kubeflow/pipelines/manifests/kustomize"
AUTOSCALER_CHART = "9.50.1"
NVIDIA_PLUGIN_CHART = "0.17.4"
WAIT = "900s"


class DeployError(Exception):
    """Something that the person who deploys can mend; its text says how."""


class Cluster:
    """Commands against the one cluster of an environment, by a kubeconfig of their own."""

    def __init__(self, kubeconfig: Path) -> None:
        self._env = {**os.environ, "KUBECONFIG": str(kubeconfig)}

    def run(self, *command: str, given: str | None = None) -> str:
        """What the command printed; DeployError if it failed."""
        return run(*command, given=given, env=self._env)

    def apply(self, manifest: dict[str, Any]) -> None:
        # By standard input: what is secret in a manifest is on no command line.
        self.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(manifest))

    def chart(self, name: str, source: list[str], namespace: str, values: dict[str, Any]) -> None:
        base = ["helm", "upgrade", "--install", name, *source, "--namespace", namespace, "--wait", "--timeout", WAIT]
        self.run(*base, "--values", "-", given=json.dumps(values))


def run(*command: str, given: str | None = None, env: dict[str, str] | None = None) -> str:
    """What the command printed; DeployError with its own words if it failed."""
    done = subprocess.run(command, input=given, env=env, text=True, capture_output=True)
    if done.returncode:
        raise DeployError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def outputs(environment: str) -> dict[str, Any]:
    """Terraform's outputs of the environment; DeployError if it is unknown or not applied."""
    folder = INFRA / "envs" / environment
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in folder.parent.iterdir() if path.is_dir()))
        raise DeployError(f"There is no environment {environment!r}: use one of {known}.")
    found = json.loads(run("terraform", f"-chdir={folder}", "output", "-json"))
    if "cluster_name" not in found:
        raise DeployError(f"Terraform has made nothing in {environment} yet: run terraform apply in {folder} first.")
    return {name: output["value"] for name, output in found.items()}


def nodes(cluster: Cluster, made: dict[str, Any]) -> None:
    """What makes pools usable: encrypted volumes, pools that grow from zero, GPUs that Kubernetes can count."""
    cluster.run("kubectl", "apply", "--server-side", "-f", str(INFRA / "deploy" / "storage-class.yaml"))
    values = {
        "autoDiscovery": {"clusterName": made["cluster_name"]},
        "awsRegion": made["region"],
        "rbac": {"serviceAccount": {"name": "cluster-autoscaler"}},
        # Only empty nodes go: pods of a workflow have no controller that would start them again, and hold their node.
        "extraArgs": {"scale-down-unneeded-time": "5m"},
    }
    where = ["cluster-autoscaler", "--repo", "https://kubernetes.github.io/autoscaler", "--version", AUTOSCALER_CHART]
    cluster.chart("cluster-autoscaler", where, "kube-system", values)
    everywhere = [{"key": key, "operator": "Exists"} for key in ("nvidia.com/gpu", "evernas.dev/device")]
    source = "https://nvidia.github.io/k8s-device-plugin"
    where = ["nvidia-device-plugin", "--repo", source, "--version", NVIDIA_PLUGIN_CHART]
    cluster.chart("nvidia-device-plugin", where, "kube-system", {"tolerations": everywhere})


def pipelines(cluster: Cluster, namespace: str) -> None:
    """Kubeflow Pipelines, by its own manifests of one release."""
    if namespace != "kubeflow":
        raise DeployError(
            f"The runs' namespace is {namespace!r}, but KFP's manifests are written for kubeflow: use that."
        )
    cluster.run("kubectl", "apply", "-k", f"{KFP}/cluster-scoped-resources?ref={KFP_VERSION}")
    cluster.run("kubectl", "wait", "--for=condition=established", "--timeout=60s", "crd/applications.app.k8s.io")
    cluster.run("kubectl", "apply", "-k", f"{KFP}/env/platform-agnostic?ref={KFP_VERSION}")
    for deployment in ("ml-pipeline", "workflow-controller", "ml-pipeline-persistenceagent"):
        cluster.run("kubectl", "-n", namespace, "rollout", "status", f"deployment/{deployment}", f"--timeout={WAIT}")


def release(cluster: Cluster, made: dict[str, Any], config: Path | None) -> str:
    """The chart with the environment's values and the project's config; says what was done, or why it was not."""
    if not CHART.is_dir():
        return f"{CHART} is not in this checkout: the cluster has Kubeflow Pipelines and the databases, but no evernas."
    template = CHART / "values-aws.yaml"
    if not template.is_file():
        raise DeployError(f"{template} is missing: it says which of the chart's values Terraform's outputs fill.")
    flat = {name: value for name, value in made.items() if isinstance(value, str)}
    flat |= {f"image_{name.replace('-', '_')}": url for name, url in made["repositories"].items()}
    flat |= {f"namespace_{name}": value for name, value in made["namespaces"].items()}
    flat |= {"pools": json.dumps(made["pools"]), "database_host": made["database"]["host"]}
    try:
        values = Template(template.read_text(encoding="utf-8")).substitute(flat)
    except KeyError as missing:
        raise DeployError(f"{template} names ${missing.args[0]}, which is none of {', '.join(sorted(flat))}.") from None
    namespace = made["namespaces"]["release"]
    if config is not None:
        # Indented, a YAML document is the value of a key of another.
        values += f"\nconfig:\n{textwrap.indent(config.read_text(encoding='utf-8'), '  ')}"
    command = ("helm", "upgrade", "--install", "evernas", str(CHART), "--namespace", namespace, "--atomic")
    cluster.run(*command, "--timeout", WAIT, "--values", "-", given=values)
    return f"evernas is installed in {namespace}: helm -n {namespace} test evernas"


def deploy(environment: str, config: Path | None = None) -> str:
    """All of it, in order; what to do next."""
    if config is not None and not config.is_file():
        raise DeployError(f"There is no config {config}: name the project's evernas.yaml with --config.")
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        raise DeployError(
            f"{', '.join(lacking)} is not on the PATH: install it; infra/README.md says where it comes from."
        )
    made = outputs(environment)
    with tempfile.TemporaryDirectory(prefix="evernas-deploy-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        name, region = made["cluster_name"], made["region"]
        command = ("aws", "eks", "update-kubeconfig", "--region", region, "--name", name)
        run(*command, "--kubeconfig", str(kubeconfig))
        cluster = Cluster(kubeconfig)
        nodes(cluster, made)
        pipelines(cluster, made["namespaces"]["runs"])
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = made["namespaces"]["release"]
        metadata = {"name": namespace, "labels": restricted}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        admin = json.loads(
            run("aws", "secretsmanager", "get-secret-value", "--region", region, "--output", "json",
                "--secret-id", made["database"]["admin_secret_arn"])
        )  # fmt: skip
        databases.make(cluster, namespace, made["database"], json.loads(admin["SecretString"]))
        users.make(cluster, namespace, made["namespaces"]["runs"])
        return release(cluster, made, config)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", help="dev or prod")
    parser.add_argument("--config", type=Path, help="the project's config, for the chart")
    given = parser.parse_args()
    try:
        print(deploy(given.environment, given.config))
    except DeployError as error:
        sys.exit(str(error))
