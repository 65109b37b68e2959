"""The finalists step: fine-tunes a few architectures of the front and exports each as a bundle under one digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle, Contract, load_bundle, write_bundle
from evernas.bundle import Samples as BundleSamples
from evernas.config import SignalConfig, TextConfig
from evernas.data import Samples
from evernas.digest import short
from evernas.errors import IntegrityError
from evernas.registry.bundles import bundle_folder, share_bundle
from evernas.search import Evaluation, select_finalists
from evernas.spaces.api import Architecture
from evernas.state import Done
from evernas.state.files import read_json
from evernas.steps.answers import write_questions
from evernas.steps.architectures import architecture_record
from evernas.steps.context import Context, Setting, Work
from evernas.steps.loading import network_inputs, samples, supernet_state, tokeniser_of, training_data
from evernas.steps.predictions import errors_by_domain, scores_of, worst_domain_error
from evernas.steps.profile import FORESEEN
from evernas.steps.robustness import robust_error, robust_metrics, robustness_of
from evernas.steps.search import POINTS
from evernas.steps.threads import at_once
from evernas.steps.versions import VERSIONS

SAMPLES = 5


def run(context: Context, validated: str, trained: str, searched: str) -> str:
    """Reference of the device's finalists."""
    data, supernet, found = (context.store.get(ref) for ref in (validated, trained, searched))
    inputs = finalists_inputs(context, data, supernet, found)
    return context.perform(
        inputs, lambda folder: _work(context, data, supernet, found, folder), lambda done: _log(context, done)
    ).ref


def finalists_inputs(context: Setting, validated: Done, supernet: Done, searched: Done) -> dict[str, Any]:
    """All that the finalists depend on."""
    return {
        "search": searched.ref,
        "supernet": supernet.ref,
        "train": validated.facts["kept"]["train"],
        "search_split": validated.facts["kept"]["search"],
        "config": context.config.section_digest("finalists"),
        "precisions": context.device.precisions,
        "contract": contract_of(context).to_json(),
        "robustness": [context.config.section_digest("robustness"), context.config.seed],
    }


def _work(context: Context, validated: Done, supernet: Done, searched: Done, folder: Path) -> Work:
    space, config = context.space, context.config
    names = config.search.objectives
    points = {space.architecture(point["genes"]): point for point in searched.facts["front"]}
    must = []
    if searched.facts["champion"] is not None:
        # The champion's own architecture, trained on the newest data, is the natural rival of the champion.
        holder = space.architecture(searched.facts["champion"])
        must = [holder.id]
        points.setdefault(holder, _point_of(searched, holder))
    evaluations = [Evaluation(arch, {name: point[name] for name in names}) for arch, point in points.items()]
    chosen = [e.architecture for e in select_finalists(evaluations, config.finalists.count, must, near=1.0)]
    found = [
        {
            **_in_precision(context, precision, validated, supernet, tuned).facts["finalist"],
            "precision": precision,
            "error_inherited": points[arch]["error"],
            "predicted_latency_ms": points[arch]["latency_ms"],
            "predicted": {cost: points[arch][cost] for cost in FORESEEN[1:] if cost in points[arch]},
        }
        for arch, tuned in zip(chosen, _all_finetuned(context, validated, supernet, chosen), strict=True)
        for precision in context.device.precisions
    ]
    best = min(f["error"] for f in found)
    made = f"{len(chosen)} fine-tuned and exported"
    if context.device.precisions != ["fp32"]:
        made += f" in {' and '.join(context.device.precisions)}"
    remark = f"{made}; lowest error {100 * best:.1f} % on the search split"
    search = samples(context, validated, "search")
    tried = _tried(context, search, found)
    worst = [error for error in map(robust_error, tried) if error is not None]
    if worst:
        remark += f", under the worst corruption {100 * min(worst):.1f} %"
    found = [{**finalist, "robustness": robustness} for finalist, robustness in zip(found, tried, strict=True)]
    facts = {"finalists": found, "supernet": supernet.ref, "search": searched.ref}
    return Work(facts, [write_questions(folder, search.x)], remark)


def _tried(context: Context, search: Samples, found: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """What the finalists do under corruptions; None for each where that is off."""

    def advance(done: int, of: int) -> None:
        context.guard.check()
        context.progress.advance(done, of, "under corruptions")

    digests = [finalist["bundle"] for finalist in found]
    bundles = [load_bundle(bundle_folder(context.home, context.project, d), expected=d) for d in dict.fromkeys(digests)]
    tried = robustness_of(context, search, bundles, advance)
    return [tried.get(digest) for digest in digests]


def _point_of(searched: Done, arch: Architecture) -> dict[str, Any]:
    """The evaluation of an architecture that the search began with."""
    return next(point for point in read_json(searched.file(POINTS)) if point["arch"] == arch.id)


def _all_finetuned(
    context: Context, validated: Done, supernet: Done, architectures: list[Architecture]
) -> Iterator[Done]:
    """The architectures, fine-tuned as many at the same time as there are processors for; in the given order."""
    from evernas.supernet.accelerator import chosen, computing

    threads, each = context.config.supernet.threads, context.config.finalists.steps
    device = chosen(context.config.supernet.device)
    total = each * len(architectures)
    steps = dict.fromkeys(architectures, 0)

    def advance(arch: Architecture, step: int) -> None:
        steps[arch] = step
        context.progress.advance(sum(steps.values()), total, f"fine-tuning {arch.id}")

    def tune(arch: Architecture) -> Done:
        tuned = _finetuned(context, validated, supernet, arch, partial(advance, arch))
        steps[arch] = each
        return tuned

    # How torch computes is set here once: the setting is of the process, not of a thread.
    with computing(threads, device), ThreadPoolExecutor(at_once(threads)) as pool:
        yield from pool.map(tune, architectures)


def _finetuned(
    context: Context, validated: Done, supernet: Done, arch: Architecture, on_step: Callable[[int], None]
) -> Done:
    """One architecture fine-tuned and exported; kept by key, so that devices and restarted runs share it."""
    config, store = context.config, context.store
    inputs = {
        "arch": arch.to_json(),
        "supernet": supernet.ref,
        "train": validated.facts["kept"]["train"],
        "search_split": validated.facts["kept"]["search"],
        "config": config.finalists.model_dump(mode="json", exclude={"count"}),
        "contract": contract_of(context).to_json(),
        "labels": config.data.labels,
        "seed": config.seed,
    }
    ref = store.ref("finetuned", VERSIONS["finetuned"], inputs)
    done = store.find(ref)
    if done is not None and _bundle_is_whole(context, done):
        return done
    context.allowance.check()
    folder = store.workspace(ref)

    def advance(step: int, total: int, metrics: dict[str, float]) -> None:
        if step % 20 == 0:
            on_step(step)

    on_step(0)
    bundle, facts = _make(context, validated, supernet, arch, advance)
    finalist = {"bundle": bundle.digest, "architecture": arch.to_json(), **facts}
    return store.finish(Done(ref, folder, {"finalist": finalist}, inputs, context.manifest.run), [], context.guard)


def _in_precision(context: Context, precision: str, validated: Done, supernet: Done, tuned: Done) -> Done:
    """A fine-tuned architecture in a number format; kept by key likewise."""
    if precision == "fp32":
        return tuned
    config, store, base = context.config, context.store, tuned.facts["finalist"]
    count = config.supernet.calibration_batches * config.supernet.batch
    inputs = {
        "bundle": base["bundle"],
        "precision": precision,
        "train": validated.facts["kept"]["train"],
        "search_split": validated.facts["kept"]["search"],
        "calibration": count,
        "labels": config.data.labels,
    }
    ref = store.ref("quantised", VERSIONS["quantised"], inputs)
    done = store.find(ref)
    if done is not None and _bundle_is_whole(context, done):
        return done
    from evernas.hardware.quantise import quantise

    context.progress.advance(1, 1, f"quantising {short(base['bundle'])}")
    folder = store.workspace(ref)
    whole = load_bundle(bundle_folder(context.home, context.project, base["bundle"]), expected=base["bundle"])
    train = training_data(context, validated, tokeniser_of(supernet))
    model = quantise(whole.model_path.read_bytes(), train.calibration(count, config.supernet.augment))
    record = {**whole.extra["architecture_record"], "precision": precision}
    extra = {**whole.extra, "architecture_record": record}
    bundle, facts = _shipped(context, validated, supernet, model, train.x, extra)
    finalist = {"bundle": bundle.digest, "architecture": base["architecture"], **facts}
    return store.finish(Done(ref, folder, {"finalist": finalist}, inputs, context.manifest.run), [], context.guard)


def _bundle_is_whole(context: Context, done: Done) -> bool:
    digest = done.facts["finalist"]["bundle"]
    try:
        load_bundle(bundle_folder(context.home, context.project, digest), expected=digest)
    except (IntegrityError, OSError):
        return False
    return True


def _make(
    context: Context, validated: Done, supernet: Done, arch: Architecture, advance: Any
) -> tuple[Bundle, dict[str, Any]]:
    from evernas.hardware.export import check_equal, export_onnx
    from evernas.supernet import calibrate, extract, finetune
    from evernas.supernet.accelerator import chosen, computing, enough_memory, placed

    config, space = context.config, context.space
    device = chosen(config.supernet.device)
    tokeniser = tokeniser_of(supernet)
    train, search = training_data(context, validated, tokeniser), samples(context, validated, "search")
    state = supernet_state(supernet)
    augment, count = config.supernet.augment, config.supernet.calibration_batches * config.supernet.batch
    calibration = train.calibration(count, augment)
    with (
        computing(config.supernet.threads, device),
        enough_memory("lower supernet.calibration_batches or supernet.batch"),
    ):
        teacher = calibrate(placed(extract(state, space.largest(), space), device), calibration)
        subnet = calibrate(placed(extract(state, arch, space), device), calibration)
    tuned = finetune(
        subnet,
        train,
        config.finalists,
        augment,
        config.seed,
        teacher=teacher,
        guard=context.guard.check,
        on_progress=advance,
        threads=config.supernet.threads,
        device=device,
        balance=config.supernet.balance,
        calibration=count,
    )
    model = export_onnx(tuned, space.shape)
    check_equal(model, tuned, network_inputs(context.space, search.x[:256], tokeniser))
    extra = {
        "architecture": arch.to_json(),
        "architecture_record": architecture_record(space, arch).model_dump(mode="json"),
        "snapshot": validated.facts["snapshot"],
        "supernet": supernet.facts["digest"],
    }
    return _shipped(context, validated, supernet, model, train.x, extra)


def _shipped(
    context: Context, validated: Done, supernet: Done, model: bytes, train: npt.NDArray[Any], extra: dict[str, Any]
) -> tuple[Bundle, dict[str, Any]]:
    """The bundle of a network's bytes, and its errors on the search split by these very bytes."""
    search, tokeniser = samples(context, validated, "search"), tokeniser_of(supernet)
    inputs = check_inputs(train) if tokeniser is None else _drawn(context, len(tokeniser))
    scores, _ = scores_of(context, model, inputs)
    context.guard.check()
    bundle = write_bundle(
        context.home.bundles(context.project),
        model,
        context.config.data.labels,
        contract_of(context),
        BundleSamples(inputs, scores),
        extra,
        tokeniser,
    )
    share_bundle(context.home, context.project, bundle)
    predicted, _ = scores_of(context, model, network_inputs(context.space, search.x, tokeniser))
    correct = predicted.argmax(1) == search.y
    return bundle, {"error": float(1 - correct.mean()), "error_by_domain": errors_by_domain(correct, search.domains)}


def _drawn(context: Context, known: int) -> npt.NDArray[np.int64]:
    """Inputs that no text stands behind, each longer than the one before it."""
    (tokens,) = context.space.shape
    drawn = np.random.default_rng(0).integers(1, known, (SAMPLES, tokens))
    ends = np.linspace(1, tokens, SAMPLES).round().astype(int)[:, None]
    return np.where(np.arange(tokens) < ends, drawn, 0)


def check_inputs(train: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A few inputs (SAMPLES, *shape) that a bundle is tried on wherever it goes: noise, as loud as training data is.

    A bundle goes to devices and into registries, where nobody's data has to be.
    """
    over = (0, *range(2, train.ndim))
    shape = (1, train.shape[1], *[1] * (train.ndim - 2))
    mean, spread = train.mean(axis=over, dtype=np.float64), train.std(axis=over, dtype=np.float64)
    noise = np.random.default_rng(0).normal(size=(SAMPLES, *train.shape[1:]))
    made = mean.reshape(shape) + spread.reshape(shape) * noise
    return np.asarray(np.clip(made, train.min(), train.max()), np.float32)


def contract_of(context: Setting) -> Contract:
    """What a network of this config takes and gives."""
    sample = context.config.data.sample
    if isinstance(sample, TextConfig):
        return Contract((), sample.shape, dtype="int64", normalisation_inside=False, characters=sample.characters)
    rate = sample.rate_hz if isinstance(sample, SignalConfig) else None
    return Contract(tuple(sample.channels), sample.shape[1:], rate)


def _log(context: Context, done: Done) -> None:
    from evernas.supernet.accelerator import chosen, name_of

    with context.tracked(done.ref) as tracked:
        found = {"count": len(done.facts["finalists"]), "steps": context.config.finalists.steps}
        tracked.params({**found, "device": name_of(chosen(context.config.supernet.device))})
        for number, finalist in enumerate(done.facts["finalists"]):
            worst = worst_domain_error(finalist["error_by_domain"])
            errors = {"error": finalist["error"], "error_inherited": finalist["error_inherited"]}
            errors |= {} if worst is None else {"worst_domain_error": worst}
            tracked.metrics({**errors, **robust_metrics(finalist["robustness"])}, step=number)
            digest = finalist["bundle"]
            tracked.file(bundle_folder(context.home, context.project, digest), f"bundles/{short(digest)}")
        tracked.value(done.facts["finalists"], "finalists.json")
