"""The profile step: measures a few subnets of the space on the device and fits a predictor of each of their costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.config import Config, DeviceConfig
from evernas.digest import digest_file
from evernas.errors import UsageError
from evernas.state import Done
from evernas.state.files import write_json
from evernas.steps.context import Context, Setting, Work
from evernas.steps.exporting import network_file

if TYPE_CHECKING:
    from evernas.hardware.predictor import CostPredictor

PREDICTOR = "predictor.json"
FORESEEN = ("latency_ms", "peak_memory_mb", "energy_mj")
"""Costs that only a measurement tells, and so a predictor foresees; the others are counted."""


def run(context: Context, trained: str) -> str:
    """Reference of the device's profile."""
    supernet = context.store.get(trained)
    inputs = profile_inputs(context, supernet)
    return context.perform(
        inputs, lambda folder: _work(context, supernet, folder), lambda done: _log(context, done)
    ).ref


def device_inputs(device: DeviceConfig) -> dict[str, Any]:
    """What of the device a measurement depends on."""
    from evernas.hardware.devices import environment
    from evernas.hardware.gpu import gpu_kind
    from evernas.hardware.runtime import runtime_named

    if device.recorded is not None:
        return {"device": device.name, "recorded": digest_file(Path(device.recorded))}
    runtime = runtime_named(device.runtime)
    here = environment()
    return {
        "device": device.name,
        "runtime": device.runtime,
        "runtime_version": runtime.version(),
        "threads": device.threads,
        "cpu": here["cpu"],
        **({"gpu": gpu_kind()} if runtime.place.on_gpu else {}),
    }


def profile_inputs(context: Setting, supernet: Done) -> dict[str, Any]:
    """All that a profile depends on: not the supernet's weights, only the shapes of the space.

    And after which profile it was taken anew, where measurements left the band of that one's predictor; recorded
    figures cannot be.
    """
    inputs = {
        **device_inputs(context.device),
        "space": context.space.id,
        "subnets": _digests(context, supernet),
        **measuring_inputs(context),
    }
    after = None if context.device.recorded is not None else _after(context, inputs)
    return inputs if after is None else {**inputs, "after": after}


def measuring_inputs(context: Setting) -> dict[str, Any]:
    """How subnets are measured, and for what."""
    inputs: dict[str, Any] = {"config": context.config.section_digest("profile")}
    more = costs_of(context.config)[1:]
    if more:
        inputs["costs"] = more
    if "energy_mj" in more and context.device.recorded is None:
        inputs |= {"powercap": context.device.powercap, "energy": context.device.sensor}
    return inputs


def costs_of(config: Config) -> list[str]:
    """What is measured of the subnets: latency always, the others where the search asks for them."""
    return [cost for cost in FORESEEN if cost == "latency_ms" or cost in config.search.objectives]


def searched_by(config: Config) -> list[str]:
    """Costs that only a measurement tells, and by which the search goes: its constraints are on objectives alone."""
    return [cost for cost in FORESEEN if cost in config.search.objectives]


def network_of(context: Setting, supernet: Done, subnet: str) -> Path:
    """The file of a subnet that the supernet step left for profiles, in the precision of the device's search."""
    return supernet.file(f"profile/{network_file(subnet, context.device.searched_precision)}")


def networks_of(context: Setting, supernet: Done) -> dict[str, Path]:
    """All of them by architecture. UsageError if some are not to be had in this precision."""
    if None in _digests(context, supernet):
        raise UsageError(
            f"Not all networks of the space can be quantised to int8, and {context.device.name} takes no others: "
            "add fp32 to its precisions."
        )
    return {subnet["id"]: network_of(context, supernet, subnet["id"]) for subnet in supernet.facts["profile"]}


def _digests(context: Setting, supernet: Done) -> list[str | None]:
    name = "digest" if context.device.searched_precision == "fp32" else "int8"
    return [subnet.get(name) for subnet in supernet.facts["profile"]]


def measured_of(profile: Done) -> dict[str, dict[str, float]]:
    """What a profile measured: of each cost the figure per architecture."""
    more = {cost: found["measured"] for cost, found in profile.facts.get("more", {}).items()}
    return {"latency_ms": profile.facts["latency_ms"], **more}


def _after(context: Setting, inputs: dict[str, Any]) -> str | None:
    """The profile that the last run found to be stale, or the one after which the last run's own was taken."""
    head = context.manifest.head
    ref = None if head is None else head.searches.get(context.device.name)
    searched = None if ref is None else context.store.find(ref)
    last = None if searched is None else context.store.find(searched.inputs["profile"])
    if head is None or last is None or {name: v for name, v in last.inputs.items() if name != "after"} != inputs:
        return None
    return last.ref if context.device.name in head.stale else last.inputs.get("after")


def _work(context: Context, supernet: Done, folder: Path) -> Work:
    import numpy as np

    from evernas.hardware.predictor import CostPredictor, predictors_to_json
    from evernas.hardware.profile import profile
    from evernas.hardware.regression import spearman
    from evernas.spaces.api import Architecture

    space = context.space
    archs = {subnet["id"]: Architecture.from_json(subnet["architecture"]) for subnet in supernet.facts["profile"]}
    files = networks_of(context, supernet)
    measured = profile(
        files,
        context.device,
        context.config.profile,
        folder / "raw",
        shape=space.shape,
        costs=costs_of(context.config),
        seed=context.config.seed,
        on_progress=context.progress.advance,
        guard=context.guard.check,
    )
    counted = {} if context.device.searched_precision == "fp32" else {"size_kb": _sizes(files)}
    predictors = {
        cost: CostPredictor.fit(
            np.stack([space.features(archs[a]) for a in sorted(of)]), np.array([of[a] for a in sorted(of)])
        )
        for cost, of in {**measured, **counted}.items()
    }
    write_json(folder / PREDICTOR, predictors_to_json(predictors))
    latencies = measured["latency_ms"]
    facts = {
        "latency_ms": latencies,
        **goodness(predictors["latency_ms"]),
        "spearman_macs": spearman(
            np.array([space.macs(archs[a]) for a in latencies]), np.array(list(latencies.values()))
        ),
        "recorded": context.device.recorded is not None,
    }
    remark = (
        f"{facts['networks']} subnets, {min(latencies.values()):.3f} to {max(latencies.values()):.3f} ms; "
        f"left-out error {100 * facts['median_abs_error']:.1f} %"
    )
    more = {cost: predictor for cost, predictor in predictors.items() if cost in measured and cost != "latency_ms"}
    if more:
        facts["more"] = {cost: {**goodness(predictor), "measured": measured[cost]} for cost, predictor in more.items()}
        errors = ", ".join(f"{_NOUNS[cost]} {100 * found.median_abs_error:.1f} %" for cost, found in more.items())
        remark += f" ({errors})"
    return Work(facts, [PREDICTOR], remark)


def _sizes(files: Mapping[str, Path]) -> dict[str, float]:
    """In kB: eight bits are of convolutions alone, so that weights do not tell a file's size."""
    return {arch: path.stat().st_size / 1000 for arch, path in files.items()}


_NOUNS = {"peak_memory_mb": "of memory", "energy_mj": "of energy"}


def goodness(predictor: CostPredictor) -> dict[str, Any]:
    """How well a predictor does on networks left out of its fit."""
    return {name: getattr(predictor, name) for name in ("networks", "spearman", "median_abs_error", "residual", "form")}


def _log(context: Context, done: Done) -> None:
    with context.tracked(done.ref) as tracked:
        tracked.params(
            {"runtime": context.device.runtime, "threads": context.device.threads, "form": done.facts["form"]}
        )
        tracked.metrics(
            {
                name: done.facts[name]
                for name in ("networks", "spearman", "spearman_macs", "median_abs_error", "residual")
            }
        )
        tracked.value(done.facts["latency_ms"], "latency_ms.json")
        for cost, found in done.facts.get("more", {}).items():
            tracked.metrics({f"{cost}_{name}": found[name] for name in ("spearman", "median_abs_error", "residual")})
            tracked.value(found["measured"], f"{cost}.json")
        tracked.tags({"evernas.recorded": str(done.facts["recorded"]).lower()})
