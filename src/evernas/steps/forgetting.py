"""What a supernet forgot of what the one before it knew: both read on the same samples, which both were trained on."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evernas.digest import digest_bytes
from evernas.steps.context import Context

if TYPE_CHECKING:
    from evernas.spaces.api import Architecture
    from evernas.supernet import TrainingData

ROWS = 1024
SUBNETS = 4


def gave_up_warm(facts: Mapping[str, Any]) -> str | None:
    """Why a supernet was trained cold after a warm start was tried: `diverged` or `forgot`; None where none was."""
    if facts.get("diverged") is not None:
        return "diverged"
    return "forgot" if (facts.get("lost") or {}).get("fell_back", False) else None


@dataclass(frozen=True)
class Lost:
    """Mean error, a share, of the same subnets of two supernets on the same `samples` of earlier training domains."""

    samples: int
    before: float
    after: float

    @property
    def sentence(self) -> str:
        """For people."""
        of = f"{self.samples:,} samples that both know"
        return f"{100 * self.after:.1f} % of {of} are wrong, {100 * self.before:.1f} % were before"

    def beyond(self, most: float) -> bool:
        """Whether more was lost than is allowed, and than two standard errors of so few samples."""
        variance = sum(share * (1 - share) for share in (self.before, self.after)) / self.samples
        return self.after - self.before > max(most, 2 * math.sqrt(variance))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Lost:
        """From plain values, among which there may be others."""
        return cls(document["samples"], document["before"], document["after"])


def lost_since(
    context: Context,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    data: TrainingData,
    known: npt.NDArray[np.bool_],
    ids: Sequence[str],
) -> Lost | None:
    """Both supernets on some of the rows that are `known` to both, the same ones from run to run; None without any.

    Subnets are calibrated as the search calibrates them, on all of the data.
    """
    from evernas.supernet import calibrate, evaluate, extract, supernet_of
    from evernas.supernet.accelerator import chosen, computing, enough_memory, kept_near, placed

    rows = chosen_rows(known, data.domains, ids)
    if not len(rows):
        return None
    config = context.config.supernet
    device = chosen(config.device)
    samples = config.calibration_batches * config.batch
    calibration = kept_near(data.calibration(samples, config.augment), device)
    x, y = kept_near(data.x[rows], device), data.y[rows]
    errors = []
    with computing(config.threads, device), enough_memory("lower supernet.calibration_batches or supernet.batch"):
        for state in (before, after):
            network, found = supernet_of(context.space, state), []
            for arch in _subnets(context):
                context.guard.check()
                subnet = calibrate(placed(extract(network, arch), device), calibration)
                found.append(evaluate(subnet, x, y))
            errors.append(float(np.mean(found)))
    return Lost(len(rows), *errors)


def chosen_rows(known: npt.NDArray[np.bool_], domains: npt.NDArray[Any], ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Up to ROWS of the known ones, of each domain as many if it has them: those whose ids have the lowest digests.

    So they stay the same while others come. Of more than ROWS domains those count whose names have the lowest.
    """
    numbers = np.flatnonzero(known)
    names, of = np.unique(domains[numbers], return_inverse=True)
    if not len(names):
        return numbers
    order = np.argsort(of, kind="stable")
    groups = np.split(numbers[order], np.cumsum(np.bincount(of))[:-1])
    taken = heapq.nsmallest(ROWS, range(len(names)), key=lambda at: _digest(str(names[at])))
    found: list[int] = []
    for at in taken:
        found += heapq.nsmallest(ROWS // len(taken), groups[at].tolist(), key=lambda row: _digest(ids[row]))
    return np.array(sorted(found), np.int64)


def _digest(text: str) -> str:
    return digest_bytes(text.encode())


def _subnets(context: Context) -> list[Architecture]:
    space, rng = context.space, np.random.default_rng(0)
    return [space.smallest(), space.largest(), *(space.random(rng) for _ in range(SUBNETS - 2))]
