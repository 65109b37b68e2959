"""The model card that travels with each version: what it is, data, figures, limits, lineage; Markdown, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evernas.bundle import Bundle
from evernas.digest import short

LONGEST = 4900
"""MLflow shows a version's description up to about this many characters."""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells beside the bundle. Errors are shares; `errors` is by domain, `measurement` of the device."""

    project: str
    device: str
    origin: str
    domain_noun: str = "domains"
    errors: Mapping[str, float] = field(default_factory=dict)
    errors_of: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    measurement: Mapping[str, Any] | None = None
    verdict: Mapping[str, Any] | None = None
    lineage: Mapping[str, str | None] = field(default_factory=dict)
    trained_on: bool = False
    """Whether the domains that judge are those that were trained on: then nothing is shown about others."""


def model_card(bundle: Bundle, facts: CardFacts) -> str:
    """The card of a bundle.

    Domains are people or sites that did not ask to be named: they stand as numbers, ordered by their error, so that no
    number leads back to a name.
    """
    parts = [
        f"# {facts.project}: {short(bundle.digest)} for {facts.device}",
        _what(bundle, facts),
        "## Data",
        _data(bundle, facts),
        "## Figures",
        *_figures(bundle, facts),
        "## Limits",
        *_limits(facts),
        "## Lineage",
        _lineage(bundle, facts),
    ]
    return "\n\n".join(part for part in parts if part)


def shortened(card: str) -> str:
    """The card as the description of a version."""
    return card if len(card) <= LONGEST else f"{card[: LONGEST - 60]}\n\n(Shortened; card.md has the whole.)"


def _what(bundle: Bundle, facts: CardFacts) -> str:
    contract = bundle.contract
    rate = "" if contract.rate_hz is None else f" at {contract.rate_hz:g} Hz"
    if contract.takes_texts:
        samples = f"texts of at most {contract.characters} characters, as {contract.size[0]} sub-words"
    else:
        size = " x ".join(str(side) for side in contract.size)
        samples = f"images of {size} pixels" if len(contract.size) == 2 else f"windows of {size} steps"
        samples += f" of {len(contract.channels)} channels ({', '.join(contract.channels)}){rate}"
    architecture = bundle.extra.get("architecture_record") or {}
    parameters = architecture.get("parameters")
    size = f"{bundle.size_kb:.1f} kB" + (f", {parameters:,} parameters" if parameters is not None else "")
    return (
        f"A classifier of {samples} into "
        f"{len(bundle.labels)} classes: {', '.join(bundle.labels)}. ONNX, float32, {size}. {facts.origin}"
    )


def _data(bundle: Bundle, facts: CardFacts) -> str:
    snapshot = bundle.extra.get("snapshot")
    if snapshot is None:
        return "What it was trained on is not known to evernas."
    rows = ", ".join(f"{count} {split}" for split, count in facts.rows.items())
    return f"Trained on snapshot `{short(snapshot)}`" + (f"; rows: {rows}." if rows else ".")


def _figures(bundle: Bundle, facts: CardFacts) -> list[str]:
    parts = []
    if facts.errors:
        ordered = sorted(facts.errors.values())
        mean = sum(ordered) / len(ordered)
        rows = [(f"{facts.domain_noun} {number}", f"{100 * error:.1f} %") for number, error in enumerate(ordered, 1)]
        parts.append(
            f"Error on {facts.errors_of}: mean over {len(ordered)} {facts.domain_noun} {100 * mean:.1f} %, worst "
            f"{100 * ordered[-1]:.1f} %.\n\n" + _table(("domain", "error"), rows)
        )
    else:
        parts.append("No error by domain is known to evernas yet.")
    measured = facts.measurement or {}
    latency, cold = measured.get("latency") or {}, measured.get("cold_start") or {}
    shown = [
        ("latency, median at batch 1", latency.get("median_ms"), "ms"),
        ("latency, 95th percentile", latency.get("p95_ms"), "ms"),
        ("cold start, process start to first answer", (cold.get("total_ms") or {}).get("median"), "ms"),
        ("peak memory", measured.get("peak_memory_mb"), "MB"),
        ("energy an inference", measured.get("energy_mj"), "mJ"),
        ("size of the file", bundle.size_kb, "kB"),
    ]
    figures = [(name, "not measured" if value is None else f"{value:.3g} {unit}") for name, value, unit in shown]
    return [*parts, _table((f"on {facts.device}", "measured"), figures)]


def _limits(facts: CardFacts) -> list[str]:
    verdict = facts.verdict or {}
    scope = str(verdict.get("scope") or "")
    said = [scope] if scope else []
    only = facts.trained_on or f"for these {facts.domain_noun} only" in scope
    of = f"these {facts.domain_noun} only" if only else f"{facts.domain_noun} like those above"
    said.append(
        f"The figures are of {facts.device} and of {of}; on other devices, sensors or "
        f"{facts.domain_noun} nothing is shown. It answers with one of its classes for what is none of them too."
    )
    return said


def _lineage(bundle: Bundle, facts: CardFacts) -> str:
    known = {
        "bundle": bundle.digest,
        "model.onnx": bundle.model_digest,
        "snapshot": bundle.extra.get("snapshot"),
        "supernet": bundle.extra.get("supernet"),
        **facts.lineage,
    }
    return _table(("what", "digest or name"), [(name, f"`{value}`") for name, value in known.items() if value])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
