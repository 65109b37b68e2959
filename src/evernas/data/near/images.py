"""The fingerprint of an image: how strong its coarse frequencies are, whatever contrast and a small shift."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.data.near.vectors import best_correlation, unit

CLOSE = 0.97
# Larger images are shrunk first: copies that were coded again differ in what is fine.
PRINT_SIDE, COMPARED_SIDE = 32, 64
SHARE_SHIFTED = 14
_LOWEST = 8
_AT_ONCE = 256
_FLAT = 1e-4

Payload = npt.NDArray[np.float32]


def prints(images: Payload) -> npt.NDArray[np.float16]:
    """(n, channels, height, width) as (n, width) unit vectors, NaN for an image of one colour."""
    return np.concatenate([_prints(images[at : at + _AT_ONCE]) for at in range(0, len(images), _AT_ONCE)])


def similarity(a: Payload, b: Payload) -> npt.NDArray[np.float32]:
    """The correlation of images (n, channels, height, width) row by row at the best of all shifts up to a fourteenth
    of a side. Brightness and contrast differ freely."""
    a, b = shrunk(a, COMPARED_SIDE), shrunk(b, COMPARED_SIDE)
    most = tuple(side // SHARE_SHIFTED for side in a.shape[2:])
    blocks = [slice(at, at + _AT_ONCE) for at in range(0, len(a), _AT_ONCE)]
    found = [best_correlation(a[block], b[block], most) for block in blocks]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _prints(images: Payload) -> npt.NDArray[np.float16]:
    with np.errstate(invalid="ignore", over="ignore"):
        grey = shrunk(images.mean(1, keepdims=True), PRINT_SIDE)[:, 0]
        size = np.abs(grey).max((1, 2))
        moved = grey - grey.mean((1, 2), keepdims=True)
        spread = np.abs(moved).max((1, 2))
        silent = ~(spread > _FLAT * size)
        moved /= np.where(silent, 1, spread)[:, None, None]
        moved[silent] = 0
    tapers = [np.hanning(side + 2)[1:-1].astype(np.float32) ** 0.5 for side in moved.shape[1:]]
    waves = np.abs(np.fft.rfft2(moved * tapers[0][:, None] * tapers[1])).astype(np.float32)
    wide, high = min(_LOWEST, waves.shape[2] - 1), min(_LOWEST, (waves.shape[1] - 1) // 2)
    rows = [*range(high + 1), *range(-high, 0)]
    return unit(waves[:, rows, : wide + 1], silent)


def shrunk(images: Any, most: int) -> Any:
    """Images (n, channels, height, width) whose sides are at most `most`, by means over blocks of pixels."""
    n, channels, height, width = images.shape
    down, across = -(-height // most), -(-width // most)
    if down == across == 1:
        return images
    rows, columns = height // down, width // across
    kept = images[:, :, : rows * down, : columns * across]
    return kept.reshape(n, channels, rows, down, columns, across).mean((3, 5))
