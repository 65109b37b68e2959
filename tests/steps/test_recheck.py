"""A night with nothing new: a champion that was measured long ago is looked at again, and what it breaks is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evernas.bundle import Bundle
from evernas.config import Config, ConstraintConfig, load_config, parse_config
from evernas.errors import DataRefusedError
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.result import Result
from evernas.state import Guard, Head, Home, RunManifest
from evernas.state.files import read_json
from evernas.steps import conclude, ingest, recheck, report
from evernas.steps.accounting import Account
from evernas.steps.context import Context
from evernas.steps.incidents import incidents
from evernas.steps.progress import Progress
from evernas.steps.recheck import is_due, record_of
from place import EXAMPLE
from watch_bundle import watch_bundle

LATENCY = {"median_ms": 2.0, "per_restart_median_ms": [2.0, 2.1], "per_restart_p95_ms": [3.0, 3.1]}
MEASURED = {"device": "laptop", "refused": None, "latency": LATENCY, "size_kb": 90.0, "peak_memory_mb": 4.0}
BOUNDS = [
    {"metric": "latency_ms", "max": 1.5},
    {"metric": "size_kb", "max": 100},
    {"metric": "error", "max": 0.3},
    {"metric": "cold_start_ms", "max": 500},
]


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


@pytest.fixture
def config() -> Config:
    document = load_config(EXAMPLE).model_dump(mode="json")
    return parse_config({**document, "constraints": BOUNDS})


@pytest.fixture
def bundle(home: Home, config: Config) -> Bundle:
    return watch_bundle(home, config)


class Night:
    """A project whose champion was promoted so many days ago, and the runs of its nights."""

    def __init__(self, home: Home, guard: Guard, config: Config, bundle: Bundle) -> None:
        self.home, self.guard, self.config, self.bundle = home, guard, config, bundle
        self.measurement: dict[str, Any] = MEASURED
        self.measured = 0

    def promoted(self, days: float) -> None:
        entry = Entry(1, "laptop", self.bundle.digest, None, "run-0", "v", "models:/m/1", days_ago(days), "token")
        open_journal(self.home, self.config).claim(entry)

    def context(self, run: str, step: str = "recheck", device: str | None = "laptop") -> Context:
        manifest = RunManifest.open(self.home, run, self.config, str(self.home.path), {"laptop": 1})
        account = Account(self.home.run(run), step, device, self.guard)
        account.close()
        return Context(
            self.home,
            manifest,
            device,
            self.guard,
            account,
            Progress(self.home.run(run) / "progress.jsonl", step, device),
            step,
        )

    def measured_by_a_run(self, days: float) -> None:
        """What the report of the last run leaves."""
        head = Head("run-0", "", "5" * 64, "supernet/x", measured={"laptop": days_ago(days)})
        head.write(self.home, self.config.project)


@pytest.fixture
def night(home: Home, guard: Guard, config: Config, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Night:
    found = Night(home, guard, config, bundle)

    def measured(context: Context, bundle: Bundle) -> dict[str, Any]:
        found.measured += 1
        return found.measurement

    monkeypatch.setattr(recheck, "_measured", measured)
    monkeypatch.setattr(conclude, "_searched", lambda context, bundle: {"error": 0.25})
    return found


def test_a_champion_is_due_when_it_was_measured_longer_ago_than_is_allowed(night: Night) -> None:
    night.promoted(days=6.9)
    assert not is_due(night.context("a"))
    night.config = night.config.model_copy(update={"gate": night.config.gate.model_copy(update={"recheck_after": 6})})
    assert is_due(night.context("b"))
    night.config = night.config.model_copy(update={"gate": night.config.gate.model_copy(update={"recheck_after": 0})})
    night.measured_by_a_run(0.0)
    assert is_due(night.context("c")), "with 0 each time"


def test_what_the_last_run_measured_counts(night: Night) -> None:
    night.promoted(days=30)
    assert is_due(night.context("a"))
    night.measured_by_a_run(8.0)
    assert is_due(night.context("b"))
    night.measured_by_a_run(6.0)
    assert not is_due(night.context("c"))


def test_without_a_champion_or_where_measurements_are_recorded_nothing_is_due(night: Night, tmp_path: Path) -> None:
    night.promoted(days=30)
    context = night.context("a")
    assert not is_due(replace(context, manifest=replace(context.manifest, journal={})))
    device = night.config.devices[0].model_copy(update={"recorded": "file.json"})
    night.config = night.config.model_copy(update={"devices": [device]})
    assert not is_due(night.context("b"))


def test_a_recheck_says_what_the_champion_breaks_and_is_not_done_again_for_a_week(night: Night) -> None:
    night.promoted(days=30)
    context = night.context("a")
    assert recheck.run(context) == "recheck/laptop-1"
    record = record_of(context)
    assert record is not None
    assert record["said"].startswith("The champion of laptop (entry 1) was measured again: median latency 2.000 ms.")
    head = "Incident: the champion of laptop (entry 1) breaks a constraint: its "
    assert conclude.findings(context, record) == [
        f"{head}median latency is 2.050 ms, and the limit is 1.5.",
        f"{head}cold_start_ms, which is to be 500 at most, is not known any more.",
    ]
    recheck.run(night.context("a"))
    assert night.measured == 1, "the same run after a kill has it already"
    assert not is_due(night.context("b"))
    recheck.run(night.context("b"))
    assert night.measured == 1


def test_a_champion_that_cannot_be_measured_is_due_again_tomorrow(night: Night) -> None:
    night.promoted(days=30)
    night.measurement = {**MEASURED, "refused": "The machine was busy."}
    recheck.run(night.context("a"))
    record = record_of(night.context("a"))
    assert record is not None
    assert record["said"].endswith("could not be: The machine was busy.")
    assert conclude.findings(night.context("a"), record) == []
    assert is_due(night.context("b"))


def test_a_champion_that_is_lost_is_an_incident_each_night(night: Night) -> None:
    night.promoted(days=30)
    night.bundle.model_path.write_bytes(b"torn")
    recheck.run(night.context("a"))
    record = record_of(night.context("a"))
    assert record is not None
    assert "cannot be loaded" in conclude.findings(night.context("a"), record)[0]
    assert night.measured == 0
    assert is_due(night.context("b"))


def test_an_error_above_its_limit_is_an_incident_by_the_configured_metric(night: Night) -> None:
    night.promoted(days=1)
    entry = open_journal(night.home, night.config).head("laptop")
    assert entry is not None
    fine = {**MEASURED, "latency": {**LATENCY, "per_restart_median_ms": [1.5, 1.5]}, "cold_start": None}
    fine["cold_start"] = {"total_ms": {"takes": [499.0, 500.0]}}
    context = night.context("a")
    assert incidents(context, entry, fine, {"error": 0.3}) == []
    (said,) = incidents(context, entry, fine, {"error": 0.31})
    assert said.endswith("its error is 31.0 % on the search split, and the limit is 30.0 %.")
    assert "is not known any more" in incidents(context, entry, fine, {"error": None})[0]


def test_an_error_under_a_corruption_above_its_limit_is_an_incident(night: Night) -> None:
    night.promoted(days=1)
    entry = open_journal(night.home, night.config).head("laptop")
    assert entry is not None
    night.config = night.config.model_copy(update={"constraints": [ConstraintConfig(metric="robust_error", max=0.3)]})
    context = night.context("a")
    assert incidents(context, entry, MEASURED, {"robust_error": 0.3}) == []
    (said,) = incidents(context, entry, MEASURED, {"robust_error": 0.31})
    assert said.endswith("its error under the worst corruption of the search split is 31.0 %, and the limit is 30.0 %.")
    assert "is not known any more" in incidents(context, entry, MEASURED, {"robust_error": None})[0]


def test_an_error_in_a_domain_above_its_limit_is_an_incident_that_names_nobody(night: Night) -> None:
    night.promoted(days=1)
    entry = open_journal(night.home, night.config).head("laptop")
    assert entry is not None
    bound = ConstraintConfig(metric="worst_domain_error", max=0.3)
    night.config = night.config.model_copy(update={"constraints": [bound]})
    context = night.context("a")
    assert incidents(context, entry, MEASURED, {"worst_domain_error": 0.3}) == []
    (said,) = incidents(context, entry, MEASURED, {"worst_domain_error": 0.31, "robust_error": 0.9})
    assert said.endswith("its error in the worst domain of the search split is 31.0 %, and the limit is 30.0 %.")
    assert "is not known any more" in incidents(context, entry, MEASURED, {"robust_error": 0.1})[0]


@pytest.fixture
def idle(night: Night, monkeypatch: pytest.MonkeyPatch) -> Night:
    """Nothing is new since the last run."""
    monkeypatch.setattr(ingest, "_snapshot", lambda context: SimpleNamespace(id="5" * 64))
    monkeypatch.setattr(report, "_repair_aliases", lambda context: "")
    monkeypatch.setattr(conclude, "_tell", lambda context, found, broken: "")
    monkeypatch.setattr(
        conclude, "open_snapshot", lambda folder, snapshot: SimpleNamespace(manifest=SimpleNamespace(digests={}))
    )
    key = ingest.run_key(night.config, "5" * 64, {"laptop": 1})
    Head("run-0", key, "5" * 64, "supernet/x").write(night.home, night.config.project)
    return night


def test_where_the_source_has_dried_up_the_champion_is_looked_at_before_the_data_is_refused(
    idle: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle.promoted(days=30)
    monkeypatch.setattr(ingest, "stale_by_now", lambda setting, snapshot: ["The newest good row is old."])
    assert ingest.run(idle.context("a", "ingest", None)) == "recheck"
    assert recheck.run(idle.context("a")) == "recheck/laptop-1"
    refused = "The data is refused, the champion stays:\n  The newest good row is old."
    with pytest.raises(DataRefusedError, match=refused + "\n  The champion of laptop .* Incident: the champion of"):
        conclude.run(idle.context("a", "conclude", None), ["recheck/laptop-1"])
    assert idle.measured == 1
    assert not (idle.home.run("a") / "result.json").exists()
    with pytest.raises(DataRefusedError, match=refused):
        ingest.run(idle.context("b", "ingest", None))


def test_a_night_with_nothing_new_ends_with_what_was_found(idle: Night) -> None:
    night = idle
    night.promoted(days=30)
    for device, step in ((None, "ingest"), ("laptop", "recheck"), (None, "ingest")):
        module = {"ingest": ingest, "recheck": recheck}[step]
        assert module.run(night.context("a", step, device)) == ("recheck" if step == "ingest" else "recheck/laptop-1")
    conclude.run(night.context("a", "conclude", None), ["recheck/laptop-1"])
    result = Result.model_validate(read_json(night.home.run("a") / "result.json"))
    assert result.outcome == "nothing-new"
    assert result.reason.startswith("Nothing new since run run-0: the same data, config and steps. The champion of")
    assert "Incident: the champion of laptop (entry 1) breaks a constraint" in result.reason
    assert night.measured == 1
