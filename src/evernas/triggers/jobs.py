"""Kubernetes Jobs of the receiver's own namespace, each made from one fixed template; made as any client does."""

from __future__ import annotations

import copy
import json
import os
import ssl
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError

import yaml

from evernas.errors import EvernasError, UsageError
from evernas.triggers.submission import UnavailableError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
RUN_VARIABLE = "RUN"
TIMEOUT_S = 15.0
NOT_FOUND, TAKEN = 404, 409


@dataclass(frozen=True)
class Job:
    """A Job as it stands; if it has failed for good, Kubernetes' words for that."""

    state: Literal["working", "complete", "failed"] = "working"
    reason: str = ""


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    """Takes an answer that leads elsewhere as a refusal."""

    def redirect_request(self, *arguments: object) -> None:
        return None


class Jobs:
    """Jobs of one template. The account's token is read for each request: Kubernetes renews the file."""

    def __init__(self, template: Path, account: Path = ACCOUNT, address: str | None = None) -> None:
        self._template = _template_in(template)
        self._account = account
        self._address = address or _address()
        # Neither the system's authorities nor a proxy nor a redirect: the token is for the cluster's own API alone.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if (account / "ca.crt").exists():
            context.load_verify_locations(account / "ca.crt")
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({}), _Unfollowed
        )

    def find(self, name: str) -> Job | None:
        """The Job of this name; None if there is none."""
        answer = self._ask("GET", f"/{self._full(name)}")
        return None if answer is None else _job(answer)

    def make(self, name: str, run: str) -> Job:
        """Make the Job of this name for a run; of several who make it at once, one does."""
        job = copy.deepcopy(self._template)
        job["metadata"]["name"] = self._full(name)
        (container,) = job["spec"]["template"]["spec"]["containers"]
        container["env"] = [{"name": RUN_VARIABLE, "value": run}] + [
            variable for variable in container["env"] if variable["name"] != RUN_VARIABLE
        ]
        answer = self._ask("POST", "", job)
        return Job() if answer is None else _job(answer)

    def _full(self, name: str) -> str:
        return f"{self._template['metadata']['generateName']}{name}"

    def _ask(self, method: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What the API answers; None for a Job that is not there, or is there already where it was to be made."""
        namespace, token = (self._given(name) for name in ("namespace", "token"))
        request = urllib.request.Request(  # noqa: S310 - its scheme is Kubernetes' own
            f"{self._address}/apis/batch/v1/namespaces/{namespace}/jobs{path}",
            None if document is None else json.dumps(document).encode(),
            {"authorization": f"Bearer {token}", "content-type": "application/json"},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except HTTPError as error:
            if error.code == (NOT_FOUND if method == "GET" else TAKEN):
                return None
            raise EvernasError(f"Kubernetes refuses the Job with {error.code}: {_said(error)}") from None
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise UnavailableError(f"Kubernetes does not answer ({type(error).__name__}).") from None

    def _given(self, name: str) -> str:
        try:
            return (self._account / name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UnavailableError(f"The service account has no {name} ({error.strerror}).") from None


def _template_in(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        (container,) = document["spec"]["template"]["spec"]["containers"]
        usable = document["kind"] == "Job" and document["metadata"]["generateName"] and container["env"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"triggers.submit.decision names {path}, which is no Job ({type(error).__name__}: {error}): name the file "
            "with the template that the chart makes."
        ) from None
    if not usable:
        raise UsageError(f"triggers.submit.decision names {path}, which is no Job with a generateName.")
    return dict(document)


def _address() -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise UsageError(
            "triggers.submit.decision names a Job, and this is no pod (KUBERNETES_SERVICE_HOST is not set): serve on "
            "the cluster, or leave the key out and start `evernas decide` otherwise."
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _job(document: dict[str, Any]) -> Job:
    conditions = document.get("status", {}).get("conditions") or []
    true = {condition["type"]: condition for condition in conditions if condition["status"] == "True"}
    if "Complete" in true:
        return Job("complete")
    if "Failed" in true:
        said = true["Failed"].get("message") or true["Failed"].get("reason")
        return Job("failed", f"{document['metadata']['name']}: {said}")
    return Job()


def _said(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read())["message"])[:300]
    except (ValueError, KeyError, TypeError, OSError):
        return error.reason
