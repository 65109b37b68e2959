"""A champion that cannot be loaded is a hold and an incident, and is brought back from MLflow where MLflow has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evernas.bundle import Bundle
from evernas.config import Config, load_config
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.state import Done, Guard, Home, RunManifest
from evernas.state.files import read_json
from evernas.steps import gate
from evernas.steps.accounting import Account
from evernas.steps.context import Context
from evernas.steps.decision import is_open, read_decision
from evernas.steps.loading import champion
from evernas.steps.progress import Progress
from place import EXAMPLE
from watch_bundle import watch_bundle

RUN = "20260101-000000-aaaaaa"


@pytest.fixture
def config() -> Config:
    return load_config(EXAMPLE)


@pytest.fixture
def bundle(home: Home, config: Config) -> Bundle:
    return watch_bundle(home, config)


@pytest.fixture
def context(home: Home, guard: Guard, config: Config, bundle: Bundle) -> Iterator[Context]:
    """The gate of a run that began with this champion, every step before it done."""
    entry = Entry(1, "laptop", bundle.digest, None, "run-0", "v", "models:/evernas-watch/1", "then", "token")
    open_journal(home, config).claim(entry)
    manifest = RunManifest.open(home, RUN, config, str(home.path), {"laptop": 1})
    account = Account(home.run(RUN), "gate", "laptop", guard)
    progress = Progress(home.run(RUN) / "progress.jsonl", "gate", "laptop")
    made = Context(home, manifest, "laptop", guard, account, progress, "gate")
    for step in ("validate", "finalists", "benchmark"):
        made.store.workspace(f"{step}/key")
        made.store.finish(Done(f"{step}/key", made.store.folder / step / "key", {}, {}, RUN), [], guard)
    yield made
    account.close()


def test_a_damaged_champion_holds_as_an_incident_and_stays(context: Context, bundle: Bundle) -> None:
    bundle.model_path.write_bytes(b"torn")
    assert gate.run(context, "validate/key", "finalists/key", "benchmark/key") == "hold"
    decision = read_decision(context)
    (reason,) = decision["verdict"]["reasons"]
    assert (reason["rule"], reason["passed"]) == ("champion", False)
    assert reason["sentence"].startswith("Incident: the champion of laptop (entry 1) cannot be loaded.")
    assert "changed or torn" in reason["sentence"]
    assert decision["signed"] is None
    assert is_open(context.device, decision["verdict"]), "the next run takes it up again"
    assert context.journal.head_number("laptop") == 1
    unsettled = context.store.folder / "benchmark" / "key" / "unsettled.json"
    assert read_json(unsettled)["run"] == RUN, "what was measured without the champion is not taken again"


def test_a_whole_champion_has_no_fault(context: Context, bundle: Bundle) -> None:
    holder = champion(context)
    assert holder is not None
    assert holder.fault is None
    assert holder.bundle.digest == bundle.digest
