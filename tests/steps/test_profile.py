"""When a device is profiled again: where measurements left the band of its predictor, once each time."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evernas.config import Config, load_config, parse_config
from evernas.hardware.measurement import Latency, Measurement
from evernas.result import DeviceResult
from evernas.state import Done, Guard, Head, Home, RunManifest
from evernas.steps.context import Setting
from evernas.steps.departing import departures_of, drifting, found_before, standing, to_profile_again
from evernas.steps.profile import profile_inputs
from place import EXAMPLE

SUPERNET = Done("supernet/x", Path(), {"profile": [{"digest": "a"}, {"digest": "b"}]}, {}, "run")


@pytest.fixture
def config() -> Config:
    return load_config(EXAMPLE)


def measured(digest: str, ms: float) -> Measurement:
    return Measurement(digest, "laptop", "onnxruntime-cpu", Latency(ms, ms, ms, 0.0, 0.0, (ms,), (ms,)))


def finalist(bundle: str, precision: str = "fp32", predicted_ms: float = 1.0) -> dict[str, Any]:
    return {"bundle": bundle, "precision": precision, "predicted_latency_ms": predicted_ms}


class Nights:
    """Runs one after the other, each of which searches with the profile that its setting asks for."""

    def __init__(self, home: Home, guard: Guard, config: Config) -> None:
        manifest = RunManifest("r0", config, "", "2026-01-01T00:00:00+00:00", None, {}, "")
        self.setting, self.guard = Setting(home, manifest, "laptop"), guard

    def pass_by(self, stale: bool) -> str:
        """One night; its profile's reference."""
        return self.measure(1.5 if stale else 1.0, 1.0)[0]

    def measure(
        self, takes_ms: float, predicted_ms: float, drift: float = 1.0, probed: str | None = None
    ) -> tuple[str, bool]:
        """One night's profile, and whether the device has left it for good, as far as another profile can tell.

        `drift` is what the night's probe found between the rounds, which the predictions follow; `probed` names the
        night whose probe it is, if not its own.
        """
        inputs = profile_inputs(self.setting, SUPERNET)
        ref = self._do("profile", inputs, {"residual": 0.02})
        run = f"r{int(self.setting.manifest.run[1:]) + 1}"
        facts = {"costs": {"latency_ms": {"drift": drift}}, "predictors": {"latency_ms": {"residual": 0.02}}}
        probe = self._do("probe", {"profile": ref, "night": probed or run}, facts)
        searched = self._do("refine", {"profile": ref, "night": run, "probe": probe}, {})
        chosen = [finalist("a", predicted_ms=predicted_ms), finalist("b", predicted_ms=predicted_ms)]
        finalists = Done("finalists/x", Path(), {"finalists": chosen, "search": searched}, {}, run)
        measurements = {name: measured(name, takes_ms).to_json() for name in "ab"}
        head = self.setting.manifest.head
        earlier, last = ({}, {}) if head is None else (head.departed, head.drifted)
        store = self.setting.store
        before = found_before(
            store.get(searched), None if head is None else store.find(head.searches["laptop"]), last.get("laptop")
        )
        found = departures_of(store, finalists, measurements, ["latency_ms"], earlier.get("laptop"), before)[
            "latency_ms"
        ]
        devices = [result(found.to_json())]
        head = Head(
            "r",
            "key",
            "snapshot",
            "supernet",
            {"laptop": searched},
            stale=to_profile_again(devices),
            departed=standing(devices, earlier),
            drifted=drifting(devices),
        )
        self.setting = replace(self.setting, manifest=replace(self.setting.manifest, run=run, head=head))
        return ref, found.lasting

    def _do(self, step: str, inputs: dict[str, Any], facts: dict[str, Any]) -> str:
        store, run = self.setting.store, self.setting.manifest.run
        ref = self.setting.ref(step, inputs)
        store.finish(Done(ref, store.renew(ref, run), facts, inputs, run), [], self.guard)
        return ref


def result(departure: dict[str, Any] | None, recorded: bool = False) -> DeviceResult:
    return DeviceResult.model_construct(device="laptop", departure=departure, recorded=recorded)


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
    facts = {"finalists": [finalist("a"), finalist("b"), finalist("c", "int8")], "search": head.searches["laptop"]}
    done = Done("finalists/x", Path(), facts, {}, "run")
    times = {"a": 1.5, "b": 1.7, "c": 0.1}
    departed = partial(departures_of, nights.setting.store, done, costs=["latency_ms"])
    found = departed({name: measured(name, ms).to_json() for name, ms in times.items()})["latency_ms"]
    assert (found.ratio, found.networks, found.stale) == (1.6, 2, True)
    assert departed({name: replace(measured(name, 9.0), refused="no").to_json() for name in "abc"}) == {}


def test_the_same_measurements_lie_otherwise_to_a_newer_profiles_predictions(
    home: Home, guard: Guard, config: Config
) -> None:
    """The benchmark of the same bundles is not done again: what it found of a profile would be of the old one."""
    nights = Nights(home, guard, config)
    seen = [nights.measure(1.6, predicted_ms)[0] for predicted_ms in (1.0, 1.6, 1.6, 1.6)]
    assert seen[0] != seen[1]
    assert seen[1] == seen[2] == seen[3]


def test_a_bias_that_a_new_profile_does_not_change_is_told_and_not_profiled_for_ever(
    home: Home, guard: Guard, config: Config
) -> None:
    nights = Nights(home, guard, config)
    seen = [nights.measure(takes_ms, 1.0) for takes_ms in (1.6, 1.65, 1.55, 1.6, 2.4, 2.4, 2.4)]
    first, again, kept, yet, slower, anew, last = (ref for ref, _ in seen)
    assert first != again
    assert again == kept == yet == slower, "the ratio is about what it was when it was taken"
    assert slower != anew == last, "another ratio is another reason"
    assert [lasting for _, lasting in seen] == [False, True, True, True, False, True, True]


def test_a_recorded_device_is_never_profiled_again(home: Home, guard: Guard, config: Config, tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.json"
    recorded.write_text(json.dumps({"measurements": {}, "profile": {}}))
    document: dict[str, Any] = config.model_dump(mode="json")
    document["devices"][0]["recorded"] = str(recorded)
    nights = Nights(home, guard, parse_config(document))
    assert len({nights.pass_by(stale=True) for _ in range(3)}) == 1
    stale = {"since_profile": 1.6, "stale": True, "lasting": False}
    assert to_profile_again([result(stale, recorded=True)]) == []
    assert to_profile_again([result(stale)]) == ["laptop"]
    of_memory = DeviceResult.model_construct(device="laptop", recorded=False, more_departures={"peak_memory_mb": stale})
    assert to_profile_again([of_memory]) == ["laptop"]


def test_a_ratio_stands_until_enough_networks_say_that_the_profile_fits() -> None:
    was = {"laptop": {"latency_ms": 1.6, "energy_mj": 3.0}, "gone": {"latency_ms": 2.0}}

    def after(since_profile: float, **departure: Any) -> dict[str, dict[str, float]]:
        usual = {"networks": 3, "stale": False, "departed": departure.get("stale", False), "lasting": False}
        return standing([result({"since_profile": since_profile, **usual, **departure})], was)

    def stands(latency_ms: float) -> dict[str, dict[str, float]]:
        return {"laptop": {"energy_mj": 3.0, "latency_ms": latency_ms}}

    assert standing([result(None)], was) == stands(1.6)
    assert after(1.0, networks=1) == stands(1.6)
    assert after(1.75, stale=True, lasting=True) == stands(1.6), "it does not creep away"
    assert after(2.4, stale=True) == stands(2.4)
    assert after(2.4, departed=True) == stands(1.6), "it may be this day's"
    assert after(1.05) == {"laptop": {"energy_mj": 3.0}}


def test_a_device_that_is_slower_in_two_runs_is_profiled_anew_and_one_that_was_for_a_day_is_not(
    home: Home, guard: Guard, config: Config
) -> None:
    """The anchors bring the predictions to the day, so that the finalists take what was predicted."""
    nights = Nights(home, guard, config)
    drifts = (1.0, 1.6, 1.0, 1.6, 1.65, 1.0, 1.0)
    seen = [nights.measure(drift, drift, drift)[0] for drift in drifts]
    assert len(set(seen[:5])) == 1, "one slow day, and the first of two, change nothing"
    assert seen[5] != seen[4]
    assert seen[5] == seen[6]


def test_a_slow_day_that_is_only_taken_again_is_still_one_day(home: Home, guard: Guard, config: Config) -> None:
    """Where the front is the same the probe is not measured anew, whatever else the run is for."""
    nights = Nights(home, guard, config)
    seen = [nights.measure(1.6, 1.6, 1.6, probed=night)[0] for night in ("one", "one", "one", "two", "three")]
    assert len(set(seen[:4])) == 1
    assert seen[4] != seen[3]


def test_a_drift_that_every_profile_is_followed_by_does_not_have_the_device_profiled_for_ever(
    home: Home, guard: Guard, config: Config
) -> None:
    nights = Nights(home, guard, config)
    seen = [nights.measure(1.6, 1.6, 1.6) for _ in range(8)]
    assert len({ref for ref, _ in seen}) == 2
    assert [lasting for _, lasting in seen] == [False, False, *[True] * 6]


def test_a_head_of_an_older_run_says_of_latency_what_it_says(home: Home) -> None:
    Head("r", "key", "snapshot", "supernet").write(home, "watch")
    path = home.head("watch")
    document = {**json.loads(path.read_text()), "departed": {"laptop": 1.6}}
    del document["drifted"]
    path.write_text(json.dumps(document))
    head = Head.read(home, "watch")
    assert head is not None
    assert (head.departed, head.drifted) == ({"laptop": {"latency_ms": 1.6}}, {})


def test_memory_and_energy_are_watched_as_latency_is_each_by_its_own_predictor(
    home: Home, guard: Guard, config: Config
) -> None:
    nights = Nights(home, guard, config)
    facts = {"residual": 0.3, "more": {"peak_memory_mb": {"residual": 0.01}, "energy_mj": {"residual": 0.1}}}
    profiled = nights._do("profile", {"of": "more"}, facts)
    searched = nights._do("search", {"profile": profiled}, {})

    def found(precision: str = "fp32", **figures: Any) -> dict[str, Any]:
        foreseen = {"peak_memory_mb": 2.0, "energy_mj": 5.0}
        chosen = [{**finalist(name, precision), "predicted": foreseen} for name in "ab"]
        done = Done("finalists/x", Path(), {"finalists": chosen, "search": searched}, {}, "run")
        measurements = {name: replace(measured(name, 1.3), **figures).to_json() for name in "ab"}
        costs = ["latency_ms", "peak_memory_mb", "energy_mj"]
        departures = departures_of(nights.setting.store, done, measurements, costs)
        return {cost: (round(each.ratio, 3), round(each.band, 3), each.stale) for cost, each in departures.items()}

    latency = {"latency_ms": (1.3, 0.9, False)}
    assert found(peak_memory_mb=3.0, energy_mj=6.0) == {
        **latency,
        "peak_memory_mb": (1.5, 0.15, True),
        "energy_mj": (1.2, 0.3, False),
    }
    assert found(peak_memory_mb=2.1, energy_mj=7.0)["energy_mj"] == (1.4, 0.3, True)
    assert found(energy_mj=None) == latency, "what was not measured says nothing"
    assert found(peak_memory_mb=3.0, refused="no") == {}
    assert found("int8", peak_memory_mb=3.0) == {}


def test_a_profile_depends_on_where_energy_is_read_where_it_is_searched_for(home: Home, config: Config) -> None:
    def inputs(objectives: list[str], **device: Any) -> dict[str, Any]:
        document = config.model_dump(mode="json")
        document["search"]["objectives"] = objectives
        document["devices"] = [{"name": "laptop", **device}]
        manifest = RunManifest("r0", Config.model_validate(document), "", "2026-01-01T00:00:00+00:00", None, {}, "")
        return profile_inputs(Setting(home, manifest, "laptop"), SUPERNET)

    usual = ["error", "latency_ms", "size_kb"]
    assert inputs(usual) == inputs(usual, powercap="/elsewhere")
    assert inputs([*usual, "energy_mj"]) != inputs([*usual, "energy_mj"], powercap="/elsewhere")
    assert inputs([*usual, "peak_memory_mb"]) == inputs([*usual, "peak_memory_mb"], powercap="/elsewhere")
    assert inputs([*usual, "peak_memory_mb"]) != inputs(usual)
