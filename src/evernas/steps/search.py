"""The search step: the Pareto front of a device, errors by inherited weights, latencies by its predictor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.errors import UsageError
from evernas.result import TranslatedRecord
from evernas.search import Evaluation, Strategy, create
from evernas.spaces import Architecture, all_translated, same_network
from evernas.state import Done, Guard
from evernas.state.files import write_json
from evernas.steps.context import Context, Setting, Work
from evernas.steps.costing import Costing, costing_of
from evernas.steps.drift import work_of
from evernas.steps.evaluating import Evaluator, evaluator_of
from evernas.steps.exporting import export_untrained, network_files
from evernas.steps.layout import space_before
from evernas.steps.loading import champion
from evernas.steps.profile import measured_of, searched_by
from evernas.steps.rounds import PROBES, of_first
from evernas.steps.searches import hypervolumes, search_beside, unstopped
from evernas.steps.threads import at_once

if TYPE_CHECKING:
    from evernas.config import SearchConfig

POINTS = "points.json"
RANDOM = "random_points.json"
# Where drift decides so, the last front is looked at again, and nothing is searched.
FRONT_ONLY = ("finetune", "retrain")


def run(context: Context, validated: str, trained: str, profiled: str) -> str:
    """Reference of the device's search."""
    data, supernet, profile = (context.store.get(ref) for ref in (validated, trained, profiled))
    inputs = search_inputs(context, data, supernet, profile)
    return context.perform(
        inputs, lambda folder: _work(context, data, supernet, profile, inputs, folder), lambda done: _log(context, done)
    ).ref


def search_inputs(context: Setting, validated: Done, supernet: Done, profile: Done) -> dict[str, Any]:
    """All that a search depends on, and where it starts: the last front and the champion.

    Where the space is another than the last search's, they are what is nearest to them in this one. A search that was
    done before with the same of all else keeps the start that it had. `work` is there where drift
    decides that the last front is evaluated again, and nothing else.
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
    start = _start(context, inputs)
    if start["front"] and work_of(context) in FRONT_ONLY:
        inputs["work"] = "front"
        start = _start(context, inputs)
    return {**inputs, "start": start}


def _start(context: Setting, inputs: dict[str, Any]) -> dict[str, Any]:
    holder = champion(context)
    head = context.manifest.head
    ref = None if head is None else head.searches.get(context.device.name)
    last = None if ref is None else context.store.find(ref)
    if last is not None and {name: value for name, value in of_first(last).items() if name != "start"} == inputs:
        start: dict[str, Any] = last.inputs["start"]
        return start
    own = None if holder is None else holder.architecture
    if last is None or last.facts["space"] == context.space.id:
        front = [] if last is None else [point["genes"] for point in last.facts["front"]]
        return {**_rival(context, last, own), "front": front}
    return _translated_start(context, last, own)


def _rival(context: Setting, last: Done | None, own: Architecture | None) -> dict[str, Any]:
    """The champion's genes, None where it is of no such space; of another space those that the last search found.

    These are of the very same network, of which `rival` then says which one it is where it comes from.
    """
    if own is not None and own.space == context.space.id:
        return {"champion": list(own.genes)}
    start = {} if own is None or last is None else last.inputs["start"]
    if own is None or start.get("rival") != own.id:
        return {"champion": None}
    return {name: start[name] for name in ("champion", "rival")}


def _translated_start(context: Setting, last: Done, own: Architecture | None) -> dict[str, Any]:
    """The last front in a space that has changed, and how many it had; the champion where it is the same network."""
    space, supernet = context.space, context.store.find(last.inputs["supernet"])
    was = None if supernet is None else space_before(supernet)
    rival = _rival(context, None, own)
    if own is not None and was is not None and own.space == was.id != space.id:
        same = same_network(own, was, space)
        rival = rival if same is None else {"champion": list(same.genes), "rival": own.id}
    if was is None or was.id != last.facts["space"]:
        return {**rival, "front": []}
    fit = all_translated([was.architecture(point["genes"]) for point in last.facts["front"]], was, space)
    front = [list(arch.genes) for arch in fit]
    return {**rival, "front": front, "translated": {"of": len(last.facts["front"]), "fit": len(fit)}}


@dataclass(frozen=True)
class Found:
    """What a search came to: its evaluations in the order of asking, random's beside it, and the front."""

    evaluations: list[Evaluation]
    random: list[Evaluation]
    front: list[Evaluation]

    def hypervolumes(self, objectives: Sequence[str]) -> tuple[list[float], list[float]]:
        """After each evaluation the share of what both reached, of the search and of random."""
        return hypervolumes(objectives, self.evaluations, self.random)


def search_device(
    context: Setting,
    start: dict[str, Any],
    evaluator: Evaluator,
    folder: Path,
    guard: Guard,
    on_progress: Callable[[int, int, str], None],
    at_checkpoint: Callable[[], None] = unstopped,
    *,
    only_known: bool = False,
) -> Found:
    """Search for the device's front as the config says, from a `start` (genes of the champion and of a front).

    The state of the search is kept in `folder`, and gone on with if there is one; `at_checkpoint` is called each time
    it was kept, and may raise to end there. With `only_known` what is evaluated is the start, and the space's smallest
    and largest. UsageError when the constraints
    cannot be met, or nothing was found that meets them.
    """
    space, config = context.space, context.config.search
    known = [genes for genes in [start["champion"], *start["front"]] if genes is not None]
    initial = [space.smallest(), space.largest(), *map(space.architecture, known)]
    if only_known:
        config = config.model_copy(update={"evaluations": len(set(initial)), "random_baseline": False})
    strategy, baseline = strategies(context, evaluator.costing, context.config.seed, initial)
    found = search_on(context, strategy, baseline, config, evaluator, folder, guard, on_progress, at_checkpoint)
    if not found.front:
        raise UsageError(
            f"None of {len(found.evaluations)} architectures meets the constraints "
            f"{_spelled(limits_of(context))} on {context.device.name}: allow more, or search longer."
        )
    return found


def limits_of(context: Setting) -> dict[str, float]:
    """What the device's constraints bound of the search's objectives.

    Errors of inherited weights say too little to rule an architecture out: the gate bounds those of the finalists.
    """
    bounded = [c for c in context.constraints if c.metric in context.config.search.objectives and c.metric != "error"]
    return {metric: min(c.max for c in bounded if c.metric == metric) for metric in {str(c.metric) for c in bounded}}


def strategies(
    context: Setting, costing: Costing, seed: int, initial: Sequence[Architecture] = ()
) -> tuple[Strategy, Strategy]:
    """The strategy of the config and random search beside it. UsageError when the constraints cannot be met."""
    config, limits = context.config.search, limits_of(context)
    try:
        strategy = create(
            config.strategy,
            context.space,
            costing.objectives(config.objectives),
            seed,
            initial=initial,
            constraints=limits,
        )
    except UsageError as error:
        raise UsageError(f"The search for {context.device.name} cannot begin. {error}") from None
    return strategy, create("random", context.space, config.objectives, seed, constraints=limits)


def search_on(
    context: Setting,
    strategy: Strategy,
    baseline: Strategy,
    config: SearchConfig,
    evaluator: Evaluator,
    folder: Path,
    guard: Guard,
    on_progress: Callable[[int, int, str], None],
    at_checkpoint: Callable[[], None] = unstopped,
) -> Found:
    """Search until each has `config.evaluations`; their states are kept in `folder`, and gone on with if there."""
    from evernas.supernet.accelerator import computing, name_of

    searches = {folder / "strategy.json": strategy}
    if config.random_baseline:
        searches[folder / "random.json"] = baseline
    threads = context.config.supernet.threads
    on_progress(0, config.evaluations, f"on {name_of(evaluator.device)}")
    with computing(threads, evaluator.device):
        search_beside(searches, evaluator.values, config, at_once(threads), guard, on_progress, at_checkpoint)
    return Found(strategy.evaluations(), baseline.evaluations(), strategy.front())


def _work(
    context: Context, validated: Done, supernet: Done, profile: Done, inputs: dict[str, Any], folder: Path
) -> Work:
    costing = costing_of(context, profile)
    evaluator = evaluator_of(context, context.guard, validated, supernet, costing)
    found = search_device(
        context,
        inputs["start"],
        replace(evaluator, on_evaluation=context.account.evaluated),
        folder,
        context.guard,
        context.progress.advance,
        context.allowance.check,
        only_known="work" in inputs,
    )
    context.guard.check()
    chosen = _uncertain(context, supernet, profile, costing, found)
    made = export_untrained(context.space, chosen, folder / PROBES, [context.device.searched_precision])
    probes = [probe for probe in made if network_files([probe])]
    facts = {**facts_of(context, found, costing, inputs["start"]["champion"]), "probes": probes}
    outputs = write_points(folder, found, costing)
    again = "the last front again: " if "work" in inputs else ""
    translated = inputs["start"].get("translated")
    begun = "" if translated is None else f"; {TranslatedRecord(**translated).sentence}"
    remark = f"{again}{said_of(facts)}{begun}"
    return Work(facts, [*outputs, *(f"{PROBES}/{name}" for name in network_files(probes))], remark)


def facts_of(context: Setting, found: Found, costing: Costing, champion: list[int] | None) -> dict[str, Any]:
    """What others read of a search, after whichever round."""
    curves = found.hypervolumes(context.config.search.objectives)
    front = sorted(found.front, key=lambda e: (e.values["error"], e.architecture.id))
    return {
        "space": context.space.id,
        "evaluations": len(found.evaluations),
        "front": [costing.point(e) for e in front],
        "hypervolume": curves[0],
        "hypervolume_random": curves[1],
        "champion": champion,
    }


def write_points(folder: Path, found: Found, costing: Costing) -> list[str]:
    """Write all evaluations, and those of random search; the files' names."""
    write_json(folder / POINTS, [costing.point(e) for e in found.evaluations])
    write_json(folder / RANDOM, [costing.point(e) for e in found.random])
    return [POINTS, RANDOM]


def said_of(facts: dict[str, Any]) -> str:
    """A search's remark."""
    front = facts["front"]
    return (
        f"{facts['evaluations']} architectures, {len(front)} on the front; "
        f"lowest error {100 * front[0]['error']:.1f} % on the search split"
    )


def _uncertain(context: Context, supernet: Done, profile: Done, costing: Costing, found: Found) -> list[Architecture]:
    """Those of the front of whose objectives the device's predictors know least; none where nothing is measured."""
    import numpy as np

    from evernas.hardware.uncertainty import Known, least_certain

    config, space = context.config.search, context.space
    if config.rounds < 2 or context.device.recorded is not None:
        return []
    profiled = {subnet["id"]: Architecture.from_json(subnet["architecture"]) for subnet in supernet.facts["profile"]}
    known = [
        Known(
            costing.predictors[cost],
            np.stack([space.features(profiled[arch]) for arch in sorted(figures)]),
            np.array([figures[arch] for arch in sorted(figures)]),
        )
        for cost, figures in measured_of(profile).items()
        if cost in searched_by(context.config)
    ]
    front = sorted((e.architecture for e in found.front), key=lambda arch: arch.id)
    candidates = [arch for arch in front if arch.id not in profiled]
    if not candidates:
        return []
    chosen = least_certain(known, np.stack([space.features(arch) for arch in candidates]), config.probes)
    return [candidates[number] for number in chosen]


def _spelled(limits: dict[str, float]) -> str:
    return " and ".join(f"{name} <= {limit:g}" for name, limit in limits.items())


def _log(context: Context, done: Done) -> None:
    log_search(context, done, {}, evaluated=True)


def log_search(context: Context, done: Done, more: dict[str, Any], evaluated: bool) -> None:
    """Tell MLflow of a search, after whichever round; `more` are further parameters."""
    from evernas.supernet.accelerator import chosen, name_of

    params = {"strategy": context.config.search.strategy, "evaluations": done.facts["evaluations"], **more}
    if evaluated:
        params["device"] = name_of(chosen(context.config.supernet.device))
    with context.tracked(done.ref) as tracked:
        tracked.params(params)
        tracked.curve([{"step": n, "hypervolume": v} for n, v in enumerate(done.facts["hypervolume"], 1)])
        tracked.curve([{"step": n, "hypervolume_random": v} for n, v in enumerate(done.facts["hypervolume_random"], 1)])
        tracked.value(done.facts["front"], "front.json")
        tracked.file(done.file(POINTS))
