"""Runs of a trial on KFP: found, waited for, looked into."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import kfp
from cluster import kubectl, objects, wait_until

PATIENCE_S = 1500.0
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
PAGE = 100


@dataclass
class Runs:
    """The runs of one project."""

    client: kfp.Client
    project: str
    pipeline: str
    namespace: str

    @property
    def experiment_id(self) -> str | None:
        """The project's experiment; None if there is none yet."""
        found = self.client.list_experiments(page_size=PAGE, filter=_named(self.project)).experiments or []
        return found[0].experiment_id if found else None

    def all(self) -> list[Any]:
        if self.experiment_id is None:
            return []
        return self.client.list_runs(experiment_id=self.experiment_id, page_size=PAGE).runs or []

    def recurring(self) -> list[Any]:
        if self.experiment_id is None:
            return []
        return self.client.list_recurring_runs(experiment_id=self.experiment_id, page_size=PAGE).recurring_runs or []

    def new(self, known: Iterable[str], patience_s: float = 180.0) -> Any:
        """The one run that is not known yet, once there is one."""
        known = set(known)
        (run,) = wait_until(lambda: [run for run in self.all() if run.run_id not in known], "a run", patience_s)
        return run

    def known(self) -> set[str]:
        return {run.run_id for run in self.all()}

    def ended(self, run_id: str) -> Any:
        """A run that has succeeded, once it has; AssertionError with what its pods say if it has not."""
        run = wait_until(lambda: self._if_ended(run_id), f"the end of run {run_id}", PATIENCE_S)
        assert run.state == "SUCCEEDED", f"{run.display_name} is {run.state}.\n{self.told(run_id)}"
        return run

    def ended_at_last(self, run_id: str, known: Iterable[str]) -> Any:
        """A run that has succeeded, or the one that the receiver made in its place where it failed, once it has.

        KFP's Argo tries a step again whose pod has gone, and not one whose pod it saw end with an error before it was
        gone. Which of the two a deleted pod is, is a matter of milliseconds.
        """
        run = wait_until(lambda: self._if_ended(run_id), f"the end of run {run_id}", PATIENCE_S)
        return run if run.state == "SUCCEEDED" else self.ended(self.new({*known, run_id}).run_id)

    def steps(self, run_id: str) -> dict[str, list[str]]:
        """The states of a run's steps by name; without KFP's own tasks."""
        found: dict[str, list[str]] = {}
        for task in self.client.get_run(run_id).run_details.task_details or []:
            name = task.display_name
            if not name.endswith(("-driver", "driver", "executor")) and name not in ("root", "loop", "work"):
                found.setdefault(name, []).append(task.state)
        return found

    def pods(self, run_id: str) -> list[dict[str, Any]]:
        """The pods of a run's steps, those that have ended too."""
        selector = f"evernas.dev/project={self.project},pipeline/runid={run_id}"
        return objects("pod", self.namespace, selector)

    def told(self, run_id: str) -> str:
        """What is known of a run that failed: its tasks, and the end of what its failed pods said."""
        lines = [f"{name}: {states}" for name, states in self.steps(run_id).items()]
        for pod in objects("pod", self.namespace, f"pipeline/runid={run_id}"):
            name, phase = pod["metadata"]["name"], pod["status"]["phase"]
            if phase not in ("Succeeded",):
                lines.append(f"--- {name} is {phase}: {pod['status'].get('message', '')}")
                lines.append(
                    kubectl("-n", self.namespace, "logs", name, "--all-containers", "--tail=30", "--ignore-errors")
                )
        return "\n".join(lines)

    def remove(self) -> None:
        """Remove the project's recurring runs, runs, pipeline and experiment from KFP."""
        for recurring in self.recurring():
            self.client.delete_recurring_run(recurring.recurring_run_id)
        for run in self.all():
            # One whose workflow went with its schedule is RUNNING for ever: KFP cannot end it, and deletes it.
            if run.state not in ENDED and self._works(run):
                self.client.terminate_run(run.run_id)
            self.client.delete_run(run.run_id)
        pipeline = self.client.get_pipeline_id(self.pipeline)
        if pipeline is not None:
            for version in self.client.list_pipeline_versions(pipeline, page_size=PAGE).pipeline_versions or []:
                self.client.delete_pipeline_version(pipeline, version.pipeline_version_id)
            self.client.delete_pipeline(pipeline)
        if self.experiment_id is not None:
            self.client.delete_experiment(self.experiment_id)

    def _works(self, run: Any) -> bool:
        return bool(objects("workflow", self.namespace, f"pipeline/runid={run.run_id}"))

    def _if_ended(self, run_id: str) -> Any:
        run = self.client.get_run(run_id)
        return run if run.state in ENDED else None


def runs(host: str, project: str, pipeline: str, namespace: str) -> Runs:
    # KFP's client prints links.
    with redirect_stdout(io.StringIO()):
        return Runs(kfp.Client(host=host), project, pipeline, namespace)


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
