"""Can a device's figures be believed: do they repeat, and does the search's predictor foresee them?

    python benchmarks/hardware.py [--quick] [--json FILE] [--part prediction,memory,repeat] [--gap SECONDS]
        [--space signal,image,text] [--precision fp32,int8] [--runtime NAME,NAME]

prediction: per space, runtime and precision, the predictor is fitted as the pipeline fits it, from one short profile,
and then asked for random subnets that were never profiled, and for neighbours of a point of the front within a band of
latency. Truth is the median of five process restarts. memory: the same for what random subnets need of it; truth is the
median of five processes. repeat: twenty pairs of networks, in two sessions some minutes apart, the second beside a busy
process; then a session with more busy processes than cores, which has to be refused.

What was measured is kept in .benchmarks/hardware and gone on with. docs/benchmarks/hardware.md explains.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evernas.config import BenchmarkConfig, Config, DeviceConfig, ProfileConfig
from evernas.digest import digest_file, digest_value
from evernas.errors import UsageError
from evernas.hardware.bench import TRIVIAL
from evernas.hardware.devices import environment
from evernas.hardware.export import export_onnx
from evernas.hardware.measure import measure
from evernas.hardware.measurement import Measurement
from evernas.hardware.predictor import CostPredictor
from evernas.hardware.profile import profile
from evernas.hardware.reference import trivial_model
from evernas.hardware.regression import spearman
from evernas.hardware.results import RawResults
from evernas.hardware.runtime import runtime_named
from evernas.hardware.session import Network, run_survivors
from evernas.spaces import Architecture, ConvolutionalSpace, NetworkSpace
from evernas.state.files import write_json
from evernas.steps.context import space_of
from evernas.steps.exporting import in_eight_bits
from evernas.supernet import extract, initial, supernet_of

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".benchmarks" / "hardware"
SPACES = {"signal": "watch", "image": "digits", "text": "languages"}
RUNTIMES = ("onnxruntime-cpu", "openvino-cpu")
PRECISIONS = ("fp32", "int8")
# Of the truth: restarts alone, since nothing else is compared here.
TRUTH = BenchmarkConfig(restarts=5, cold_starts=0, load_clients=[], energy_windows=0)
AT_ONCE = 15
RANDOM, NEIGHBOURS, BAND = 60, 30, 0.3
PAIRS, WIDEST = 20, 10.0
WIDER = (2, 3, 5, 7)
RESAMPLES = 10_000
SEED = 3


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    random: int
    neighbours: int
    subnets: int
    truth: BenchmarkConfig
    profile: ProfileConfig
    session: BenchmarkConfig
    pairs: int
    gap_s: float


FULL = Size(RANDOM, NEIGHBOURS, ProfileConfig().subnets, TRUTH, ProfileConfig(), BenchmarkConfig(
    cold_starts=0, load_clients=[], energy_windows=0), PAIRS, 600.0)  # fmt: skip
_SHORT = TRUTH.model_copy(
    update={"restarts": 2, "seconds": 0.05, "warmup_seconds": 0.02, "max_variation": 5.0, "min_cpu_share": 0.0}
)
QUICK = Size(4, 3, 12, _SHORT, ProfileConfig(subnets=12, seconds=2.0), _SHORT, 3, 0.0)


class Networks:
    """Untrained subnets of a space as ONNX files: what they cost does not depend on what they learned."""

    def __init__(self, space: NetworkSpace, folder: Path, precision: str = "fp32") -> None:
        self._space, self._folder, self._precision = space, folder, precision
        self._net = supernet_of(space, initial(space, 0))
        folder.mkdir(parents=True, exist_ok=True)

    def file(self, arch: Architecture) -> Path:
        path = self._folder / f"{arch.id}.onnx"
        if not path.exists():
            data = export_onnx(extract(self._net, arch), self._space.shape)
            if self._precision == "int8":
                small = in_eight_bits(self._space, data)
                assert small is not None, f"{arch.id} cannot be quantised"
                data = small
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(data)
            temporary.replace(path)
        return path


def drawn(space: NetworkSpace, count: int, rng: np.random.Generator, known: set[Architecture]) -> list[Any]:
    """So many random architectures, none of them `known`, which they join."""
    found: list[Architecture] = []
    while len(found) < count:
        arch = space.random(rng)
        if arch not in known:
            known.add(arch)
            found.append(arch)
    return found


def neighbours(
    space: NetworkSpace,
    of: Architecture,
    predictor: CostPredictor,
    count: int,
    rng: np.random.Generator,
    known: set[Architecture],
) -> list[Architecture]:
    """Mutations of mutations of `of` whose predicted latency is within half of BAND of its own."""
    middle = float(predictor.predict(space.features(of)))
    near, found = [of], []
    while len(found) < count:
        arch = space.mutate(near[int(rng.integers(len(near)))], rng)
        if abs(float(predictor.predict(space.features(arch))) / middle - 1) > BAND / 2:
            continue
        near.append(arch)
        if arch not in known:
            known.add(arch)
            found.append(arch)
    return found


def profiled(
    files: Mapping[str, Path], device: DeviceConfig, config: ProfileConfig, folder: Path, shape: tuple[int, ...]
) -> tuple[dict[str, float], float | None]:
    """The profile, and the seconds that it took in whichever runs; None where those of a part were not kept.

    Each part's seconds lie beside it, since a run that goes on only reads back what others measured.
    """
    kept = folder / "seconds.json"
    seconds: dict[str, float] = json.loads(kept.read_text()) if kept.exists() else {}
    known, last = _parts(folder), time.monotonic()

    def note(*_: object) -> None:
        nonlocal known, last
        found, now = _parts(folder), time.monotonic()
        seconds.update({name: now - last for name in found if found[name] != known.get(name)})
        if found != known:
            write_json(kept, seconds)
        known, last = found, now

    latency = profile(files, device, config, folder, shape=shape, on_progress=note)["latency_ms"]
    note()
    return latency, sum(seconds[name] for name in known) if set(known) <= set(seconds) else None


def _parts(folder: Path) -> dict[str, int]:
    """When each part of a profile was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("profile-*.json")}


def truth_ms(
    archs: Sequence[Architecture],
    networks: Networks,
    space: NetworkSpace,
    device: DeviceConfig,
    size: Size,
    folder: Path,
) -> dict[Architecture, Measurement]:
    """What each network takes; those that were refused are left out, with a word."""
    found: dict[Architecture, Measurement] = {}
    for start in range(0, len(archs), AT_ONCE):
        files = {arch: networks.file(arch) for arch in archs[start : start + AT_ONCE]}
        digests = {arch: digest_file(path) for arch, path in files.items()}
        measured = measure(
            {digests[arch]: path for arch, path in files.items()}, device, size.truth, folder / f"truth-{start}",
            champion=None, shape=space.shape, seed=SEED,
        )  # fmt: skip
        for arch, digest in digests.items():
            if measured[digest].refused is None:
                found[arch] = measured[digest]
            else:
                print(f"left out: {measured[digest].refused}", file=sys.stderr)
    return found


def medians(measured: Mapping[Architecture, Measurement]) -> Any:
    return np.array([m.latency.median_ms for m in measured.values() if m.latency is not None])


def additive_table(space: NetworkSpace, archs: Sequence[Architecture]) -> Any:
    """A row a network: which option of each choice it takes (n, options). Costs that are summed up choice by choice."""
    columns = [(c, option) for c, choice in enumerate(space.choices) for option in range(len(choice.options))]
    return np.array([[float(arch.genes[c] == option) for c, option in columns] for arch in archs])


def least_squares(x: Any, y: Any, unseen: Any) -> Any:
    """Predictions (m,) of a ridge regression without a choice, on columns (n, k), for unseen rows (m, k)."""
    centre, weights = x.mean(0), 1 / y
    a = (x - centre) * weights[:, None]
    w = np.linalg.solve(
        a.T @ a + 1e-3 * np.trace(a.T @ a) / a.shape[1] * np.eye(a.shape[1]), a.T @ ((y - y.mean()) * weights)
    )
    return y.mean() + (unseen - centre) @ w


def below(ours: Any, others: Any, truth: Any, rng: np.random.Generator, resamples: int = RESAMPLES) -> float:
    """The share of resamples of the networks in which our rank correlation is no higher than theirs."""
    lost = 0
    for _ in range(resamples):
        rows = rng.integers(0, len(truth), len(truth))
        lost += spearman(ours[rows], truth[rows]) <= spearman(others[rows], truth[rows])
    return lost / resamples


def named(kind: str, precision: str) -> str:
    """A space's name, with the precision where it is another than float32."""
    return kind if precision == "fp32" else f"{kind}-{precision}"


def predict(kind: str, runtime: str, size: Size, kept: Path, precision: str = "fp32") -> dict[str, float]:
    """The figures of one space on one runtime, in one precision."""
    space = space_of(
        Config.model_validate(yaml.safe_load((ROOT / f"examples/{SPACES[kind]}/evernas.yaml").read_text()))
    )
    device, folder = DeviceConfig(name="here", runtime=runtime), kept / f"{named(kind, precision)}-{runtime}"
    networks = Networks(space, kept / f"{named(kind, precision)}-onnx", precision)
    rng = np.random.default_rng(SEED)
    chosen = [space.smallest(), space.largest()]
    known = set(chosen)
    chosen += drawn(space, size.subnets - 2, rng, known)
    latency, took = profiled(
        {arch.id: networks.file(arch) for arch in chosen}, device, size.profile, folder / "profile", space.shape
    )
    features = {arch: space.features(arch) for arch in chosen if arch.id in latency}
    y = np.array([latency[arch.id] for arch in features])
    predictor = CostPredictor.fit(np.stack(list(features.values())), y)
    centre = sorted(features, key=lambda arch: latency[arch.id])[len(features) // 2]
    unseen = truth_ms(drawn(space, size.random, rng, known), networks, space, device, size, folder / "random")
    near = truth_ms(
        neighbours(space, centre, predictor, size.neighbours, rng, known),
        networks,
        space,
        device,
        size,
        folder / "near",
    )

    def predicted(of: Mapping[Architecture, Any]) -> Any:
        return predictor.predict(np.stack([space.features(arch) for arch in of]))

    table = least_squares(additive_table(space, list(features)), y, additive_table(space, list(near)))
    macs = np.array([float(space.macs(arch)) for arch in near])
    repeat = [m.latency.cv / np.sqrt(size.truth.restarts) for m in [*unseen.values(), *near.values()] if m.latency]
    return {
        **({} if took is None else {"profile_seconds": took}),
        "random_networks": len(unseen),
        "random_spearman": spearman(predicted(unseen), medians(unseen)),
        "random_median_error": float(np.median(np.abs(predicted(unseen) / medians(unseen) - 1))),
        "near_networks": len(near),
        "near_spread": float(medians(near).max() / medians(near).min()),
        "near_spearman": spearman(predicted(near), medians(near)),
        "near_spearman_macs": spearman(macs, medians(near)),
        "near_spearman_table": spearman(table, medians(near)),
        "near_p_not_above_macs": below(predicted(near), macs, medians(near), rng),
        "near_p_not_above_table": below(predicted(near), table, medians(near), rng),
        "truth_repeat_error": float(np.median(repeat)),
    }


def weighed(
    archs: Sequence[Architecture], networks: Networks, space: NetworkSpace, runtime: str, times: int, kept: Path
) -> dict[str, Any]:
    """Of each kind of memory the figures (networks, times) in MB, each network by the profile's own worker."""
    files = [networks.file(arch) for arch in archs]
    digests = [digest_file(path) for path in files]
    results = RawResults(kept, digest_value([sorted(digests), runtime, runtime_named(runtime).version(), space.shape]))
    own = results.own_network(TRIVIAL, trivial_model())
    job = {
        "kind": "memory",
        "runtime": runtime,
        "threads": 1,
        "patience_s": runtime_named(runtime).place.patience_s,
        "max_memory_mb": None,
        "seed": SEED,
    }
    takes = []
    for number in range(times):
        found = results.get(f"memory-{number}")
        if found is None:
            members = [Network(d, path, space.shape) for d, path in zip(digests, files, strict=True)]
            order = np.random.default_rng(number).permutation(len(members))
            found = run_survivors(job, own, [members[i] for i in order], lambda: None)
            results.put(f"memory-{number}", found)
        assert not found["refused"], found["refused"]
        takes.append(found)
    return {
        name: np.array([[take[name][digest] for take in takes] for digest in digests])
        for name in ("peak_memory_mb", "allocated_mb")
        if all(take[name] for take in takes)
    }


def memory(kind: str, runtime: str, size: Size, kept: Path, precision: str = "fp32") -> dict[str, float]:
    """How well memory is foreseen: of the profile's networks weighed once, for networks that it has not seen."""
    space = space_of(
        Config.model_validate(yaml.safe_load((ROOT / f"examples/{SPACES[kind]}/evernas.yaml").read_text()))
    )
    networks = Networks(space, kept / f"{named(kind, precision)}-onnx", precision)
    rng = np.random.default_rng(SEED)
    chosen = [space.smallest(), space.largest()]
    known = set(chosen)
    chosen += drawn(space, size.subnets - 2, rng, known)
    unseen = drawn(space, size.random, rng, known)
    folder = kept / f"{named(kind, precision)}-{runtime}" / "memory"
    began = time.monotonic()
    profile_of = weighed(chosen, networks, space, runtime, 1, folder / "profile")
    took = time.monotonic() - began
    truth = weighed(unseen, networks, space, runtime, size.truth.restarts, folder / "truth")
    found: dict[str, float] = {"random_networks": len(unseen), "profile_seconds_or_less": took}
    for name, of_profile in profile_of.items():
        predictor = CostPredictor.fit(np.stack([space.features(arch) for arch in chosen]), of_profile[:, 0])
        predicted = predictor.predict(np.stack([space.features(arch) for arch in unseen]))
        true = np.median(truth[name], axis=1)
        error = np.abs(predicted / true - 1)
        short = name.removesuffix("_mb").removesuffix("_memory")
        found |= {
            f"{short}_least_mb": float(true.min()),
            f"{short}_most_mb": float(true.max()),
            f"{short}_median_error": float(np.median(error)),
            f"{short}_error_p95": float(np.percentile(error, 95)),
            f"{short}_within_5_percent": float(np.mean(error <= 0.05)),
            f"{short}_within_10_percent": float(np.mean(error <= 0.10)),
            f"{short}_spearman": spearman(predicted, true),
            f"{short}_spearman_weights": spearman(np.array([float(space.parameters(a)) for a in unseen]), true),
            f"{short}_repeat_error": float(np.median(np.abs(truth[name] / true[:, None] - 1))),
        }
    return found


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def chosen_pairs(latency: Mapping[str, float], count: int) -> list[tuple[str, str]]:
    """Pairs (slower, faster) whose ratios lie evenly, by their logarithm, between 1 and WIDEST or what there is."""
    ratios = {
        (a, b): latency[a] / latency[b] for a, b in itertools.permutations(latency, 2) if latency[a] >= latency[b]
    }
    widest = min(WIDEST, max(ratios.values()))
    chosen: list[tuple[str, str]] = []
    for wanted in np.geomspace(1.05, widest, count):
        free = [pair for pair in ratios if pair not in chosen]
        chosen.append(min(free, key=lambda pair: abs(np.log(ratios[pair] / wanted))))
    return chosen


def widened(document: dict[str, Any], factor: int) -> ConvolutionalSpace:
    """The space of an example's config with so many times the channels: the example alone holds no slow networks."""
    space = document["space"]
    wide = {
        "stem_width": factor * space["stem_width"],
        "head_width": factor * space["head_width"],
        "stage_widths": [[factor * width for width in widths] for widths in space["stage_widths"]],
    }
    found = space_of(Config.model_validate({**document, "space": {**space, **wide}}))
    assert isinstance(found, ConvolutionalSpace)
    return found


def repeat(runtime: str, size: Size, kept: Path) -> dict[str, float]:
    """The change of ratios between two sessions, and whether an overloaded machine is refused."""
    document = yaml.safe_load((ROOT / "examples/watch/evernas.yaml").read_text())
    space, rng = widened(document, 1), np.random.default_rng(SEED + 1)
    archs = [space.smallest(), space.largest()]
    archs += drawn(space, max(4, size.pairs // 2), rng, set(archs))
    networks = Networks(space, kept / "signal-onnx")
    paths = [networks.file(arch) for arch in archs]
    for factor in WIDER:
        wide = widened(document, factor)
        made = Networks(wide, kept / f"signal-onnx-{factor}")
        paths += [made.file(arch) for arch in (wide.smallest(), wide.largest())]
    files = {digest_file(path): path for path in paths}
    device, folder = DeviceConfig(name="here", runtime=runtime), kept / f"repeat-{runtime}"

    def session(name: str, others: int) -> dict[str, Measurement]:
        with busy(others):
            return measure(files, device, size.session, folder / name, champion=None, shape=space.shape, seed=SEED)

    first = session("first", 0)
    began = folder / "first-done"
    if not began.exists():
        began.write_text(str(time.time()))
    time.sleep(max(0.0, size.gap_s - (time.time() - float(began.read_text()))))
    second = session("second", 1)
    steady = [
        {digest: m.latency.median_ms for digest, m in of.items() if m.refused is None and m.latency is not None}
        for of in (first, second)
    ]
    both = [{digest: ms for digest, ms in of.items() if digest in steady[0] and digest in steady[1]} for of in steady]
    pairs = chosen_pairs(both[0], size.pairs)
    change = [abs((both[1][a] / both[1][b]) / (both[0][a] / both[0][b]) - 1) for a, b in pairs]
    found = {
        "pairs": len(pairs),
        "widest_ratio": max(both[0][a] / both[0][b] for a, b in pairs),
        "not_steady": len(files) - len(both[0]),
        "change_median": float(np.median(change)),
        "change_p95": float(np.percentile(change, 95)),
    }
    over = session("overloaded", 2 * (os.cpu_count() or 1))
    return {**found, "overloaded_refused": sum(m.refused is not None for m in over.values()) / len(over)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few networks, timed roughly")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--part", default="prediction,memory,repeat", help="parts, joined by commas")
    parser.add_argument("--space", default=",".join(SPACES), help="spaces, joined by commas")
    parser.add_argument("--precision", default=",".join(PRECISIONS), help="number formats, joined by commas")
    parser.add_argument("--runtime", default=",".join(RUNTIMES), help="runtimes, joined by commas")
    parser.add_argument("--gap", type=float, help="seconds between the two sessions; 600 by default")
    asked = parser.parse_args()
    size = QUICK if asked.quick else FULL
    if asked.gap is not None:
        size = Size(**{**vars(size), "gap_s": asked.gap})
    figures: dict[str, Any] = {
        "cpu": environment()["cpu"], "cores": os.cpu_count(), "python": platform.python_version(),
        **{f"version_{package}": version(package) for package in ("onnxruntime", "openvino", "numpy")},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(scratch) if asked.quick else KEPT
        for runtime in asked.runtime.split(","):
            try:
                runtime_named(runtime)
            except UsageError as missing:
                print(f"{runtime}: not run; {missing}")
                continue
            rows = list(itertools.product(asked.space.split(","), asked.precision.split(",")))
            if "prediction" in asked.part:
                for kind, precision in rows:
                    name = f"{named(kind, precision)}.{runtime}"
                    _told(figures, name, predict(kind, runtime, size, kept, precision))
            if "memory" in asked.part:
                for kind, precision in rows:
                    name = f"memory.{named(kind, precision)}.{runtime}"
                    _told(figures, name, memory(kind, runtime, size, kept, precision))
            if "repeat" in asked.part:
                _told(figures, f"repeat.{runtime}", repeat(runtime, size, kept))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")


def _told(figures: dict[str, Any], name: str, found: Mapping[str, float]) -> None:
    print(
        f"{name}\n" + "\n".join(f"  {figure.replace('_', ' '):24}{value:10.3f}" for figure, value in found.items()),
        flush=True,
    )
    figures |= {f"{name}.{figure}": value for figure, value in found.items()}


if __name__ == "__main__":
    main()
