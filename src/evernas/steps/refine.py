"""The refine step: the front by what the probe found; searched on where the device's predictors had been wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from evernas.digest import digest_value
from evernas.errors import UsageError
from evernas.search import Goals, front_of
from evernas.state import Done
from evernas.state.files import read_json
from evernas.steps.context import Context, Setting, Work
from evernas.steps.costing import Costing, costing_of
from evernas.steps.probe import said_of as said_of_probe
from evernas.steps.search import (
    POINTS,
    RANDOM,
    Found,
    facts_of,
    limits_of,
    log_search,
    said_of,
    search_on,
    strategies,
    write_points,
)


def run(context: Context, validated: str, trained: str, searched: str, probed: str) -> str:
    """Reference of the device's search, after its second round."""
    data, supernet, search, probe = (context.store.get(ref) for ref in (validated, trained, searched, probed))
    inputs = refine_inputs(search, probe)
    return context.perform(
        inputs,
        lambda folder: _work(context, data, supernet, search, probe, folder),
        lambda done: _log(context, done),
    ).ref


def refine_inputs(searched: Done, probe: Done) -> dict[str, Any]:
    """All that a second round depends on: what the first did, which stands here as it does there, and the probe."""
    return {**searched.inputs, "searched": searched.ref, "probe": probe.ref}


def _work(context: Context, validated: Done, supernet: Done, searched: Done, probe: Done, folder: Path) -> Work:
    costing = costing_of(context, probe)
    first = _costed_anew(context, searched, costing)
    found = first
    # Where drift decides that the last front alone is looked at, nothing is searched in a second round either.
    asked = context.config.search.objectives
    wrong = any(found["outside"] for cost, found in probe.facts["costs"].items() if cost in asked) or not first.front
    if wrong and "work" not in searched.inputs:
        found = _second_round(context, validated, supernet, costing, first, folder)
    unmet = not found.front
    if unmet:
        before = {point["arch"] for point in searched.facts["front"]}
        front = [evaluation for evaluation in found.evaluations if evaluation.architecture.id in before]
        found = Found(found.evaluations, found.random, front)
    more = len(found.evaluations) - len(first.evaluations)
    same = {point["arch"] for point in searched.facts["front"]} == {e.architecture.id for e in found.front}
    followed = _followed(context, probe, "work" in searched.inputs, same, more, unmet)
    round_facts = {
        "searched_on": found is not first and more > 0,
        "evaluations": more,
        "sentence": f"{said_of_probe(probe.facts)}{': ' if more else '; '}{followed}",
    }
    champion = searched.facts["champion"]
    facts = {**facts_of(context, found, costing, champion), "round": round_facts}
    return Work(facts, write_points(folder, found, costing), f"{followed}: {said_of(facts)}")


def _costed_anew(context: Setting, searched: Done, costing: Costing) -> Found:
    """The first round's evaluations: their errors as they are, their costs by the newer predictors."""
    names = context.config.search.objectives
    ours, random = (
        [
            costing.evaluation(context.space.architecture(point["genes"]), point["error"], names)
            for point in read_json(searched.file(name))
        ]
        for name in (POINTS, RANDOM)
    )
    return Found(ours, random, front_of(ours, Goals.of(names, limits_of(context))))


def _second_round(
    context: Context, validated: Done, supernet: Done, costing: Costing, first: Found, folder: Path
) -> Found:
    """Half as many evaluations more, by strategies that were told the first round's with their new costs."""
    from evernas.steps.evaluating import evaluator_of

    config = context.config.search
    try:
        strategy, baseline = strategies(context, costing, _seed(context.config.seed))
    except UsageError:
        # By the newer figures nothing meets the constraints; whether it does is measured, and decided by the gate.
        return first
    for each, told in ((strategy, first.evaluations), (baseline, first.random)):
        for evaluation in told:
            each.tell(evaluation.architecture, evaluation.values)
    evaluator = evaluator_of(context, context.guard, validated, supernet, costing)
    return search_on(
        context,
        strategy,
        baseline,
        config.model_copy(update={"evaluations": len(first.evaluations) + config.evaluations // 2}),
        replace(evaluator, on_evaluation=context.account.evaluated),
        folder,
        context.guard,
        context.progress.advance,
        context.allowance.check,
    )


def _seed(seed: int) -> int:
    """Another one, so that chance does not propose what it proposed in the first round."""
    return int(digest_value([seed, "second round"])[:8], 16)


def _followed(context: Setting, probe: Done, of_drift: bool, same: bool, more: int, unmet: bool) -> str:
    """What followed from the probe; `same` says that the front has the networks that it had."""
    if more:
        since = "" if probe.facts["outside"] else ", since none met the constraints by the new figures"
        said = f"searched again, {more} more evaluations{since}"
    elif probe.facts["outside"] and of_drift:
        said = "nothing is searched, as drift decides, and the front is by the new figures"
    else:
        said = "the front stands" if same else "the front is by the new figures"
    if unmet:
        limits = " and ".join(f"{name} <= {limit:g}" for name, limit in limits_of(context).items())
        said += f"; by the new figures none meets {limits}, and the first front goes on to be measured"
    return said


def _log(context: Context, done: Done) -> None:
    found = done.facts["round"]
    log_search(context, done, {"round": found["sentence"]}, evaluated=found["searched_on"])
