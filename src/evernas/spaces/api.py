"""The shared types of every search space: choices, canonical architectures, mutation and crossover; numpy only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evernas.digest import digest_value, short
from evernas.errors import UsageError

Option = int | float | str


@dataclass(frozen=True)
class Choice:
    """One decision of a space: its name and the options, of which a gene is the index."""

    name: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        if not self.options or len(set(self.options)) != len(self.options):
            raise UsageError(f"The choice {self.name!r} has the options {self.options}: give at least one, each once.")


@dataclass(frozen=True)
class Architecture:
    """A point of a space in canonical form: genes that change nothing are 0, so equal networks are equal here."""

    space: str
    genes: tuple[int, ...]

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name this architecture in its space."""
        return digest_value([self.space, list(self.genes)])[:12]

    def to_json(self) -> dict[str, Any]:
        """A plain document from which `from_json` makes an equal architecture."""
        return {"space": self.space, "genes": list(self.genes)}

    @staticmethod
    def from_json(document: Any) -> Architecture:
        """Read what `to_json` wrote; UsageError for anything else. Whether the genes fit is for the space to check."""
        if isinstance(document, dict) and isinstance(document.get("space"), str):
            genes = document.get("genes")
            if isinstance(genes, list | tuple) and all(type(gene) is int for gene in genes):
                return Architecture(document["space"], tuple(genes))
        raise UsageError(f"{document!r} is no architecture: give a mapping of 'space', a text, and 'genes', integers.")


class SearchSpace(ABC):
    """A discrete space: a gene per choice. A subclass says which genes matter and how many architectures differ."""

    def __init__(self, name: str, choices: Sequence[Choice]) -> None:
        if not choices:
            raise UsageError(f"The space {name!r} has no choices: give at least one.")
        self.name = name
        self.choices = tuple(choices)
        self.id = short(digest_value(self.identity()))

    def identity(self) -> Any:
        """What the digest `id` is taken over. A subclass adds whatever else changes the meaning of genes."""
        return [self.name, [[choice.name, list(choice.options)] for choice in self.choices]]

    @abstractmethod
    def active(self, genes: Sequence[int]) -> tuple[bool, ...]:
        """For each gene, whether it changes the network; this may depend on other active genes, never on itself."""

    def active_many(self, genes: np.ndarray) -> np.ndarray:
        """`active` of each row of (n, choices) genes, (n, choices); a subclass may do them all at once."""
        rows = [self.active(row) for row in genes.tolist()]
        return np.array(rows, dtype=bool).reshape(len(genes), len(self.choices))

    @abstractmethod
    def size(self) -> int:
        """Number of distinct canonical architectures, exact."""

    def architecture(self, genes: Sequence[int]) -> Architecture:
        """The canonical architecture of these genes; UsageError if they do not fit the choices."""
        if len(genes) != len(self.choices):
            raise UsageError(f"{len(genes)} genes for the space {self.name!r}: give {len(self.choices)}, one a choice.")
        for gene, choice in zip(genes, self.choices, strict=True):
            if not 0 <= gene < len(choice.options):
                raise UsageError(
                    f"The gene of {choice.name!r} is {gene}: give an index from 0 to {len(choice.options) - 1}."
                )
        active = self.active(genes)
        return Architecture(self.id, tuple(int(g) if on else 0 for g, on in zip(genes, active, strict=True)))

    def check(self, arch: Architecture) -> None:
        """UsageError unless the architecture is of this space and canonical."""
        if arch.space != self.id:
            raise UsageError(
                f"Architecture {arch.id} is of the space {arch.space}, not of {self.name!r} ({self.id}): "
                "the choices have changed since it was made, so search again."
            )
        if self.architecture(arch.genes) != arch:
            raise UsageError(f"Architecture {arch.id} has genes in skipped places: make it with architecture().")

    def random(self, rng: np.random.Generator) -> Architecture:
        """Every gene drawn uniformly."""
        return self.architecture(self._draw(rng))

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """A different architecture: one active gene surely changed, each other with a chance of one in their number."""
        free = [i for i, on in enumerate(self.active(arch.genes)) if on and len(self.choices[i].options) > 1]
        if not free:
            raise UsageError(f"The space {self.name!r} holds one architecture only: add options to mutate it.")
        # Genes that a deeper network would wake are drawn anew: 0 there means "unused", not "the first option".
        genes = [g if on else d for g, on, d in zip(arch.genes, self.active(arch.genes), self._draw(rng), strict=True)]
        sure = free[int(rng.integers(len(free)))]
        for i in free:
            if i == sure or rng.random() < 1 / len(free):
                shift = 1 + int(rng.integers(len(self.choices[i].options) - 1))
                genes[i] = (genes[i] + shift) % len(self.choices[i].options)
        return self.architecture(genes)

    def crossover(self, a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
        """Each gene from either parent; from the one that uses it where only one does."""
        coins = rng.random(len(self.choices)) < 0.5
        pairs = zip(a.genes, self.active(a.genes), b.genes, self.active(b.genes), coins, strict=True)
        return self.architecture([ga if (on_a and (coin or not on_b)) else gb for ga, on_a, gb, on_b, coin in pairs])

    def describe(self, arch: Architecture) -> dict[str, Option]:
        """The chosen option of every choice that matters, by the choice's name."""
        active = self.active(arch.genes)
        return {c.name: c.options[g] for c, g, on in zip(self.choices, arch.genes, active, strict=True) if on}

    def _draw(self, rng: np.random.Generator) -> list[int]:
        return [int(rng.integers(len(choice.options))) for choice in self.choices]
