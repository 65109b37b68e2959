"""From recordings to their samples and statistics; nothing here reads or writes files."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.config import SignalConfig

Array = npt.NDArray[Any]
Payload = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """One row of a source file: its payload is (channels, time), or null with the sentence why it is no signal."""

    position: int
    id: str | None
    domain: str | None
    label: str | None
    payload: Payload | None
    decode_error: str | None


@dataclass(frozen=True)
class Windows:
    """Samples of n recordings, `per_recording` of each in turn.

    Starts in time steps, payload (samples, channels, time), digests as 32 bytes each one after the other, and
    statistics per sample.
    """

    per_recording: int
    starts: npt.NDArray[np.int64]
    payload: Payload
    digests: bytes
    nonfinite: Array
    minimum: Array
    maximum: Array
    mean: Array
    min_channel_std: Array


def signal_error(shape: tuple[int, ...], signal: SignalConfig) -> str | None:
    """Why a payload of (channels, time) gives no window, as a sentence; None if it gives at least one."""
    channels, length = shape
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


def cuts(payload: Payload, signal: SignalConfig, most_bytes: int) -> Iterator[tuple[slice, Windows]]:
    """All whole windows of a payload (n, channels, time) that signal_error finds right, some at a time.

    Each part comes with the recordings that it is of, in order, and has at most `most_bytes` unless one window has
    more: however long a recording is, and however much its windows overlap.
    """
    windows = (payload.shape[2] - signal.length) // signal.stride + 1
    most = max(1, most_bytes // (4 * len(signal.channels) * signal.length))
    recordings, at_once = max(1, most // windows), min(most, windows)
    for first in range(0, len(payload), recordings):
        rows = slice(first, min(first + recordings, len(payload)))
        for start in range(0, windows, at_once):
            last = min(start + at_once, windows) - 1
            span = slice(start * signal.stride, last * signal.stride + signal.length)
            yield rows, cut(payload[rows, :, span], signal, start * signal.stride)


def cut(payload: Payload, signal: SignalConfig, offset: int = 0) -> Windows:
    """All whole windows of a payload (n, channels, time), whose first step is `offset` in the recordings."""
    view = np.lib.stride_tricks.sliding_window_view(payload, signal.length, axis=2)[:, :, :: signal.stride]
    n, channels, per_recording, length = view.shape
    ordered = np.empty((n, per_recording, channels, length), "<f4")
    # Adding 0 turns -0.0 into 0.0, so that equal samples have equal bytes.
    np.add(view.transpose(0, 2, 1, 3), np.float32(0), out=ordered)
    windows = ordered.reshape(n * per_recording, channels, length)
    flat = windows.reshape(len(windows), -1)
    finite = np.isfinite(flat)
    plain = bool(finite.all())
    minimum, maximum, mean, min_channel_std = (_plain_statistics if plain else _statistics_of_gaps)(windows)
    return Windows(
        per_recording=per_recording,
        starts=np.tile(np.arange(per_recording, dtype=np.int64) * signal.stride + offset, n),
        payload=windows,
        digests=_digests(flat),
        nonfinite=np.zeros(len(flat), np.int64) if plain else np.count_nonzero(~finite, axis=1).astype(np.int64),
        minimum=minimum.astype(np.float64),
        maximum=maximum.astype(np.float64),
        mean=mean,
        min_channel_std=min_channel_std,
    )


def _plain_statistics(windows: Payload) -> tuple[Array, Array, Array, Array]:
    """Minimum, maximum, mean and the smallest standard deviation of a channel, of windows that are all finite."""
    wide = windows.astype(np.float64)
    channel_means = wide.mean(axis=2)
    wide -= channel_means[:, :, None]
    variance = np.einsum("nct,nct->nc", wide, wide) / windows.shape[2]
    flat = windows.reshape(len(windows), -1)
    return flat.min(axis=1), flat.max(axis=1), channel_means.mean(axis=1), np.sqrt(variance.min(axis=1))


def _statistics_of_gaps(windows: Payload) -> tuple[Array, Array, Array, Array]:
    """The same over the finite numbers alone; NaN where a window or channel has none."""
    known = np.where(np.isfinite(windows), windows, np.nan).astype(np.float64)
    flat = known.reshape(len(known), -1)
    with warnings.catch_warnings():
        # A window or channel without any finite number has no statistics: NaN is the answer, not a fault.
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.asarray(np.nanmean(flat, axis=1))
        spread = np.nanstd(known, axis=2)
        return np.nanmin(flat, axis=1), np.nanmax(flat, axis=1), mean, np.nanmin(spread, axis=1)


def _digests(rows: Payload) -> bytes:
    """SHA-256 of each row, one after the other."""
    data, size = rows.data.cast("B"), rows.shape[1] * 4
    sha256 = hashlib.sha256
    return b"".join(sha256(data[at : at + size]).digest() for at in range(0, len(data), size))
