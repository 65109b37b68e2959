"""Architectures of one space in another of the same kind: choices by their names, options by their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from evernas.spaces.api import Architecture, Option
from evernas.spaces.network import NetworkSpace

NEAR = 2.0
"""An option that is gone is replaced by the nearest one that is at most so many times as large, or as small.

So an architecture stays about where it was between small and large: beyond that it would be another one, and all of a
front would come to the smallest or the largest of the new space."""
TRIES = 200
_NUMBERED = re.compile(r"(.*\D)(\d+)")


def translated(arch: Architecture, was: NetworkSpace, space: NetworkSpace, near: float = NEAR) -> Architecture | None:
    """The architecture of `space` whose choices are those of `arch` in `was`; None where one of them has no option.

    What `space` no longer lets choose is left out. What was neither chosen nor fixed before, as of blocks and stages
    that were not there, takes the first option, which adds least. With `near` 1 each option has to be there itself.
    """
    if was.name != space.name:
        return None
    known = _used(arch, was)
    genes, missing = list[int](), set[int]()
    for at, choice in enumerate(space.choices):
        found = _nearest(choice.options, known[choice.name], near) if choice.name in known else 0
        genes.append(found or 0)
        if found is None:
            missing.add(at)
    if any(on and at in missing for at, on in enumerate(space.active(genes))):
        return None
    return space.architecture(genes)


def all_translated(archs: Iterable[Architecture], was: NetworkSpace, space: NetworkSpace) -> list[Architecture]:
    """Those that have a translation, in their order and each once."""
    found = (translated(arch, was, space) for arch in archs)
    return list(dict.fromkeys(arch for arch in found if arch is not None))


def same_network(arch: Architecture, was: NetworkSpace, space: NetworkSpace) -> Architecture | None:
    """The architecture of `space` that is the very network of `arch`; None where there is none.

    But for its classes, and for how many sub-words are known: these are not chosen.
    """
    found = translated(arch, was, space, near=1.0)
    return found if found is not None and _parts(arch, was) == _parts(found, space) else None


def in_both(was: NetworkSpace, space: NetworkSpace, count: int) -> list[tuple[Architecture, Architecture]]:
    """Up to `count` networks that both spaces have, as architectures of each; the same ones each time.

    The smallest and the largest of what both let choose, then others at random.
    """
    if was.name != space.name:
        return []
    there = {choice.name: {*choice.options} for choice in space.choices}
    there |= {name: {option} for name, option in space.fixed().items()}
    # What the other space knows nothing of may belong to blocks that are skipped: any option may be right.
    free = [
        [gene for gene, option in enumerate(choice.options) if option in there.get(choice.name, ())]
        or list(range(len(choice.options)))
        for choice in was.choices
    ]
    rng, found = np.random.default_rng(0), dict[Architecture, Architecture]()
    for number in range(TRIES):
        ends = {0: 0, 1: -1}
        genes = [of[ends[number] if number in ends else int(rng.integers(len(of)))] for of in free]
        arch = was.architecture(genes)
        other = same_network(arch, was, space)
        if other is not None:
            found.setdefault(arch, other)
        if len(found) == count:
            break
    return list(found.items())


def _used(arch: Architecture, space: NetworkSpace) -> dict[str, Option]:
    """Every option that matters to the network, chosen or not."""
    active = space.active(arch.genes)
    chosen = {c.name: c.options[g] for c, g, on in zip(space.choices, arch.genes, active, strict=True) if on}
    return {**space.fixed(), **chosen}


def _nearest(options: Sequence[Option], value: Option, near: float) -> int | None:
    """Which of the options is this value, or nearest to it and near enough; of two alike the first."""
    if value in options:
        return options.index(value)
    kind, number = _split(value)
    ratios = {
        at: max(number, other) / min(number, other)
        for at, option in enumerate(options)
        for of, other in [_split(option)]
        if of == kind and min(number, other) > 0
    }
    best = min(ratios, key=ratios.__getitem__, default=None)
    return best if best is not None and ratios[best] <= near else None


def _split(option: Option) -> tuple[str, float]:
    """Of what kind an option is, and how much of it: `attention of 2` is two of `attention of `."""
    if not isinstance(option, str):
        return "", float(option)
    found = _NUMBERED.fullmatch(option)
    return (option, 0.0) if found is None else (found[1], float(found[2]))


def _parts(arch: Architecture, space: NetworkSpace) -> list[object]:
    """What a network is made of, but for its classes and the size of its table of sub-words."""
    *body, classifier = space.layers(arch)
    body = [replace(layer, width_in=0) if layer.kind == "embedding" else layer for layer in body]
    return [space.input_size(arch), body, list(space.pooled_parts), classifier.width_in]
