"""The fingerprint of a window: how strong each frequency is in each channel, whatever the gain and a small shift."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evernas.data.near.vectors import best_correlation, unit

# Windows that are shifted by an eighth of their length, or have noise of a tenth of their spread, are closer than this.
CLOSE = 0.984
SHARE_SHIFTED = 8
HIGHEST = 40
_AT_ONCE = 256
# A window whose spread is below this share of its size is flat: rounding, not movement.
_FLAT = 1e-4

Payload = npt.NDArray[np.float32]


def prints(windows: Payload) -> npt.NDArray[np.float16]:
    """(n, channels, time) as (n, width) unit vectors, NaN for a flat window or one with gaps."""
    return np.concatenate([_prints(windows[at : at + _AT_ONCE]) for at in range(0, len(windows), _AT_ONCE)])


def similarity(a: Payload, b: Payload) -> npt.NDArray[np.float32]:
    """The correlation of windows (n, channels, time) row by row, over all channels, at the best of all shifts up to an
    eighth of the length. Gains differ freely, those of single channels a little."""
    most = (a.shape[2] // SHARE_SHIFTED,)
    blocks = [slice(at, at + _AT_ONCE) for at in range(0, len(a), _AT_ONCE)]
    found = [best_correlation(_scaled(a[block]), _scaled(b[block]), most) for block in blocks]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _prints(windows: Payload) -> npt.NDArray[np.float16]:
    length = windows.shape[2]
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(windows).max((1, 2))
        moved = windows - windows.mean(2, keepdims=True)
        spread = np.abs(moved).max((1, 2))
        silent = ~(spread > _FLAT * size)
        # In units of the spread, so that no square overflows.
        moved /= np.where(silent, 1, spread)[:, None, None]
        moved[silent] = 0
    taper = np.hanning(length + 2)[1:-1].astype(np.float32)
    strengths = np.abs(np.fft.rfft(moved * taper, axis=2)).astype(np.float32)[:, :, 1 : HIGHEST + 1]
    return unit(_pooled(strengths), silent)


def _pooled(strengths: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The low frequencies one by one, higher ones in twos and fours: of 40, 20."""
    if strengths.shape[2] < HIGHEST:
        return strengths
    n, channels, _ = strengths.shape
    twos = strengths[:, :, 8:24].reshape(n, channels, 8, 2).mean(3)
    fours = strengths[:, :, 24:40].reshape(n, channels, 4, 4).mean(3)
    return np.concatenate([strengths[:, :, :8], twos, fours], axis=2)


def _scaled(windows: Payload) -> Payload:
    return np.asarray(windows / np.maximum(np.abs(windows).max((1, 2), keepdims=True), 1e-30), np.float32)
