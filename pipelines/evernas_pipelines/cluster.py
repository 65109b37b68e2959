"""Runs on a KFP cluster: found by name, submitted with their version pinned, and the nightly schedule."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from evernas.config import Config, document_of_run
from evernas.config_triggers import KfpConfig
from evernas.errors import UsageError
from evernas.triggers.submission import Found, RunState, SubmissionRefusedError, Submitter, UnavailableError

T = TypeVar("T")
TIMEOUT_S = 30.0
PAGE = 100
CONFLICT = 409
# Before the digest of the compiled pipeline, in a version's description.
DIGEST = "Compiled pipeline "
# What KFP says of a run, as we take it; a state that is not listed is one in which the run may still work.
STATES: dict[str, RunState] = {
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "failed",
}
LIVING = ("PENDING", "RUNNING", "CANCELING", "PAUSED", "RUNTIME_STATE_UNSPECIFIED")
# Filled in by KFP for each run of a schedule.
SCHEDULED_RUN = "nightly-[[RunUUID]]"


def submitter(config: Config) -> KfpSubmitter:
    """The submitter of a config's cluster; named by the entry point `evernas.submitters`."""
    return KfpSubmitter(config)


class KfpSubmitter(Submitter):
    """Submits the uploaded pipeline of a project."""

    def __init__(self, config: Config, host: str | None = None) -> None:
        """A `host` counts before the config's: the API has another address outside of the cluster than within."""
        said = None if config.triggers is None else config.triggers.submit.kfp
        if said is None and host is None:
            raise UsageError("triggers.submit.kfp is missing from the config: say where the cluster's KFP is.")
        self._config = config
        if host is None:
            assert said is not None
            self._kfp = said
        else:
            self._kfp = KfpConfig(host=host) if said is None else said.model_copy(update={"host": host})
        self._pipeline_name = self._kfp.pipeline or f"{config.project}-evernas"
        self._version = self._kfp.version

    def find(self, name: str) -> Found | None:
        found = asked(lambda: self._find(name))
        if not found:
            return None
        # One that works or has worked counts before one that failed, whichever is newer.
        order = ("running", "succeeded", "failed")
        return min(found, key=lambda one: order.index(one.state))

    def submit(self, name: str) -> str:
        def create() -> str:
            run = self.client.run_pipeline(
                experiment_id=self.experiment_id,
                job_name=name,
                pipeline_id=self.pipeline_id,
                version_id=self.version_id,
                params=self.parameters(name),
                pipeline_root=self._root,
                enable_caching=False,
                service_account=self._kfp.service_account,
            )
            return str(run.run_id)

        return asked(create)

    def version(self) -> str:
        return f"kfp {self.pipeline_id} {self.version_id}"

    def renew(self, config: Config) -> None:
        """Ask KFP anew for the pipeline and its pinned version. What `triggers` says is taken up by a start alone."""
        self._config = config
        for known in ("pipeline_id", "version_id"):
            self.__dict__.pop(known, None)

    def upload(self, version: str | None = None, same: bool = False) -> str:
        """Upload the compiled pipeline as a version, and pin it from here on; returns what was done.

        The version has the name that is given, else the config's, else that of the pipeline's digest. One of this name
        that is there is kept. With `same`, UsageError if that one is known to be another pipeline.
        """
        from evernas.digest import digest_bytes, short
        from evernas_pipelines.publishing import compile_pipeline

        with TemporaryDirectory() as folder:
            path = Path(folder) / "pipeline.yaml"
            compile_pipeline(self._config, path)
            digest = digest_bytes(path.read_bytes())
            name = version or self._kfp.version or f"ir-{short(digest)}"
            description = f"{DIGEST}{digest}"
            found = asked(lambda: self._upload(path, name, description))
        if found is not None and same and _is_another(found, description):
            raise UsageError(
                f"The version {name} of {self._pipeline_name} is there and is another pipeline: "
                "the config, the images or the code have changed since it was uploaded. Give this one another name."
            )
        self._version = name
        return f"The version {name} of {self._pipeline_name} {'was uploaded' if found is None else 'is there'}."

    def schedule(self) -> str:
        """Create or update the nightly run; returns what was done. Asking again changes nothing."""
        return asked(self._schedule)

    def unschedule(self) -> str:
        """Take the nightly run away; returns what was done. Asking again changes nothing."""
        name = f"{self._config.project}-nightly"
        existing = asked(lambda: self._recurring(name))
        asked(lambda: self._remove(existing))
        return f"{name} was {'taken away' if existing else 'not there'}."

    def parameters(self, run: str) -> dict[str, str]:
        """The pipeline's parameters."""
        config = json.dumps(document_of_run(self._config), sort_keys=True)
        return {"home": self._kfp.home, "run": run, "config": config}

    @property
    def _root(self) -> str | None:
        """Where KFP keeps what it passes between steps. Of the uploaded pipeline, the API server reads none."""
        return None if self._config.cluster is None else self._config.cluster.root

    @cached_property
    def client(self) -> Any:
        """KFP's client. Nothing is asked of the server by making it, unless it serves several users."""
        from kfp import Client

        from evernas.triggers.secrets import resolve

        token = None if self._kfp.token is None else resolve(self._kfp.token)
        client = Client(host=self._kfp.host, namespace=self._kfp.namespace or "kubeflow", existing_token=token)
        _bound(client._run_api.api_client.rest_client)
        return client

    @cached_property
    def experiment_id(self) -> str:
        name = self._kfp.experiment or self._config.project
        found = asked(lambda: self.client.create_experiment(name, namespace=self._kfp.namespace))
        return str(found.experiment_id)

    @cached_property
    def pipeline_id(self) -> str:
        found = asked(lambda: self.client.get_pipeline_id(self._pipeline_name))
        if found is None:
            raise UsageError(f"KFP has no pipeline {self._pipeline_name!r}: upload it, or name another in the config.")
        return str(found)

    @cached_property
    def version_id(self) -> str:
        """The pinned version: the one that the config names, else the newest when this was asked."""
        versions = asked(lambda: self._versions(self.pipeline_id))
        wanted = self._version
        chosen = [version for version in versions if wanted in (None, version.display_name)]
        if not chosen:
            raise UsageError(f"The pipeline {self._pipeline_name!r} has no version {wanted or ''}: upload it.")
        return str(max(chosen, key=lambda version: version.created_at).pipeline_version_id)

    def _versions(self, pipeline: str) -> list[Any]:
        return _all(
            lambda page: self.client.list_pipeline_versions(pipeline, page_token=page, page_size=PAGE),
            "pipeline_versions",
        )

    def _upload(self, path: Path, name: str, description: str) -> Any | None:
        """Upload a version unless there is one of this name, which is then the answer."""
        from kfp_server_api.exceptions import ApiException

        pipeline = self.client.get_pipeline_id(self._pipeline_name)
        if pipeline is None:
            # KFP makes no pipeline without a version; that one has the pipeline's own name.
            pipeline = self.client.upload_pipeline(str(path), self._pipeline_name).pipeline_id
        found = self._named(pipeline, name)
        if found is None:
            try:
                self.client.upload_pipeline_version(str(path), name, pipeline, description=description)
            except ApiException as error:
                # Somebody else may have uploaded it in this moment.
                found = self._named(pipeline, name) if error.status == CONFLICT else None
                if found is None:
                    raise
        return found

    def _named(self, pipeline: str, name: str) -> Any | None:
        """The version of this name; None if there is none."""
        return next((one for one in self._versions(pipeline) if one.display_name == name), None)

    def _recurring(self, name: str) -> list[Any]:
        """The recurring runs of this name."""
        found = _all(
            lambda page: self.client.list_recurring_runs(
                page_token=page, page_size=PAGE, experiment_id=self.experiment_id, filter=named(name)
            ),
            "recurring_runs",
        )
        return [one for one in found if one.display_name == name]

    def _find(self, name: str) -> list[Found]:
        runs = _all(
            lambda page: self.client.list_runs(
                page_token=page, page_size=PAGE, experiment_id=self.experiment_id, filter=named(name)
            ),
            "runs",
        )
        # The filter is the server's work; what it answers is checked.
        return [
            Found(run.run_id, STATES.get(run.state, "running"), f"KFP says {run.state}")
            for run in runs
            if run.display_name == name
        ]

    def _schedule(self) -> str:
        assert self._config.triggers is not None
        cron, name = self._config.triggers.schedule.cron, f"{self._config.project}-nightly"
        wanted = self._wanted(cron)
        existing = self._recurring(name)
        same = [one for one in existing if _said(one) == wanted]
        if same:
            self._remove([one for one in existing if one is not same[0]])
            return f"{name} is as the config wants it: {cron}, version {self.version_id}."
        # KFP cannot change a schedule: the new one first, so that a failure between leaves two and not none.
        self.client.create_recurring_run(
            experiment_id=self.experiment_id,
            job_name=name,
            description=f"Made by evernas-pipelines on {datetime.now(UTC):%Y-%m-%d}; one at a time, no catch-up.",
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=self.parameters(SCHEDULED_RUN),
            pipeline_root=self._root,
            pipeline_id=self.pipeline_id,
            version_id=self.version_id,
            enabled=True,
            enable_caching=False,
            service_account=self._kfp.service_account,
        )
        self._remove(existing)
        return f"{name} was {'changed' if existing else 'made'}: {cron}, version {self.version_id}."

    def _wanted(self, cron: str) -> dict[str, Any]:
        return {
            "cron": cron,
            "version": self.version_id,
            "concurrency": 1,
            "no_catchup": True,
            "enabled": True,
            "parameters": self.parameters(SCHEDULED_RUN),
            "root": self._root or "",
            "account": self._kfp.service_account or "",
        }

    def _remove(self, recurring: list[Any]) -> None:
        """Remove recurring runs; what they have started works on, though Kubernetes would remove it with its owner."""
        for one in recurring:
            self.client._recurring_run_api.recurring_run_service_delete_recurring_run(
                one.recurring_run_id, propagation_policy="ORPHAN"
            )


def _bound(rest: Any) -> None:
    """Give every request a time limit: KFP's client has none, and one that hangs would hold up all runs."""
    request = rest.request

    def bounded(*arguments: Any, _request_timeout: Any = None, **named: Any) -> Any:
        return request(*arguments, _request_timeout=_request_timeout or TIMEOUT_S, **named)

    rest.request = bounded


def named(name: str) -> str:
    """KFP's filter for a display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def asked(what: Callable[[], T]) -> T:
    """What KFP answers; UnavailableError if it does not, SubmissionRefusedError if it will not."""
    import urllib3
    from kfp_server_api.exceptions import ApiException

    try:
        # KFP's client prints links; standard output is for JSON lines, or for our own sentences.
        with redirect_stdout(io.StringIO()):
            return what()
    except ApiException as error:
        # 4xx is about what we asked, but for those that speak of the moment: of the right to ask, the rate, the time.
        if error.status is not None and 400 <= error.status < 500 and error.status not in (401, 403, 408, 409, 429):
            raise SubmissionRefusedError(f"KFP refused with {error.status} {error.reason}.") from None
        raise UnavailableError(f"KFP answers {error.status} {error.reason}.") from None
    except (urllib3.exceptions.HTTPError, OSError, TimeoutError) as error:
        raise UnavailableError(f"KFP does not answer ({type(error).__name__}).") from None


def _all(ask: Callable[[str], Any], field: str) -> list[Any]:
    """All pages of a listing."""
    found: list[Any] = []
    page = ""
    while True:
        answer = ask(page)
        found += getattr(answer, field) or []
        page = answer.next_page_token or ""
        if not page:
            return found


def _is_another(version: Any, description: str) -> bool:
    """Whether a version says of itself that it is another pipeline than this; one that says nothing may be the same."""
    said = version.description or ""
    return said.startswith(DIGEST) and said != description


def _said(recurring: Any) -> dict[str, Any]:
    """What a recurring run does, to be compared with what is wanted."""
    trigger, reference = recurring.trigger, recurring.pipeline_version_reference
    cron = None if trigger is None or trigger.cron_schedule is None else trigger.cron_schedule.cron
    runtime = recurring.runtime_config
    return {
        "cron": cron,
        "version": None if reference is None else reference.pipeline_version_id,
        "concurrency": int(recurring.max_concurrency or 0),
        "no_catchup": bool(recurring.no_catchup),
        "enabled": recurring.status != "DISABLED" and recurring.mode != "DISABLE",
        "parameters": {} if runtime is None else dict(runtime.parameters or {}),
        "root": "" if runtime is None else runtime.pipeline_root or "",
        "account": recurring.service_account or "",
    }
