"""Results as real runs leave them: a first promotion, a promotion over a champion, a hold, nothing new, two devices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evernas.gate.verdict import Reason, Verdict
from evernas.result import (
    ArchitectureRecord,
    Block,
    ChampionRecord,
    CorruptionRecord,
    DeviceResult,
    FinalistRecord,
    Point,
    RankedPair,
    RankingRecord,
    Result,
    RobustnessRecord,
    SnapshotRecord,
    StepRecord,
    SupernetRecord,
)
from evernas.search.agreement import agreement

PEOPLE = {
    "train": ["subject-1", "subject-2", "subject-6", "subject-8"],
    "search": ["subject-3", "subject-9"],
    "gate": ["subject-4", "subject-7", "subject-10"],
}
LABELS = ["pendulum", "abduction", "forward elevation", "internal rotation", "external rotation", "trapezius", "row"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def architecture(seed: int, expansions: tuple[int, ...] = (1, 2, 4)) -> ArchitectureRecord:
    rng = np.random.default_rng(seed)
    blocks = [Block(kind="stem", stage=None, inputs=6, outputs=16, kernel=5, expansion=1, stride=2)]
    channels = 16
    choices: dict[str, int | float | str] = {}
    for stage, widths in enumerate(([16, 24, 32], [24, 36, 48], [32, 48, 64])):
        width, depth = int(rng.choice(widths)), int(rng.integers(1, 4))
        choices |= {f"width{stage}": width, f"depth{stage}": depth}
        for index in range(depth):
            blocks.append(
                Block(
                    kind="bottleneck",
                    stage=stage,
                    inputs=channels,
                    outputs=width,
                    kernel=int(rng.choice([3, 5, 7])),
                    expansion=int(rng.choice(expansions)),
                    stride=2 if index == 0 else 1,
                )
            )
            channels = width
    blocks.append(Block(kind="head", stage=None, inputs=channels, outputs=96, kernel=1, expansion=1, stride=1))
    macs = sum(b.inputs * b.expansion * (b.inputs + b.kernel + b.outputs) * 20 for b in blocks)
    return ArchitectureRecord(
        id=digest(f"arch {seed}")[:12],
        genes=[seed],
        choices=choices,
        blocks=blocks,
        macs=macs,
        parameters=sum(b.inputs * b.expansion * (b.inputs + b.outputs) for b in blocks),
    )


COLD = ("total_ms", "interpreter_ms", "import_ms", "load_ms", "first_ms")


def measurement(median: float, size: float, seed: int, *, refused: str | None = None) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    medians = [round(float(median * (1 + 0.02 * rng.standard_normal())), 5) for _ in range(5)]
    latency = {
        "median_ms": float(np.median(medians)),
        "p95_ms": median * 1.14,
        "p99_ms": median * 1.3,
        "mad_ms": median * 0.01,
        "cv": 0.018,
        "per_restart_median_ms": medians,
        "per_restart_p95_ms": [m * 1.14 for m in medians],
    }
    environment = {
        "cpu": "AMD EPYC 7B13",
        "cores": 2,
        "governor": None,
        "frequency_mhz": 2450.0,
        "temperature_c": None,
        "runtime_version": "1.32.0",
        "kernel": "6.1.0-32-amd64",
    }
    return {
        "version": 2,
        "digest": digest(f"m{seed}"),
        "device": "cpu",
        "runtime": "onnxruntime-cpu",
        "latency": None if refused else latency,
        "ratio_to_champion": None,
        "ratio_to_reference": None,
        "peak_memory_mb": 3.4 + size / 60,
        "size_kb": size,
        "energy_mj": None,
        "cold_start": {
            name: {"median": part, "mad": part / 50, "takes": [part * 0.98, part, part * 1.02]}
            for name, part in zip(COLD, (221.0, 20.0, 190.0, 10.0, 1.0), strict=True)
        },
        "load": [
            {
                "clients": clients,
                "throughput": {"median": 900.0 * clients, "mad": 5.0, "takes": [900.0 * clients]},
                "p95_ms": {"median": 1.2 * median, "mad": 0.1, "takes": [1.2 * median]},
            }
            for clients in (1, 2)
        ],
        "environment": environment,
        "recorded": False,
        "refused": refused,
    }


def points(seed: int, n: int, lift: float = 0.0) -> list[Point]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        cost = float(rng.beta(2, 2.5))
        latency = 0.08 + 0.34 * cost + 0.02 * float(rng.standard_normal()) ** 2
        error = 0.075 + lift + 0.2 * np.exp(-3.2 * cost) + 0.05 * float(rng.gamma(1.2)) * (1.1 - cost)
        size = 24 + 210 * cost * float(rng.uniform(0.7, 1.3))
        found.append(
            Point(
                arch=digest(f"arch {seed}-{i}")[:12],
                genes=[seed, i],
                error=min(float(error), 0.9),
                latency_ms=latency,
                size_kb=size,
                macs=int(2e5 + 2.5e6 * cost),
            )
        )
    return found


def unbeaten(candidates: list[Point]) -> list[Point]:
    def key(p: Point) -> tuple[float, float, float]:
        return p.error, p.latency_ms, p.size_kb

    return [
        p
        for p in candidates
        if not any(all(a <= b for a, b in zip(key(q), key(p), strict=True)) and key(q) != key(p) for q in candidates)
    ]


def by_people(error: float, people: list[str], seed: int) -> dict[str, float]:
    spread = np.random.default_rng(seed).normal(0, 0.04, len(people))
    return {person: round(max(0.0, error + float(s)), 4) for person, s in zip(people, spread, strict=True)}


SEVERITIES = {"dropout": (0.5, 1.9), "noise": (0.3, 1.35), "gain": (0.2, 1.1), "shift": (0.2, 1.05)}


def robustness(error: float, seed: int) -> RobustnessRecord:
    spread = np.random.default_rng(seed).normal(0, 0.01, len(SEVERITIES))
    tried = [
        CorruptionRecord(
            name=name,
            severity=severity,
            meaning=f"how much {name} there is",
            error=round(error * times + abs(float(more)), 4),
        )
        for (name, (severity, times)), more in zip(SEVERITIES.items(), spread, strict=True)
    ]
    worst = max(tried, key=lambda corruption: corruption.error).name
    return RobustnessRecord(rows=740, error=error, corruptions=tried, worst=worst)


def champion(number: int, seed: int, error: float, median: float, size: float, measured: bool = True) -> ChampionRecord:
    return ChampionRecord(
        number=number,
        bundle=digest(f"bundle {seed}"),
        architecture=architecture(seed),
        run=f"2026-11-{20 + number}T02-00-00",
        promoted_at=f"2026-11-{20 + number}T02:05:00+00:00",
        model=f"models:/watch-cpu/{number}",
        error=error,
        error_by_domain=by_people(error, PEOPLE["search"], seed),
        robustness=robustness(error, seed),
        measurement=measurement(median, size, seed) if measured else None,
    )


def reasons(*, first: bool, passes: bool) -> tuple[Reason, ...]:
    if first:
        return (
            Reason("complete", True, None, None, None, "Every figure that the rules need is there."),
            Reason(
                "constraint:latency_ms",
                True,
                0.238,
                0.246,
                1.0,
                "The median latency is 0.238 ms (at most 0.246 ms with 97.5 % confidence; "
                "the limit is 1.000 ms): passed.",
            ),
            Reason(
                "floor:error",
                True,
                0.093,
                0.148,
                0.5,
                "The error is 9.3 % (at most 14.8 % with 97.5 % confidence; the limit is 50.0 %): passed.",
            ),
        )
    bound = 0.003 if passes else 0.034
    end = "passed" if passes else "failed"
    return (
        Reason("complete", True, None, None, None, "Every figure that the rules need is there."),
        Reason("different", True, None, None, None, "The candidate and the champion are different files."),
        Reason(
            "no_worse:error",
            passes,
            -0.012,
            bound,
            0.02,
            f"The error is 1.2 points lower than the champion's (at most {100 * bound:.1f} points higher with "
            f"99.17 % confidence; the margin is 2.0 points): {end}.",
        ),
        Reason(
            "no_worse:latency_ms",
            True,
            -0.07,
            -0.052,
            0.1,
            "The median latency is 7.0 % lower than the champion's (at least 5.2 % lower with "
            "99.17 % confidence; the margin is 10.0 %): passed.",
        ),
        Reason(
            "no_worse:size_kb",
            True,
            -0.116,
            -0.116,
            0.1,
            "The size is 11.6 % lower than the champion's (the margin is 10.0 %): passed.",
        ),
        Reason(
            "domains",
            True,
            0.031,
            -0.02,
            0.1,
            "The worst domain, subject-7, has an error 3.1 points higher than with the champion "
            "(at best 2.0 points lower with 98.33 % confidence; a domain vetoes when shown more than "
            "10.0 points higher): it does not veto.",
        ),
        Reason(
            "better",
            passes,
            -0.07,
            -0.052 if passes else 0.004,
            -0.05,
            "The candidate is shown better in median latency and size: passed."
            if passes
            else "The candidate is not shown better than the champion in any objective: failed.",
        ),
    )


def verdict(*, first: bool, passes: bool, decision: int) -> dict[str, Any]:
    return Verdict(
        "promote" if passes else "hold",
        reasons(first=first, passes=passes),
        decision,
        0.05 / (decision * (decision + 1)),
        "With fewer than 5 people in the gate split, the bounds are over 42 recordings and hold for these people only.",
        resolution=0.021,
        detectable=0.034,
    ).to_json()


def device(
    name: str, seed: int, *, before: ChampionRecord | None, passes: bool, evaluations: int = 200
) -> DeviceResult:
    seen = points(seed, evaluations)
    front = unbeaten(seen)
    finalists = []
    for i, error in enumerate((0.081, 0.093, 0.117, 0.168)):
        median = (0.36, 0.238, 0.171, 0.118)[i]
        finalists.append(
            FinalistRecord(
                bundle=digest(f"bundle {seed + i}"),
                architecture=architecture(seed + i),
                error_inherited=error + 0.03,
                error=error,
                error_by_domain=by_people(error, PEOPLE["search"], seed + i),
                robustness=robustness(error, seed + i),
                predicted_latency_ms=median * (1.06, 0.97, 1.02, 1.11)[i],
                measurement=measurement(median, (212.0, 118.4, 84.0, 41.3)[i], seed + i),
            )
        )
    number = before.number + 1 if before else 1
    after = before
    if passes:
        chosen = finalists[1]
        after = ChampionRecord(
            number=number,
            bundle=chosen.bundle,
            architecture=chosen.architecture,
            run="run",
            promoted_at="2026-11-24T02:05:00+00:00",
            model=f"models:/watch-{name}/{number}",
            error=chosen.error,
            error_by_domain=chosen.error_by_domain,
            robustness=chosen.robustness,
            measurement=chosen.measurement,
        )
    elif before is not None:
        after = before.model_copy(update={"measurement": before.measurement})
    steps = np.arange(1, evaluations + 1)
    gate = {
        person: {"candidate": c, "champion": (round(c + 0.015, 4) if before else None)}
        for person, c in by_people(0.1, PEOPLE["gate"], seed).items()
    }
    return DeviceResult(
        device=name,
        runtime="onnxruntime-cpu",
        threads=1,
        recorded=False,
        predictor={
            "version": 1,
            "form": "linear",
            "networks": 40,
            "median_abs_error": 0.041,
            "spearman": 0.978,
            "weights": [0.1, 0.2],
        },
        evaluations=evaluations,
        front=front,
        previous_front=unbeaten(points(seed + 1000, evaluations, lift=0.02)) if before else [],
        points=seen,
        hypervolume=[float(v) for v in 1 - 0.75 * np.exp(-steps / 30) - 0.001],
        hypervolume_random=[float(v) for v in 0.93 - 0.7 * np.exp(-steps / 45)],
        finalists=finalists,
        max_robust_error=None if before is None else 0.2,
        candidate=finalists[1].bundle,
        champion_before=before,
        champion_after=after,
        verdict=verdict(first=before is None, passes=passes, decision=number),
        gate_error_by_domain=gate if passes else {},
    )


def steps(devices: list[str], *, reused: bool = False) -> list[StepRecord]:
    costs = {
        "ingest": 1.9,
        "validate": 3.2,
        "supernet": 97.4,
        "profile": 26.1,
        "search": 22.6,
        "finalists": 41.0,
        "benchmark": 31.8,
        "gate": 2.1,
        "promote": 9.4,
    }
    found = []
    for step, cost in costs.items():
        for name in [None] if step in ("ingest", "validate", "supernet") else devices:
            again = reused or step == "profile"
            found.append(
                StepRecord(
                    step=step,
                    device=name,
                    key=digest(f"{step}{name}"),
                    reused=again,
                    attempts=2 if step == "search" else 0 if again else 1,
                    seconds=0.0 if again else cost,
                    cpu_seconds=0.0 if again else cost * 1.7,
                )
            )
    return found


def snapshot(*, first: bool) -> SnapshotRecord:
    rng = np.random.default_rng(3)
    splits = {split: {person: int(rng.integers(310, 420)) for person in people} for split, people in PEOPLE.items()}
    classes = {split: dict.fromkeys(LABELS, sum(rows.values()) // 7) for split, rows in splits.items()}
    kept = sum(sum(rows.values()) for rows in splits.values())
    return SnapshotRecord(
        id=digest("snapshot"),
        parent=None if first else digest("before"),
        added=["subject-8.parquet"] if not first else [f"subject-{i}.parquet" for i in range(1, 8)],
        changed=[],
        removed=[],
        refused_objects={} if first else {"subject-8-copy.parquet": "not a Parquet file: the footer is missing"},
        rows_in=kept + 11,
        rows_kept=kept,
        rows_quarantined=9,
        rows_deduplicated=2,
        quarantine={"finite": 6, "known_label": 2, "alive_channels": 3},
        quarantine_examples=[
            "subject-8.parquet, recording 4, window 3: channel gyro_x holds NaN.",
            "subject-8.parquet, recording 9: the label 'shrug' is not known.",
        ],
        kept=digest("kept"),
        splits=splits,
        classes=classes,
    )


def supernet(*, first: bool) -> SupernetRecord:
    rng = np.random.default_rng(5)
    curve = [
        {
            "step": float(s),
            "loss": float(1.9 * np.exp(-s / 300) + 0.52 + 0.03 * rng.standard_normal()),
            "loss_smallest": float(1.7 * np.exp(-s / 330) + 0.68 + 0.03 * rng.standard_normal()),
            "learning_rate": 0.004,
        }
        for s in range(10, 1501, 10)
    ]
    return SupernetRecord(
        digest=digest("supernet"),
        parent=None if first else digest("parent"),
        steps=1500,
        curve=curve,
        space=digest("space"),
        space_size="18526321728",
        ranking=ranking(runs=1 if first else 8),
    )


def ranking(runs: int) -> RankingRecord:
    """The finalists of so many runs, whose errors fall from run to run and are ranked well, not without fault."""
    rng = np.random.default_rng(6)
    rows = [
        (run, inherited + 0.03 * (runs - run), 0.06 + 0.3 * inherited + 0.01 * float(rng.standard_normal()))
        for run in range(1, runs + 1)
        for inherited in rng.uniform(0.1, 0.3, 4).tolist()
    ]
    pairs = [
        RankedPair(
            arch=digest(f"ranked {place}")[:12],
            run=f"2026-11-{run:02d}T02-00-00-4f1c",
            group=run,
            inherited=inherited,
            tuned=tuned,
            new=run == runs,
        )
        for place, (run, inherited, tuned) in enumerate(rows)
    ]
    by_run = [{p.arch: (p.inherited, p.tuned) for p in pairs if p.group == run} for run in range(1, runs + 1)]
    found, enough = agreement(by_run), len(pairs) >= 20
    return RankingRecord(
        pairs=pairs,
        compared=len(pairs),
        needed=20,
        alike=found.alike,
        otherwise=found.otherwise,
        tau=found.tau if enough else None,
        low=found.low if enough else None,
        high=found.high if enough else None,
    )


def build(outcome: str, devices: list[DeviceResult], *, first: bool = False, day: int = 24, reason: str) -> Result:
    new = outcome != "nothing-new"
    return Result(
        run=f"2026-11-{day:02d}T02-00-00-4f1c",
        project="watch",
        outcome=outcome,
        reason=reason,  # type: ignore[arg-type]
        started_at=f"2026-11-{day:02d}T02:00:00+00:00",
        ended_at=f"2026-11-{day:02d}T02:04:03+00:00",
        config=digest("config"),
        snapshot=snapshot(first=first) if new else None,
        supernet=supernet(first=first) if new else None,
        devices=devices,
        steps=steps([d.device for d in devices] or ["cpu"], reused=not new),
        seconds=243.2 if new else 4.1,
        cpu_seconds=401.7 if new else 5.0,
        mlflow={"tracking_uri": "sqlite:///.evernas/mlflow.db", "experiment": "watch", "run": "9f0c2d"},
    )


@pytest.fixture(scope="session")
def first_promotion() -> Result:
    return build(
        "promoted",
        [device("cpu", 11, before=None, passes=True)],
        first=True,
        day=21,
        reason="The first champion for cpu: its error is shown to be below 15 %.",
    )


@pytest.fixture(scope="session")
def promotion() -> Result:
    entry = device("cpu", 11, before=champion(1, 40, 0.105, 0.256, 134.0), passes=True)
    return build("promoted", [entry], reason="A new champion for cpu: 7 % faster at no worse an error.")


@pytest.fixture(scope="session")
def hold() -> Result:
    entry = device("cpu", 30, before=champion(2, 40, 0.092, 0.256, 134.0), passes=False)
    return build("held", [entry], day=25, reason="The champion for cpu stays: the candidate is not shown to be better.")


@pytest.fixture(scope="session")
def nothing_new() -> Result:
    return build("nothing-new", [], day=26, reason="Nothing is new since the run of 25 November: no step had to run.")


@pytest.fixture(scope="session")
def two_devices() -> Result:
    entries = [
        device("cpu", 11, before=champion(1, 40, 0.105, 0.256, 134.0), passes=True),
        device("cpu-2-threads", 60, before=champion(1, 41, 0.092, 0.21, 120.0), passes=False),
    ]
    return build("promoted", entries, reason="A new champion for cpu; the one for cpu-2-threads stays.")


@pytest.fixture(scope="session")
def history() -> list[Result]:
    """Six runs before: three promotions with holds between."""
    runs = []
    past = champion(1, 40, 0.142, 0.291, 150.0)
    runs.append(build("promoted", [device("cpu", 70, before=None, passes=True)], first=True, day=12, reason="First."))
    for i in range(5):
        entry = device(
            "cpu", 80 + i, before=past.model_copy(update={"number": i + 2}), passes=i % 2 == 0, evaluations=20
        )
        runs.append(build("promoted" if i % 2 == 0 else "held", [entry], day=13 + i, reason="Later."))
    return runs


@pytest.fixture(scope="session")
def make_device() -> Callable[..., DeviceResult]:
    return device
