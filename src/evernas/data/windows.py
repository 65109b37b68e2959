"""From one recording to its samples and their statistics; nothing here reads or writes files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.config import SignalConfig

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recording:
    """One row of a source file: its payload is (channels, time), or null with the sentence why it is no signal."""

    position: int
    id: str | None
    domain: str | None
    label: str | None
    payload: npt.NDArray[np.float32] | None
    decode_error: str | None


@dataclass(frozen=True)
class Windows:
    """The samples of one recording: starts in time steps, payload (n, channels, time), statistics per sample."""

    starts: list[int]
    payload: npt.NDArray[np.float32]
    digests: list[str]
    nonfinite: Array
    minimum: Array
    maximum: Array
    mean: Array
    min_channel_std: Array


def signal_error(payload: npt.NDArray[np.float32], signal: SignalConfig) -> str | None:
    """Why a payload of (channels, time) gives no window, as a sentence; None if it gives at least one."""
    channels, length = payload.shape
    if channels != len(signal.channels):
        return (
            f"The payload has {channels} channels, but data.signal.channels names {len(signal.channels)}: "
            "deliver all channels, in that order."
        )
    if length < signal.length:
        return (
            f"The payload has {length} time steps, fewer than the {signal.length} of one window: deliver longer "
            "recordings, or shorten data.signal.length."
        )
    return None


def cut(payload: npt.NDArray[np.float32], signal: SignalConfig) -> Windows:
    """All whole windows of a payload that signal_error finds right."""
    view = np.lib.stride_tricks.sliding_window_view(payload, signal.length, axis=1)[:, :: signal.stride]
    # Adding 0 turns -0.0 into 0.0, so that equal samples have equal bytes.
    windows = np.ascontiguousarray(view.transpose(1, 0, 2)) + np.float32(0)
    finite = np.isfinite(windows)
    all_finite = bool(finite.all())
    exact = windows.astype(np.float64) if all_finite else np.where(finite, windows, np.nan).astype(np.float64)
    with np.errstate(all="ignore"):
        counted = finite.sum(axis=2)
        channel_mean = np.nansum(exact, axis=2) / np.maximum(counted, 1)
        spread = np.nansum((exact - channel_mean[:, :, None]) ** 2, axis=2) / np.maximum(counted, 1)
        mean = np.nansum(exact, axis=(1, 2)) / np.maximum(counted.sum(axis=1), 1)
    return Windows(
        starts=list(range(0, len(windows) * signal.stride, signal.stride)),
        payload=windows,
        digests=[hashlib.sha256(window).hexdigest() for window in windows],
        nonfinite=(~finite).sum(axis=(1, 2)).astype(np.int64),
        minimum=_known(np.where(finite, windows, np.inf).min(axis=(1, 2))),
        maximum=_known(np.where(finite, windows, -np.inf).max(axis=(1, 2))),
        mean=mean,
        min_channel_std=np.sqrt(spread.min(axis=1)),
    )


def _known(extreme: Array) -> Array:
    """The extreme as float64; NaN, the missing value, where a window held no finite number at all."""
    return np.where(np.isfinite(extreme), extreme, np.nan).astype(np.float64)
