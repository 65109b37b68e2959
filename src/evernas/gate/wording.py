"""How the gate's figures read: points, shares, ratios and confidence as text; nothing is compared here."""

from __future__ import annotations

import math

METRIC_NAMES = {
    "error": "error",
    "latency_ms": "median latency",
    "latency_p95_ms": "95th-percentile latency",
    "load_p95_ms": "95th-percentile latency under load",
    "cold_start_ms": "cold start",
    "energy_mj": "energy of an inference",
    "size_kb": "size",
    "peak_memory_mb": "peak memory",
    "cost_per_million": "cost of a million answers",
    "robust_error": "error under the worst corruption of the search split",
    "worst_domain_error": "error in the worst domain of the search split",
}
SHARES = ("error", "robust_error", "worst_domain_error")
"""Metrics that read as per cent."""
UNITS = {
    "latency_ms": "ms",
    "latency_p95_ms": "ms",
    "load_p95_ms": "ms",
    "cold_start_ms": "ms",
    "energy_mj": "mJ",
    "size_kb": "kB",
    "peak_memory_mb": "MB",
    "cost_per_million": "in the price's currency",
}


def digits(a: float, b: float) -> int:
    """Decimals that show two different figures as different, from 1 to 4."""
    for count in range(1, 4):
        if a == b or f"{a:.{count}f}" != f"{b:.{count}f}":
            return count
    return 4


def number(value: float, decimals: int = 1) -> str:
    """A figure without a minus before zero; 'unbounded' if it is not finite."""
    if not math.isfinite(value):
        return "unbounded"
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def places(figure: float) -> int:
    """Decimals that show two digits of a figure that are not 0; from 0 to 8."""
    if not math.isfinite(figure) or figure == 0:
        return 1
    return min(max(1 - math.floor(math.log10(abs(figure))), 0), 8)


def amount(figure: float) -> str:
    """A figure whose size is not known beforehand, by two digits or more."""
    return number(figure, places(figure))


def confidence(level: float) -> str:
    """The confidence of a bound at this level, with enough digits not to read as certain."""
    decimals = max(2, math.ceil(-math.log10(level)) - 1)
    return f"{100 * (1 - level):.{decimals}f}".rstrip("0").rstrip(".") + " %"


def compared(value: float, unit: str, decimals: int = 1) -> str:
    """A difference in per cent or points as '1.2 points lower' or '0.3 % higher'; below zero is lower."""
    size = number(abs(value), decimals)
    if math.isfinite(value) and float(size) == 0:
        return f"{size} {unit} higher" if value >= 0 else f"{size} {unit} lower"
    return f"{size} {unit} {'higher' if value > 0 else 'lower'}"


def outcome(passed: bool) -> str:
    """How a rule ended."""
    return "passed" if passed else "failed"


def joined(parts: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
