"""What a step did, in plain words and figures, as Markdown for whoever runs the pipeline: no payload, and no name of a
domain or file, since what is shown there is out of reach once somebody is to be forgotten."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evernas.result import DivergedRecord, TranslatedRecord
from evernas.state import Done
from evernas.steps.context import Context
from evernas.steps.decision import decision_path, read_decision
from evernas.steps.forgetting import Lost
from evernas.steps.probe import said_of as said_of_probe

FRONT_SHOWN, CURVE_SHOWN = 20, 10
_CELL = str.maketrans({"|": "\\|", "\n": " ", "<": "&lt;", ">": "&gt;", "`": "'", "[": "\\[", "*": "\\*", "_": "\\_"})
_DOES = {
    "ingest": "Takes in what is new in the source.",
    "validate": "Checks each row; bad ones go to quarantine, bad data is refused.",
    "supernet": "Trains one network that holds all architectures of the space.",
    "profile": "Measures a few architectures on the device and learns to predict the others.",
    "search": "Looks for the architectures that no other beats in all objectives.",
    "probe": "Measures the architectures of the front that are least certain on the device.",
    "refine": "Finds the front by the newer predictions; searches on where the older ones were wrong.",
    "finalists": "Trains some architectures of the front further, and writes them as files that can ship.",
    "benchmark": "Measures these files and the champion on the device, in turns.",
    "gate": "Asks judges that nothing has seen whether the candidate is shown to be better.",
    "promote": "Makes the candidate the champion.",
    "hold": "Keeps the champion.",
    "report": "Writes what was found and decided.",
    "conclude": "Writes that nothing was new.",
    "handover": "Hands what was measured over to whoever decides, apart from this run.",
    "recheck": "Measures the champion again where that is long ago.",
}

_GAVE = {
    "nothing-new": "Nothing is new: no further step has anything to do.",
    "recheck": "Nothing is new: the champions alone are looked at again.",
}


def summary(context: Context, output: str) -> str:
    """The step's Markdown; `output` is what it gave to the pipeline."""
    device = "" if context.device_name is None else f" on {_text(context.device_name)}"
    parts = [f"## {context.step}{device}", _DOES[context.step]]
    ref = context.account.ref
    done = context.store.find(ref) if ref else None
    if done is not None and context.account.reused:
        parts.append("Nothing that it reads has changed: the result of an earlier run was taken.")
    if done is not None and context.step in _OF_FACTS:
        parts += _OF_FACTS[context.step](done)
    elif context.step in ("gate", "promote", "hold") and decision_path(context).exists():
        parts += _decision(read_decision(context))
    elif context.step in ("report", "conclude"):
        parts += _all_decisions(context)
    else:
        parts.append(_GAVE.get(output, f"It gave {_code(output)}."))
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], numeric: bool = True) -> str:
    """A table; where it is of numbers, all columns but the first are set flush right."""
    rule = ["---", *["---:" if numeric else "---"] * (len(header) - 1)]
    lines = [list(header), rule, *([_text(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ingest(done: Done) -> list[str]:
    facts = done.facts
    kinds = ("added", "changed", "removed", "refused_objects")
    rows = [[kind.replace("_objects", ""), len(facts[kind])] for kind in kinds]
    return [f"Snapshot {_code(facts['snapshot'][:12])}.", table(["objects", "number"], rows)]


def _validate(done: Done) -> list[str]:
    facts = done.facts
    known = [("in", "rows_in"), ("kept", "rows_kept"), ("quarantined", "rows_quarantined")]
    known += [("the same as others", "rows_deduplicated"), ("released from quarantine", "rows_released")]
    parts = [table(["rows", "number"], [[name, f"{facts.get(key, 0):,}"] for name, key in known])]
    if facts["quarantine"]:
        parts.append(table(["rule that failed", "rows"], sorted(facts["quarantine"].items())))
    splits = [[split, len(of), f"{sum(of.values()):,}"] for split, of in sorted(facts["splits"].items())]
    of_all = "Recordings were split, within every domain: the gate speaks of these domains only."
    told = [of_all] if facts.get("split_by") == "recording" else []
    told += _covered(facts.get("strata"))
    return [*parts, table(["split", "domains", "rows"], splits), *told]


def _covered(strata: Mapping[str, Any] | None) -> list[str]:
    """How much of production the gate split covers, a sentence for each kind of strata."""
    return [_text(of["sentence"]) for of in (strata or {}).values()]


def _supernet(done: Done) -> list[str]:
    facts = done.facts
    start = "From the last supernet's weights" if facts["parent"] else "From nothing"
    curve = [row for row in facts["curve"] if "loss" in row]
    every = max(1, -(-len(curve) // CURVE_SHOWN))
    shown = [*curve[:-1][::every], *curve[-1:]]
    parts = [f"{start}, {facts['steps']:,} steps."]
    if facts.get("diverged") is not None:
        parts.append(f"From the last weights it {DivergedRecord(**facts['diverged']).sentence}.")
    lost = facts.get("lost")
    if lost is not None and lost["fell_back"]:
        parts.append(f"From the last weights it forgot too much: {Lost.of(lost).sentence}.")
    elif lost is not None:
        parts.append(f"Against the last supernet: {Lost.of(lost).sentence}.")
    elif facts.get("incomparable") is not None:
        parts.append(f"It cannot be compared with the last supernet: {_text(facts['incomparable'])}.")
    if shown:
        parts.append(table(["step", "loss"], [[f"{row['step']:,.0f}", f"{row['loss']:.3f}"] for row in shown]))
    return parts


def _profile(done: Done) -> list[str]:
    facts = done.facts
    return [
        f"{facts['networks']} architectures measured; predicting one from the others misses by "
        f"{facts['median_abs_error']:.1%} in the middle."
    ]


def _probe(done: Done) -> list[str]:
    names = sorted({arch for found in done.facts["costs"].values() for arch in found["measured"]})
    heads, rows = ["architecture"], [[name] for name in names]
    for cost, found in done.facts["costs"].items():
        heads += [f"{_COSTS[cost]}, measured", "foreseen"]
        for row in rows:
            row += [_figure(found[kind].get(row[0]), 4) for kind in ("measured", "foreseen")]
    said = [f"{_sentence(said_of_probe(done.facts))}"]
    said += [_text(reason) for reason in done.facts["unmeasured"].values() if done.facts["costs"]]
    return [*said, table(heads, rows)] if rows else said


def _refine(done: Done) -> list[str]:
    return [_sentence(done.facts["round"]["sentence"]), *_search(done)]


def _sentence(words: str) -> str:
    return _text(words[:1].upper() + words[1:]) + "."


_COSTS = {"latency_ms": "latency, ms", "peak_memory_mb": "memory, MB", "energy_mj": "energy, mJ"}
_FORESEEN = {"peak_memory_mb": "memory, MB", "energy_mj": "energy, mJ"}


def _search(done: Done) -> list[str]:
    front = done.facts["front"]
    more = {key: head for key, head in _FORESEEN.items() if front and key in front[0]}
    rows = [
        [
            p["arch"], f"{p['error']:.1%}", f"{p['latency_ms']:.4f}", f"{p['size_kb']:.1f}",
            *(f"{p[key]:.3f}" for key in more), f"{p['macs']:,}",
        ]
        for p in front[:FRONT_SHOWN]
    ]  # fmt: skip
    rest = [f"And {len(front) - FRONT_SHOWN} more."] if len(front) > FRONT_SHOWN else []
    translated = done.inputs["start"].get("translated")
    begun = [] if translated is None else [_sentence(TranslatedRecord(**translated).sentence)]
    return [
        *begun,
        f"{done.facts['evaluations']:,} architectures evaluated, {len(front)} on the front. Errors are of the search "
        "split, with shared weights; latencies, memory and energy are predicted.",
        table(["architecture", "error", "latency, ms", "size, kB", *more.values(), "multiplications"], rows),
        *rest,
    ]


def _finalists(done: Done) -> list[str]:
    rows = [
        [f["bundle"][:12], f["precision"], f"{f['error_inherited']:.1%}", f"{f['error']:.1%}"]
        for f in done.facts["finalists"]
    ]
    return [table(["file", "precision", "error before, search split", "error after"], rows)]


def _benchmark(done: Done) -> list[str]:
    rows = [[bundle[:12], *_measured(found)] for bundle, found in done.facts["measurements"].items()]
    return [table(["file", "median, ms", "95th percentile, ms", "size, kB", "refused"], rows)]


def _measured(found: Mapping[str, Any]) -> list[str]:
    latency = found.get("latency") or {}
    times = [_figure(latency.get(name), 4) for name in ("median_ms", "p95_ms")]
    return [*times, _figure(found.get("size_kb"), 1), str(found.get("refused") or "no")]


def _figure(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "not measured"


def _all_decisions(context: Context) -> list[str]:
    names = [device.name for device in context.config.devices if decision_path(context, device.name).exists()]
    verdicts = {name: read_decision(context, name)["verdict"] for name in names}
    if not verdicts:
        return ["Nothing was new, and nothing was decided: the champions stay."]
    rows = [[name, verdict["outcome"], verdict["sentence"]] for name, verdict in verdicts.items()]
    scopes = dict.fromkeys(verdict["scope"] for verdict in verdicts.values() if verdict.get("scope"))
    return [table(["device", "verdict", "why"], rows, numeric=False), *map(_text, scopes)]


def _decision(decision: Mapping[str, Any]) -> list[str]:
    # The verdict as it was signed: with numbers in the place of names.
    verdict = decision["verdict"]
    rows = [
        [reason["rule"], "passed" if reason["passed"] else "failed", reason.get("sentence", "")]
        for reason in verdict["reasons"]
    ]
    return [
        f"**{verdict['outcome']}**: {_text(verdict['sentence'])}",
        table(["rule", "result", "why"], rows, numeric=False),
        *([_text(verdict["scope"])] if verdict.get("scope") else []),
        *_covered(decision.get("strata")),
    ]


_OF_FACTS: Mapping[str, Callable[[Done], list[str]]] = {
    "ingest": _ingest,
    "validate": _validate,
    "supernet": _supernet,
    "profile": _profile,
    "search": _search,
    "probe": _probe,
    "refine": _refine,
    "finalists": _finalists,
    "benchmark": _benchmark,
}


def _text(value: object) -> str:
    return str(value).translate(_CELL)


def _code(value: object) -> str:
    return "`" + str(value).replace("`", "'") + "`"
