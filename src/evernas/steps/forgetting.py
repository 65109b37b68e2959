"""What a supernet forgot of what the one before it knew: both read on the same samples, which both were trained on."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evernas.config import SupernetConfig
from evernas.digest import digest_bytes
from evernas.result import terms_in_words
from evernas.spaces import Architecture, NetworkSpace, in_both
from evernas.steps.loading import as_training, network_inputs, some_samples
from evernas.tokeniser import Tokeniser

if TYPE_CHECKING:
    from evernas.data import Samples

ROWS = 1024
SUBNETS = 4


def gave_up_warm(facts: Mapping[str, Any]) -> str | None:
    """Why a supernet was trained cold after a warm start was tried: `diverged` or `forgot`; None where none was."""
    if facts.get("diverged") is not None:
        return "diverged"
    return "forgot" if (facts.get("lost") or {}).get("fell_back", False) else None


@dataclass(frozen=True)
class Lost:
    """Mean error, a share, of the same subnets of two supernets on the same `samples` of earlier training domains.

    `networks` says how many both have where their spaces differ, `classes` of how many the answer was to be where one
    knows others.
    """

    samples: int
    before: float
    after: float
    networks: int | None = None
    classes: int | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        of = f"{self.samples:,} samples that both know{terms_in_words(self.networks, self.classes)}"
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
        return cls(*(document[name] for name in ("samples", "before", "after")), *map(document.get, _TERMS))


_TERMS = ("networks", "classes")


@dataclass(frozen=True)
class Supernet:
    """A supernet as it is read: its weights, and what they are weights of."""

    state: Mapping[str, Any]
    space: NetworkSpace
    labels: Sequence[str]
    tokeniser: Tokeniser | None
    """None where samples are no texts."""


def lost_since(
    config: SupernetConfig,
    before: Supernet,
    after: Supernet,
    train: Samples,
    known: npt.NDArray[np.bool_],
    guard: Callable[[], None],
) -> Lost | str:
    """Both on some of the training samples that are `known` to both, the same from run to run; or why that cannot be.

    Read are subnets that both spaces have, each supernet with its own sub-words, and answers among the classes that
    both know. Subnets are calibrated as the search calibrates them, on samples of all of the data. `train` has the
    labels of `after`. `guard` is called before each subnet, and may raise.
    """
    if after.tokeniser is None and before.space.shape != after.space.shape:
        return "its samples were of another size"
    classes = [label for label in after.labels if label in before.labels]
    if len(classes) < 2:
        return "fewer than two classes are known to both"
    number = {label: at for at, label in enumerate(classes)}
    y = np.array([number.get(label, -1) for label in after.labels])[train.y]
    rows = chosen_rows(known & (y >= 0), np.asarray(train.domains), train.sample_ids)
    if not len(rows):
        return "no sample is known to both"
    pairs = _subnets(before.space, after.space)
    if not pairs:
        return "no network was found that both spaces have"
    sides = zip((before, after), zip(*pairs, strict=True), strict=True)
    was, now = (_error(config, of, archs, classes, train, rows, y[rows], guard) for of, archs in sides)
    return Lost(
        len(rows),
        was,
        now,
        networks=None if before.space.id == after.space.id else len(pairs),
        classes=None if list(before.labels) == list(after.labels) else len(classes),
    )


def _error(
    config: SupernetConfig,
    of: Supernet,
    archs: Sequence[Architecture],
    classes: Sequence[str],
    train: Samples,
    rows: npt.NDArray[np.int64],
    y: npt.NDArray[np.int64],
    guard: Callable[[], None],
) -> float:
    """Mean share of the rows that these subnets of a supernet get wrong, where they choose among the classes."""
    from evernas.supernet import calibrate, evaluate, extract, supernet_of
    from evernas.supernet.accelerator import chosen, computing, enough_memory, kept_near, placed
    from evernas.supernet.data import spaced

    device = chosen(config.device)
    count = config.calibration_batches * config.batch
    spread = as_training(of.space, some_samples(train, spaced(len(train), count)), of.tokeniser)
    calibration = kept_near(spread.calibration(count, config.augment), device)
    x = kept_near(network_inputs(of.space, train.x[rows], of.tokeniser), device)
    among = [of.labels.index(label) for label in classes]
    network, found = supernet_of(of.space, of.state), []
    with computing(config.threads, device), enough_memory("lower supernet.calibration_batches or supernet.batch"):
        for arch in archs:
            guard()
            subnet = calibrate(placed(extract(network, arch), device), calibration)
            found.append(evaluate(subnet, x, y, among))
    return float(np.mean(found))


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


def _subnets(before: NetworkSpace, after: NetworkSpace) -> list[tuple[Architecture, Architecture]]:
    """A few networks that both spaces have, as architectures of each."""
    if before.id != after.id:
        return in_both(before, after, SUBNETS)
    rng = np.random.default_rng(0)
    archs = [after.smallest(), after.largest(), *(after.random(rng) for _ in range(SUBNETS - 2))]
    return [(arch, arch) for arch in archs]
