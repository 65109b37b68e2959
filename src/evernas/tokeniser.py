"""Texts to numbers: tidying, and sub-words by byte-pair merges read from a tokenizer.json; no training, numpy only.

The file is one that the `tokenizers` library reads in any language, and gives the same numbers there.
"""

from __future__ import annotations

import itertools
import json
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.errors import IntegrityError
from evernas.merges import Skip, merged

VERSION = 1
PADDING = 0
SPECIAL = ("[PAD]",)
CACHED_PIECES, CACHED_LETTERS = 100_000, 64
"""So many words are kept once they are cut; a longer one is a whole text without blanks, and hardly comes again."""
# Blanks of every kind, and control characters, which no reader sees.
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
BLANKS_PATTERN = r"[\s\x{0000}-\x{001f}\x{007f}-\x{009f}]+"
"""The same as the library writes it."""


def tidy(text: str) -> str:
    """The text in Unicode's compatible form (NFKC), each run of blanks as one, none at the ends."""
    return _BLANKS.sub(" ", unicodedata.normalize("NFKC", text)).strip(" ")


def codes_of(text: str, length: int) -> npt.NDArray[np.float32]:
    """The numbers of a text's characters, (length,), 0 after its end. Every one of them is exact in float32."""
    codes = np.zeros(length, np.float32)
    codes[: len(text)] = np.frombuffer(text.encode("utf-32-le"), "<u4")
    return codes


def text_of(codes: npt.NDArray[Any]) -> str:
    """The inverse of `codes_of`."""
    whole = np.asarray(codes).astype("<u4").reshape(-1)
    ends = np.flatnonzero(whole == 0)
    return whole[: ends[0] if len(ends) else len(whole)].tobytes().decode("utf-32-le")


class Tokeniser:
    """Sub-words of one vocabulary; the same text gives the same numbers, here and in the `tokenizers` library."""

    def __init__(self, data: bytes) -> None:
        """IntegrityError for bytes that are no tokeniser of this version."""
        try:
            document = json.loads(data)
            model = document["model"]
            self.vocabulary: dict[str, int] = dict(model["vocab"])
            self._ranks = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}
            steps = [step["type"] for step in document["normalizer"]["normalizers"]]
            known = document["version"] == "1.0" and model["type"] == "BPE" and steps[:2] == ["NFKC", "Replace"]
        except (ValueError, KeyError, TypeError, IndexError):
            known = False
        if not known:
            raise IntegrityError("The tokeniser is none that evernas wrote: restore the bundle's folder.")
        self.data = data
        self.lowercase = "Lowercase" in steps
        self._cached = lru_cache(CACHED_PIECES)(self._piece)

    def __reduce__(self) -> tuple[type[Tokeniser], tuple[bytes]]:
        """By its bytes: a cache is no other process's, and cannot be pickled."""
        return Tokeniser, (self.data,)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def words(self, text: str) -> list[str]:
        """What a text is made of before it is cut into sub-words, in its order: words, each with the blank before it,
        and punctuation marks."""
        found = tidy(text)
        if self.lowercase:
            # Letter by letter, as the library does: Python's own lower() looks at neighbours.
            found = "".join(letter.lower() for letter in found)
        return [part for word in found.split(" ") if word for part in _parts(f" {word}")]

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's sub-words, however many."""
        return list(self._numbers(text))

    def batch(self, texts: Iterable[str], length: int) -> npt.NDArray[np.int64]:
        """(n, length): of each text the first `length` numbers, then PADDING."""
        return padded([list(itertools.islice(self._numbers(text), length)) for text in texts], length)

    def rows(self, codes: npt.NDArray[Any], length: int) -> npt.NDArray[np.int64]:
        """`batch` of texts that are given as the numbers of their characters, (n, ..., characters)."""
        return self.batch((text_of(row) for row in codes), length)

    def word(self, word: str, skip: Skip | None = None) -> tuple[int, ...]:
        """The sub-words of one of `words`; where `skip` says so, a merge is left out (Provilkov et al. 2020)."""
        if skip is None and len(word) <= CACHED_LETTERS:
            return self._cached(word)
        return self._piece(word, skip)

    def _numbers(self, text: str) -> Iterator[int]:
        """`encode`, word by word: what stands after the last number that is asked for is not cut up."""
        for word in self.words(text):
            yield from self.word(word)

    def _piece(self, word: str, skip: Skip | None = None) -> tuple[int, ...]:
        parts = merged([_LETTERS[byte] for byte in word.encode()], self._ranks, skip)
        return tuple(self.vocabulary[part] for part in parts)


def padded(rows: Sequence[Sequence[int]], length: int) -> npt.NDArray[np.int64]:
    """(n, length): the first `length` of each row, then PADDING."""
    found = np.full((len(rows), length), PADDING, np.int64)
    for row, numbers in zip(found, rows, strict=True):
        kept = numbers[:length]
        row[: len(kept)] = kept
    return found


def bytes_as_letters() -> dict[int, str]:
    """A visible letter for each byte, as GPT-2 has them: printable bytes stand for themselves."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


_LETTERS = bytes_as_letters()


def _parts(word: str) -> list[str]:
    """A word with the blank before it, cut at each punctuation mark."""
    found, last = list[str](), 0
    for at, letter in enumerate(word):
        if _is_punctuation(letter):
            found += [word[last:at]] if last < at else []
            found.append(letter)
            last = at + 1
    return [*found, *([word[last:]] if last < len(word) else [])]


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")
