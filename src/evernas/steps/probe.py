"""The probe step: measures the front's least certain architectures on the device and fits its predictors anew."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.state import Done
from evernas.state.files import read_json, write_json
from evernas.steps.context import Context, Setting, Work
from evernas.steps.costing import options_of
from evernas.steps.exporting import network_file
from evernas.steps.profile import (
    PREDICTOR,
    device_inputs,
    goodness,
    measured_of,
    measuring_inputs,
    network_of,
    searched_by,
)
from evernas.steps.rounds import PROBES

if TYPE_CHECKING:
    from evernas.config import ProfileConfig
    from evernas.hardware.predictor import Networks
    from evernas.hardware.probing import Compared
    from evernas.hardware.profile import Taken
    from evernas.spaces import NetworkSpace
    from evernas.spaces.api import Architecture

WORTH_SAYING = 0.05
_NOUNS = {"latency_ms": "latency", "peak_memory_mb": "memory", "energy_mj": "energy"}
_MANY = {"latency_ms": "latencies", "energy_mj": "energies"}
"""Costs that follow how fast the machine is at the time."""


def run(context: Context, trained: str, profiled: str, searched: str) -> str:
    """Reference of the device's probe."""
    supernet, profile, search = (context.store.get(ref) for ref in (trained, profiled, searched))
    inputs = probe_inputs(context, profile, search)
    return context.perform(
        inputs, lambda folder: _work(context, supernet, profile, search, folder), lambda done: _log(context, done)
    ).ref


def probe_inputs(context: Setting, profile: Done, searched: Done) -> dict[str, Any]:
    """All that a probe depends on: the profile, of which it measures some again, and what the search left uncertain."""
    return {
        **device_inputs(context.device),
        **measuring_inputs(context),
        "profile": profile.ref,
        "searched_by": searched_by(context.config),
        "probes": [probe.get("digest", probe.get("int8")) for probe in searched.facts["probes"]],
    }


def _work(context: Context, supernet: Done, profile: Done, searched: Done, folder: Path) -> Work:
    from evernas.hardware.predictor import predictors_from_json, predictors_to_json
    from evernas.hardware.probing import compare, fit_again
    from evernas.spaces.api import Architecture

    space, probes = context.space, searched.facts["probes"]
    predictors = predictors_from_json(read_json(profile.file(PREDICTOR)))
    earlier = measured_of(profile)
    archs = {each["id"]: Architecture.from_json(each["architecture"]) for each in (*supernet.facts["profile"], *probes)}
    features = {probe["id"]: space.features(archs[probe["id"]]) for probe in probes}
    found: dict[str, Compared] = {}
    unmeasured: dict[str, str] = {}
    costs = searched_by(context.config)
    for taken in _measured(context, supernet, searched, costs, folder / "raw") if probes else []:
        known = earlier[taken.cost]
        lying = partial(compare, taken.cost, predictors[taken.cost], features, known)
        compared = lying(taken.figures)
        if compared is not None and compared.surprising:
            # A moment may have been another than those before and after it: before it is believed, all are taken again.
            again = _measured(context, supernet, searched, [taken.cost], folder / "raw-again")[0].figures
            compared = lying(_of_both(taken.cost, taken.figures, again))
        missing = [arch for arch in taken.missing if arch in features]
        if compared is None or missing:
            of = f"{len(missing)} of {len(probes)} have no figure" if missing else "no network of the profile runs"
            unmeasured[taken.cost] = f"{of}: {taken.reason}"
        if compared is None:
            continue
        found[taken.cost] = compared
        networks = partial(_networks, space, archs)
        predictors[taken.cost] = fit_again(networks(known), networks(compared.measured), compared)
    write_json(folder / PREDICTOR, predictors_to_json(predictors))
    facts = {
        "searched_by": costs,
        "costs": {cost: compared.to_json() for cost, compared in found.items()},
        "outside": sorted({arch for compared in found.values() for arch in compared.outside}),
        "predictors": {cost: goodness(predictor) for cost, predictor in predictors.items()},
        "unmeasured": unmeasured,
        "nothing": None if found else _why_nothing(context, probes, unmeasured),
    }
    return Work(facts, [PREDICTOR], said_of(facts))


def _of_both(cost: str, first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Of latencies the lower, to which other work on the device only adds; of energies, from which idle is taken, the
    mean."""
    both = {name: (figure, second.get(name, figure)) for name, figure in first.items()}
    return {name: min(pair) if cost == "latency_ms" else sum(pair) / 2 for name, pair in both.items()}


def _measured(context: Context, supernet: Done, searched: Done, costs: list[str], folder: Path) -> list[Taken]:
    """The probes and the anchors, each timed for as long as a network of the profile is."""
    from evernas.hardware.probing import anchors_of
    from evernas.hardware.profile import take

    profile = context.store.get(searched.inputs["profile"])
    latencies = measured_of(profile)["latency_ms"]
    precision = context.device.searched_precision
    probes = [probe["id"] for probe in searched.facts["probes"]]
    files = {arch: searched.file(f"{PROBES}/{network_file(arch, precision)}") for arch in probes}
    files |= {arch: network_of(context, supernet, arch) for arch in anchors_of(latencies)}
    return list(
        take(
            files,
            context.device,
            _share(context.config.profile, len(files)),
            folder,
            shape=context.space.shape,
            costs=costs,
            seed=context.config.seed,
            on_progress=context.progress.advance,
            guard=context.guard.check,
        )
    )


def _networks(space: NetworkSpace, archs: dict[str, Architecture], figures: dict[str, float]) -> Networks:
    """Measured architectures as a predictor is fitted on them."""
    import numpy as np

    from evernas.hardware.predictor import Networks

    names = sorted(figures)
    return Networks(
        np.stack([space.features(archs[name]) for name in names]),
        np.array([figures[name] for name in names]),
        np.stack([options_of(space, archs[name]) for name in names]),
        len(space.choices),
    )


def _share(config: ProfileConfig, networks: int) -> ProfileConfig:
    """The profile's settings for fewer networks, each as long as it is timed there."""
    return config.model_copy(update={"seconds": config.seconds * networks / config.subnets})


def _why_nothing(context: Setting, probes: list[dict[str, Any]], unmeasured: dict[str, str]) -> str:
    if context.device.recorded is not None:
        return "the device's figures were recorded elsewhere"
    if not searched_by(context.config):
        return "the search goes by no cost that only a measurement tells"
    if not probes:
        return "the profile measured all of the front"
    return " ".join(unmeasured.values())


def said_of(facts: dict[str, Any]) -> str:
    """What was found of the probes, in words."""
    if facts["nothing"] is not None:
        return f"nothing was probed: {facts['nothing']}"
    costs = facts["costs"]
    count = max(len(found["ratios"]) for found in costs.values())
    said = f"{count} of the front's least certain networks measured: "
    if facts["outside"]:
        bands = " and ".join(
            f"{100 * found['band']:.0f} %{_of(cost, costs)}" for cost, found in costs.items() if found["outside"]
        )
        said += f"{len(facts['outside'])} outside the band of {bands}"
    else:
        far = [f"{100 * _furthest(found['ratios'].values()):.0f} %{_of(cost, costs)}" for cost, found in costs.items()]
        said += f"within {' and '.join(far)} of what was foreseen"
    drifts = [
        f"{found['drift']:.2f} times the {_MANY[cost]}"
        for cost, found in costs.items()
        if abs(found["drift"] - 1) >= WORTH_SAYING
    ]
    return f"{said}, with {' and '.join(drifts)} of the profile" if drifts else said


def _of(cost: str, costs: dict[str, Any]) -> str:
    """The cost's name, where there are several."""
    return f" of {_NOUNS[cost]}" if len(costs) > 1 else ""


def _furthest(ratios: Iterable[float]) -> float:
    """By what share figures are off at most, to either side."""
    return max(max(ratio, 1 / ratio) for ratio in ratios) - 1


def _log(context: Context, done: Done) -> None:
    with context.tracked(done.ref) as tracked:
        tracked.params({"searched_by": ", ".join(done.facts["searched_by"])})
        tracked.metrics({"outside": len(done.facts["outside"])})
        for cost, found in done.facts["costs"].items():
            tracked.metrics({f"{cost}.drift": found["drift"], f"{cost}.band": found["band"]})
            tracked.value(found, f"{cost}.json")
        for cost, found in done.facts["predictors"].items():
            tracked.metrics({f"{cost}.{name}": found[name] for name in ("spearman", "median_abs_error", "residual")})
