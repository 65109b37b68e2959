"""The run's report without a name of a domain, recording or file, for places that no erasure reaches."""

from __future__ import annotations

from typing import Any

from evernas.redaction import Redaction
from evernas.result import Result
from evernas.state.files import read_json
from evernas.state.runs import completed_runs
from evernas.state.sharing import fetched
from evernas.steps.context import Context
from evernas.steps.decision import decision_path, read_decision


def page_of(context: Context) -> str:
    """The report of the run as HTML, with numbers in the place of names."""
    from evernas.report import render_report

    runs = [run for run in completed_runs(context.home, context.project) if run != context.manifest.run]
    documents = [
        read_json(fetched(context.home, context.home.run(run) / "result.json")) for run in [*runs, context.manifest.run]
    ]
    names = sorted({name for document in documents for name in _domains(document)} | _named(context))
    signed = {
        device.name: read_decision(context, device.name)["verdict"]
        for device in context.config.devices
        if decision_path(context, device.name).exists()
    }
    *earlier, result = (without_names(document, names) for document in documents)
    for device in result["devices"]:
        device["verdict"] = signed.get(device["device"], device["verdict"])
    read = [Result.model_validate(document) for document in earlier]
    decided = [one for one in read if one.outcome in ("promoted", "held")]
    return render_report(Result.model_validate(result), decided)


def without_names(document: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """A result with `domain 3 of 12` for the third name, and objects counted and not named."""
    numbers = {name: f"domain {number} of {len(names)}" for number, name in enumerate(names, 1)}
    found: dict[str, Any] = Redaction(numbers, {}).document(document)
    snapshot = found.get("snapshot")
    if snapshot is not None:
        for key in ("added", "changed", "removed"):
            snapshot[key] = [f"object {number}" for number, _ in enumerate(snapshot[key], 1)]
        refused = enumerate(snapshot["refused_objects"].values(), 1)
        snapshot["refused_objects"] = {f"object {number}": why for number, why in refused}
        # Each names a recording.
        snapshot["quarantine_examples"] = []
    return found


def _domains(document: dict[str, Any]) -> set[str]:
    snapshot = document["snapshot"] or {"splits": {}}
    return {name for split in snapshot["splits"].values() for name in split}


def _named(context: Context) -> set[str]:
    data = context.config.data
    stratified = {name for of in (data.strata or {}).values() for name in of}
    return {*stratified, *data.splits.gate_domains, *data.splits.search_domains, *data.retired}
