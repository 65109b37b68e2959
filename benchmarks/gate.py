"""A year of nights against adversaries: how often evernas's gate promotes what is not better, and what it detects.

    python benchmarks/gate.py [--quick] [--json FILE] [--page] [--histories N]

1,000 histories of 365 decisions for each adversary; a promotion is false if the candidate is truly no better, or truly
worse than a margin. Every figure is of `evernas.gate.decide` itself, with the default policy. Beside it are the gates
that people use. What was measured is kept in .benchmarks/ until the code of the gate or of this benchmark changes: an
interrupted measurement goes on. docs/benchmarks/gate.md explains the figures.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

import numpy as np  # noqa: E402
from gate_adversaries import ADVERSARIES  # noqa: E402
from gate_gates import GATES, Ours, OursWithoutAnchor  # noqa: E402
from gate_power import CONFIGURATIONS, power, sizes  # noqa: E402
from gate_prices import ADVERSARY as NO_WORTH  # noqa: E402
from gate_prices import GATES as BY_PRICES  # noqa: E402
from gate_prices import no_gain_in_worth  # noqa: E402
from gate_quality import shares  # noqa: E402
from scipy.stats import beta  # noqa: E402

from evernas.config import GateConfig  # noqa: E402
from evernas.gate import claim  # noqa: E402

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".benchmarks" / "gate"
PAGE = ROOT / "docs" / "benchmarks" / "gate.md"
SEED = 7
# Histories of every other gate: what it is compared with is not in the third digit.
OTHERS = 200
# Parts of the gate that decide nothing.
APART = ("__init__", "selection", "verdict", "wording")
# The largest share of histories with a false promotion that is good enough, by its bound.
MOST_FALSE = 0.05
TARGET_GAIN = 0.018
# The share at the last decision of a year is close to the four in five that are promised: so many times the draws.
LAST, OF_LAST = 365, 4


def main() -> None:
    """Parse the arguments, measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few histories, few nights, few configurations")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/benchmarks/gate.md")
    parser.add_argument("--histories", type=int, help="1,000 by default")
    parser.add_argument("--nights", type=int, help="365 by default")
    arguments = parser.parse_args()
    histories = arguments.histories or (20 if arguments.quick else 1000)
    nights = arguments.nights or (20 if arguments.quick else 365)
    keep = _Kept(None if arguments.quick else KEPT)
    figures: dict[str, Any] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": _processor(),
        "histories": histories,
        "nights": nights,
    }
    tables = [
        _years(figures, keep, histories, nights),
        _years_by_prices(figures, keep, histories, nights),
        _gains(figures, keep, 20 if arguments.quick else 1000, arguments.quick),
        _sizes(figures, keep, 5_000 if arguments.quick else 1_000_000),
        _qualities(figures, keep, 20 if arguments.quick else 1000),
    ]
    text = "\n\n".join(tables)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.page:
        _write_page(text, figures)


class _Kept:
    """Measurements under the digest of the code that decides, of this benchmark's, and of the policy."""

    def __init__(self, folder: Path | None) -> None:
        decides = [p for p in (ROOT / "src/evernas/gate").glob("*.py") if p.stem not in APART]
        sources = sorted([*decides, *(ROOT / "benchmarks").glob("gate_*.py")])
        # The tree without layout and comments: these may change freely.
        trees = "".join(ast.dump(ast.parse(path.read_text())) for path in sources)
        digest = hashlib.sha256((trees + GateConfig().model_dump_json()).encode())
        self.folder = None if folder is None else folder / digest.hexdigest()[:16]

    def get(self, name: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What was measured under this name, or is measured now."""
        if self.folder is None:
            return measure()
        path = self.folder / f"{name}.json"
        if not path.exists():
            start = time.process_time()
            found = measure()
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps({**found, "cpu_seconds": round(time.process_time() - start, 1)}))
            temporary.replace(path)
            print(f"measured {name} in {time.process_time() - start:.0f} s of processor time", flush=True)
        kept: dict[str, float] = json.loads(path.read_text())
        return kept


def _years(figures: dict[str, Any], keep: _Kept, histories: int, nights: int) -> str:
    names, others = list(ADVERSARIES), min(histories, OTHERS)
    lines = [
        f"False promotions in {histories:,} histories of {nights} decisions ({others:,} for gates other than evernas): "
        "share, with its upper 95 % bound; and promotions a history.",
        "",
        "| gate | " + " | ".join(names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for gate in (Ours, OursWithoutAnchor, *GATES[1:]):
        cells = []
        for name in names:
            if not gate.meets(name):
                cells.append("")
                continue
            key, count = f"{_plain(gate.name)}.{_plain(name)}", histories if gate is Ours else others
            found = keep.get(f"{key}.{count}x{nights}", lambda g=gate, n=name, c=count: _year(g, n, c, nights))
            figures |= {f"{key}.{figure}": value for figure, value in found.items() if figure != "cpu_seconds"}
            cells.append(
                f"{100 * found['false_share']:.1f} % (≤ {100 * found['upper']:.1f} %), {found['promotions']:.2g}"
            )
        lines.append(f"| {gate.name} | " + " | ".join(cells) + " |")
    ours = [figures[f"evernas.{_plain(name)}.upper"] for name in names]
    figures["evernas.all_below_5_percent"] = bool(max(ours) < MOST_FALSE)
    return "\n".join(lines)


def _years_by_prices(figures: dict[str, Any], keep: _Kept, histories: int, nights: int) -> str:
    lines = [f"The same with declared prices, before candidates with {NO_WORTH}.", "", "| gate | false promotions |"]
    lines.append("| --- | --- |")
    for gate in BY_PRICES:
        key = f"{_plain(gate.name)}.{_plain(NO_WORTH)}"
        found = keep.get(f"{key}.{histories}x{nights}", lambda g=gate: _year(g, NO_WORTH, histories, nights))
        figures |= {f"{key}.{figure}": value for figure, value in found.items() if figure != "cpu_seconds"}
        lines.append(f"| {gate.name} | {100 * found['false_share']:.1f} % (≤ {100 * found['upper']:.1f} %) |")
    return "\n".join(lines)


def _year(gate: Any, name: str, histories: int, nights: int) -> dict[str, float]:
    seed = [SEED, *name.encode()]
    adversary = {**ADVERSARIES, NO_WORTH: no_gain_in_worth}[name]
    played = adversary(gate(histories, SEED), nights, np.random.default_rng(seed))
    wrong = int(played.false.sum())
    found = {
        "false": wrong,
        "false_share": wrong / histories,
        "upper": 1.0 if wrong == histories else float(beta.ppf(0.95, wrong + 1, histories - wrong)),
        "promotions": float(played.promotions.mean()),
    }
    if played.below_anchor is not None:
        found["below_anchor_points_mean"] = float(100 * played.below_anchor.mean())
        found["below_anchor_points_max"] = float(100 * played.below_anchor.max())
    return found


def _gains(figures: dict[str, Any], keep: _Kept, times: int, quick: bool) -> str:
    effect = GateConfig().effects.error
    lines = [
        f"Gains shown by one decision, in points, with a minimum effect of {100 * effect:.1f} ({times:,} decisions a "
        f"figure, {OF_LAST * times:,} where it is the last of a year; error and latency share the level). The gate "
        "says beforehand what it detects four times in five.",
        "",
        "| gate split | level | detectable, as foreseen | promoted at 90 %, 100 % and 110 % of it | at effect + 1.3 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for of in CONFIGURATIONS[:1] if quick else CONFIGURATIONS:
        stated, drawn = of.detectable, OF_LAST * times if of.decision == LAST else times
        shares = {}
        for label, gain in (("90", 0.9 * stated), ("100", stated), ("110", 1.1 * stated), ("target", TARGET_GAIN)):
            name = f"power.{of.key}.at_{label}"
            found = keep.get(f"{name}.{drawn}", lambda g=gain, o=of, n=drawn: {"share": power(o, g, n, SEED)})
            figures[f"{name}.share"] = shares[label] = found["share"]
        figures[f"power.{of.key}.detectable_points"] = 100 * stated
        figures[f"power.{of.key}.confirmed_within_10_percent"] = bool(shares["90"] < 0.8 < shares["110"])
        lines.append(
            f"| {of.name} | {of.claimed.level:.2g} | {100 * stated:.2f} | "
            f"{100 * shares['90']:.0f} %, {100 * shares['100']:.0f} %, {100 * shares['110']:.0f} % | "
            f"{100 * shares['target']:.0f} % |"
        )
    return "\n".join(lines)


def _sizes(figures: dict[str, Any], keep: _Kept, times: int) -> str:
    policy = GateConfig()
    levels = [claim(policy.alpha, policy.decisions, (None,) * (n - 1)).level for n in (1, 10, 365)]
    lines = [
        f"A true zero passes Student's bound over domains, which the gate's own bound is never below: share over "
        f"nominal, by {times:,} simulations; and the percentile bootstrap's share at a nominal 5 %.",
        "",
        "| domains | " + " | ".join(f"level {level:.2g}" for level in levels) + " | percentile bootstrap |",
        "| --- |" + " --- |" * (len(levels) + 1),
    ]
    for domains in (3, 5, 10, 20, 50):
        found = keep.get(f"size.{domains}.{times}", lambda d=domains: _size(d, levels, times))
        cells = []
        for number, level in enumerate(levels):
            figures[f"size.{domains}.level_{number}.share_over_nominal"] = found[f"level_{number}"] / level
            cells.append(f"{found[f'level_{number}'] / level:.2f}")
        figures[f"size.{domains}.percentile_bootstrap"] = found["bootstrap"]
        lines.append(f"| {domains} | " + " | ".join(cells) + f" | {100 * found['bootstrap']:.1f} % |")
    return "\n".join(lines)


def _size(domains: int, levels: list[float], times: int) -> dict[str, float]:
    found = sizes(domains, levels, times, SEED)
    by_level = {f"level_{number}": found.shares[level] for number, level in enumerate(levels)}
    return {**by_level, "bootstrap": found.bootstrap_share}


def _qualities(figures: dict[str, Any], keep: _Kept, times: int) -> str:
    levels = (0.05, 0.01)
    lines = [
        f"A true zero of a figure of whole domains passes the gate's bound: share at nominal 5 % and 1 %, by {times:,} "
        "simulations of domains with 60 samples, of whose rarest class there are 6.",
        "",
        "| domains | macro-F1 | AUROC |",
        "| --- | --- | --- |",
    ]
    for domains in (5, 20):
        cells = []
        for metric in ("macro_f1", "auroc"):
            found = keep.get(
                f"quality.{metric}.{domains}.{times}",
                lambda m=metric, d=domains: {str(k): v for k, v in shares(m, d, levels, times, SEED).items()},
            )
            figures |= {f"quality.{metric}.{domains}.at_{level}": found[str(level)] for level in levels}
            cells.append(", ".join(f"{100 * found[str(level)]:.1f} %" for level in levels))
        lines.append(f"| {domains} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _plain(name: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in name).split())


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _write_page(text: str, figures: dict[str, Any]) -> None:
    before, _, rest = PAGE.read_text().partition("<!-- measured -->\n")
    after = rest.partition("<!-- end -->")[2]
    made = f"Python {figures['python']}, numpy {figures['numpy']}, on {figures['processor']}."
    PAGE.write_text(f"{before}<!-- measured -->\n{text}\n\n{made}\n<!-- end -->{after}")


if __name__ == "__main__":
    main()
