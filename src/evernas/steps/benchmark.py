"""The benchmark step: measures the finalists on the device, interleaved with the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evernas.bundle import Bundle, load_bundle
from evernas.hardware.figures import middle
from evernas.registry.bundles import bundle_folder
from evernas.state import Done
from evernas.state.runs import now
from evernas.steps.anchor import anchor_digest, load_anchor
from evernas.steps.answers import ANSWERS, answer
from evernas.steps.context import Context, Setting, Work
from evernas.steps.loading import champion
from evernas.steps.profile import device_inputs


def run(context: Context, finalists: str) -> str:
    """Reference of the device's measurements."""
    chosen = context.store.get(finalists)
    inputs = benchmark_inputs(context, chosen)
    return context.perform(inputs, lambda folder: _work(context, chosen, folder), lambda done: _log(context, done)).ref


def benchmark_inputs(context: Setting, finalists: Done) -> dict[str, Any]:
    """All that the measurements depend on: the bytes, the champion's among them, and the device."""
    holder = champion(context)
    return {
        **device_inputs(context.device),
        "powercap": context.device.powercap,
        "energy": context.device.sensor,
        "bundles": [finalist["bundle"] for finalist in finalists.facts["finalists"]],
        "champion": None if holder is None else holder.entry.bundle,
        "anchor": anchor_digest(context),
        **({"measured": "anchor"} if _measures_anchor(context) else {}),
        "config": context.config.section_digest("benchmark"),
    }


def _work(context: Context, finalists: Done, folder: Path) -> Work:
    from evernas.hardware.measure import measure

    found = [finalist["bundle"] for finalist in finalists.facts["finalists"]]
    bundles = [load_bundle(bundle_folder(context.home, context.project, digest), expected=digest) for digest in found]
    holder = champion(context)
    anchor = load_anchor(context)
    if holder is not None and holder.fault is not None:
        # The gate holds for it; the candidates are measured all the same, so that the run has its figures.
        holder = None
    known: list[Bundle] = [*bundles, *([] if holder is None else [holder.bundle])]
    if anchor is not None and _measures_anchor(context):
        known.append(anchor)
    space = context.space
    measured = measure(
        {bundle.model_digest: bundle.model_path for bundle in known},
        context.device,
        context.config.benchmark,
        folder / "raw",
        champion=None if holder is None else holder.bundle.model_digest,
        shape=space.shape,
        seed=context.config.seed,
        on_progress=context.progress.advance,
        guard=context.guard.check,
    )
    by_bundle = {bundle.digest: measured[bundle.model_digest] for bundle in known}
    refused = [m.refused for m in by_bundle.values() if m.refused is not None]
    times = sorted(m.latency.median_ms for m in by_bundle.values() if m.latency is not None and m.refused is None)
    remark = f"{len(known)} networks" + ("" if holder is None else " with the champion")
    if times:
        remark += f", median {times[0]:.3f} to {times[-1]:.3f} ms"
    if refused:
        remark += f"; {len(refused)} refused"
    answering = [bundle for bundle in known if by_bundle[bundle.digest].refused is None]
    if anchor is not None and anchor.digest not in by_bundle:
        answering.append(anchor)
    facts = {
        "measurements": {digest: m.to_json() for digest, m in by_bundle.items()},
        "measured_at": now(),
        # What was measured elsewhere was answered nowhere.
        "answers": {} if context.device.recorded else answer(context, finalists, answering, folder),
    }
    return Work(facts, [] if context.device.recorded else [ANSWERS], remark)


def _measures_anchor(setting: Setting) -> bool:
    """Whether the gate compares more of the anchor than its answers: what it is worth is measured tonight, too."""
    return setting.config.gate.trade_off is not None and anchor_digest(setting) is not None


def _log(context: Context, done: Done) -> None:
    with context.tracked(done.ref) as tracked:
        tracked.params(
            {
                "runtime": context.device.runtime,
                "threads": context.device.threads,
                "restarts": context.config.benchmark.restarts,
            }
        )
        for number, measurement in enumerate(done.facts["measurements"].values()):
            latency = measurement["latency"] or {}
            last_load = (measurement["load"] or [{}])[-1]
            tracked.metrics(
                {
                    "latency_median_ms": latency.get("median_ms"),
                    "latency_p95_ms": latency.get("p95_ms"),
                    "cold_start_ms": middle(measurement, "cold_start_ms"),
                    "throughput_most_clients": (last_load.get("throughput") or {}).get("median"),
                    "energy_mj": measurement["energy_mj"],
                    "peak_memory_mb": measurement["peak_memory_mb"],
                    "size_kb": measurement["size_kb"],
                },
                step=number,
            )
        tracked.value(done.facts["measurements"], "measurements.json")
