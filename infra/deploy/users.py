"""MLflow's users: the Secrets that the chart makes them from, and runs and decisions are given. Made once, and kept."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any, Protocol

ADMIN, TRAINING, PROMOTER = (f"evernas-mlflow-{user}" for user in ("admin", "training", "promoter"))


class Applying(Protocol):
    """The cluster, as far as this module needs it."""

    def run(self, *command: str, given: str | None = None) -> str: ...
    def apply(self, manifest: dict[str, Any]) -> None: ...


def make(cluster: Applying, release: str, runs: str) -> None:
    """The Secrets of MLflow's administrator, of training and of promotion; training's in the runs' namespace too."""
    admin = {
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": secrets.token_urlsafe(32),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
    }
    _kept(cluster, release, ADMIN, admin)
    _kept(cluster, release, PROMOTER, _user("promoter"))
    training = _kept(cluster, release, TRAINING, _user("training"))
    cluster.apply(_secret(runs, TRAINING, training))


def _user(name: str) -> dict[str, str]:
    return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": secrets.token_urlsafe(32)}


def _kept(cluster: Applying, namespace: str, name: str, fresh: dict[str, str]) -> dict[str, str]:
    """What the Secret holds, or holds from now on."""
    found = cluster.run("kubectl", "-n", namespace, "get", "secret", name, "--ignore-not-found", "-o", "json")
    if found.strip():
        return {key: base64.b64decode(value).decode() for key, value in json.loads(found)["data"].items()}
    cluster.apply(_secret(namespace, name, fresh))
    return fresh


def _secret(namespace: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": data}
