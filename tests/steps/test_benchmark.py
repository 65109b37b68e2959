"""Which networks the benchmark step measures beside one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evernas.config import Config, load_config, parse_config
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.state import Done, Guard, Home, RunManifest
from evernas.steps import benchmark
from evernas.steps.accounting import Account
from evernas.steps.context import Context
from evernas.steps.progress import Progress
from place import EXAMPLE
from watch_bundle import watch_bundle

TRADE = {"prices": {"error": 1, "latency_ms": 1}, "effect": 1}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    recorded = tmp_path / "recorded.json"
    recorded.write_text(json.dumps({"measurements": {}, "profile": {}}))
    document: dict[str, Any] = load_config(EXAMPLE).model_dump(mode="json")
    document["devices"][0]["recorded"] = str(recorded)
    return parse_config(document)


def night(home: Home, guard: Guard, config: Config) -> Context:
    """A run that begins at the journal's second entry."""
    manifest = RunManifest.open(home, f"run-{config.section_digest('gate')[:8]}", config, str(home.path), {"laptop": 2})
    folder = home.run(manifest.run)
    account = Account(folder, "benchmark", "laptop", guard)
    account.close()
    progress = Progress(folder / "progress.jsonl", "benchmark", "laptop")
    return Context(home, manifest, "laptop", guard, account, progress, "benchmark")


def test_the_anchor_is_measured_beside_the_champion_where_its_worth_counts(
    home: Home, guard: Guard, config: Config, tmp_path: Path
) -> None:
    """The champion was taken up again behind the anchor, whose answers alone count without prices."""
    anchor, holder, finalist = (watch_bundle(home, config, name) for name in (b"anchor", b"holder", b"finalist"))
    for number, found in enumerate((anchor, holder), 1):
        entry = Entry(number, "laptop", found.digest, {}, "run", "verdict", "model", "2026-01-01T00:00:00+00:00", "t")
        open_journal(home, config).claim(entry)
    chosen = Done("finalists/x", tmp_path, {"finalists": [{"bundle": finalist.digest}]}, {}, "run")
    traded = config.model_copy(update={"gate": type(config.gate)(trade_off=TRADE)})
    found = {}
    for name, policy in (("margins", config), ("prices", traded)):
        context = night(home, guard, policy)
        facts = benchmark._work(context, chosen, tmp_path).facts
        found[name] = (set(facts["measurements"]), benchmark.benchmark_inputs(context, chosen))
    assert found["margins"][0] == {finalist.digest, holder.digest}
    assert found["prices"][0] == {finalist.digest, holder.digest, anchor.digest}
    added = {key: value for key, value in found["prices"][1].items() if found["margins"][1].get(key) != value}
    assert added == {"measured": "anchor"}, "a measurement without the anchor is not taken for one with it"


def test_prices_alone_measure_nothing_again_where_the_champion_is_the_anchor(
    home: Home, guard: Guard, config: Config, tmp_path: Path
) -> None:
    holder, finalist = (watch_bundle(home, config, name) for name in (b"holder", b"finalist"))
    for number, kind in enumerate(("promotion", "anchor"), 1):
        entry = Entry(
            number, "laptop", holder.digest, {}, "run", "verdict", "model", "2026-01-01T00:00:00+00:00", "t", kind=kind
        )
        open_journal(home, config).claim(entry)
    chosen = Done("finalists/x", tmp_path, {"finalists": [{"bundle": finalist.digest}]}, {}, "run")
    traded = config.model_copy(update={"gate": type(config.gate)(trade_off=TRADE)})
    keys = [benchmark.benchmark_inputs(night(home, guard, policy), chosen) for policy in (config, traded)]
    assert keys[0] == keys[1]
