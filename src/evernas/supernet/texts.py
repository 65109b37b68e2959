"""Training texts in memory, and how a step sees them: words are changed and cut into sub-words anew each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from evernas.config import AugmentConfig, TextAugmentConfig
from evernas.digest import digest_value
from evernas.supernet.data import TrainingData, numpy_generator
from evernas.tokeniser import CACHED_LETTERS, Tokeniser, padded

VARIANTS = 8
"""In so many ways a word is misspelt, and in so many cut otherwise: each is made once, then only drawn."""
SPLIT = 0.5
"""Chance that a merge is left out of a word that is cut otherwise."""
CACHED_WORDS = 200_000


@dataclass(frozen=True, eq=False)
class TextData(TrainingData):
    """Numbers of sub-words (n, tokens), int64, and the texts that they are of."""

    texts: Sequence[str] = ()
    tokeniser: Tokeniser | None = None
    _dimensions: ClassVar[tuple[int, ...]] = (2,)
    _misspelt: Misspelling = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.tokeniser is not None
        assert len(self.texts) == len(self.x), "a text for each row"
        object.__setattr__(self, "_misspelt", Misspelling(self.tokeniser))

    def changed(self, rows: Tensor, std: Tensor, config: AugmentConfig, draws: torch.Generator) -> Tensor:
        """The texts of these rows, changed word by word, as numbers of sub-words."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=draws)))
        return torch.from_numpy(self._changed(rows.tolist(), config.text or TextAugmentConfig(), rng))

    def calibration(self, most: int, config: AugmentConfig) -> np.ndarray:
        """At most this many texts, spread evenly over the rows, changed as in training.

        Cut texts are shorter than whole ones, and their means and maxima are spread otherwise: statistics of the whole
        ones alone would not be those that the weights were learned with.
        """
        rows = self.spaced(most)
        rng = numpy_generator(0, "calibration", most)
        return self._changed(rows.tolist(), config.text or TextAugmentConfig(), rng)

    def _changed(self, rows: Sequence[int], config: TextAugmentConfig, rng: np.random.Generator) -> np.ndarray:
        found = [self._misspelt.encoded(some_of(self._words[row], config, rng), config, rng) for row in rows]
        return padded(found, self.x.shape[1])

    @cached_property
    def _words(self) -> list[list[str]]:
        assert self.tokeniser is not None
        return [self.tokeniser.words(text) for text in self.texts]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all values that training reads."""
        assert self.tokeniser is not None
        return digest_value([super().digest, list(self.texts), self.tokeniser.data.decode()])


def some_of(words: list[str], config: TextAugmentConfig, rng: np.random.Generator) -> list[str]:
    """A stretch of the words, or all, and of those not every one; at least one."""
    if len(words) > 1 and rng.random() < config.crop:
        kept = int(rng.integers(1, len(words) + 1))
        first = int(rng.integers(len(words) - kept + 1))
        words = words[first : first + kept]
    if len(words) > 1 and config.drop:
        left = rng.random(len(words)) >= config.drop
        words = [word for word, stays in zip(words, left, strict=True) if stays] or words[:1]
    return words


class Misspelling:
    """Other spellings of words and other cuts into sub-words; the same word has the same few each time."""

    def __init__(self, tokeniser: Tokeniser) -> None:
        self._tokeniser = tokeniser
        self._one = lru_cache(CACHED_WORDS)(self._variant)

    def __reduce__(self) -> tuple[type[Misspelling], tuple[Tokeniser]]:
        """Without the cache, which cannot be pickled."""
        return Misspelling, (self._tokeniser,)

    def encoded(self, words: Sequence[str], config: TextAugmentConfig, rng: np.random.Generator) -> list[int]:
        """The sub-words of all the words, of which some are changed."""
        chances, variants = rng.random((3, len(words))), rng.integers(VARIANTS, size=(2, len(words)))
        typos, splits = chances[0] < config.typos, chances[1] < config.splits
        capitals = (chances[2] < config.case) & (not self._tokeniser.lowercase)
        found = list[int]()
        for at, word in enumerate(words):
            # A text without blanks is one long word, which does not come again.
            spelling = self._one if len(word) <= CACHED_LETTERS else self._variant
            found += spelling(
                word.upper() if capitals[at] else word,
                int(variants[0, at]) if typos[at] else None,
                int(variants[1, at]) if splits[at] else None,
            )
        return found

    def _variant(self, word: str, typo: int | None, split: int | None) -> tuple[int, ...]:
        spelt = word if typo is None else misspelt(word, numpy_generator(typo, f"typo/{word}", 0))
        if split is None:
            return self._tokeniser.word(spelt)
        rng = numpy_generator(split, f"split/{spelt}", 0)
        return self._tokeniser.word(spelt, lambda: rng.random() < SPLIT)


def misspelt(word: str, rng: np.random.Generator) -> str:
    """A word with one letter doubled, left out, swapped with its neighbour, or replaced by another of the word."""
    first = 1 if word.startswith(" ") else 0
    letters = list(word[first:])
    if len(letters) < 2:
        return word
    at, how = int(rng.integers(len(letters) - 1)), int(rng.integers(4))
    if how == 0:
        letters.insert(at, letters[at])
    elif how == 1:
        del letters[at]
    elif how == 2:
        letters[at : at + 2] = letters[at + 1], letters[at]
    else:
        letters[at] = letters[int(rng.integers(len(letters)))]
    return word[:first] + "".join(letters)
