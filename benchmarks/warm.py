"""Whether a warm start is as good as a cold one, at a third of its cost: the watch data, arriving person by person.

    python benchmarks/warm.py [--choices 5] [--seeds 5] [--workers N] [--quick] [--json FILE] [--page]

Of each choice of people two judge, three are there at the start and five arrive one by one. After each arrival a
supernet is trained cold on all who are there, and another warm from the one before it, as a run would. Quality is the
mean error of eight fixed subnets on the two who judge, read at fixed checkpoints and smoothed over three. The cold
length is the shortest that ends within half a point of a cold run three times as long; a warm start has three tenths
of it.

Everything that was trained is kept in traces/warm/, a line each, so that an interrupted measurement goes on; the
weights that a warm start begins from are in .benchmarks/warm/, and are trained again where they are not there. What is
printed, and written to docs/benchmarks/warm.md with --page, is of what has been trained so far.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import trainings
import yaml
from trainings import ROOT, Rows, errors, keep, kept, settings, spread_architectures, training_data, watch_rows
from warm_figures import SMOOTHED, WITHIN, Lengths, Measured, Pair, Reading, page, smoothed, table

from evernas.config import Config, SupernetConfig
from evernas.digest import digest_value, short
from evernas.spaces import ConvolutionalSpace

FOLDER = Path(__file__).with_name("traces") / "warm"
SCRATCH = ROOT / ".benchmarks" / "warm"
PAGE = ROOT / "docs" / "benchmarks" / "warm.md"
PEOPLE = [str(number) for number in range(1, 11)]
JUDGES, FIRST, SUBNETS = 2, 3, 8
CHECKPOINTS, SELDOM = 30, 5
"""Checkpoints of a cold training. All of a warm one of the same spacing are read; of a cold one every fifth, and the
last three."""
WARM_SHARE = 0.3
"""Steps of a warm start for each of a cold one: somewhat under a third."""


@dataclass(frozen=True)
class Size:
    """How much is asked for."""

    choices: int = 5
    seeds: int = 5
    arrivals: int = len(PEOPLE) - JUDGES - FIRST
    lengths: tuple[int, ...] = (100, 300, 900, 2700)
    """Of cold runs, each three times the one before."""
    one_in: int = 1
    """Windows that are taken."""
    folder: Path = FOLDER


QUICK = Size(choices=1, seeds=1, arrivals=2, lengths=(10, 30), one_in=12, folder=SCRATCH / "quick")


@dataclass(frozen=True)
class Training:
    """One supernet: cold, or warm at the end of a chain that began cold with `began` steps."""

    choice: int
    seed: int
    arrived: int
    steps: int
    began: int | None = None

    @property
    def key(self) -> list[Any]:
        """What tells it from others in the file."""
        way: list[Any] = ["cold"] if self.began is None else ["warm", _way(), self.began]
        return [*way, self.choice, self.seed, self.arrived, self.steps]

    @property
    def parent(self) -> Training:
        """What a warm start begins from."""
        assert self.began is not None
        if self.arrived == 1:
            return Training(self.choice, self.seed, 0, self.began)
        return Training(self.choice, self.seed, self.arrived - 1, self.steps, self.began)


@cache
def _way() -> str:
    """What a warm start's weights depend on beside what a cold one's do; not when a run begins anew."""
    asked = _example()[1].supernet.warm_start
    return short(digest_value(asked.model_dump(mode="json", exclude={"most_lost", "cold_every"})))


@cache
def _example() -> tuple[dict[str, Any], Config]:
    document = yaml.safe_load((ROOT / "examples" / "watch" / "evernas.yaml").read_text())
    return document, Config.model_validate(document)


@dataclass(frozen=True)
class Bench:
    """The example: its space, its settings and all of its windows."""

    space: ConvolutionalSpace
    config: SupernetConfig
    rows: Rows

    def people(self, choice: int) -> tuple[list[str], list[str]]:
        """Who judges, and who trains in the order of arrival."""
        order = [str(person) for person in np.random.default_rng([9, choice]).permutation(PEOPLE)]
        return order[:JUDGES], order[JUDGES:]

    def trained_on(self, training: Training) -> Rows:
        _, arriving = self.people(training.choice)
        return self.rows.of(arriving[: FIRST + training.arrived])

    def new(self, training: Training) -> Any:
        """Of each row that trains, whether it is of the person who arrived last."""
        _, arriving = self.people(training.choice)
        return self.trained_on(training).domains == arriving[FIRST + training.arrived - 1]

    def judges(self, choice: int) -> Rows:
        return self.rows.of(self.people(choice)[0])


@cache
def bench(one_in: int) -> Bench:
    """The watch example; people are chosen here, not by its splits."""
    from evernas.steps.context import space_of

    document, config = _example()
    space = space_of(config)
    assert isinstance(space, ConvolutionalSpace)
    alone = config.supernet.model_copy(update={"threads": 1, "processes": 1, "device": "cpu"})
    return Bench(space, alone, watch_rows(document).every(one_in))


def file_of(size: Size) -> Path:
    """Where the trainings are kept: of the same data, space, settings and version of torch."""
    of = bench(size.one_in)
    parts = [of.space.id, settings(of.config, "steps", "warm_steps", "warm_start"), SUBNETS, CHECKPOINTS]
    return trainings.file_of(size.folder, "watch", parts, (of.rows,))


def perform(job: tuple[Size, Sequence[Training]]) -> None:
    """Train one after the other what is not kept."""
    import torch

    torch.set_num_threads(1)
    size, wanted = job
    held = kept(file_of(size))
    for training in wanted:
        if json.dumps(training.key) not in held:
            _weights(size, training)


def _weights(size: Size, training: Training) -> dict[str, Any]:
    """The trained state: where it is there from before, else it is trained, measured and kept."""
    from evernas.supernet import save_state
    from evernas.supernet.states import load_state

    file = file_of(size)
    state_file = SCRATCH / "states" / f"{short(digest_value([file.stem, training.key]))}.safetensors"
    known = json.dumps(training.key) in kept(file)
    if known and state_file.exists():
        return load_state(state_file)[0]
    parent = None if training.began is None else _weights(size, training.parent)
    state, entry = _trained(bench(size.one_in), training, parent)
    if training.arrived == 0 or training.began is not None:
        save_state(state, state_file)
    if not known:
        keep(file, {"key": training.key, **entry})
    return state


def _trained(of: Bench, training: Training, parent: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state, and what was read: step, CPU seconds of training until then, and error; the last is the end's."""
    from evernas.supernet import train
    from evernas.supernet.states import CHECKPOINT, load_state
    from evernas.supernet.warmstart import ended

    data, judges, steps = training_data(of.trained_on(training)), of.judges(training.choice), training.steps
    spacing = spacing_of(training)
    lengths = {"steps": training.began or steps, "warm_steps": steps}
    config = of.config.model_copy(update={**lengths, "checkpoint_every": spacing})
    readings: list[tuple[int, float, float]] = []
    began_s, aside_s = time.process_time(), 0.0
    with tempfile.TemporaryDirectory(prefix="evernas-warm-") as scratch:

        def at_checkpoint() -> None:
            nonlocal aside_s
            stopped_s = time.process_time()
            tensors, meta = load_state(Path(scratch) / CHECKPOINT)
            if is_read(training, meta["step"]):
                # What a training that ended here would give: the running mean of the weights.
                found = {name[7:]: tensor for name, tensor in tensors.items() if name.startswith("weight/")}
                found |= {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("mean/")}
                if parent is not None:
                    found = ended(parent, found, config.warm_start.kept)
                readings.append((meta["step"], stopped_s - began_s - aside_s, _error(of, found, data, judges)))
            aside_s += time.process_time() - stopped_s

        state = train(
            of.space, data, config, training.seed, checkpoint=Path(scratch), parent=parent,
            new=None if parent is None else of.new(training), at_checkpoint=at_checkpoint,
        )  # fmt: skip
        cpu_s = time.process_time() - began_s - aside_s
    readings.append((steps, cpu_s, _error(of, state, data, judges)))
    return state, {"people": of.people(training.choice), "windows": len(data.x), "readings": readings}


def spacing_of(training: Training) -> int:
    """Steps from one checkpoint to the next: the same for a warm start and the cold one it is compared with."""
    return max(1, (training.steps if training.began is None else training.began) // CHECKPOINTS)


def is_read(training: Training, step: int) -> bool:
    """Whether quality is read at the checkpoint of this step."""
    spacing = spacing_of(training)
    late = training.steps - step < SMOOTHED * spacing
    return late or training.began is not None or step % (SELDOM * spacing) == 0


def _error(of: Bench, state: dict[str, Any], data: Any, judges: Rows) -> float:
    """Mean error of the eight subnets, of each of them over the judges, in points."""
    from evernas.supernet import calibrate, extract, supernet_of

    net, samples = supernet_of(of.space, state), of.config.calibration_batches * of.config.batch
    calibration = data.calibration(samples, of.config.augment)
    each = [
        np.mean(list(errors(calibrate(extract(net, arch), calibration), judges).values()))
        for arch in spread_architectures(of.space)[:SUBNETS]
    ]
    return 100 * float(np.mean(each))


def cold_runs(size: Size, length: int, choice: int) -> list[Training]:
    """Of one length, after each arrival, with the first seed."""
    return [Training(choice, 0, arrived, length) for arrived in range(1, size.arrivals + 1)]


def compared(size: Size, length: int, choice: int, seed: int) -> list[Training]:
    """Cold and warm in turns, so that the machine is the same for both."""
    found = [Training(choice, seed, 0, length)]
    for arrived in range(1, size.arrivals + 1):
        found.append(Training(choice, seed, arrived, length))
        found.append(Training(choice, seed, arrived, max(1, round(WARM_SHARE * length)), length))
    return found


def lengths(size: Size) -> Lengths:
    """By how much each length of cold runs ends worse than three times it, where both are known; in points."""
    held = kept(file_of(size))
    found: dict[int, list[float]] = {}
    for short_, long in pairwise(size.lengths):
        for choice in range(size.choices):
            ends = [
                [held.get(json.dumps(run.key)) for run in cold_runs(size, length, choice)] for length in (short_, long)
            ]
            for one, other in zip(*ends, strict=True):
                if one and other:
                    found.setdefault(short_, []).append(_end(one) - _end(other))
    return Lengths(found)


def _end(entry: dict[str, Any]) -> float:
    return smoothed(_readings(entry))[-1].error


def _readings(entry: dict[str, Any]) -> list[Reading]:
    return [Reading(*values) for values in entry["readings"]]


def measured(size: Size, length: int) -> Measured:
    """All pairs of a cold and a warm training of which both are known."""
    held, pairs = kept(file_of(size)), []
    for choice in range(size.choices):
        for seed in range(size.seeds):
            for cold, warm in _pairs(compared(size, length, choice, seed)):
                ends = [held.get(json.dumps(training.key)) for training in (cold, warm)]
                if all(ends):
                    one, other = (_readings(entry) for entry in ends if entry)
                    pairs.append(Pair(choice, seed, FIRST + cold.arrived, one, other))
    return Measured(length, lengths(size), pairs)


def _pairs(runs: Sequence[Training]) -> Iterator[tuple[Training, Training]]:
    return zip(runs[1::2], runs[2::2], strict=True)


def train_all(size: Size, workers: int) -> int:
    """Train what is not kept; the cold length that was found."""
    for short_, long in pairwise(size.lengths):
        runs = [
            [run]
            for choice in range(size.choices)
            for length in (short_, long)
            for run in cold_runs(size, length, choice)
        ]
        _each(size, runs, workers, f"cold, {short_} and {long} steps")
        if lengths(size).enough(short_):
            break
    length = lengths(size).shortest
    together = [compared(size, length, choice, seed) for seed in range(size.seeds) for choice in range(size.choices)]
    _each(size, together, workers, f"warm beside cold, {length} steps")
    return length


def _each(size: Size, jobs: Sequence[Sequence[Training]], workers: int, what: str) -> None:
    held = kept(file_of(size))
    wanted = [(size, job) for job in jobs if any(json.dumps(run.key) not in held for run in job)]
    if wanted:
        trainings.each_done(perform, wanted, workers, what)


def main() -> None:
    """Train what is not kept yet, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choices", type=int, default=Size.choices, help="of people who judge, start and arrive")
    parser.add_argument("--seeds", type=int, default=Size.seeds, help="of each choice")
    parser.add_argument("--longest", type=int, default=Size.lengths[-1], help="steps of a cold run, at most")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes of one thread; 0 only reads"
    )
    parser.add_argument("--quick", action="store_true", help="one choice, a few steps: whether it runs")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--page", action="store_true", help="write the table and plot into the documentation")
    asked = parser.parse_args()
    if asked.choices < 1 or asked.seeds < 1:
        parser.error("--choices and --seeds: at least 1")
    if asked.longest < Size.lengths[1]:
        parser.error(f"--longest: at least {Size.lengths[1]}")
    lengths_ = tuple(length for length in Size.lengths if length <= asked.longest)
    size = QUICK if asked.quick else Size(asked.choices, asked.seeds, lengths=lengths_)
    if asked.workers:
        train_all(size, asked.workers)
    known = lengths(size)
    if not known.excess:
        raise SystemExit("No two cold runs have been trained yet, of which one is three times as long as the other.")
    found = measured(size, known.shortest)
    if not found.pairs:
        raise SystemExit("No warm start has been trained yet beside a cold one.")
    print(table(found))
    if asked.json:
        asked.json.write_text(json.dumps({**found.figures(), "within": WITHIN, "quick": asked.quick}, indent=1) + "\n")
    if asked.page:
        page(PAGE, found)


if __name__ == "__main__":
    main()
