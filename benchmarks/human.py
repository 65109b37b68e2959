"""Searched networks beside networks that people designed: on the same rows, trained by the same code.

    python benchmarks/human.py [--sets watch digits languages] [--choices N] [--seeds N] [--workers N] [--only NAME …]
                               [--quick] [--json FILE] [--page]

Of each choice some domains are unseen, some are the search split, and the others train. Ours are found as a run finds
them: a supernet, a search of its error on the search split and the latency that this machine's profile foresees, and
fine-tuning of a few along the front; other seeds train the same architectures from supernets of their own. A designed
network is trained by the same code with the same changes to the samples: with three learning rates, then with twice as
many steps as long as its error on the search split falls, then with the same teacher as ours; what was best there is
trained for each choice with each seed. All are then timed in one session of the benchmark step.

For each designed network the one of ours is taken that is best on the search split among those that are three times as
fast, or, where it takes less than five times as long as a network that computes nothing, no slower. What is compared
are errors on the unseen domains, which nothing else looks at.

Each training is kept in traces/human/, a line each, so that an interrupted measurement goes on. What is printed, and
written to docs/benchmarks/human.md with --page, is of what has been trained so far.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from human_figures import Compared, Ours, Theirs, page, table
from human_networks import designed, names, to_onnx
from human_sets import SETS, Bench, bench
from trainings import ROOT, Rows, each_done, keep, kept, settings

from evernas.config import BenchmarkConfig, DeviceConfig, FinalistConfig, ProfileConfig
from evernas.digest import digest_bytes, digest_value, short
from evernas.spaces import Architecture
from evernas.state.files import write_json

FOLDER = Path(__file__).with_name("traces") / "human"
SCRATCH = ROOT / ".benchmarks" / "human"
PAGE = ROOT / "docs" / "benchmarks" / "human.md"
RATES = (0.001, 0.003, 0.01)
FRONT = 6
"""How many of ours are taken along a front."""
DEVICE = "here"
PROFILE = ProfileConfig()
SESSION = BenchmarkConfig(cold_starts=0, load_clients=[], energy_windows=0)


@dataclass(frozen=True)
class Size:
    """How much is asked for. `steps`, `evaluations` and `one_in` are None, None and 1 but for whether it runs."""

    choices: int = 3
    seeds: int = 5
    longest: int = 8
    """Times the supernet's steps that a designed network is trained for at most."""
    steps: int | None = None
    evaluations: int | None = None
    one_in: int = 1
    profile: ProfileConfig = PROFILE
    session: BenchmarkConfig = SESSION
    folder: Path = FOLDER
    front: int = FRONT


_SHORT = BenchmarkConfig(
    restarts=2, seconds=0.05, warmup_seconds=0.02, max_variation=9.0, min_cpu_share=0.0, cold_starts=0,
    load_clients=[], energy_windows=0,
)  # fmt: skip
QUICK = Size(1, 1, 1, 3, 6, 12, ProfileConfig(subnets=12, seconds=0.5), _SHORT, SCRATCH / "quick", 2)


@dataclass(frozen=True)
class Task:
    """One piece of work: `ours` of a choice and seed, or a training of the designed network `network`."""

    bench: str
    size: Size
    choice: int
    seed: int
    network: str | None = None
    rate: float = 0.0
    times: int = 1
    taught: bool = False

    @property
    def key(self) -> list[Any]:
        """What tells it from others in the file."""
        if self.network is None:
            return ["ours", self.choice, self.seed]
        return ["designed", self.network, self.choice, self.seed, self.rate, self.times, self.taught]

    @property
    def steps(self) -> int:
        of = bench(self.bench, self.size.one_in).config.supernet
        return self.times * (self.size.steps or of.steps)


def file_of(name: str, size: Size) -> Path:
    """Where the trainings of a set are kept: of the same data, space, settings and version of torch."""
    of = bench(name, size.one_in)
    tuned = of.config.finalists.model_dump(mode="json")
    parts = [
        of.space.id,
        settings(of.config.supernet, "warm_steps", "warm_start"),
        tuned,
        size.steps,
        size.evaluations,
        size.front,
        RATES,
    ]
    values = [digest_bytes(np.ascontiguousarray(found).tobytes()) for found in (of.rows.x, of.rows.y)]
    parts += [*values, of.rows.domains.tolist(), version("torch").partition("+")[0]]
    return size.folder / f"{name}-{short(digest_value(parts))}.jsonl"


def perform(task: Task) -> None:
    """Train, look at both splits, and keep what was found."""
    import torch

    torch.set_num_threads(1)
    began = time.process_time()
    found = _ours(task) if task.network is None else _designed(task)
    entry = {"key": task.key, "cpu_seconds": time.process_time() - began, **found}
    keep(file_of(task.bench, task.size), entry)


def _answers(network: Any, search: Rows, unseen: Rows) -> dict[str, Any]:
    """Errors on the search split, and which of the unseen rows were wrong."""
    from evernas.supernet import predict

    wrong = predict(network, search.x).argmax(1) != search.y
    each = [float(wrong[search.domains == domain].mean()) for domain in np.unique(search.domains)]
    missed = np.flatnonzero(predict(network, unseen.x).argmax(1) != unseen.y)
    return {"search": float(np.mean(each)), "missed": missed.tolist()}


def _state(task: Task) -> dict[str, Any]:
    """The supernet of a choice and seed; trained once, and kept for those whom it teaches."""
    from evernas.supernet import save_state, train
    from evernas.supernet.states import load_state

    of = bench(task.bench, task.size.one_in)
    where = digest_value([file_of(task.bench, task.size).stem, task.choice, task.seed])
    file = SCRATCH / "states" / f"{short(where)}.safetensors"
    if file.exists():
        return load_state(file)[0]
    config = of.config.supernet.model_copy(update={"threads": 1, "processes": 1, "device": "cpu"})
    if task.size.steps:
        config = config.model_copy(update={"steps": task.size.steps})
    data, _, _ = of.split(task.choice)
    with tempfile.TemporaryDirectory(prefix="evernas-human-") as scratch:
        state = train(of.space, data, config, task.seed, checkpoint=Path(scratch))
    save_state(state, file)
    return state


def _calibration(of: Bench, data: Any) -> Any:
    config = of.config.supernet
    return data.calibration(config.calibration_batches * config.batch, config.augment)


def _ours(task: Task) -> dict[str, Any]:
    """Architectures along the front, fine-tuned; those of the first seed are every seed's."""
    from evernas.supernet import calibrate, extract, finetune

    of = bench(task.bench, task.size.one_in)
    state = _state(task)
    data, search, unseen = of.split(task.choice)
    calibration = _calibration(of, data)
    chosen = _front(task, state, calibration, search)
    teacher = calibrate(extract(state, of.space.largest(), of.space), calibration)
    tuned = _as_asked(of.config.finalists, task.size)
    made = []
    for arch in chosen:
        first = calibrate(extract(state, arch, of.space), calibration)
        network = finetune(
            first, data, tuned, of.config.supernet.augment, task.seed, teacher=teacher, threads=1,
            balance=of.config.supernet.balance, calibration=len(calibration),
        )  # fmt: skip
        made.append({"genes": list(arch.genes), **_answers(network, search, unseen)})
    return {"networks": made, "unseen": len(unseen.y)}


def _as_asked(config: FinalistConfig, size: Size) -> FinalistConfig:
    return config.model_copy(update={"steps": size.steps}) if size.steps else config


def _front(task: Task, state: dict[str, Any], calibration: Any, search: Rows) -> list[Architecture]:
    """What a search finds with the first seed's supernet: as many as are asked for, spread along the front."""
    from evernas.search import Objective, create, select_finalists
    from evernas.supernet import calibrate, evaluate, extract, supernet_of

    of = bench(task.bench, task.size.one_in)
    if task.seed:
        first = kept(file_of(task.bench, task.size))[json.dumps(Task(task.bench, task.size, task.choice, 0).key)]
        return [of.space.architecture(network["genes"]) for network in first["networks"]]
    predictor, weights = _predictor(task.bench, task.size), of.space.feature_names().index("weights")
    costs = [
        Objective("latency_ms", formula=lambda arch: float(predictor.predict(of.space.features(arch)))),
        Objective("size_kb", formula=lambda arch: float(of.space.features(arch)[weights]) * 4 / 1000),
    ]
    config, net = of.config.search, supernet_of(of.space, state)
    strategy = create("surrogate", of.space, ["error", *costs], 0, initial=[of.space.smallest(), of.space.largest()])
    budget = task.size.evaluations or config.evaluations
    while (told := len(strategy.evaluations())) < budget:
        batch = strategy.ask(min(config.batch, budget - told))
        if not batch:
            break
        for arch in batch:
            subnet = calibrate(extract(net, arch), calibration)
            error = evaluate(subnet, search.x, search.y)
            strategy.tell(arch, {"error": error, **{cost.name: cost.formula(arch) for cost in costs if cost.formula}})
    return [found.architecture for found in select_finalists(strategy.front(), task.size.front)]


def _designed(task: Task) -> dict[str, Any]:
    """A designed network trained from its first weights."""
    from evernas.supernet import calibrate, extract, finetune

    assert task.network is not None
    of = bench(task.bench, task.size.one_in)
    data, search, unseen = of.split(task.choice)
    calibration = _calibration(of, data)
    supernet = of.config.supernet
    config = FinalistConfig(
        steps=task.steps, batch=supernet.batch, learning_rate=task.rate, weight_decay=supernet.weight_decay,
        clip=supernet.clip, dropout=supernet.dropout, label_smoothing=supernet.label_smoothing,
        average=supernet.average, distill=of.config.finalists.distill if task.taught else 0,
    )  # fmt: skip
    teacher = None
    if task.taught:
        teacher = calibrate(extract(_state(task), of.space.largest(), of.space), calibration)
    network = finetune(
        designed(task.network, data, of.classes, task.seed, of.vocabulary), data, config, supernet.augment, task.seed,
        teacher=teacher, threads=1, balance=supernet.balance, calibration=len(calibration),
    )  # fmt: skip
    return {**_answers(network, search, unseen), "unseen": len(unseen.y)}


def ready(name: str, size: Size, networks: Sequence[str]) -> Iterator[Task]:
    """What can be trained now and is not kept: ours with the first seed, then what needs them, then the designed."""
    held = kept(file_of(name, size))
    choices = range(min(size.choices, bench(name, size.one_in).most_choices))
    first = [Task(name, size, choice, 0) for choice in choices]
    yield from _lacking(first, held)
    if any(json.dumps(task.key) not in held for task in first):
        return
    yield from _lacking((Task(name, size, choice, seed) for seed in range(1, size.seeds) for choice in choices), held)
    for network in networks:
        settled = best_settings(name, size, network, held)
        if isinstance(settled, list):
            yield from settled
        else:
            finals = (
                Task(name, size, choice, seed, network, settled.rate, settled.times, settled.taught)
                for seed in range(size.seeds)
                for choice in choices
            )
            yield from _lacking(finals, held)


def _lacking(tasks: Any, held: dict[str, Any]) -> list[Task]:
    return [task for task in tasks if json.dumps(task.key) not in held]


def best_settings(name: str, size: Size, network: str, held: dict[str, Any]) -> Task | list[Task]:
    """How a designed network is trained best, by the search split of the first choice; or what has to be tried yet."""

    def error(task: Task) -> float:
        return float(held[json.dumps(task.key)]["search"])

    rates = [Task(name, size, 0, 0, network, rate) for rate in RATES]
    if missing := _lacking(rates, held):
        return missing
    best = min(rates, key=error)
    while best.times * 2 <= size.longest:
        longer = Task(name, size, 0, 0, network, best.rate, best.times * 2)
        if missing := _lacking([longer], held):
            return missing
        if error(longer) >= error(best):
            break
        best = longer
    taught = Task(name, size, 0, 0, network, best.rate, best.times, taught=True)
    if missing := _lacking([taught], held):
        return missing
    return min(best, taught, key=error)


def _predictor(name: str, size: Size) -> Any:
    """Latency on this machine, foreseen from a profile of the space that is taken once."""
    from evernas.hardware.export import export_onnx
    from evernas.hardware.predictor import CostPredictor
    from evernas.hardware.profile import profile
    from evernas.supernet import extract, initial

    of = bench(name, size.one_in)
    file = SCRATCH / "profiles" / f"{name}-{of.space.id}-{size.profile.subnets}.json"
    archs = _profiled(of, size.profile.subnets)
    if not file.exists():
        state = initial(of.space, 0)
        with tempfile.TemporaryDirectory(prefix="evernas-human-") as scratch:
            files = {arch.id: Path(scratch) / f"{arch.id}.onnx" for arch in archs}
            for arch in archs:
                files[arch.id].write_bytes(export_onnx(extract(state, arch, of.space), of.space.shape))
            device = DeviceConfig(name=DEVICE)
            found = profile(files, device, size.profile, Path(scratch) / "raw", shape=of.space.shape)["latency_ms"]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, found)
    latency = json.loads(file.read_text())
    known = [arch for arch in archs if arch.id in latency]
    return CostPredictor.fit(
        np.stack([of.space.features(arch) for arch in known]), np.array([latency[arch.id] for arch in known])
    )


def _profiled(of: Bench, count: int) -> list[Architecture]:
    rng, found = np.random.default_rng(1), [of.space.smallest(), of.space.largest()]
    while len(found) < count:
        arch = of.space.random(rng)
        if arch not in found:
            found.append(arch)
    return found


def timed(name: str, size: Size, ours: Sequence[Architecture], theirs: Sequence[str]) -> dict[str, float]:
    """Median latency in ms of every network, by genes or name, and of one that computes nothing; in one session."""
    from evernas.hardware.export import export_onnx
    from evernas.hardware.measure import measure
    from evernas.supernet import extract, initial

    of = bench(name, size.one_in)
    data, _, _ = of.split(0)
    state = initial(of.space, 0)
    models = {json.dumps(arch.genes): export_onnx(extract(state, arch, of.space), of.space.shape) for arch in ours}
    for network in theirs:
        models[network] = to_onnx(designed(network, data, of.classes, 0, of.vocabulary).eval(), of.space.shape)
    models["nothing"] = _nothing(of.space.shape)
    digests = {key: digest_bytes(model) for key, model in models.items()}
    folder = SCRATCH / f"latency-{short(digest_value(sorted(digests.values())))}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for key, model in models.items():
        files[digests[key]] = folder / f"{short(digests[key])}.onnx"
        files[digests[key]].write_bytes(model)
    measured = measure(
        files, DeviceConfig(name=DEVICE), size.session, folder / "raw", champion=None, shape=of.space.shape
    )
    found = {}
    for key, digest in digests.items():
        measurement = measured[digest]
        if measurement.latency is None or measurement.refused is not None:
            print(f"{key} was not timed: {measurement.refused}", file=sys.stderr)
        else:
            found[key] = measurement.latency.median_ms
    return found


def _nothing(shape: tuple[int, ...]) -> bytes:
    from onnx import TensorProto, helper

    kind = TensorProto.INT64 if len(shape) == 1 else TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["input"], ["scores"])],
        "nothing",
        [helper.make_tensor_value_info("input", kind, ["batch", *shape])],
        [helper.make_tensor_value_info("scores", kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def compared(name: str, size: Size, networks: Sequence[str]) -> Compared | None:
    """What is known of a set; None where ours of the first choice, or all of the designed, are not yet trained."""
    of, held = bench(name, size.one_in), kept(file_of(name, size))
    choices = [c for c in range(min(size.choices, of.most_choices)) if json.dumps(["ours", c, 0]) in held]
    theirs: list[Theirs] = []
    for network in networks:
        settled = best_settings(name, size, network, held)
        if isinstance(settled, list):
            continue
        found = {
            (c, seed): held[key]
            for c in choices
            for seed in range(size.seeds)
            if (key := json.dumps(Task(name, size, c, seed, network, settled.rate, settled.times, settled.taught).key))
            in held
        }
        if found:
            missed = {where: entry["missed"] for where, entry in found.items()}
            theirs.append(Theirs(network, missed, settled.rate, settled.steps, settled.taught))
    ours = {
        (c, seed): [
            Ours(tuple(network["genes"]), network["search"], network["missed"]) for network in held[key]["networks"]
        ]
        for c in choices
        for seed in range(size.seeds)
        if (key := json.dumps(["ours", c, seed])) in held
    }
    if not ours or not theirs:
        return None
    archs = {network.genes: of.space.architecture(list(network.genes)) for some in ours.values() for network in some}
    latency = timed(name, size, list(archs.values()), [one.name for one in theirs])
    unseen = {c: of.split(c)[2] for c in choices}
    # The parts of digits are by chance: each sample stands for itself there.
    units = {c: rows.ids if name == "digits" else rows.domains for c, rows in unseen.items()}
    return Compared(name, of.config.data.domain_noun if name != "digits" else "samples", ours, theirs, latency, units)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not kept yet, print, and write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--choices", type=int, default=Size.choices, help="of domains that are unseen")
    parser.add_argument("--seeds", type=int, default=Size.seeds, help="of each network and choice")
    parser.add_argument("--only", nargs="+", help="of the designed networks these alone")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes of one thread; 0 only reads"
    )
    parser.add_argument("--quick", action="store_true", help="a few steps: whether it runs, not what it shows")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--page", action="store_true", help="write the tables and plot into the documentation")
    asked = parser.parse_args(arguments)
    if asked.choices < 1 or asked.seeds < 1:
        parser.error("--choices and --seeds: at least 1")
    size = QUICK if asked.quick else Size(asked.choices, asked.seeds)
    wanted = {name: _named(name, size, asked.only) for name in asked.sets}
    for name, networks in wanted.items():
        if asked.workers:
            train_all(name, size, networks, asked.workers)
    found = [one for name, networks in wanted.items() if (one := compared(name, size, networks)) is not None]
    for one in found:
        print(table(one))
    if asked.json:
        figures = {key: value for one in found for key, value in one.figures().items()}
        asked.json.write_text(json.dumps({**figures, "quick": asked.quick}, indent=1) + "\n")
    if asked.page:
        page(PAGE, found)
    return 0


def _named(name: str, size: Size, only: Sequence[str] | None) -> list[str]:
    every = names(bench(name, size.one_in).config.data.kind)
    return every if only is None else [network for network in every if network in only]


def train_all(name: str, size: Size, networks: Sequence[str], workers: int) -> None:
    """Train what can be trained, and then what can be trained after that, until nothing is left."""
    _predictor(name, size)
    while tasks := list(ready(name, size, networks)):
        each_done(perform, tasks, min(workers, len(tasks)), f"{name}, what can be trained now")


if __name__ == "__main__":
    sys.exit(main())
