"""MLflow runs of a pipeline run: a parent, a nested run per step, what they carry. No decision is read from here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from evernas.state.files import read_json, write_json
from evernas.state.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from evernas.config import Config

NOTE_VERSION = 1
PROMOTIONS = "promotions"
"""What the experiment of promotions is called after the project's, where whoever trains must not write there."""
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


def client(home: Home) -> MlflowClient:
    """A client of the store; no telemetry, and never a pickle."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    return MlflowClient(home.tracking_uri, home.tracking_uri)


@dataclass(frozen=True)
class Tracked:
    """An MLflow run that is being written. `moment` is when what is said was so, in ms; now if not given."""

    client: MlflowClient
    run_id: str
    moment: int | None = None

    def at(self, moment: int) -> Tracked:
        """The same, of another moment."""
        return Tracked(self.client, self.run_id, moment)

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters; a value that was logged before must be the same, so these are what the step was given."""
        from mlflow.entities import Param

        self.client.log_batch(self.run_id, params=[Param(key, str(value)[:6000]) for key, value in values.items()])

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Figures; None means that there is no such figure, and none is logged."""
        from mlflow.entities import Metric

        moment = _now() if self.moment is None else self.moment
        self.client.log_batch(
            self.run_id,
            metrics=[Metric(key, float(value), moment, step) for key, value in values.items() if value is not None],
        )

    def curve(self, rows: Sequence[Mapping[str, float]], by: str = "step") -> None:
        """A curve: rows of figures, each at its step."""
        from mlflow.entities import Metric

        moment = _now() if self.moment is None else self.moment
        points = [
            Metric(key, float(value), moment, int(row[by])) for row in rows for key, value in row.items() if key != by
        ]
        for start in range(0, len(points), 900):
            self.client.log_batch(self.run_id, metrics=points[start : start + 900])

    def tags(self, values: Mapping[str, str]) -> None:
        """Tags."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(key, value[:4900]) for key, value in values.items()])

    def dataset(self, name: str, digest: str, source: str, profile: Mapping[str, Any]) -> None:
        """The dataset that the run reads, by its digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        made = Dataset(
            name=name,
            digest=digest[:36],
            source_type="local",
            source=json.dumps({"uri": source}),
            profile=json.dumps(profile),
        )
        self.client.log_inputs(self.run_id, [DatasetInput(made, [InputTag("mlflow.data.context", "training")])])

    def file(self, path: str | Path, folder: str | None = None) -> None:
        """A file, or a folder with all that is in it."""
        if Path(path).is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def value(self, value: Any, name: str) -> None:
        """A value, as a JSON file."""
        self.client.log_dict(self.run_id, value, name)


def parent_run(home: Home, project: str, run: str) -> Tracked:
    """The MLflow run of a pipeline run, made once. An MLFLOW_RUN_ID in the environment is honoured."""
    store = client(home)
    noted = read_note(home, run)
    if noted is not None:
        return Tracked(store, noted["run_id"])
    given = os.environ.get("MLFLOW_RUN_ID")
    if given:
        run_id, experiment = given, store.get_run(given).info.experiment_id
    else:
        experiment = _experiment(store, home, project)
        run_id = _find(store, experiment, f"tags.`evernas.run` = '{run}' and tags.`evernas.step` = 'run'") or _create(
            store, experiment, run, {"evernas.run": run, "evernas.step": "run", "evernas.project": project}
        )
    _write_note(
        home,
        run,
        {
            "run_id": run_id,
            "experiment_id": experiment,
            "tracking_uri": without_password(home.tracking_uri),
            "given": bool(given),
            "status": "RUNNING",
        },
    )
    return Tracked(store, run_id)


def read_note(home: Home, run: str) -> dict[str, Any] | None:
    """What is known of a pipeline run's MLflow run: its ids, whether it was given to us, the status it was told."""
    path = _note(home, run)
    note: dict[str, Any] | None = read_json(path) if path.exists() else None
    return note if note is not None and note.get("version") == NOTE_VERSION else None


def set_status(home: Home, run: str, status: Status) -> None:
    """Tell MLflow how a pipeline run stands, and with its end that steps which are still open there were killed.

    Nothing happens for a run that never came to tell MLflow of itself. A run that was given to us by MLFLOW_RUN_ID is
    its owner's to end.
    """
    note = read_note(home, run)
    if note is None or note["status"] == status:
        return
    store = client(home)
    if status != "RUNNING":
        query = f"tags.`evernas.run` = '{run}' and tags.`evernas.step` != 'run' and attributes.status = 'RUNNING'"
        for step in store.search_runs([note["experiment_id"]], query):
            store.set_terminated(step.info.run_id, "KILLED")
    if status == "RUNNING" and not note["given"]:
        store.update_run(note["run_id"], status)
    elif not note["given"]:
        store.set_terminated(note["run_id"], status)
    _write_note(home, run, {**note, "status": status})


def mark_failed(home: Home, project: str, run: str, status: Status, sentence: str) -> None:
    """Say on a pipeline run's MLflow runs, those that are still open, that it ended so, and on its parent why.

    Nothing happens for a run that never came to tell MLflow of itself.
    """
    store = client(home)
    experiment = store.get_experiment_by_name(f"evernas-{project}")
    if experiment is None:
        return
    for found in store.search_runs([experiment.experiment_id], f"tags.`evernas.run` = '{run}'"):
        if found.data.tags.get("evernas.step") == "run":
            store.set_tag(found.info.run_id, "evernas.failure", sentence[:4900])
        if found.info.status == "RUNNING":
            store.set_terminated(found.info.run_id, status)


def _note(home: Home, run: str) -> Path:
    return home.run(run) / "mlflow.json"


def _write_note(home: Home, run: str, note: dict[str, Any]) -> None:
    write_json(_note(home, run), {**note, "version": NOTE_VERSION})


def without_password(uri: str) -> str:
    """An address without the user and password in it, fit to be written down."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


@contextmanager
def step_run(
    home: Home,
    project: str,
    run: str,
    step: str,
    device: str | None,
    ref: str = "",
    times: tuple[int, int] | None = None,
    apart: bool = False,
) -> Iterator[Tracked]:
    """The nested MLflow run of a step, found again after a kill.

    Ends as FINISHED, or as FAILED on an exception, or as KILLED on Ctrl-C. `times` are when it began and ended, in ms,
    if that was before.

    `ref` is what the step computes: a run that goes on with other data, such as mended ones, tells of it in a run of
    its own, since MLflow's parameters cannot change. `apart` puts it into the experiment of promotions.
    """
    parent = parent_run(home, project, run)
    store = parent.client
    name = step if device is None else f"{step}-{device}"
    if apart:
        experiment = _experiment(store, home, project, f"-{PROMOTIONS}")
    else:
        experiment = store.get_run(parent.run_id).info.experiment_id
    tags = {"evernas.run": run, "evernas.step": name, "evernas.ref": ref}
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    run_id = _find(store, experiment, query) or _create(
        store, experiment, name, {**tags, "mlflow.parentRunId": parent.run_id}, None if times is None else times[0]
    )
    try:
        yield Tracked(store, run_id)
    except BaseException as error:
        store.set_terminated(run_id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    store.set_terminated(run_id, "FINISHED", None if times is None else times[1])


def registering(config: Config, home: Home, run: str, step: str, device: str) -> AbstractContextManager[Tracked]:
    """The nested MLflow run that a version is registered by outside of a run.

    Where runs share a bucket it is in the experiment of promotions: training must not change what a version is of.
    """
    apart = home.bucket is not None or config.bucket_of_runs is not None
    return step_run(home, config.project, run, step, device, apart=apart)


def _experiment(store: MlflowClient, home: Home, project: str, more: str = "") -> str:
    from mlflow.exceptions import MlflowException

    name = f"evernas-{project}{more}"
    found = store.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None if os.environ.get("MLFLOW_TRACKING_URI") else (home.artifacts / project).as_uri()
    try:
        return str(store.create_experiment(name, artifact_location=location))
    except MlflowException:
        # Another process made it between the look and the creation.
        found = store.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _find(store: MlflowClient, experiment: str, query: str) -> str | None:
    runs = store.search_runs([experiment], query, max_results=1)
    return str(runs[0].info.run_id) if runs else None


def _create(store: MlflowClient, experiment: str, name: str, tags: dict[str, str], began: int | None = None) -> str:
    return str(store.create_run(experiment, start_time=began, tags=tags, run_name=name).info.run_id)


def _now() -> int:
    return int(time.time() * 1000)
