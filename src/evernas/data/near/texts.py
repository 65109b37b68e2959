"""The fingerprint of a text: MinHash of its runs of characters, once case, accents and blanks are made alike."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SHINGLE = 4
BANDS, BAND = 16, 3
# Texts that share four fifths of their shingles share more hashes than this, of 48, but for one pair in a million.
CLOSE = 0.5
_random = np.random.default_rng(0)
# One hash of 32 bits for each place: multiply and shift (Dietzfelbinger and others, 1997).
_FACTORS = _random.integers(1, 2**63, BANDS * BAND, dtype=np.uint64) | np.uint64(1)
_OFFSETS = _random.integers(0, 2**63, BANDS * BAND, dtype=np.uint64)


def normalised(text: str) -> str:
    """The text in small letters without accents, marks and doubled blanks."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c))
    return " ".join(kept.split())


def shingles(text: str) -> set[str]:
    """All runs of SHINGLE characters of a normalised text; the text itself if it is shorter."""
    plain = normalised(text)
    return {plain[at : at + SHINGLE] for at in range(max(1, len(plain) - SHINGLE + 1))} if plain else set()


def minhash(texts: Sequence[str]) -> npt.NDArray[np.uint32]:
    """(n, BANDS * BAND) hashes, of which two texts share as many as they share of their shingles (Broder, 1997).

    0 everywhere for a text without a letter or digit.
    """
    found = np.zeros((len(texts), BANDS * BAND), np.uint32)
    for row, text in enumerate(texts):
        words = [zlib.crc32(shingle.encode()) for shingle in shingles(text)]
        if words:
            hashed = np.array(words, np.uint64)[:, None] * _FACTORS + _OFFSETS
            found[row] = (hashed >> np.uint64(32)).min(0) | np.uint64(1)
    return found


def jaccard(a: str, b: str) -> float:
    """The share of the shingles of either that both have."""
    first, second = shingles(a), shingles(b)
    return len(first & second) / max(1, len(first | second))


def prints(payload: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """`minhash` of texts as they lie in shards: (n, 1, characters), the numbers of their characters, then zeros."""
    return minhash(strings(payload))


def similarity(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`jaccard` of such texts row by row."""
    return np.array([jaccard(x, y) for x, y in zip(strings(a), strings(b), strict=True)], np.float32)


def strings(payload: npt.NDArray[np.float32]) -> list[str]:
    """The texts of (n, 1, characters)."""
    codes = payload.reshape(len(payload), -1).astype("<u4")
    # Half a character has no place in a text; a text is read up to its first zero.
    codes[(codes >= 0xD800) & (codes < 0xE000) | (codes > 0x10FFFF)] = 0xFFFD
    return [row.tobytes().decode("utf-32-le").partition("\0")[0] for row in codes]
