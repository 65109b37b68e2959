"""What an architecture costs on a device by its predictors and its weights, without evaluating or measuring it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.errors import UsageError
from evernas.search import Evaluation, Objective
from evernas.spaces import NetworkSpace
from evernas.spaces.api import Architecture
from evernas.state import Done
from evernas.state.files import read_json
from evernas.steps.context import Setting
from evernas.steps.profile import PREDICTOR, costs_of

BYTES_PER_WEIGHT = 4
KNOWN_COSTS = 10_000


@dataclass(frozen=True)
class Costing:
    """Costs of an architecture by formula: what a strategy may ask of any, evaluated or not."""

    space: NetworkSpace
    predictors: Mapping[str, Any]
    """What foresees a cost of an architecture's features, by the cost's name; the size where weights do not tell it."""
    known: dict[Architecture, dict[str, float]] = field(default_factory=dict)

    def costs(self, arch: Architecture) -> dict[str, float]:
        """Size by the number of weights, if by no predictor, the others by the predictors."""
        found = self.known.get(arch)
        if found is None:
            if len(self.known) >= KNOWN_COSTS:
                self.known.clear()
            features, options = self.space.features(arch), options_of(self.space, arch)
            weights = float(features[self.space.feature_names().index("weights")])
            found = self.known[arch] = {
                "size_kb": weights * BYTES_PER_WEIGHT / 1000,
                **{cost: float(predictor.predict(features, options)) for cost, predictor in self.predictors.items()},
            }
        return found

    def objectives(self, names: Sequence[str]) -> list[Objective]:
        """Objectives of these names; all but the error are told as formulas."""
        return [
            Objective(name) if name == "error" else Objective(name, formula=partial(self._cost, name=name))
            for name in names
        ]

    def evaluation(self, arch: Architecture, error: float, names: Sequence[str]) -> Evaluation:
        """An architecture of a known error, with its other objectives."""
        values = {"error": error, **self.costs(arch)}
        return Evaluation(arch, {name: values[name] for name in names})

    def point(self, evaluation: Evaluation) -> dict[str, Any]:
        """An evaluation as it is kept and shown: arch, genes, error, latency_ms and other costs, size_kb, macs."""
        arch = evaluation.architecture
        return {
            "arch": arch.id,
            "genes": list(arch.genes),
            "error": evaluation.values["error"],
            **self.costs(arch),
            "macs": self.space.macs(arch),
        }

    def _cost(self, arch: Architecture, name: str) -> float:
        return self.costs(arch)[name]


def options_of(space: NetworkSpace, arch: Architecture) -> npt.NDArray[np.float64]:
    """Of every choice's options a 1 for the one that the architecture has."""
    ways = [len(choice.options) for choice in space.choices]
    found = np.zeros(sum(ways))
    found[np.cumsum([0, *ways[:-1]]) + np.array(arch.genes)] = 1.0
    return found


def costing_of(context: Setting, fitted: Done) -> Costing:
    """Costs by the predictors that a profile or a probe of the device fitted. UsageError where they foresee too few."""
    from evernas.hardware.predictor import predictors_from_json

    known = predictors_from_json(read_json(fitted.file(PREDICTOR)))
    wanted = costs_of(context.config)
    lacking = [cost for cost in wanted if cost not in known]
    if lacking:
        raise UsageError(
            f"search.objectives has {', '.join(lacking)}, which the last profile of {context.device.name} did not "
            "measure: run `evernas run` first."
        )
    return Costing(context.space, {cost: known[cost] for cost in [*wanted, "size_kb"] if cost in known})
