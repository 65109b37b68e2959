"""The search step: the Pareto front of a device, errors by inherited weights, latencies by its predictor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from evernas.digest import short
from evernas.errors import UsageError
from evernas.search import Evaluation, EvaluationCache, Objective, Strategy, create, hypervolume_curve
from evernas.spaces import SignalSpace
from evernas.spaces.api import Architecture
from evernas.state import Done
from evernas.state.files import read_json, write_json
from evernas.steps.context import Context, Setting, Work
from evernas.steps.loading import champion, samples, supernet_state, training_data
from evernas.steps.profile import PREDICTOR
from evernas.steps.threads import at_once
from evernas.steps.versions import VERSIONS

POINTS = "points.json"
BYTES_PER_WEIGHT = 4
KNOWN_COSTS = 10_000


def run(context: Context, validated: str, trained: str, profiled: str) -> str:
    """Reference of the device's search."""
    data, supernet, profile = (context.store.get(ref) for ref in (validated, trained, profiled))
    inputs = search_inputs(context, data, supernet, profile)
    return context.perform(
        inputs, lambda folder: _work(context, data, supernet, profile, inputs, folder), lambda done: _log(context, done)
    ).ref


def search_inputs(context: Setting, validated: Done, supernet: Done, profile: Done) -> dict[str, Any]:
    """All that a search depends on, and where it starts: the last front and the champion.

    A search that was done before with the same of all else keeps the start that it had.
    """
    config = context.config
    inputs = {
        "supernet": supernet.ref,
        "search": validated.facts["kept"]["search"],
        "profile": profile.ref,
        "config": config.section_digest("search"),
        "constraints": [c.model_dump(mode="json") for c in context.constraints],
        "seed": config.seed,
    }
    return {**inputs, "start": _start(context, inputs)}


def _start(context: Setting, inputs: dict[str, Any]) -> dict[str, Any]:
    holder = champion(context)
    head = context.manifest.head
    ref = None if head is None else head.searches.get(context.device.name)
    last = None if ref is None else context.store.find(ref)
    if last is not None:
        if {name: value for name, value in last.inputs.items() if name != "start"} == inputs:
            start: dict[str, Any] = last.inputs["start"]
            return start
        front = [point["genes"] for point in last.facts["front"]] if last.facts["space"] == context.space.id else []
    else:
        front = []
    of_space = holder is not None and holder.architecture.space == context.space.id
    return {"champion": list(holder.architecture.genes) if holder is not None and of_space else None, "front": front}


@dataclass(frozen=True)
class _Evaluator:
    """Values of an architecture: the error from the cache that all devices share, the rest by formula."""

    context: Context
    supernet: Any
    calibration: Any
    x: Any
    y: Any
    cache: EvaluationCache
    predictor: Any
    known_costs: dict[Architecture, dict[str, float]] = field(default_factory=dict)

    def values(self, arch: Architecture) -> dict[str, float]:
        from evernas.supernet import calibrate, evaluate, extract

        found = self.cache.get(arch)
        if found is None:
            subnet = calibrate(extract(self.supernet, arch), self.calibration)
            error = evaluate(subnet, self.x, self.y)
            with self.context.guard.publishing():
                found = self.cache.put(arch, {"error": error})
        return {"error": found.values["error"], **self.costs(arch)}

    def costs(self, arch: Architecture) -> dict[str, float]:
        """Latency by the predictor, size by the number of weights: what a strategy may ask of any architecture."""
        found = self.known_costs.get(arch)
        if found is None:
            if len(self.known_costs) >= KNOWN_COSTS:
                self.known_costs.clear()
            space = self.context.space
            features = space.features(arch)
            found = self.known_costs[arch] = {
                "latency_ms": float(self.predictor.predict(features)),
                "size_kb": float(features[space.feature_names().index("weights")]) * BYTES_PER_WEIGHT / 1000,
            }
        return found

    def objectives(self) -> list[Objective]:
        """The config's objectives; all but the error are told as formulas."""
        return [
            Objective(name) if name == "error" else Objective(name, formula=partial(self._cost, name=name))
            for name in self.context.config.search.objectives
        ]

    def _cost(self, arch: Architecture, name: str) -> float:
        return self.costs(arch)[name]


def _work(
    context: Context, validated: Done, supernet: Done, profile: Done, inputs: dict[str, Any], folder: Path
) -> Work:
    from evernas.supernet.training import torch_threads

    space, config = context.space, context.config.search
    evaluator = _evaluator(context, validated, supernet, profile)
    # Errors of inherited weights say too little to rule an architecture out: the gate bounds those of the finalists.
    bounded = [c for c in context.constraints if c.metric in config.objectives and c.metric != "error"]
    limits = {metric: min(c.max for c in bounded if c.metric == metric) for metric in {str(c.metric) for c in bounded}}
    start = [] if inputs["start"]["champion"] is None else [inputs["start"]["champion"]]
    initial = [
        space.smallest(),
        space.largest(),
        *(space.architecture(genes) for genes in [*start, *inputs["start"]["front"]]),
    ]
    try:
        strategy = create(
            config.strategy,
            space,
            evaluator.objectives(),
            context.config.seed,
            initial=initial,
            constraints=limits,
        )
    except UsageError as error:
        raise UsageError(f"The search for {context.device.name} cannot begin. {error}") from None
    baseline = create("random", space, config.objectives, context.config.seed, constraints=limits)
    searches = {folder / "strategy.json": strategy}
    if config.random_baseline:
        searches[folder / "random.json"] = baseline
    with torch_threads(context.config.supernet.threads):
        _search_beside(context, searches, evaluator)
    front = strategy.front()
    if not front:
        raise UsageError(
            f"None of {len(strategy.evaluations())} architectures meets the constraints "
            f"{_spelled(limits)} on {context.device.name}: allow more, or search longer."
        )
    ours, random = strategy.evaluations(), baseline.evaluations()
    curves = _hypervolumes(config.objectives, ours, random)
    points = [_point(space, evaluator, e) for e in ours]
    write_json(folder / POINTS, points)
    facts = {
        "space": space.id,
        "evaluations": len(ours),
        "front": [
            _point(space, evaluator, e) for e in sorted(front, key=lambda e: (e.values["error"], e.architecture.id))
        ],
        "hypervolume": curves[0],
        "hypervolume_random": curves[1],
        "champion": inputs["start"]["champion"],
    }
    best = min(e.values["error"] for e in front)
    remark = (
        f"{len(ours)} architectures, {len(front)} on the front; lowest error {100 * best:.1f} % on the search split"
    )
    return Work(facts, [POINTS], remark)


def _evaluator(context: Context, validated: Done, supernet: Done, profile: Done) -> _Evaluator:
    from evernas.hardware.predictor import LatencyPredictor
    from evernas.supernet import Supernet

    network = Supernet(context.space)
    network.load_state_dict(supernet_state(supernet))
    data = training_data(context, validated)
    search = samples(context, validated, "search")
    config = context.config.supernet
    # By the supernet's key, not its weights' digest: the key also holds how subnets are calibrated, and on what.
    version = VERSIONS["search"]
    name = f"{supernet.ref.rpartition('/')[2]}-{short(validated.facts['kept']['search'])}-{version}"
    cache = EvaluationCache(context.home.evaluations(context.project) / name)
    predictor = LatencyPredictor.from_json(read_json(profile.file(PREDICTOR)))
    calibration = data.calibration(config.calibration_batches * config.batch)
    return _Evaluator(context, network, calibration, search.x, search.y, cache, predictor)


def _search_beside(context: Context, searches: Mapping[Path, Strategy], evaluator: _Evaluator) -> None:
    """Run searches, each with the file of its state, at the same time: one evaluates while another thinks.

    They share what evaluates, and nothing that one finds reaches the other. When one fails the others stop.
    """
    threads = at_once(context.config.supernet.threads)
    names = " and ".join(strategy.name for strategy in searches.values())
    told = dict.fromkeys(searches, 0)
    stop = threading.Event()

    def advance(state: Path, count: int) -> None:
        told[state] = count
        context.progress.advance(sum(told.values()), context.config.search.evaluations * len(told), names)

    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(len(searches)) as side:
        searching = [
            side.submit(_search, context, strategy, evaluator, state, pool, partial(advance, state), stop)
            for state, strategy in searches.items()
        ]
        try:
            for search in as_completed(searching):
                search.result()
        finally:
            stop.set()


def _search(
    context: Context,
    strategy: Strategy,
    evaluator: _Evaluator,
    state: Path,
    pool: ThreadPoolExecutor,
    on_told: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Ask and tell until the budget is spent or the space exhausted; the state is kept after each batch.

    A batch is evaluated on all processors, each architecture on the threads of the config, so that no digit depends on
    how many there are; and told in the order of asking.
    """
    config = context.config.search
    if state.exists():
        strategy.load_state_dict(read_json(state))
    while (told := len(strategy.evaluations())) < config.evaluations and not stop.is_set():
        batch = strategy.pending() or strategy.ask(min(config.batch, config.evaluations - told))
        if not batch:
            break
        for number, (arch, values) in enumerate(zip(batch, pool.map(evaluator.values, batch), strict=True)):
            strategy.tell(arch, {name: values[name] for name in config.objectives})
            on_told(told + number + 1)
        with context.guard.publishing():
            write_json(state, strategy.state_dict())


def _hypervolumes(
    objectives: list[Any], ours: list[Evaluation], random: list[Evaluation]
) -> tuple[list[float], list[float]]:
    """Both curves as shares of what both searches together reached, objectives scaled to all that was seen."""
    import numpy as np

    def rows(evaluations: list[Evaluation]) -> Any:
        return np.array([[e.values[name] for name in objectives] for e in evaluations]).reshape(-1, len(objectives))

    both = rows([*ours, *random])
    low, span = both.min(0), np.ptp(both, axis=0)
    span = np.where(span > 0, span, 1.0)
    reference = np.full(len(objectives), 1.1)
    best = hypervolume_curve(((both - low) / span).tolist(), reference.tolist())[-1]
    curves = [
        hypervolume_curve(((rows(e) - low) / span).tolist(), reference.tolist(), best) if e else []
        for e in (ours, random)
    ]
    return [round(v, 9) for v in curves[0]], [round(v, 9) for v in curves[1]]


def _point(space: SignalSpace, evaluator: _Evaluator, evaluation: Evaluation) -> dict[str, Any]:
    arch = evaluation.architecture
    return {
        "arch": arch.id,
        "genes": list(arch.genes),
        "error": evaluation.values["error"],
        **evaluator.costs(arch),
        "macs": space.macs(arch),
    }


def _spelled(limits: dict[str, float]) -> str:
    return " and ".join(f"{name} <= {limit:g}" for name, limit in limits.items())


def _log(context: Context, done: Done) -> None:
    with context.tracked(done.ref) as tracked:
        tracked.params({"strategy": context.config.search.strategy, "evaluations": done.facts["evaluations"]})
        tracked.curve([{"step": n, "hypervolume": v} for n, v in enumerate(done.facts["hypervolume"], 1)])
        tracked.curve([{"step": n, "hypervolume_random": v} for n, v in enumerate(done.facts["hypervolume_random"], 1)])
        tracked.value(done.facts["front"], "front.json")
        tracked.file(done.file(POINTS))
