"""Going back to an earlier champion: it must load, answer as it did, and meet the constraints of today."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evernas.bundle import Bundle, load_bundle
from evernas.config import Config, ConstraintConfig
from evernas.digest import digest_file, short
from evernas.errors import EvernasError, HoldError
from evernas.gate.estimate import Estimate, restart_mean
from evernas.gate.evidence import SEARCHED
from evernas.gate.quality import NAMES
from evernas.gate.rules import bounded
from evernas.gate.wording import METRIC_NAMES
from evernas.hardware.figures import Terms, holds, takes
from evernas.loop.benchmarking import measured_here
from evernas.registry.entries import Entry
from evernas.registry.models import fetch, project_alias
from evernas.registry.opening import open_journal
from evernas.registry.promotion import refuse_without_reason, roll_back, rollback_target
from evernas.state import Home
from evernas.state.files import read_json
from evernas.state.runs import new_run_id

SAME_SCORES = 1e-4


def roll_back_to(
    config: Config,
    home: Home,
    device: str,
    number: int | None,
    *,
    force: bool,
    reason: str | None,
    say: Callable[[str], None],
) -> str:
    """Make an earlier champion the champion again; the sentence to say.

    HoldError if it does not load, answers otherwise than it did, or is not shown to meet a constraint; `force` with a
    reason does it all the same, but for bytes that are not those that were recorded.
    """
    journal = open_journal(home, config)
    head, target = rollback_target(journal, device, number)
    said = refuse_without_reason(reason, "Rolling back with --force") if force else reason or "rolled back by hand"
    bundle = load_bundle(fetch(home, config.project, target.bundle), expected=target.bundle)
    faults = list(_faults(config, home, device, target, bundle))
    if faults and not force:
        raise HoldError(
            f"Entry {target.number} of {device}, {short(target.bundle)}, is not taken up again: {' '.join(faults)} "
            "`evernas rollback --force --reason '...'` does it all the same."
        )
    for fault in faults:
        say(f"In spite of this: {fault}")
    entry = roll_back(journal, head, target, f"rollback-{new_run_id()}", " ".join([said, *faults]))
    project_alias(home, config.project, device, journal)
    return (
        f"{short(entry.bundle)} (entry {target.number}) is the champion of {device} again, as entry {entry.number}, in "
        f"place of {short(head.bundle)}. Verdicts that were made before are void."
    )


def _faults(config: Config, home: Home, device: str, target: Entry, bundle: Bundle) -> list[str]:
    """What speaks against the champion of old, a sentence each."""
    if list(bundle.labels) != config.data.labels:
        return [f"Its labels are {', '.join(bundle.labels)}, and data.labels is {', '.join(config.data.labels)}."]
    broken = _answers_otherwise(config, device, bundle)
    if broken is not None:
        return [broken]
    constraints = [c for c in config.constraints if c.device in (None, device)]
    needed = {str(c.metric) for c in constraints} - {"error", "size_kb", *SEARCHED}
    terms = Terms(config.gate.clients, config.device(device).price_per_hour)
    measurement = _measurement(config, home, device, bundle, needed, terms) if needed else {}
    found = []
    for constraint in constraints:
        fault = _breaks(config, constraint, target, bundle, measurement, terms)
        if fault is not None:
            found.append(fault)
    return found


def _answers_otherwise(config: Config, device: str, bundle: Bundle) -> str | None:
    from evernas.hardware.runtime import answering

    declared = config.device(device)
    runtime = answering(declared.runtime)
    try:
        session = runtime.load(bundle.model_path.read_bytes(), declared.threads)
        scores = session.run(bundle.samples.inputs)
    except EvernasError:
        raise
    except Exception as error:  # noqa: BLE001 - a runtime raises what it likes; the person is told all of it
        return f"It does not run in {runtime.name} ({error})."
    if scores.shape != bundle.samples.scores.shape or not np.allclose(scores, bundle.samples.scores, atol=SAME_SCORES):
        return f"It answers otherwise in {runtime.name} than when it was made."
    return None


def _measurement(
    config: Config, home: Home, device: str, bundle: Bundle, needed: set[str], terms: Terms
) -> dict[str, Any]:
    """The newest measurement of the bundle here that holds what is needed: of a run, of its import, else taken now."""
    steps = home.steps(config.project).glob("benchmark/*/done.json")
    for path in sorted(steps, key=lambda path: path.stat().st_mtime, reverse=True):
        known: dict[str, Any] | None = read_json(path)["facts"]["measurements"].get(bundle.digest)
        if known is not None and known["device"] == device and known["refused"] is None and holds(known, needed, terms):
            return known
    imported: dict[str, Any] | None = bundle.extra.get("measurement")
    return (
        imported
        if imported is not None and imported["device"] == device and holds(imported, needed, terms)
        else measured_now(config, device, bundle.model_path)
    )


def measured_now(config: Config, device: str, model: Path) -> dict[str, Any]:
    """What one network's file costs on the device, as a document."""
    digest = digest_file(model)
    return measured_here(config, device, {digest: model})[digest].to_json()


def _breaks(
    config: Config,
    constraint: ConstraintConfig,
    target: Entry,
    bundle: Bundle,
    measurement: dict[str, Any],
    terms: Terms,
) -> str | None:
    """A sentence if the constraint is not shown to be met; errors by the verdict that promoted it."""
    metric = str(constraint.metric)
    if metric == "error":
        return _error_breaks(constraint, target, config.gate.quality.metric)
    if metric in SEARCHED:
        return _searched_breaks(constraint, target)
    if metric == "size_kb":
        reason = bounded(metric, bundle.size_kb, constraint.max, config.gate.alpha, f"constraint:{metric}")
        return None if reason.passed else reason.sentence
    if measurement["refused"] is not None:
        return f"Its {metric} could not be measured: {measurement['refused']}"
    estimate: Estimate | float | None
    if metric == "peak_memory_mb":
        figure = measurement[metric]
        estimate = None if figure is None else float(figure)
    else:
        restarts = takes(measurement, metric, terms)
        estimate = restart_mean(np.log(np.asarray(restarts, dtype=np.float64))) if restarts else None
    if estimate is None:
        return f"Its {metric} is not known, and constraints bounds it by {constraint.max:g}."
    reason = bounded(metric, estimate, constraint.max, config.gate.alpha, f"constraint:{metric}")
    return None if reason.passed else reason.sentence


def _error_breaks(constraint: ConstraintConfig, target: Entry, metric: str) -> str | None:
    """By the bound that its own verdict showed of the same metric: the gate split is not read for a rollback."""
    verdict = {"reasons": []} if target.signed is None else target.signed["payload"]["verdict"]
    same = verdict.get("quality", "error") == metric
    reasons = {reason["rule"]: reason for reason in verdict["reasons"] if same}
    bounds = [reasons[rule]["bound"] for rule in ("constraint:error", "floor:error") if rule in reasons]
    called = NAMES[metric]
    if not bounds or bounds[0] is None:
        return f"Its {called} was never bounded, and constraints bounds it by {100 * constraint.max:g} %."
    if bounds[0] <= constraint.max:
        return None
    return f"Its {called} was shown to be at most {100 * bounds[0]:.1f} %, and the limit is {100 * constraint.max:g} %."


def _searched_breaks(constraint: ConstraintConfig, target: Entry) -> str | None:
    """By the figure that its own verdict showed: no split is read for a rollback."""
    reasons = [] if target.signed is None else target.signed["payload"]["verdict"]["reasons"]
    shown = [reason["value"] for reason in reasons if reason["rule"] == f"constraint:{constraint.metric}"]
    called, limit = METRIC_NAMES[constraint.metric], f"{100 * constraint.max:g} %"
    if not shown or shown[0] is None:
        return f"Its {called} was never bounded, and constraints bounds it by {limit}."
    if shown[0] <= constraint.max:
        return None
    return f"Its {called} was {100 * shown[0]:.1f} %, and the limit is {limit}."
