"""The supernet step: trains the weight-sharing supernet on the train split, from the last one where it fits."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evernas.config import SupernetConfig
from evernas.errors import EvernasError
from evernas.result import DivergedRecord
from evernas.state import Done
from evernas.state.files import write_bytes
from evernas.steps.context import Context, Setting, Work
from evernas.steps.drift import work_of
from evernas.steps.exporting import export_untrained, network_files
from evernas.steps.forgetting import Lost, Supernet, gave_up_warm, lost_since
from evernas.steps.layout import layout_of, space_before
from evernas.steps.loading import (
    LEARNED,
    SUPERNET,
    TOKENISER,
    TRAINED,
    as_training,
    learned_now,
    learned_rows,
    samples,
    supernet_state,
    tokeniser_of,
    train_digests,
    trained_rows,
    unlearned,
)
from evernas.tokeniser import Tokeniser, text_of

if TYPE_CHECKING:
    from evernas.data import Samples
    from evernas.supernet import TrainingData

CURVE_POINTS = 100
PROFILE = "profile"


def run(context: Context, validated: str) -> str:
    """Reference of the trained supernet."""
    data = context.store.get(validated)
    inputs = supernet_inputs(context, data)
    return context.perform(
        inputs, lambda folder: _work(context, data, inputs, folder), lambda done: _log(context, done)
    ).ref


def supernet_inputs(context: Setting, validated: Done) -> dict[str, Any]:
    """All that the supernet depends on.

    `last` is the supernet before it, whose rows count as trained on; `parent` is the same where this one goes on from
    its weights, else None. A supernet that was trained before with the same of all else keeps those that it had. `work`
    is there where drift decides that the last supernet's weights stay.
    """
    config = context.config
    inputs = {
        "train": validated.facts["kept"]["train"],
        "config": config.section_digest("supernet", "space"),
        "profile_subnets": config.profile.subnets,
        "shape": list(config.data.sample.shape),
        "labels": config.data.labels,
        "seed": config.seed,
        "space": context.space.id,
    }
    last = last_of(context)
    if last is None:
        return {**inputs, "last": None, "parent": None}
    before = {name: last.inputs.get(name) for name in ("last", "parent")}
    same = {name: value for name, value in last.inputs.items() if name not in (*before, "work")} == inputs
    # It may have to be made again, by a newer version, when what it was made from is gone.
    if same and (
        context.find("supernet", last.inputs) is not None
        or all(ref is None or context.store.find(ref) is not None for ref in before.values())
    ):
        return last.inputs
    kept = {"work": "finetune"} if stays(context, last) and work_of(context) == "finetune" else {}
    goes_on = bool(kept) or cold_because(context, last) is None
    return {**inputs, **kept, "last": last.ref, "parent": last.ref if goes_on else None}


def last_of(context: Setting) -> Done | None:
    """The supernet of the last run; None where there was none, and where it is gone or damaged."""
    head = context.manifest.head
    return None if head is None else context.store.find(head.supernet)


def cold_because(context: Setting, last: Done | None) -> str | None:
    """Why a supernet after this `last` one begins from nothing; None where it goes on from its weights."""
    if last is None:
        if context.manifest.head is None:
            return "there is none before it"
        return f"the last one ({context.manifest.head.supernet}) is gone or damaged"
    if not last.inputs["space"]:
        return "what the last one was trained on was erased"
    if not _fits(context, last):
        if last.facts.get("layout", {}).get("samples") is None:
            return "space or classes have changed, and the last one, of an older version, does not tell its samples"
        return "the last one's samples are of another kind, have other channels, or were cut into other sub-words"
    config = context.config.supernet.warm_start
    before: int = last.facts.get("warm_starts", 0)
    if 0 < config.cold_every <= before + 1:
        return f"of {config.cold_every:,} trainings one is cold (supernet.warm_start.cold_every), and this one is due"
    return None


def stays(context: Setting, last: Done) -> bool:
    """Whether it is the same network of the same kind of samples, so that drift may let it stay."""
    same = last.inputs["space"] == context.space.id and last.inputs["labels"] == context.config.data.labels
    return same and last.facts.get("layout", {}).get("samples") in (None, _samples(context))


def _fits(context: Setting, last: Done) -> bool:
    """Whether weights of the last supernet have a place in this one: both are of the same channels or sub-words."""
    of_the_same: bool = last.facts.get("layout", {}).get("samples") == _samples(context)
    return of_the_same or stays(context, last)


def _samples(context: Setting) -> list[Any]:
    """What must be the same for weights to mean the same: the channels' names, or how texts are cut."""
    data, name = context.config.data, context.space.name
    if data.text is not None:
        return [name, data.text.model_dump(mode="json", exclude={"characters"})]
    return [name, data.sample.channels]


def _work(context: Context, validated: Done, inputs: dict[str, Any], folder: Path) -> Work:
    from evernas.supernet import save_state, state_digest

    config = context.config.supernet
    parent = None if inputs["parent"] is None else context.store.get(inputs["parent"])
    if parent is not None and "work" in inputs:
        return _kept(context, validated, inputs, parent, folder)
    tokeniser = _tokeniser(context, validated, parent)
    train_rows = samples(context, validated, "train")
    data = as_training(context.space, train_rows, tokeniser)
    last = None if inputs["last"] is None else context.store.find(inputs["last"])
    new = None if last is None else unlearned(validated, train_rows, last)
    training = _Training(context, data, folder)
    trained = training.cold() if parent is None or new is None else training.warm_or_cold(parent, new)
    found = _compared(context, last, trained.state, tokeniser, train_rows, new)
    lost = found if isinstance(found, Lost) else None
    fell_back = trained.share is not None and lost is not None and lost.beyond(config.warm_start.most_lost)
    if fell_back:
        trained = training.cold()
    warm, share = trained.share is not None, trained.share
    save_state(trained.state, folder / SUPERNET)
    kept = [SUPERNET, TRAINED, LEARNED]
    if tokeniser is not None:
        write_bytes(folder / TOKENISER, tokeniser.data)
        kept.append(TOKENISER)
    _save_trained(context, validated, inputs, folder / TRAINED)
    before = learned_rows(parent) if parent is not None and warm else frozenset[str]()
    _save_lines(folder / LEARNED, before | learned_now(validated))
    profile = _export_profile(context, folder / PROFILE)
    rows = trained.curve.rows()
    windows, domains = len(data.x), sorted(set(map(str, data.domains)))
    facts = {
        "digest": state_digest(trained.state),
        "parent": parent.facts["digest"] if parent is not None and warm else None,
        "steps": int(rows[-1]["step"]),
        "curve": rows,
        "profile": profile,
        "windows": windows,
        "domains": domains,
        "layout": _layout(context),
        "warm_starts": 1 + parent.facts.get("warm_starts", 0) if parent is not None and warm else 0,
        "carried": share,
        "lost": None if lost is None else {**lost.to_json(), "fell_back": fell_back},
        "incomparable": found if isinstance(found, str) else None,
        "diverged": None if trained.diverged is None else trained.diverged.model_dump(),
    }
    start = f"{'warm' if warm else 'cold'} start"
    if trained.diverged is not None:
        start += f" (a warm one {trained.diverged.sentence})"
    elif fell_back and lost is not None:
        start += f" (a warm one forgot: {lost.sentence})"
    elif warm and share is not None and share < 1:
        start += f" with {100 * share:.0f} % of the weights"
    of = f"{windows} {context.config.data.sample_noun} of {len(domains)} {context.config.data.domain_noun}"
    remark = f"{start}, {facts['steps']} steps on {of}"
    return Work(facts, [*kept, *(f"{PROFILE}/{name}" for name in network_files(profile))], remark)


def _compared(
    context: Context,
    last: Done | None,
    state: dict[str, Any],
    tokeniser: Tokeniser | None,
    train: Samples,
    new: npt.NDArray[np.bool_] | None,
) -> Lost | str | None:
    """What was lost since the last supernet, or why the two cannot be compared; None where there is none before it."""
    if last is None or new is None:
        # Without a last one in its inputs it may be the very supernet of the last run, made again.
        gone = context.manifest.head is not None and last_of(context) is None
        return "it is gone or damaged" if gone else None
    if not last.inputs["space"]:
        return "what it was trained on was erased"
    space = context.space if last.inputs["space"] == context.space.id else space_before(last)
    if space is None:
        return "it is of an older version, and does not tell its space"
    if space.name != context.space.name:
        return "its samples were of another kind"
    if space.name != "text" and last.facts.get("layout", {}).get("samples") not in (None, _samples(context)):
        return "its samples had other channels"
    before = Supernet(supernet_state(last), space, last.inputs["labels"], tokeniser_of(last))
    after = Supernet(state, context.space, context.config.data.labels, tokeniser)
    return lost_since(context.config.supernet, before, after, train, ~new, context.guard.check)


@dataclass(frozen=True)
class _Trained:
    """Weights, and how they came to be."""

    state: dict[str, Any]
    curve: _Curve
    share: float | None = None
    """Which share of the first weights were the parent's; None for a cold start."""
    diverged: DivergedRecord | None = None
    """The warm start before a cold one."""


@dataclass(frozen=True)
class _Training:
    """Training on the run's data, from nothing or from a parent, each with a checkpoint and a curve of its own."""

    context: Context
    data: TrainingData
    folder: Path

    def cold(self) -> _Trained:
        """From nothing. EvernasError where it diverges."""
        return _Trained(*self._train("cold", self.context.config.supernet, self.context.config.supernet.steps))

    def warm_or_cold(self, parent: Done, new: npt.NDArray[np.bool_]) -> _Trained:
        """From the parent's weights; where that diverges, from nothing. EvernasError where both do.

        Nothing has to be kept of the decision: a warm start that diverged does so again when a killed step goes on.
        """
        from evernas.supernet import Diverged

        try:
            return self._warm(parent, new)
        except Diverged as error:
            diverged = DivergedRecord(step=error.step, steps=error.total, learning_rate=error.rate)
        try:
            return replace(self.cold(), diverged=diverged)
        except Diverged as error:
            raise EvernasError(f"{error} This was a cold start; a warm one {diverged.sentence}.") from None

    def _warm(self, parent: Done, new: npt.NDArray[np.bool_]) -> _Trained:
        """From the parent's weights. Diverged where no lower rate helps.

        What is missing of them is made up for in steps: with nothing of them it takes as many as from nothing.
        """
        from evernas.supernet.carrying import Layout, carried

        space, config = self.context.space, self.context.config.supernet
        first, share = supernet_state(parent), 1.0
        if parent.inputs["space"] != space.id or parent.inputs["labels"] != self.context.config.data.labels:
            was = Layout(parent.inputs["labels"], parent.facts["layout"]["pooled"])
            found = carried(first, was, space, self.context.config.data.labels, self.context.config.seed)
            first, share = found.state, found.share
        more = round((1 - share) * max(0, config.steps - config.warm_steps))
        # What is not the parent's would be the mean of trained weights and random ones.
        begin = config.warm_start if share == 1 else config.warm_start.model_copy(update={"keep": 0.0})
        config = config.model_copy(update={"warm_steps": config.warm_steps + more, "warm_start": begin})
        return _Trained(*self._train("warm", config, config.warm_steps, first, new), share)

    def _train(
        self,
        way: str,
        config: SupernetConfig,
        steps: int,
        parent: dict[str, Any] | None = None,
        new: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[dict[str, Any], _Curve]:
        from evernas.supernet import train
        from evernas.supernet.accelerator import name_of, of_training

        context, curve = self.context, _Curve(self.folder / f"curve-{way}.jsonl", self.context)
        context.progress.advance(0, steps, f"{way}, on {name_of(of_training(config))}")
        with context.stopping.deferred() as stopping:
            state = train(
                context.space,
                self.data,
                config,
                context.config.seed,
                checkpoint=self.folder / f"checkpoint-{way}",
                parent=parent,
                new=new,
                on_progress=curve.add,
                guard=context.guard.check,
                stopping=stopping,
                at_checkpoint=context.allowance.check,
            )
        return state, curve


def _tokeniser(context: Context, validated: Done, parent: Done | None) -> Tokeniser | None:
    """The parent's where there is one, since its numbers are what the weights were learned with; else of these texts.

    None where samples are no texts.
    """
    text = context.config.data.text
    if text is None:
        return None
    if parent is not None:
        return tokeniser_of(parent)
    from evernas.supernet.vocabulary import learn

    texts = [text_of(row) for row in samples(context, validated, "train").x]
    return learn(texts, text.vocabulary, text.lowercase, text.tokens)


def _kept(context: Context, validated: Done, inputs: dict[str, Any], parent: Done, folder: Path) -> Work:
    """The last supernet as it is, now with the rows that candidates will be fine-tuned on."""
    kept = [SUPERNET, *(name for name in (TOKENISER, LEARNED) if parent.file(name).exists())]
    for name in kept:
        write_bytes(folder / name, parent.file(name).read_bytes())
    _save_trained(context, validated, inputs, folder / TRAINED)
    profile = _export_profile(context, folder / PROFILE)
    counts = validated.facts["splits"]["train"]
    facts = {
        **{name: parent.facts[name] for name in ("digest", "parent", "steps", "curve")},
        "layout": _layout(context),
        "warm_starts": parent.facts.get("warm_starts", 0),
        "carried": None,
        "lost": None,
        "incomparable": None,
        "diverged": None,
        "profile": profile,
        "windows": sum(counts.values()),
        "domains": sorted(counts),
    }
    outputs = [*kept, TRAINED, *(f"{PROFILE}/{name}" for name in network_files(profile))]
    return Work(facts, outputs, "the last supernet's weights stay, as drift decides")


def _layout(context: Setting) -> dict[str, Any]:
    """What the sizes of its tensors do not tell."""
    return {"samples": _samples(context), "pooled": context.space.pooled_parts, "of": layout_of(context)}


def _save_trained(context: Context, validated: Done, inputs: dict[str, Any], path: Path) -> None:
    """Note every row that this supernet or one before it was trained on: none of them may judge in the gate."""
    before = frozenset[str]() if inputs["last"] is None else trained_rows(context.store.get(inputs["last"]))
    _save_lines(path, before | train_digests(validated))


def _save_lines(path: Path, lines: frozenset[str]) -> None:
    write_bytes(path, "".join(f"{line}\n" for line in sorted(lines)).encode())


class _Curve:
    """The training curve, kept while it grows, so that a killed training has all of it in the end."""

    def __init__(self, path: Path, context: Context) -> None:
        self._path = path
        self._context = context

    def add(self, step: int, total: int, metrics: dict[str, float]) -> None:
        if step % max(1, total // CURVE_POINTS) and step != total:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._context.progress.advance(step, total, f"loss {metrics['loss']:.3f}" if "loss" in metrics else "")

    def rows(self) -> list[dict[str, float]]:
        """One row a step; steps that were done again after a kill gave the same figures. A torn line is left out."""
        found: dict[int, dict[str, float]] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            found[int(row["step"])] = row
        return [found[step] for step in sorted(found)]


def _export_profile(context: Context, folder: Path) -> list[dict[str, Any]]:
    """Untrained subnets for the devices' profiles: the same bytes for every supernet, so profiles are kept.

    In eight bits, too, whichever devices there are: one that is added later takes the supernet as it is.
    """
    import numpy as np

    space = context.space
    rng = np.random.default_rng(0)
    archs = [space.smallest(), space.largest()]
    wanted = min(context.config.profile.subnets, space.size())
    while len(archs) < wanted:
        arch = space.random(rng)
        if arch not in archs:
            archs.append(arch)
    return export_untrained(space, archs, folder, ("fp32", "int8"), context.guard.check)


def _log(context: Context, done: Done) -> None:
    from evernas.supernet.accelerator import chosen, name_of

    with context.tracked(done.ref) as tracked:
        tracked.params(
            {
                "steps": done.facts["steps"],
                "parent": done.facts["parent"],
                "windows": done.facts["windows"],
                "domains": ",".join(done.facts["domains"]),
                "space": done.inputs["space"],
                **({} if "work" in done.inputs else {"device": name_of(chosen(context.config.supernet.device))}),
                "precision": context.config.supernet.precision,
                "carried": done.facts.get("carried"),
            }
        )
        lost = done.facts.get("lost")
        if lost is not None:
            tracked.metrics({"known_error_before": lost["before"], "known_error_after": lost["after"]})
        why = gave_up_warm(done.facts)
        if lost is not None or why is not None:
            tracked.tags({"evernas.fell_back": str(why is not None).lower()})
        if why is not None:
            tracked.tags({"evernas.fell_back_why": why})
        if done.facts.get("incomparable") is not None:
            tracked.tags({"evernas.incomparable": done.facts["incomparable"]})
        tracked.curve(done.facts["curve"])
        tracked.tags({"evernas.supernet": done.facts["digest"]})
        tracked.file(done.file(SUPERNET))
