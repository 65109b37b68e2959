"""What a supernet takes over from one of another space or of other classes: whatever both have a place for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evernas.spaces import NetworkSpace
from evernas.supernet.making import initial

CLASSIFIER, POOLED, EMBEDDING = "classifier.", "pooled_", "embedding"


@dataclass(frozen=True)
class Layout:
    """What the sizes of a supernet's tensors do not tell: its classes, and what its classifier is given."""

    classes: Sequence[str]
    pooled: Mapping[str, int]
    """Numbers of inputs by what they are, in their order."""


@dataclass(frozen=True)
class Carried:
    """First weights, and which share of them is from elsewhere."""

    state: dict[str, Tensor]
    share: float


def carried(
    parent: Mapping[str, Tensor], was: Layout, space: NetworkSpace, classes: Sequence[str], seed: int
) -> Carried:
    """A state of `space` and `classes` with the parent's weights wherever both supernets have one, the others as new.

    An architecture takes the first channels and the middle taps of every layer. So one that both spaces have gives for
    the classes that both know the scores that it gave before, and one of the new space begins as its part that
    was there: inputs and taps that are new to an old channel count nothing at first (Chen et al. 2016, Net2Net).
    Classes are told by their names, the classifier's inputs by what they are.
    """
    fresh = initial(space, seed)
    found, shared = {}, 0
    rows = _places(was.classes, classes)
    columns = _columns(was.pooled, space.pooled_parts)
    for name, tensor in fresh.items():
        old = parent.get(name)
        if old is None or old.dim() != tensor.dim():
            found[name] = tensor
        elif name.startswith(CLASSIFIER):
            found[name], count = _classified(old, tensor, rows, columns)
            shared += count
        elif name.startswith(POOLED):
            found[name] = tensor.clone()
            found[name][columns[1]] = old[columns[0]]
            shared += len(columns[0])
        else:
            found[name], count = _overlaid(old, tensor, inputs=name != EMBEDDING)
            shared += count
    return Carried(found, shared / sum(tensor.numel() for tensor in fresh.values()))


_Places = tuple[list[int], list[int]]
"""Where things were, and where they are now."""


def _places(was: Sequence[str], now: Sequence[str]) -> _Places:
    pairs = [(was.index(name), at) for at, name in enumerate(now) if name in was]
    return [before for before, _ in pairs], [after for _, after in pairs]


def _columns(was: Mapping[str, int], now: Mapping[str, int]) -> _Places:
    """Of each kind of input the first ones that both have."""
    starts = {name: sum(list(was.values())[:at]) for at, name in enumerate(was)}
    before: list[int] = []
    after: list[int] = []
    start = 0
    for name, count in now.items():
        both = min(count, was.get(name, 0))
        before += range(starts.get(name, 0), starts.get(name, 0) + both)
        after += range(start, start + both)
        start += count
    return before, after


def _classified(old: Tensor, fresh: Tensor, rows: _Places, columns: _Places) -> tuple[Tensor, int]:
    found = fresh.clone()
    if fresh.dim() == 1:
        found[rows[1]] = old[rows[0]]
        return found, len(rows[0])
    into, of = torch.tensor(rows[1]), torch.tensor(rows[0])
    if len(into) and columns[0]:
        found[into] = 0
        found[into[:, None], torch.tensor(columns[1])] = old[of[:, None], torch.tensor(columns[0])]
    return found, len(rows[0]) * len(columns[0])


def _overlaid(old: Tensor, fresh: Tensor, inputs: bool) -> tuple[Tensor, int]:
    """The first channels and middle taps of the old on the fresh, whose second dimension may be `inputs`."""
    found = fresh.clone()
    both = [min(sizes) for sizes in zip(old.shape, fresh.shape, strict=True)]
    starts = [[0 if at < 2 else (of.shape[at] - n) // 2 for at, n in enumerate(both)] for of in (old, fresh)]
    taken, into = (tuple(slice(s, s + n) for s, n in zip(of, both, strict=True)) for of in starts)
    if fresh.dim() > 1 and inputs:
        found[: both[0]] = 0
    found[into] = old[taken]
    return found, old[taken].numel()
