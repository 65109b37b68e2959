"""Quality on the watch data: what the loop promotes and proposes, against a tree ensemble on the very same rows.

    python benchmarks/watch.py [--quick] [--json FILE] [--folder DIR] [--rotations N]

Each rotation keeps three other people unseen, lets two guide the search, and delivers the other five as the example
does: two first, then one by one. The loop runs as `evernas run` runs it, in a state folder of its own. Accuracies are
of windows of the unseen people, averaged per person. A rotation that was measured is read back, so the benchmark can be
interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples" / "watch"))
EXAMPLE = ROOT / "examples" / "watch" / "evernas.yaml"
PEOPLE = [str(number) for number in range(1, 11)]
EASY = 0.95
TREES, QUICK_TREES = 500, 50
QUICK: dict[str, Any] = {
    "supernet": {"steps": 60, "warm_steps": 40},
    "search": {"evaluations": 24, "batch": 8, "random_baseline": False},
    "finalists": {"count": 2, "steps": 20},
    "profile": {"subnets": 14, "seconds": 2.0},
    "benchmark": {
        "restarts": 2,
        "seconds": 0.05,
        "warmup_seconds": 0.02,
        "max_variation": 5.0,
        "min_cpu_share": 0,
        "cold_starts": 0,
        "load_clients": [],
    },
}


@dataclass(frozen=True)
class Windows:
    """Windows of some people: x (n, 6, 128), y the class index, and whose they are."""

    x: Any
    y: Any
    people: Any

    def of(self, people: Sequence[str]) -> Windows:
        mine = np.isin(self.people, list(people))
        return Windows(self.x[mine], self.y[mine], self.people[mine])


def all_windows(document: dict[str, Any]) -> Windows:
    """Every window of every person, cut as the config says."""
    from deliver import recordings

    length, stride = document["data"]["signal"]["length"], document["data"]["signal"]["stride"]
    labels = document["data"]["labels"]
    x, y, people = [], [], []
    for recording in recordings():
        payload = recording["payload"]
        for start in range(0, payload.shape[1] - length + 1, stride):
            x.append(payload[:, start : start + length])
            y.append(labels.index(recording["label"]))
            people.append(recording["domain"])
    return Windows(np.stack(x).astype(np.float32), np.array(y), np.array(people))


def statistics(x: Any) -> Any:
    """What a tree ensemble is given of each window: moments, quantiles, correlations, crossings and spectrum."""
    centred = x - x.mean(2, keepdims=True)
    power = np.abs(np.fft.rfft(centred, axis=2)) ** 2
    bands = np.log1p(np.stack([power[:, :, a:b].sum(2) for a, b in [(1, 3), (3, 6), (6, 12), (12, 24), (24, 65)]], 2))
    std = x.std(2)
    scaled = centred / np.maximum(std[:, :, None], 1e-9)
    correlation = np.einsum("nit,njt->nij", scaled, scaled) / x.shape[2]
    rows, columns = np.triu_indices(x.shape[1], 1)
    parts = [
        x.mean(2),
        std,
        x.min(2),
        x.max(2),
        *np.quantile(x, [0.1, 0.25, 0.5, 0.75, 0.9], axis=2),
        (x**2).mean(2),
        (scaled**3).mean(2),
        (scaled**4).mean(2),
        np.abs(np.diff(x, axis=2)).mean(2),
        (np.diff(np.signbit(centred), axis=2) != 0).mean(2),
        bands.reshape(len(x), -1),
        power.argmax(2),
        correlation[:, rows, columns],
    ]
    return np.concatenate(parts, 1)


def per_person(predicted: Any, windows: Windows) -> dict[str, float]:
    """Accuracy for each person."""
    return {str(p): float((predicted == windows.y)[windows.people == p].mean()) for p in np.unique(windows.people)}


def trees(train: Windows, test: Windows, seed: int, count: int) -> dict[str, float]:
    """Accuracy per person of the better of two tree ensembles: a peer that is not held back by a choice of ours."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    found = []
    for kind in (ExtraTreesClassifier, RandomForestClassifier):
        model = kind(count, random_state=seed, n_jobs=-1).fit(statistics(train.x), train.y)
        found.append(per_person(model.predict(statistics(test.x)), test))
    return max(found, key=lambda accuracies: float(np.mean(list(accuracies.values()))))


def majority(train: Windows, test: Windows) -> dict[str, float]:
    """Accuracy per person of always answering the commonest class."""
    return per_person(np.full(len(test.y), np.bincount(train.y).argmax()), test)


def rotation_of(number: int, windows: Windows, count: int) -> tuple[list[str], list[str]]:
    """Gate and search people: three drawn; of the others, the first two drawn whom the trees do not get above 95 %."""
    order = [str(p) for p in np.random.default_rng([7, number // 3]).permutation(PEOPLE)]
    gate = order[3 * (number % 3) : 3 * (number % 3) + 3]
    others = [person for person in np.random.default_rng([8, number]).permutation(PEOPLE) if person not in gate]
    search = []
    for person in map(str, others):
        rest = [other for other in map(str, others) if other != person]
        if trees(windows.of(rest), windows.of([person]), number, count)[person] <= EASY:
            search.append(person)
        if len(search) == 2:
            break
    return sorted(gate, key=int), sorted(search, key=int)


def scores(bundle: Path, windows: Windows) -> dict[str, float]:
    """Accuracy per person of a bundle's shipped bytes."""
    import onnxruntime

    from evernas.bundle import load_bundle

    loaded = load_bundle(bundle)
    session = onnxruntime.InferenceSession(loaded.model_path.read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run([loaded.contract.output_name], {loaded.contract.input_name: windows.x})
    return per_person(found.argmax(1), windows)


def measure(number: int, windows: Windows, folder: Path, quick: bool) -> dict[str, Any]:
    """One rotation: all its runs, and who is how accurate on the unseen people."""
    done = folder / f"rotation-{number}.json"
    if done.exists():
        return dict(json.loads(done.read_text()))
    document = yaml.safe_load(EXAMPLE.read_text())
    for section, values in (QUICK if quick else {}).items():
        document[section] = {**document.get(section, {}), **values}
    count = QUICK_TREES if quick else TREES
    gate, search = rotation_of(number, windows, count)
    document["data"]["splits"] = {"gate": gate, "search": search}
    home = folder / f"rotation-{number}"
    home.mkdir(parents=True, exist_ok=True)
    config = home / "evernas.yaml"
    config.write_text(yaml.safe_dump(document))
    runs = _runs(config, home, most=1 if quick else len(PEOPLE))
    test = windows.of(gate)
    bundles = home / "projects" / document["project"] / "bundles"
    first, last = runs[0], runs[-1]
    early, trained = (sorted(run["snapshot"]["splits"]["train"]) for run in (first, last))
    champion, candidate = first["devices"][0]["champion_after"], last["devices"][0]["candidate"]
    result = {
        "gate": gate,
        "search": search,
        "runs": len(runs),
        "promotions": sum(run["outcome"] == "promoted" for run in runs),
        "seconds": [run["seconds"] for run in runs],
        "first_champion": scores(bundles / champion["bundle"][:16], test) if champion else None,
        "first_trees": trees(windows.of(early), test, number, count),
        "first_majority": majority(windows.of(early), test),
        "last_candidate": scores(bundles / candidate[:16], test),
        "last_trees": trees(windows.of(trained), test, number, count),
        "last_majority": majority(windows.of(trained), test),
    }
    done.write_text(json.dumps(result, indent=1))
    return result


def _runs(config: Path, home: Path, most: int) -> list[dict[str, Any]]:
    """Deliver and run until nothing is new, or so often; the results of the runs that worked."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("EVERNAS", "MLFLOW"))}
    environment = {**mine, "EVERNAS_HOME": str(home)}
    while True:
        deliver = [
            sys.executable,
            str(ROOT / "examples/watch/deliver.py"),
            "--config",
            str(config),
            "--home",
            str(home),
        ]
        said = subprocess.run(deliver, env=environment, check=True, capture_output=True, text=True).stdout
        print(f"  {said.strip()}", flush=True)
        with (home / "benchmark.log").open("a") as log:
            subprocess.run(
                [sys.executable, "-m", "evernas.cli", "run", str(config)],
                env=environment,
                check=True,
                stdout=log,
                stderr=log,
            )
        results = [json.loads(p.read_text()) for p in sorted(home.glob("runs/*/result.json"))]
        worked = [result for result in results if result["outcome"] != "nothing-new"]
        if len(worked) < len(results) or len(worked) == most:
            return worked


def mean(accuracies: dict[str, float]) -> float:
    """Mean over people, in points."""
    return 100 * float(np.mean(list(accuracies.values())))


def worst(accuracies: dict[str, float]) -> float:
    """The worst person, in points."""
    return 100 * min(accuracies.values())


def table(rotations: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The table and its figures under plain names."""
    names = [
        ("first_champion", "first champion"),
        ("first_trees", "trees, same rows"),
        ("first_majority", "majority vote"),
        ("last_candidate", "last candidate"),
        ("last_trees", "trees, same rows"),
        ("last_majority", "majority vote"),
    ]
    lines = [f"{'':<18}{'mean':>8}{'worst':>8}   " + "".join(f"{'gate ' + ' '.join(r['gate']):>14}" for r in rotations)]
    figures: dict[str, Any] = {"rotations": len(rotations)}
    for key, name in names:
        held = [r[key] for r in rotations]
        if any(h is None for h in held):
            lines.append(f"{name:<18} no champion in {sum(h is None for h in held)} rotations")
            figures[f"{key}_mean"] = None
            continue
        means = [mean(h) for h in held]
        figures[f"{key}_mean"], figures[f"{key}_worst_person"] = float(np.mean(means)), min(worst(h) for h in held)
        lines.append(
            f"{name:<18}{np.mean(means):>8.1f}{figures[f'{key}_worst_person']:>8.1f}   "
            + "".join(f"{m:>14.1f}" for m in means)
        )
    for end in ("first", "last"):
        ours = figures["first_champion_mean" if end == "first" else "last_candidate_mean"]
        figures[f"{end}_minus_trees"] = None if ours is None else ours - figures[f"{end}_trees_mean"]
        figures[f"{end}_minus_majority"] = None if ours is None else ours - figures[f"{end}_majority_mean"]
    seconds = [s for r in rotations for s in r["seconds"][:1]], [s for r in rotations for s in r["seconds"][1:]]
    figures["first_run_seconds_median"] = float(np.median(seconds[0]))
    figures["later_run_seconds_median"] = float(np.median(seconds[1])) if seconds[1] else None
    figures["promotions"] = sum(r["promotions"] for r in rotations)
    figures["runs"] = sum(r["runs"] for r in rotations)
    for end, what in (("first", "first champion"), ("last", "last candidate")):
        if figures[f"{end}_minus_trees"] is not None:
            lines.append(
                f"{what}: {figures[f'{end}_minus_trees']:+.1f} points to the trees, "
                f"{figures[f'{end}_minus_majority']:+.1f} to the majority vote"
            )
    lines.append(
        f"{figures['promotions']} promotions in {figures['runs']} runs; "
        f"seconds of a first run {figures['first_run_seconds_median']:.0f}, "
        f"of a later one {figures['later_run_seconds_median'] or float('nan'):.0f} (medians)"
    )
    return "\n".join(lines), figures


def main() -> None:
    """Measure, print the table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="one rotation, everything small: shows that it runs, no figure counts"
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument(
        "--folder", type=Path, help="state folders and finished rotations; .benchmarks/watch if not given"
    )
    parser.add_argument("--rotations", type=int, default=6, help="choices of three people")
    options = parser.parse_args()
    folder = options.folder or ROOT / ".benchmarks" / ("watch-quick" if options.quick else "watch")
    windows = all_windows(yaml.safe_load(EXAMPLE.read_text()))
    found = []
    for number in range(1 if options.quick else options.rotations):
        print(f"rotation {number}", flush=True)
        found.append(measure(number, windows, folder, options.quick))
    text, figures = table(found)
    print(text)
    if options.json:
        figures |= {
            "quick": options.quick,
            "processor": _processor(),
            "python": platform.python_version(),
            **{
                f"version_{name.replace('-', '_')}": version(name)
                for name in ("evernas", "torch", "scikit-learn", "onnxruntime")
            },
        }
        options.json.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")


def _processor() -> str:
    from evernas.hardware.devices import environment

    described = environment()
    return f"{described['cpu']}, {described['cores']} cores"


if __name__ == "__main__":
    main()
