"""Values of an architecture on a device: the error by inherited weights, which is kept, and the costs by formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evernas.digest import short
from evernas.search import EvaluationCache
from evernas.spaces.api import Architecture
from evernas.state import Done, Guard
from evernas.steps.context import Setting
from evernas.steps.costing import Costing
from evernas.steps.loading import network_inputs, samples, supernet_state, tokeniser_of, training_data
from evernas.steps.versions import VERSIONS


@dataclass(frozen=True)
class Evaluator:
    """Values of an architecture: the error from the cache that all devices share, the rest by formula."""

    costing: Costing
    guard: Guard
    supernet: Any
    calibration: Any
    x: Any
    y: Any
    cache: EvaluationCache
    device: Any = "cpu"
    """A torch.device, where subnets are evaluated; the rest is on the processors or there already."""
    on_evaluation: Callable[[], None] = lambda: None

    def values(self, arch: Architecture) -> dict[str, float]:
        found = self.cache.get(arch)
        if found is None:
            error = self._error(arch)
            self.on_evaluation()
            with self.guard.publishing():
                found = self.cache.put(arch, {"error": error})
        return {"error": found.values["error"], **self.costing.costs(arch)}

    def _error(self, arch: Architecture) -> float:
        """By the supernet's weights, with statistics of its own."""
        from evernas.supernet import calibrate, evaluate, extract
        from evernas.supernet.accelerator import enough_memory, placed

        with enough_memory(
            "lower supernet.calibration_batches or supernet.batch, whose product is calibrated on at once"
        ):
            subnet = calibrate(placed(extract(self.supernet, arch), self.device), self.calibration)
            return evaluate(subnet, self.x, self.y)


def evaluator_of(context: Setting, guard: Guard, validated: Done, supernet: Done, costing: Costing) -> Evaluator:
    """What evaluates on a device: the supernet's weights on the search split, and the device's predictors."""
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
    device = chosen(config.device)
    calibration = kept_near(data.calibration(config.calibration_batches * config.batch, config.augment), device)
    x = kept_near(network_inputs(context.space, search.x, tokeniser), device)
    return Evaluator(costing, guard, network, calibration, x, search.y, cache, device)
