"""Where everything lives in the state folder; paths only, no reading and no writing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from evernas.errors import UsageError
from evernas.state.bucket import Bucket


@dataclass(frozen=True)
class Home:
    """The state folder, `$EVERNAS_HOME` or `./.evernas`; or a scratch folder before the bucket that has the state."""

    path: Path
    bucket: Bucket | None = field(default=None, compare=False)

    @classmethod
    def default(cls) -> Home:
        """The folder that the environment names, else `.evernas` here. UsageError if it names a bucket."""
        named = os.environ.get("EVERNAS_HOME") or ".evernas"
        if "://" in named:
            raise UsageError(
                f"EVERNAS_HOME is {named!r}, and commands work on a state folder: name a folder. State in a bucket is "
                "what the steps of a cluster's runs work on; triggers.submit.kfp.home names it."
            )
        return cls(Path(named).absolute())

    @property
    def tracking_uri(self) -> str:
        """Address of the MLflow store: what the environment says, else SQLite in this folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.path / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def latest(self) -> Path:
        return self.path / "latest"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    def run(self, run: str) -> Path:
        return self.runs / run

    def project(self, project: str) -> Path:
        return self.path / "projects" / project

    def head(self, project: str) -> Path:
        """What the last completed run of a project left for the next."""
        return self.project(project) / "head.json"

    def consumed(self, project: str) -> Path:
        """The source objects that the last completed run has taken in."""
        return self.project(project) / "consumed.json"

    def handed_over(self, project: str) -> Path:
        """What runs have handed over to whoever decides on it: a document a run, until it is decided."""
        return self.project(project) / "handed-over"

    def snapshots(self, project: str) -> Path:
        return self.project(project) / "data"

    def steps(self, project: str) -> Path:
        return self.project(project) / "steps"

    def evaluations(self, project: str) -> Path:
        return self.project(project) / "evaluations"

    def rankings(self, project: str) -> Path:
        """What supernets said of finalists before these were fine-tuned, and what they were after it."""
        return self.project(project) / "rankings"

    def bundles(self, project: str) -> Path:
        return self.project(project) / "bundles"

    def champions(self, project: str) -> Path:
        """Copies of bundles that were promoted, where the state lies in a bucket."""
        return self.project(project) / "champions"

    def journal(self, project: str) -> Path:
        return self.project(project) / "journal"

    def ledger(self, project: str) -> Path:
        """What each decision claimed of the gate split before it was read."""
        return self.project(project) / "ledger"

    def told(self, project: str) -> Path:
        """What each decision then told of the gate split."""
        return self.project(project) / "told"

    def rechecks(self, project: str) -> Path:
        """What each device's champion was last found to be on a night with nothing new."""
        return self.project(project) / "rechecks"

    def sealed(self, project: str) -> Path:
        """The exact figures of holds, which no step reads; they may be opened when the gate split retires."""
        return self.project(project) / "sealed"

    def releases(self, project: str) -> Path:
        """Which rows a person has released from quarantine, past which rule, and why."""
        return self.project(project) / "releases"

    def erasures(self, project: str) -> Path:
        """What was erased, by keyed hash, and what came of it."""
        return self.project(project) / "erasures"

    @property
    def keys(self) -> Path:
        """Where the gate's private key lies on a machine that has no other place for it."""
        return self.path / "keys"
