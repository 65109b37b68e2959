"""What inherited and stand-alone errors amount to: rank correlations with their intervals; nothing is trained here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau
from trainings import written_between_marks

RESAMPLES, SEED = 1000, 0
BEST = 0.2
TOP = 5

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Errors of architectures: alone (n, seeds), and inherited by way (supernets, increments, n)."""

    name: str
    alone: Values
    macs: Values
    parameters: Values
    inherited: Mapping[str, Values]
    trained_on: Sequence[int]
    """Domains that train, after each increment."""
    steps: int
    rate: float
    """Of learning."""
    domains: int
    """Domains that the errors are means over."""

    @cached_property
    def truth(self) -> Values:
        """(n,)."""
        return self.alone.mean(1)

    @cached_property
    def predictors(self) -> dict[str, Values]:
        """What ranks architectures (rankings, n), less being better: of a supernet each one's errors."""
        last = {f"inherited, {way}": errors[:, -1] for way, errors in self.inherited.items()}
        return {**last, "multiply-accumulates": -self.macs[None], "parameters": -self.parameters[None]}

    @cached_property
    def resamples(self) -> npt.NDArray[np.int64]:
        """The same architectures drawn again for every figure, so that differences are paired."""
        count = len(self.truth)
        return np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))

    @cached_property
    def drawn(self) -> dict[str, Values]:
        """Kendall's tau of each predictor with the truth, by resample, the mean over its rankings."""
        return {
            name: np.array([_tau(rankings[:, some], self.truth[some]) for some in self.resamples])
            for name, rankings in self.predictors.items()
        }

    def tau(self, name: str) -> tuple[float, float, float]:
        """Tau of a predictor, and its 95 % interval."""
        low, high = np.nanquantile(self.drawn[name], (0.025, 0.975))
        return _tau(self.predictors[name], self.truth), float(low), float(high)

    def ahead(self, name: str, of: str) -> tuple[float, float, float]:
        """How much larger the tau of one predictor is than another's, and the paired 95 % interval."""
        low, high = np.nanquantile(self.drawn[name] - self.drawn[of], (0.025, 0.975))
        return _tau(self.predictors[name], self.truth) - _tau(self.predictors[of], self.truth), float(low), float(high)

    def within_best(self, name: str) -> tuple[float, float, float]:
        """Tau among the fifth of the architectures that is truly best, and its interval over these."""
        best = np.argsort(self.truth, kind="stable")[: max(2, round(BEST * len(self.truth)))]
        some = best[np.random.default_rng(SEED).integers(0, len(best), (RESAMPLES, len(best)))]
        rankings = self.predictors[name]
        low, high = np.nanquantile([_tau(rankings[:, draw], self.truth[draw]) for draw in some], (0.025, 0.975))
        return _tau(rankings[:, best], self.truth[best]), float(low), float(high)

    def regret(self, name: str) -> float:
        """By how many points the truly best of the TOP that a predictor ranks first is worse than the best of all."""
        firsts = np.argsort(self.predictors[name], axis=1, kind="stable")[:, :TOP]
        return 100 * float(np.mean(self.truth[firsts].min(1)) - self.truth.min())

    @cached_property
    def between_seeds(self) -> float:
        """Mean tau between two seeds of the same architectures alone: what no predictor of one training can exceed by
        much."""
        pairs = list(combinations(range(self.alone.shape[1]), 2))
        if not pairs:
            return float("nan")
        return float(np.mean([_tau(self.alone[None, :, a], self.alone[:, b]) for a, b in pairs]))

    @cached_property
    def spread(self) -> tuple[float, float]:
        """Standard deviations, in points, of errors alone between architectures and between seeds of the same one.

        From the mean squares of a one-way analysis of variance: what seeds add to the first is taken off; nan of one
        seed.
        """
        seeds = self.alone.shape[1]
        if seeds < 2:
            return float("nan"), float("nan")
        within = float(self.alone.var(1, ddof=1).mean())
        between = max(0.0, float(self.alone.mean(1).var(ddof=1)) - within / seeds)
        return 100 * between**0.5, 100 * within**0.5

    def over_increments(self, way: str) -> list[tuple[float, float, float]]:
        """Mean tau over the supernets of a way after each increment, with the smallest and largest."""
        found = []
        for step in range(self.inherited[way].shape[1]):
            each = [_tau(errors[step][None], self.truth) for errors in self.inherited[way]]
            found.append((float(np.mean(each)), min(each), max(each)))
        return found

    def figures(self) -> dict[str, Any]:
        """Every figure by name."""
        found: dict[str, Any] = {
            "networks": len(self.truth), "seeds": self.alone.shape[1], "steps": self.steps,
            "between_seeds": self.between_seeds, "sd_architectures": self.spread[0], "sd_seeds": self.spread[1],
        }  # fmt: skip
        for name in self.predictors:
            key = re.sub(r"[^a-z]+", "_", name)
            found |= _bounds(f"tau_{key}", self.tau(name)) | _bounds(f"best_fifth_{key}", self.within_best(name))
            found[f"regret_{key}"] = self.regret(name)
        for way in self.inherited:
            for other in ("multiply-accumulates", "parameters"):
                key = re.sub(r"[^a-z]+", "_", f"{way} ahead of {other}")
                found |= _bounds(key, self.ahead(f"inherited, {way}", other))
            for number, step in zip(self.trained_on, self.over_increments(way), strict=True):
                found |= _bounds(f"{way}_after_{number}", step)
        return found


def _tau(rankings: Values, truth: Values) -> float:
    """Kendall's tau-b with the truth, the mean over rankings (k, n); NaN where all are equal."""
    return float(np.mean([kendalltau(ranking, truth).statistic for ranking in rankings]))


def _bounds(name: str, of: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), of, strict=True))


def _cell(of: tuple[float, float, float]) -> str:
    return f"{of[0]:.2f} ({of[1]:.2f} to {of[2]:.2f})"


def table(sample: Sample) -> str:
    """A set's figures as Markdown."""
    count, seeds = sample.alone.shape
    lines = [
        f"**{sample.name}**: {count} architectures, each alone with {seeds} seed{'s' * (seeds > 1)} of {sample.steps} "
        f"steps at a rate of {sample.rate:g}; errors from {100 * sample.truth.min():.1f} to "
        f"{100 * sample.truth.max():.1f} %, median {100 * np.median(sample.truth):.1f} %. " + _ceiling(sample),
        "",
        f"| ranked by | mean error, % | tau | within the best fifth | regret of {TOP}, points "
        "| ahead of multiply-accumulates | ahead of parameters |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, values in sample.predictors.items():
        error = f"{100 * values.mean():.1f}" if name.startswith("inherited") else ""
        cells = [name, error, _cell(sample.tau(name)), _cell(sample.within_best(name)), f"{sample.regret(name):.2f}"]
        for other in ("multiply-accumulates", "parameters"):
            cells.append(_cell(sample.ahead(name, other)) if name.startswith("inherited") else "")
        lines.append(f"| {' | '.join(cells)} |")
    domains = " | ".join(f"after {number}" for number in sample.trained_on)
    lines += ["", f"| tau as domains arrive | {domains} |", "| --- |" + " --- |" * len(sample.trained_on)]
    for way in sample.inherited:
        lines.append(f"| {way} | {' | '.join(_cell(step) for step in sample.over_increments(way))} |")
    return "\n".join(lines) + "\n"


def _ceiling(sample: Sample) -> str:
    """What the seeds of the same architecture tell."""
    if sample.alone.shape[1] == 1:
        return "How much of that is the seed's is not known of one seed."
    architectures, seeds = sample.spread
    return (
        f"Tau between two of the seeds: {sample.between_seeds:.2f}. Standard deviation between seeds {seeds:.1f} "
        f"points, between architectures {architectures:.1f}."
    )


def page(path: Path, samples: Sequence[Sample]) -> None:
    """Write the tables between the marks of a page, and the plot beside it."""
    tables = "\n".join(table(sample) for sample in samples)
    shown = f"![Error by inherited weights against error trained alone]({path.with_suffix('.svg').name})"
    written_between_marks(path, f"{tables}\n{shown}")
    path.with_suffix(".svg").write_text(plot(samples) + "\n", encoding="utf-8")


def plot(samples: Sequence[Sample]) -> str:
    """Inherited against stand-alone error, a panel a set, as SVG."""
    import vl_convert

    def panel(sample: Sample) -> dict[str, Any]:
        inherited = sample.predictors["inherited, cold"].mean(0)
        values = [
            {"alone": 100 * own, "inherited": 100 * of, "macs": macs}
            for own, of, macs in zip(sample.truth, inherited, sample.macs, strict=True)
        ]

        def axis(field: str, title: str) -> dict[str, Any]:
            return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": False}}

        return {
            "title": sample.name, "width": 280, "height": 240, "data": {"values": values},
            "mark": {"type": "point", "filled": True, "opacity": 0.7, "size": 28},
            "encoding": {
                "x": axis("inherited", "error by inherited weights, %"),
                "y": axis("alone", "error trained alone, %"),
                "color": {
                    "field": "macs", "type": "quantitative", "scale": {"type": "log", "scheme": "viridis"},
                    "title": "multiply-accumulates", "legend": {"format": ".0s"},
                },
            },
        }  # fmt: skip

    spec = {
        "hconcat": [panel(sample) for sample in samples],
        "resolve": {"scale": {"color": "independent"}},
        "background": "white",
    }
    return str(vl_convert.vegalite_to_svg(spec, vl_version="5.21"))
