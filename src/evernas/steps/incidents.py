"""What a champion breaks of its own constraints, as it was measured last; each a sentence for whoever serves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.data import Samples
from evernas.gate.evidence import SEARCHED
from evernas.gate.quality import NAMES
from evernas.gate.wording import METRIC_NAMES, SHARES, UNITS, number
from evernas.hardware.figures import TAKES, middle
from evernas.registry.entries import Entry
from evernas.steps.context import Setting
from evernas.steps.predictions import errors_by_domain
from evernas.steps.quality import loss_of
from evernas.steps.robustness import searched_figures

INCIDENT = "Incident"
"""How each such sentence begins."""


def champion_figures(
    setting: Setting,
    search: Samples,
    classes: int,
    scores: npt.NDArray[np.float32],
    robustness: Mapping[str, Any] | None,
) -> dict[str, float | None]:
    """A champion's figures of the search split that constraints bound, from its scores on all of it.

    Only samples of the first `classes` count, those that it knows: it cannot be right on what was added since, which
    would be an incident each night. `robustness` was found on such samples, too.
    """
    known = search.y < classes
    right, domains = (scores.argmax(1) == search.y)[known], np.asarray(search.domains)[known].tolist()
    found = {"robustness": robustness, "error_by_domain": errors_by_domain(right, domains)}
    loss = loss_of(setting.config.gate.quality, search, classes, scores, known)
    return {"error": loss, **searched_figures(found)}


def incidents(
    setting: Setting, entry: Entry, measurement: Mapping[str, Any], searched: Mapping[str, float | None]
) -> list[str]:
    """A sentence per constraint that the champion does not keep by its measured figure, or has no figure for any more.

    `searched` has its figures of the search split: its error, the configured metric's, and those under the worst
    corruption and in the worst domain. What is published of a hold says nothing of the gate split.
    """
    found = []
    head = f"{INCIDENT}: the champion of {entry.device} (entry {entry.number}) breaks a constraint: "
    for constraint in setting.constraints:
        metric = str(constraint.metric)
        figure, limit = _figure(setting, metric, measurement, searched), constraint.max
        if figure is None:
            found.append(f"{head}its {metric}, which is to be {limit:g} at most, is not known any more.")
        elif not figure <= limit and metric in SHARES:
            called, where = METRIC_NAMES[metric], ""
            if metric == "error":
                called, where = NAMES[setting.config.gate.quality.metric], " on the search split"
            found.append(
                f"{head}its {called} is {number(100 * figure)} %{where}, and the limit is {number(100 * limit)} %."
            )
        elif not figure <= limit:
            found.append(
                f"{head}its {METRIC_NAMES[metric]} is {number(figure, 3)} {UNITS[metric]}, and the limit is {limit:g}."
            )
    return found


def _figure(
    setting: Setting, metric: str, measurement: Mapping[str, Any], searched: Mapping[str, float | None]
) -> float | None:
    if metric in ("error", *SEARCHED):
        return searched.get(metric)
    if metric in TAKES:
        return middle(measurement, metric, setting.terms)
    found: float | None = measurement.get(metric)
    return found
