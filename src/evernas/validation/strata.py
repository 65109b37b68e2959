"""How much of what production consists of the gate split covers, by strata that are named; figures and rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.config import DataConfig, ValidationConfig
from evernas.validation.rules import DatasetRule

SHOWN = 8


def strata_of(frame: Any, kept: npt.NDArray[np.bool_], data: DataConfig) -> dict[str, dict[str, Any]]:
    """For each kind of strata (site, device model) what the gate split covers of production's.

    Production is the good rows that are trained on and those that are new, in whatever split. A stratum is covered if
    it has a good row in the gate split; what has no stratum is never. `rows` and `domains` are the shares that are
    covered, `strata` counts of both, of production and of the gate, `unnamed` counts of what has no stratum.
    """
    good = frame.loc[kept, ["split", "domain", "new"]]
    gate = good[good["split"] == "gate"]
    production = good[(good["split"] == "train") | good["new"].to_numpy(bool)]
    return {kind: _of_kind(kind, production, gate, of, data.domain_noun) for kind, of in (data.strata or {}).items()}


def strata_rules(found: Mapping[str, Mapping[str, Any]], validation: ValidationConfig) -> list[DatasetRule]:
    """That each kind of strata is covered as far as validation.min_stratum_coverage asks."""
    least = validation.min_stratum_coverage
    if least is None:
        return []
    rules = []
    for kind, of in found.items():
        text = f"{of['sentence']} That is less than validation.min_stratum_coverage = {least:.1%}: let some judge, too."
        rules.append(DatasetRule(f"stratum_coverage_{kind}", coverage(of), least, None, text))
    return rules


def coverage(of: Mapping[str, Any]) -> float:
    """The share of production that is covered: of its rows or of its domains, whichever is less."""
    return min(float(of["rows"]), float(of["domains"]))


def _of_kind(kind: str, production: Any, gate: Any, of: Mapping[str, str], noun: str) -> dict[str, Any]:
    ours, theirs = _counts(production, of), _counts(gate, of)
    unnamed = ours.pop(None, (0, 0))
    theirs.pop(None, None)
    strata = {
        str(name): {
            **dict(zip(("rows", "domains"), ours.get(name, (0, 0)), strict=True)),
            **dict(zip(("gate_rows", "gate_domains"), theirs.get(name, (0, 0)), strict=True)),
        }
        for name in sorted({*ours, *theirs}, key=str)
    }
    totals = [sum(part) for part in zip(unnamed, *ours.values(), strict=True)]
    covered = [sum(part) for part in zip((0, 0), *(v for name, v in ours.items() if name in theirs), strict=True)]
    rows, domains = (part / total if total else 0.0 for part, total in zip(covered, totals, strict=True))
    found = {"rows": rows, "domains": domains, "strata": strata}
    found["unnamed"] = {"rows": unnamed[0], "domains": unnamed[1]}
    return {**found, "sentence": _sentence(kind, found, noun)}


def _counts(rows: Any, of: Mapping[str, str]) -> dict[str | None, tuple[int, int]]:
    """Rows and domains by stratum; None for those that have none."""
    found: dict[str | None, tuple[int, int]] = {}
    for domain, count in rows["domain"].value_counts().items():
        before = found.get(of.get(domain), (0, 0))
        found[of.get(domain)] = (before[0] + int(count), before[1] + 1)
    return found


def _sentence(kind: str, found: Mapping[str, Any], noun: str) -> str:
    sentence = (
        f"By {kind}, the gate split covers {found['rows']:.1%} of the rows and {found['domains']:.1%} of the {noun} "
        "that are trained on or new"
    )
    lacking = {name: v for name, v in found["strata"].items() if v["rows"] and not v["gate_rows"]}
    most = sorted(lacking, key=lambda name: (-lacking[name]["rows"], name))
    told = [
        f"{name!r} ({lacking[name]['rows']:,} rows of {lacking[name]['domains']:,} {noun})" for name in most[:SHOWN]
    ]
    if len(most) > SHOWN:
        told.append(f"{len(most) - SHOWN} more")
    if found["unnamed"]["rows"]:
        told.append(
            f"{found['unnamed']['rows']:,} rows of {found['unnamed']['domains']:,} {noun} that data.strata lacks"
        )
    return sentence + (f"; not covered: {', '.join(told)}." if told else ".")
