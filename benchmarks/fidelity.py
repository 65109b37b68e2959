"""How well the errors of inherited weights rank architectures, against training each of them alone.

    python benchmarks/fidelity.py [--sets watch digits] [--networks 200] [--seeds 3] [--workers N] [--rate R] [--quick]
                                  [--page]

A sample of architectures, stratified by multiply-accumulates, is trained alone on the example's training data, as many
steps as the supernet, with several seeds; the mean error on domains that neither train nor judge (the example's search
split) is the truth. Beside it stand the errors that the same architectures inherit from supernets: trained cold on all
of the data, and grown with the data, domain by domain, in three ways. Everything that was trained is kept in
traces/fidelity/, a line each, so an interrupted measurement goes on, with any number of workers. What is printed, and
written to docs/benchmarks/fidelity.md with --page, is of the architectures that have all their seeds, or as many as at
least half have.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import trainings
import yaml
from fidelity_figures import Sample, page, table
from trainings import (
    MOST,
    ROOT,
    Rows,
    digit_rows,
    errors,
    keep,
    kept,
    settings,
    spread_architectures,
    training_data,
    watch_rows,
)

from evernas.config import Config, FinalistConfig, WarmStartConfig
from evernas.spaces import Architecture, ConvolutionalSpace

FOLDER = Path(__file__).with_name("traces") / "fidelity"
QUICK_FOLDER = ROOT / ".benchmarks" / "fidelity"
PAGE = ROOT / "docs" / "benchmarks" / "fidelity.md"
SETS = ("watch", "digits")
NETWORKS, SEEDS, SUPERNETS, BLOCK = MOST, 3, 3, 10
WAYS = {
    "cold": None,
    "warm": WarmStartConfig(),
    "shrink-and-perturb": WarmStartConfig(shrink=0.7, perturb=0.3, keep=0),
}
"""How a supernet begins on the next increment: anew, or from the last one's weights."""


@dataclass(frozen=True)
class Bench:
    """One example: its space, what trains, and what tells the error."""

    name: str
    config: Config
    space: ConvolutionalSpace
    train: Rows
    judges: Rows

    @property
    def order(self) -> list[str]:
        """The training domains in the order they arrive."""
        return sorted(map(str, np.unique(self.train.domains)), key=lambda name: (len(name), name))

    @property
    def increments(self) -> list[list[str]]:
        """What trains after each delivery: the first two domains, then one more each."""
        return [self.order[:n] for n in range(2, len(self.order) + 1)]

    def alone(self, steps: int | None) -> FinalistConfig:
        """How one architecture is trained alone: as the supernet is, with nothing taught by another."""
        of = self.config.supernet
        return FinalistConfig(
            steps=steps or of.steps, batch=of.batch, learning_rate=of.learning_rate, weight_decay=of.weight_decay,
            clip=of.clip, dropout=of.dropout, label_smoothing=of.label_smoothing, average=of.average, distill=0,
        )  # fmt: skip

    def architectures(self, count: int) -> list[Architecture]:
        """The first of a fixed sequence: of many random ones by their multiply-accumulates, the halves' halves first.

        Whatever their number, they are spread evenly over what the space draws.
        """
        return spread_architectures(self.space)[:count]


@cache
def bench(name: str, rate: float | None = None) -> Bench:
    """The example of this name, with another learning rate where one is given; nothing of its gate split is kept."""
    from evernas.steps.context import space_of

    document = yaml.safe_load((ROOT / "examples" / name / "evernas.yaml").read_text())
    if rate is not None:
        document["supernet"]["learning_rate"] = rate
    config = Config.model_validate(document)
    rows = {"watch": watch_rows, "digits": digit_rows}[name](document)
    splits = config.data.splits
    held = {domain for domains in (splits.gate, splits.search) for domain in domains}
    training = [str(domain) for domain in np.unique(rows.domains) if domain not in held]
    space = space_of(config)
    assert isinstance(space, ConvolutionalSpace)
    return Bench(name, config, space, rows.of(training), rows.of(splits.search))


@dataclass(frozen=True)
class Task:
    """One training: of an architecture alone, or of the supernets that grow with the data in one way."""

    bench: str
    seed: int
    steps: int | None
    networks: int
    """How many architectures the sample has."""
    arch: int | None = None
    way: str | None = None
    rate: float | None = None

    @property
    def key(self) -> list[Any]:
        """What tells it from others in the file."""
        if self.arch is None:
            return ["inherited", self.way, self.seed]
        return ["alone", bench(self.bench, self.rate).architectures(self.networks)[self.arch].id, self.seed]


@dataclass(frozen=True)
class Size:
    """How much is asked for."""

    networks: int
    seeds: int
    supernets: int
    sample: int
    """Architectures that supernets are asked for, of which `networks` are trained alone."""
    steps: int | None
    rate: float | None = None
    """Of learning; None for the example's."""


def file_of(name: str, steps: int | None, rate: float | None = None) -> Path:
    """Where the trainings of a set are kept: of the same data, space, settings and version of torch."""
    of = bench(name, rate)
    # How a supernet goes on from another is measured here in ways of its own.
    parts = [of.space.id, settings(of.config.supernet, "warm_start"), of.alone(steps).model_dump(mode="json")]
    return trainings.file_of(QUICK_FOLDER if steps else FOLDER, name, parts, (of.train, of.judges))


def perform(task: Task) -> None:
    """Train, measure, and keep it."""
    import torch

    torch.set_num_threads(1)
    of = bench(task.bench, task.rate)
    found = _alone(of, task) if task.arch is not None else _inherited(of, task)
    keep(file_of(task.bench, task.steps, task.rate), {"key": task.key, **found})


def _alone(of: Bench, task: Task) -> dict[str, Any]:
    from evernas.supernet import extract, finetune, initial

    assert task.arch is not None
    arch = of.architectures(task.networks)[task.arch]
    first = extract(initial(of.space, task.seed), arch, of.space)
    config = of.config.supernet
    network = finetune(
        first, training_data(of.train), of.alone(task.steps), config.augment, task.seed, threads=1,
        balance=config.balance, calibration=config.calibration_batches * config.batch,
    )  # fmt: skip
    return {"genes": list(arch.genes), "errors": errors(network, of.judges)}


def _inherited(of: Bench, task: Task) -> dict[str, Any]:
    """The errors that the architectures inherit after each increment of the data."""
    from evernas.supernet import calibrate, extract, supernet_of, train

    assert task.way is not None
    begin = WAYS[task.way]
    config = of.config.supernet.model_copy(update={"threads": 1, "processes": 1})
    if task.steps:
        config = config.model_copy(update={"steps": task.steps, "warm_steps": task.steps})
    if begin is not None:
        config = config.model_copy(update={"warm_start": begin})
    parent, after = None, []
    for domains in of.increments:
        data = training_data(of.train.of(domains))
        with tempfile.TemporaryDirectory(prefix="evernas-fidelity-") as scratch:
            state = train(
                of.space, data, config, task.seed, checkpoint=Path(scratch), parent=parent,
                new=None if parent is None else data.domains == domains[-1],
            )  # fmt: skip
        net = supernet_of(of.space, state)
        calibration = data.calibration(config.calibration_batches * config.batch, config.augment)
        inherited = {
            arch.id: float(np.mean(list(errors(calibrate(extract(net, arch), calibration), of.judges).values())))
            for arch in of.architectures(task.networks)
        }
        after.append({"domains": domains, "errors": inherited})
        parent = None if begin is None else state
    return {"after": after}


def tasks(names: Sequence[str], size: Size) -> Iterator[Task]:
    """All trainings that are not kept: the supernets first, then a few architectures of each set in turns."""
    held = {name: kept(file_of(name, size.steps, size.rate)) for name in names}

    def every() -> Iterator[Task]:
        for seed in range(size.supernets):
            for name in names:
                for way in WAYS:
                    yield Task(name, seed, size.steps, size.sample, way=way, rate=size.rate)
        for first in range(0, size.networks, BLOCK):
            for name in names:
                for arch in range(first, min(first + BLOCK, size.networks)):
                    for seed in range(size.seeds):
                        yield Task(name, seed, size.steps, size.sample, arch=arch, rate=size.rate)

    return (task for task in every() if json.dumps(task.key) not in held[task.bench])


def measured(name: str, size: Size) -> Sample | None:
    """What is known of a set; None where no two architectures have been trained, or a way has no supernet.

    Where a measurement has not come to its end, it is of as many seeds as at least half of the architectures have that
    have any.
    """
    of, found = bench(name, size.rate), kept(file_of(name, size.steps, size.rate))
    chosen = of.architectures(size.sample)[: size.networks]
    alone = _of_most_seeds(found, [arch.id for arch in chosen], size.seeds)
    known = [arch for arch in chosen if arch.id in alone]
    inherited: dict[str, list[list[list[float]]]] = {}
    for way in WAYS:
        for entry in found.values():
            if entry["key"][:2] == ["inherited", way]:
                after = [[step["errors"][arch.id] for arch in known] for step in entry["after"]]
                inherited.setdefault(way, []).append(after)
    if len(known) < 2 or set(inherited) != set(WAYS):
        return None
    return Sample(
        name=name,
        alone=np.array([alone[arch.id] for arch in known]),
        macs=np.array([of.space.macs(arch) for arch in known], float),
        parameters=np.array([of.space.parameters(arch) for arch in known], float),
        inherited={way: np.array(values) for way, values in inherited.items()},
        trained_on=[len(domains) for domains in of.increments],
        steps=size.steps or of.config.supernet.steps,
        rate=of.config.supernet.learning_rate,
        domains=len(np.unique(of.judges.domains)),
    )


def _of_most_seeds(found: dict[str, Any], archs: Sequence[str], most: int) -> dict[str, list[float]]:
    """Errors by seed of the architectures that have so many."""

    def of(seeds: int) -> dict[str, list[float]]:
        entries = {arch: [found.get(json.dumps(["alone", arch, seed])) for seed in range(seeds)] for arch in archs}
        return {
            arch: [float(np.mean(list(entry["errors"].values()))) for entry in each if entry]
            for arch, each in entries.items()
            if all(each)
        }

    any_seed = len(of(1))
    return next(of(seeds) for seeds in range(most, 0, -1) if seeds == 1 or 2 * len(of(seeds)) >= max(any_seed, 1))


def main() -> None:
    """Train what is not kept yet, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--networks", type=int, default=NETWORKS, help="of each set; at most as many as by default")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of each architecture that is trained alone")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes of one thread; 0 only reads"
    )
    parser.add_argument("--rate", type=float, help="of learning, for supernets and alone, in place of the examples'")
    parser.add_argument("--quick", action="store_true", help="four architectures, a few steps: whether it runs")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--page", action="store_true", help="write the tables and plot into the documentation")
    asked = parser.parse_args()
    if not 2 <= asked.networks <= NETWORKS:
        parser.error(f"--networks: from 2 to {NETWORKS}")
    size = Size(asked.networks, asked.seeds, SUPERNETS, NETWORKS, None, asked.rate)
    if asked.quick:
        size = Size(4, 2, 1, 4, 2)
    wanted = list(tasks(asked.sets, size)) if asked.workers else []
    if wanted:
        trainings.each_done(perform, wanted, asked.workers, "trained")
    samples = [found for name in asked.sets if (found := measured(name, size))]
    if not samples:
        raise SystemExit("No architecture has been trained with all seeds yet, beside supernets of each way.")
    for sample in samples:
        print(table(sample))
    if asked.json:
        figures = {f"{sample.name}_{key}": value for sample in samples for key, value in sample.figures().items()}
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")
    if asked.page:
        page(PAGE, samples)


if __name__ == "__main__":
    main()
