"""The profile step: measures a few subnets of the space on the device and fits its latency predictor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evernas.config import DeviceConfig
from evernas.digest import digest_file
from evernas.state import Done
from evernas.state.files import write_json
from evernas.steps.context import Context, Setting, Work

PREDICTOR = "predictor.json"


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
    from evernas.hardware.runtime import runtime_named

    if device.recorded is not None:
        return {"device": device.name, "recorded": digest_file(Path(device.recorded))}
    return {
        "device": device.name,
        "runtime": device.runtime,
        "runtime_version": runtime_named(device.runtime).version(),
        "threads": device.threads,
        "cpu": environment()["cpu"],
    }


def profile_inputs(context: Setting, supernet: Done) -> dict[str, Any]:
    """All that a profile depends on: not the supernet's weights, only the shapes of the space.

    And after which profile it was taken anew, where measurements left the band of that one's predictor; recorded
    figures cannot be.
    """
    inputs = {
        **device_inputs(context.device),
        "space": context.space.id,
        "subnets": [subnet["digest"] for subnet in supernet.facts["profile"]],
        "config": context.config.section_digest("profile"),
    }
    after = None if context.device.recorded is not None else _after(context, inputs)
    return inputs if after is None else {**inputs, "after": after}


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

    from evernas.hardware.predictor import LatencyPredictor
    from evernas.hardware.profile import profile
    from evernas.hardware.regression import spearman
    from evernas.spaces.api import Architecture

    space = context.space
    archs = {subnet["id"]: Architecture.from_json(subnet["architecture"]) for subnet in supernet.facts["profile"]}
    latencies = profile(
        {arch_id: supernet.file(f"profile/{arch_id}.onnx") for arch_id in archs},
        context.device,
        context.config.profile,
        folder / "raw",
        shape=space.shape,
        seed=context.config.seed,
        on_progress=context.progress.advance,
        guard=context.guard.check,
    )
    measured = sorted(latencies)
    predictor = LatencyPredictor.fit(
        np.stack([space.features(archs[arch_id]) for arch_id in measured]),
        np.array([latencies[arch_id] for arch_id in measured]),
    )
    write_json(folder / PREDICTOR, predictor.to_json())
    facts = {
        "latency_ms": latencies,
        "networks": predictor.networks,
        "spearman": predictor.spearman,
        "median_abs_error": predictor.median_abs_error,
        "spearman_macs": spearman(
            np.array([space.macs(archs[a]) for a in measured]), np.array([latencies[a] for a in measured])
        ),
        "residual": predictor.residual,
        "form": predictor.form,
        "recorded": context.device.recorded is not None,
    }
    remark = (
        f"{predictor.networks} subnets, {min(latencies.values()):.3f} to {max(latencies.values()):.3f} ms; "
        f"left-out error {100 * predictor.median_abs_error:.1f} %"
    )
    return Work(facts, [PREDICTOR], remark)


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
        tracked.tags({"evernas.recorded": str(done.facts["recorded"]).lower()})
