"""The databases of MLflow and of the inbox, each with a user of its own, made by a Job inside the network.

The Job has a namespace that is gone after it, with the administrator's password: the release's network policies do not
bind it, and no pod of the release ever sees that password. Users' passwords are made once and kept as Secrets.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any, Protocol

IMAGE = "docker.io/library/postgres:17.6-bookworm"
USERS = ("mlflow", "inbox")
NAMESPACE = "evernas-databases"
JOB = "make"
PASSWORDS = "passwords"

# For each user; \gexec runs what a row says, so that what exists is left alone. The administrator joins the role, since
# PostgreSQL lets only a member give a database to it. PUBLIC loses its right to connect: one user, one database.
SQL = """
SELECT 'CREATE ROLE {user} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') \\gexec
\\getenv {user}_verifier {variable}
ALTER ROLE {user} WITH LOGIN PASSWORD :'{user}_verifier';
GRANT {user} TO CURRENT_USER;
SELECT 'CREATE DATABASE {user} OWNER {user}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{user}') \\gexec
REVOKE ALL ON DATABASE {user} FROM PUBLIC;
"""


class Applying(Protocol):
    """The cluster, as far as this module needs it."""

    def run(self, *command: str, given: str | None = None) -> str: ...
    def apply(self, manifest: dict[str, Any]) -> None: ...


def make(cluster: Applying, namespace: str, database: dict[str, Any], admin: dict[str, str]) -> None:
    """Databases, users and their Secrets `evernas-<user>-database` (`password`, `url`); again changes nothing."""
    passwords = {user: _password(cluster, namespace, user) for user in USERS}
    for user, password in passwords.items():
        url = f"postgresql://{user}:{password}@{database['host']}:{database['port']}/{user}?sslmode=require"
        cluster.apply(_secret(namespace, f"evernas-{user}-database", {"password": password, "url": url}))
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    try:
        known = {"PGUSER": admin["username"], "PGPASSWORD": admin["password"]}
        cluster.apply(
            _secret(NAMESPACE, PASSWORDS, known | {_variable(user): verifier(word) for user, word in passwords.items()})
        )
        cluster.apply(job(database))
        cluster.run("kubectl", "-n", NAMESPACE, "wait", "--for=condition=complete", "--timeout=300s", f"job/{JOB}")
    finally:
        cluster.run("kubectl", "delete", "namespace", NAMESPACE, "--wait", "--timeout=300s")


def verifier(password: str, rounds: int = 4096) -> str:
    """What PostgreSQL stores of an ASCII password (RFC 5802, RFC 7677): its log shows statements, so it shows this."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(rounds, *encoded)


def sql() -> str:
    """What the Job runs."""
    return "\n".join(SQL.format(user=user, variable=_variable(user)) for user in USERS)


def job(database: dict[str, Any]) -> dict[str, Any]:
    """The Job, as `restricted` allows it."""
    environment = [
        {"name": "PGHOST", "value": database["host"]},
        {"name": "PGPORT", "value": str(database["port"])},
        {"name": "PGDATABASE", "value": "postgres"},
        {"name": "PGSSLMODE", "value": "require"},
        {"name": "SCRIPT", "value": sql()},
    ]
    container = {
        "name": "psql",
        "image": IMAGE,
        "command": ["sh", "-c", 'printf %s "$SCRIPT" | psql --no-psqlrc --set ON_ERROR_STOP=1'],
        "env": environment,
        "envFrom": [{"secretRef": {"name": PASSWORDS}}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": JOB, "namespace": NAMESPACE},
        "spec": {"backoffLimit": 3, "activeDeadlineSeconds": 300, "template": {"spec": pod}},
    }


def _variable(user: str) -> str:
    return f"{user.upper()}_VERIFIER"


def _password(cluster: Applying, namespace: str, user: str) -> str:
    """The password that the user has, or a new one."""
    get = ("kubectl", "-n", namespace, "get", "secret", f"evernas-{user}-database", "--ignore-not-found", "-o", "json")
    found = cluster.run(*get)
    if found.strip():
        return base64.b64decode(json.loads(found)["data"]["password"]).decode()
    return secrets.token_urlsafe(32)


def _secret(namespace: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": data}
