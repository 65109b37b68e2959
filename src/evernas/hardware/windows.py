"""Which restarts of a measurement to believe: pure functions over their raw figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evernas.hardware.measurement import DISTURBED, variation


def unstable(restarts: Sequence[dict[str, Any]], digests: Sequence[str], max_variation: float) -> set[str]:
    """The networks whose medians vary by more than `max_variation` over these restarts."""
    return {digest for digest in digests if not _variation(restarts, digest) <= max_variation}


def fastest(restarts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The reference's fastest median so far, by which the next process knows the machine's usual speed."""
    known = [restart["fastest_reference_ms"] for restart in restarts]
    return {"fastest_reference_ms": min(known)} if known else {}


def quiet(restart: dict[str, Any], restarts: Sequence[dict[str, Any]]) -> bool:
    """Whether the machine was at its usual speed, as it is known after all `restarts`, during this one."""
    usual = min(other["fastest_reference_ms"] for other in restarts)
    own: float = restart["models"][restart["reference"]]["median_ms"]
    return bool(restart["quiet"]) and own <= DISTURBED * usual


def all_quiet(chosen: Sequence[dict[str, Any]], restarts: Sequence[dict[str, Any]]) -> bool:
    """Whether none of the chosen restarts was disturbed."""
    return all(quiet(restart, restarts) for restart in chosen)


def least_share(restarts: Sequence[dict[str, Any]]) -> float:
    """The least share of its time for which one of these restarts had a processor; of none, 1."""
    return min((float(restart["cpu_share"]) for restart in restarts), default=1.0)


def starved(restarts: Sequence[dict[str, Any]], min_cpu_share: float) -> bool:
    """Whether one of these restarts had a processor for less of its time than that."""
    return not least_share(restarts) >= min_cpu_share


def best_window(
    restarts: Sequence[dict[str, Any]],
    count: int,
    digests: Sequence[str],
    max_variation: float,
    min_cpu_share: float,
) -> list[dict[str, Any]]:
    """`count` restarts to report, fewer if there are no more: successive ones in which fewest networks are unstable.

    Those that lacked a processor, and then disturbed ones, are left out when enough others remain. What is chosen
    depends on that, on the reference and on how many networks are unstable, never on how fast one is; all networks are
    read from the same restarts, and stay pairs.
    """
    fed = [restart for restart in restarts if not starved([restart], min_cpu_share)]
    undisturbed = [restart for restart in fed if quiet(restart, restarts)]
    pool = next((found for found in (undisturbed, fed) if len(found) >= count), list(restarts))
    windows = [pool[start : start + count] for start in range(max(1, len(pool) - count + 1))]
    return min(reversed(windows), key=lambda window: len(unstable(window, digests, max_variation)))


def _variation(restarts: Sequence[dict[str, Any]], digest: str) -> float:
    return variation([restart["models"][digest]["median_ms"] for restart in restarts])
