"""From one recording to its samples and their statistics; nothing here reads or writes files."""

from __future__ import annotations

import hashlib
import warnings
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
    known = windows if finite.all() else np.where(finite, windows, np.float32(np.nan))
    with warnings.catch_warnings():
        # A window or channel without any finite number has no statistics: NaN is the answer, not a fault.
        warnings.simplefilter("ignore", RuntimeWarning)
        plain = known is windows
        minimum = (np.min if plain else np.nanmin)(known, axis=(1, 2))
        maximum = (np.max if plain else np.nanmax)(known, axis=(1, 2))
        mean = (np.mean if plain else np.nanmean)(known, axis=(1, 2), dtype=np.float64)
        spread = (np.std if plain else np.nanstd)(known, axis=2, dtype=np.float64)
        min_channel_std = (np.min if plain else np.nanmin)(spread, axis=1)
    return Windows(
        starts=list(range(0, len(windows) * signal.stride, signal.stride)),
        payload=windows,
        digests=[hashlib.sha256(window).hexdigest() for window in windows],
        nonfinite=(~finite).sum(axis=(1, 2)).astype(np.int64),
        minimum=minimum.astype(np.float64),
        maximum=maximum.astype(np.float64),
        mean=np.asarray(mean),
        min_channel_std=min_channel_std,
    )
