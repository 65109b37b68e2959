"""When a device is profiled again: where measurements left the band of its predictor, once each time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evernas.config import Config, load_config, parse_config
from evernas.hardware.measurement import Latency, Measurement
from evernas.state import Done, Guard, Head, Home, RunManifest
from evernas.steps.benchmark import _departure
from evernas.steps.context import Context, Setting
from evernas.steps.profile import profile_inputs
from place import EXAMPLE

SUPERNET = Done("supernet/x", Path(), {"profile": [{"digest": "a"}, {"digest": "b"}]}, {}, "run")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    recorded = tmp_path / "recorded.json"
    recorded.write_text(json.dumps({"measurements": {}, "profile": {}}))
    document: dict[str, Any] = load_config(EXAMPLE).model_dump(mode="json")
    document["devices"][0]["recorded"] = str(recorded)
    return parse_config(document)


class Nights:
    """Runs one after the other, each of which searches with the profile that its setting asks for."""

    def __init__(self, home: Home, guard: Guard, config: Config) -> None:
        manifest = RunManifest("r0", config, "", "2026-01-01T00:00:00+00:00", None, {}, "")
        self.setting, self.guard = Setting(home, manifest, "laptop"), guard

    def pass_by(self, stale: bool) -> str:
        """One night; its profile's reference."""
        inputs = profile_inputs(self.setting, SUPERNET)
        ref = self._do("profile", inputs, {"residual": 0.02})
        run = f"r{int(self.setting.manifest.run[1:]) + 1}"
        searched = self._do("search", {"profile": ref, "night": run}, {})
        head = Head("r", "key", "snapshot", "supernet", {"laptop": searched}, stale=["laptop"] if stale else [])
        self.setting = replace(self.setting, manifest=replace(self.setting.manifest, run=run, head=head))
        return ref

    def _do(self, step: str, inputs: dict[str, Any], facts: dict[str, Any]) -> str:
        store, run = self.setting.store, self.setting.manifest.run
        ref = self.setting.ref(step, inputs)
        store.finish(Done(ref, store.renew(ref, run), facts, inputs, run), [], self.guard)
        return ref


def test_a_stale_profile_is_taken_anew_once_and_then_kept(home: Home, guard: Guard, config: Config) -> None:
    nights = Nights(home, guard, config)
    seen = [nights.pass_by(stale) for stale in (False, True, False, False, True, False)]
    assert seen[0] == seen[1], "kept while it fits"
    assert seen[2] != seen[1]
    assert seen[2] == seen[3] == seen[4], "the new one is kept, the stale one is not taken up again"
    assert seen[5] not in seen[:5]


def test_another_device_or_space_has_no_profile_to_be_taken_anew(home: Home, guard: Guard, config: Config) -> None:
    nights = Nights(home, guard, config)
    nights.pass_by(stale=True)
    assert "after" in profile_inputs(nights.setting, SUPERNET)
    other = replace(SUPERNET, facts={"profile": [{"digest": "c"}]})
    assert "after" not in profile_inputs(nights.setting, other)
    head = nights.setting.manifest.head
    assert head is not None
    gone = replace(nights.setting, manifest=replace(nights.setting.manifest, head=replace(head, searches={})))
    assert "after" not in profile_inputs(gone, SUPERNET)


def test_finalists_that_are_slower_than_predicted_are_told_but_not_those_in_eight_bits(
    home: Home, guard: Guard, config: Config
) -> None:
    nights = Nights(home, guard, config)
    nights.pass_by(stale=False)
    head = nights.setting.manifest.head
    assert head is not None

    def measured(digest: str, ms: float) -> Measurement:
        return Measurement(digest, "laptop", "recorded", Latency(ms, ms, ms, 0.0, 0.0, (ms,), (ms,)))

    def finalist(bundle: str, precision: str = "fp32") -> dict[str, Any]:
        return {"bundle": bundle, "precision": precision, "predicted_latency_ms": 1.0}

    facts = {"finalists": [finalist("a"), finalist("b"), finalist("c", "int8")], "search": head.searches["laptop"]}
    done = Done("finalists/x", Path(), facts, {}, "run")
    context: Context = nights.setting  # type: ignore[assignment]  # it needs no more than where it stands
    found = _departure(context, done, {"a": measured("a", 1.5), "b": measured("b", 1.7), "c": measured("c", 0.1)})
    assert found is not None
    assert (found.ratio, found.networks, found.stale) == (1.6, 2, True)
    refused = {name: replace(measured(name, 9.0), refused="no") for name in "abc"}
    assert _departure(context, done, refused) is None
