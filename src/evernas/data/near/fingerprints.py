"""Which fingerprint each kind of data has: where a new kind is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.data.near import images, signals, texts

Payload = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Fingerprint:
    """How samples of one kind are told to be nearly the same.

    `prints` turns (n, *shape) into (n, width): unit vectors in float16 whose product is at least `close` for samples
    that are nearly the same, or, where `banded`, hashes (uint32) of which a share of `close` is then equal. A
    sample that says nothing, such as a flat one, has NaN, or 0, everywhere, and is close to none. `similarity` compares
    payloads (n, *shape) row by row, exactly: 1 for the same, whatever gain, shift and coding.
    `name` changes whenever prints do, so that kept ones are not compared with others.
    """

    name: str
    banded: bool
    close: float
    default_similarity: float
    prints: Callable[[Payload], npt.NDArray[Any]]
    similarity: Callable[[Payload, Payload], npt.NDArray[np.float32]]

    @property
    def form(self) -> tuple[npt.DTypeLike, float]:
        """The type of a print's numbers, and the number that stands where there is nothing to say."""
        return (np.uint32, 0) if self.banded else (np.float16, np.nan)


def fingerprint_of(schema: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint for samples of a snapshot with this schema."""
    return _KINDS[schema["kind"]]


_KINDS = {
    "signal": Fingerprint("signal-1", False, signals.CLOSE, 0.98, signals.prints, signals.similarity),
    "image": Fingerprint("image-1", False, images.CLOSE, 0.98, images.prints, images.similarity),
    "text": Fingerprint("text-1", True, texts.CLOSE, 0.8, texts.prints, texts.similarity),
}
