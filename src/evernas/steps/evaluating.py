"""Values of an architecture on a device: the error by inherited weights, which is kept, and the costs by formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from evernas.digest import short
from evernas.errors import UsageError
from evernas.search import Evaluation, EvaluationCache, Objective
from evernas.spaces import NetworkSpace
from evernas.spaces.api import Architecture
from evernas.state import Done, Guard
from evernas.state.files import read_json
from evernas.steps.context import Setting
from evernas.steps.loading import network_inputs, samples, supernet_state, tokeniser_of, training_data
from evernas.steps.profile import PREDICTOR, costs_of
from evernas.steps.versions import VERSIONS

BYTES_PER_WEIGHT = 4
KNOWN_COSTS = 10_000


@dataclass(frozen=True)
class Evaluator:
    """Values of an architecture: the error from the cache that all devices share, the rest by formula."""

    space: NetworkSpace
    guard: Guard
    supernet: Any
    calibration: Any
    x: Any
    y: Any
    cache: EvaluationCache
    predictors: Mapping[str, Any]
    """What foresees a cost of an architecture's features, by the cost's name."""
    device: Any = "cpu"
    """A torch.device, where subnets are evaluated; the rest is on the processors or there already."""
    known_costs: dict[Architecture, dict[str, float]] = field(default_factory=dict)
    on_evaluation: Callable[[], None] = lambda: None

    def values(self, arch: Architecture) -> dict[str, float]:
        found = self.cache.get(arch)
        if found is None:
            error = self._error(arch)
            self.on_evaluation()
            with self.guard.publishing():
                found = self.cache.put(arch, {"error": error})
        return {"error": found.values["error"], **self.costs(arch)}

    def _error(self, arch: Architecture) -> float:
        """By the supernet's weights, with statistics of its own."""
        from evernas.supernet import calibrate, evaluate, extract
        from evernas.supernet.accelerator import enough_memory, placed

        with enough_memory(
            "lower supernet.calibration_batches or supernet.batch, whose product is calibrated on at once"
        ):
            subnet = calibrate(placed(extract(self.supernet, arch), self.device), self.calibration)
            return evaluate(subnet, self.x, self.y)

    def costs(self, arch: Architecture) -> dict[str, float]:
        """Size by the number of weights, the others by the predictors: what a strategy may ask of any architecture."""
        found = self.known_costs.get(arch)
        if found is None:
            if len(self.known_costs) >= KNOWN_COSTS:
                self.known_costs.clear()
            features = self.space.features(arch)
            found = self.known_costs[arch] = {
                **{cost: float(predictor.predict(features)) for cost, predictor in self.predictors.items()},
                "size_kb": float(features[self.space.feature_names().index("weights")]) * BYTES_PER_WEIGHT / 1000,
            }
        return found

    def objectives(self, names: Sequence[str]) -> list[Objective]:
        """Objectives of these names; all but the error are told as formulas."""
        return [
            Objective(name) if name == "error" else Objective(name, formula=partial(self._cost, name=name))
            for name in names
        ]

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


def evaluator_of(context: Setting, guard: Guard, validated: Done, supernet: Done, profile: Done) -> Evaluator:
    """What evaluates on a device: the supernet's weights on the search split, and the device's predictor."""
    from evernas.hardware.predictor import predictors_from_json
    from evernas.supernet import supernet_of
    from evernas.supernet.accelerator import chosen, kept_near

    network = supernet_of(context.space, supernet_state(supernet))
    tokeniser = tokeniser_of(supernet)
    data = training_data(context, validated, tokeniser)
    search = samples(context, validated, "search")
    config = context.config.supernet
    # By the supernet's key, not its weights' digest: the key also holds how subnets are calibrated, and on what.
    version = VERSIONS["search"]
    name = f"{supernet.ref.rpartition('/')[2]}-{short(validated.facts['kept']['search'])}-{version}"
    cache = EvaluationCache(context.home.evaluations(context.project) / name)
    known = predictors_from_json(read_json(profile.file(PREDICTOR)))
    wanted = costs_of(context.config)
    lacking = [cost for cost in wanted if cost not in known]
    if lacking:
        raise UsageError(
            f"search.objectives has {', '.join(lacking)}, which the last profile of {context.device.name} did not "
            "measure: run `evernas run` first."
        )
    predictors = {cost: known[cost] for cost in wanted}
    device = chosen(config.device)
    calibration = kept_near(data.calibration(config.calibration_batches * config.batch, config.augment), device)
    x = kept_near(network_inputs(context, search.x, tokeniser), device)
    return Evaluator(context.space, guard, network, calibration, x, search.y, cache, predictors, device)
