"""The supernet step: trains the weight-sharing supernet on the train split, from the last one where it fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evernas.digest import digest_bytes
from evernas.state import Done
from evernas.state.files import write_bytes
from evernas.steps.context import Context, Setting, Work
from evernas.steps.drift import work_of
from evernas.steps.loading import (
    SUPERNET,
    TOKENISER,
    TRAINED,
    as_training,
    samples,
    supernet_state,
    tokeniser_of,
    train_digests,
    trained_rows,
    untrained,
)
from evernas.tokeniser import Tokeniser, text_of

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

    `last` is the supernet before it, whose rows count as trained on; `parent` is the same where its weights fit, else
    None. A supernet that was trained before with the same of all else keeps those that it had. `work` is there where
    drift decides that the last supernet's weights stay.
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
    head = context.manifest.head
    last = None if head is None else context.store.find(head.supernet)
    if last is None:
        return {**inputs, "last": None, "parent": None}
    if {name: value for name, value in last.inputs.items() if name not in ("last", "parent", "work")} == inputs:
        return last.inputs
    fits = last.inputs["space"] == inputs["space"] and last.inputs["labels"] == inputs["labels"]
    kept = {"work": "finetune"} if fits and work_of(context) == "finetune" else {}
    return {**inputs, **kept, "last": last.ref, "parent": last.ref if fits else None}


def _work(context: Context, validated: Done, inputs: dict[str, Any], folder: Path) -> Work:
    from evernas.supernet import save_state, state_digest, train
    from evernas.supernet.accelerator import name_of, of_training

    config = context.config.supernet
    parent = None if inputs["parent"] is None else context.store.get(inputs["parent"])
    if parent is not None and "work" in inputs:
        return _kept(context, validated, inputs, parent, folder)
    tokeniser = _tokeniser(context, validated, parent)
    train_rows = samples(context, validated, "train")
    data = as_training(context, train_rows, tokeniser)
    curve = _Curve(folder / "curve.jsonl", context)
    steps = config.steps if parent is None else config.warm_steps
    context.progress.advance(0, steps, f"on {name_of(of_training(config))}")
    with context.stopping.deferred() as stopping:
        state = train(
            context.space,
            data,
            config,
            context.config.seed,
            checkpoint=folder / "checkpoint",
            parent=None if parent is None else supernet_state(parent),
            new=None if parent is None else untrained(validated, train_rows, trained_rows(parent)),
            on_progress=curve.add,
            guard=context.guard.check,
            stopping=stopping,
            at_checkpoint=context.allowance.check,
        )
    save_state(state, folder / SUPERNET)
    kept = [SUPERNET, TRAINED]
    if tokeniser is not None:
        write_bytes(folder / TOKENISER, tokeniser.data)
        kept.append(TOKENISER)
    _save_trained(context, validated, inputs, folder / TRAINED)
    profile = _export_profile(context, folder / PROFILE)
    rows = curve.rows()
    windows, domains = len(data.x), sorted(set(map(str, data.domains)))
    facts = {
        "digest": state_digest(state),
        "parent": None if parent is None else parent.facts["digest"],
        "steps": int(rows[-1]["step"]),
        "curve": rows,
        "profile": profile,
        "windows": windows,
        "domains": domains,
    }
    start = "cold" if parent is None else "warm"
    of = f"{windows} {context.config.data.sample_noun} of {len(domains)} {context.config.data.domain_noun}"
    remark = f"{start} start, {facts['steps']} steps on {of}"
    return Work(facts, [*kept, *(f"{PROFILE}/{arch['id']}.onnx" for arch in profile)], remark)


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
    kept = [SUPERNET] if tokeniser_of(parent) is None else [SUPERNET, TOKENISER]
    for name in kept:
        write_bytes(folder / name, parent.file(name).read_bytes())
    _save_trained(context, validated, inputs, folder / TRAINED)
    profile = _export_profile(context, folder / PROFILE)
    counts = validated.facts["splits"]["train"]
    facts = {
        **{name: parent.facts[name] for name in ("digest", "parent", "steps", "curve")},
        "profile": profile,
        "windows": sum(counts.values()),
        "domains": sorted(counts),
    }
    outputs = [*kept, TRAINED, *(f"{PROFILE}/{arch['id']}.onnx" for arch in profile)]
    return Work(facts, outputs, "the last supernet's weights stay, as drift decides")


def _save_trained(context: Context, validated: Done, inputs: dict[str, Any], path: Path) -> None:
    """Note every row that this supernet or one before it was trained on: none of them may judge in the gate."""
    before = frozenset[str]() if inputs["last"] is None else trained_rows(context.store.get(inputs["last"]))
    write_bytes(path, "".join(f"{digest}\n" for digest in sorted(before | train_digests(validated))).encode())


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
    """Untrained subnets for the devices' profiles: the same bytes for every supernet, so profiles are kept."""
    import numpy as np

    from evernas.hardware.export import export_onnx
    from evernas.supernet import extract, initial, supernet_of

    space = context.space
    rng = np.random.default_rng(0)
    archs = [space.smallest(), space.largest()]
    wanted = min(context.config.profile.subnets, space.size())
    while len(archs) < wanted:
        arch = space.random(rng)
        if arch not in archs:
            archs.append(arch)
    network = supernet_of(space, initial(space, 0))
    exported = []
    for arch in archs:
        data = export_onnx(extract(network, arch), space.shape)
        write_bytes(folder / f"{arch.id}.onnx", data)
        exported.append({"id": arch.id, "architecture": arch.to_json(), "digest": digest_bytes(data)})
    return exported


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
            }
        )
        tracked.curve(done.facts["curve"])
        tracked.tags({"evernas.supernet": done.facts["digest"]})
        tracked.file(done.file(SUPERNET))
