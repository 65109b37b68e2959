"""What the sampled recordings say: channels, the length of a window, and which windows a run would not take."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from evernas.config import SignalConfig, SpaceConfig, ValidationConfig
from evernas.data.windows import cut, signal_error
from evernas.errors import DataRefusedError
from evernas.init.look import Look

LONGEST_WINDOW = 128
SHORTEST_WINDOW = 2 ** (len(SpaceConfig().stage_widths) + 1)
# A recording up to this long, of the same length as all others, is taken for a window that was cut already.
CUT_ALREADY = 512
WINDOWS_LOOKED_AT = 40


def guess_window(seen: Look, remarks: list[str]) -> tuple[int, int, int, str]:
    """Number of channels, length and stride of a window, and the reason for the length."""
    readable = [recording.payload for recording in seen.sample if recording.payload is not None]
    if not readable:
        errors = Counter(r.decode_error for r in seen.sample if r.decode_error)
        why = f" For example: {errors.most_common(1)[0][0]}" if errors else ""
        raise DataRefusedError(f"None of {len(seen.sample)} recordings that were looked at has a signal.{why}")
    counts = Counter(len(payload) for payload in readable)
    channels = counts.most_common(1)[0][0]
    if len(counts) > 1:
        told = ", ".join(f"{number} have {channel}" for channel, number in sorted(counts.items()))
        remarks.append(f"The recordings differ in channels ({told}): those without {channels} go to quarantine.")
    lengths = np.array([payload.shape[1] for payload in readable if len(payload) == channels])
    tenth = int(np.quantile(lengths, 0.1, method="lower"))
    if tenth < SHORTEST_WINDOW:
        raise DataRefusedError(
            f"A tenth of the recordings have {tenth} time steps or fewer, and a window needs {SHORTEST_WINDOW} at "
            "least: deliver longer recordings, or leave the short ones out."
        )
    if lengths.min() == lengths.max() and lengths[0] <= CUT_ALREADY:
        length = int(lengths[0])
        return channels, length, length, f"All recordings looked at have {length} time steps: each is one window."
    length = min(LONGEST_WINDOW, 2 ** int(math.log2(tenth)))
    why = (
        f"Recordings have {lengths.min()} to {lengths.max()} time steps, the median {int(np.median(lengths))}; "
        f"{length} is the longest power of two, up to {LONGEST_WINDOW}, that nine of ten can fill. "
        "A window should span one whole event: make it longer if yours takes more time."
    )
    return channels, length, length // 2, why


def judge_sample(seen: Look, signal: SignalConfig, remarks: list[str]) -> tuple[float, float]:
    """Mean windows of a recording, and a bound on values; says which windows a run would put into quarantine."""
    rules = ValidationConfig()
    made, looked, nonfinite, dead, largest = 0, 0, 0, 0, 0.0
    for recording in seen.sample:
        if recording.payload is None or signal_error(recording.payload.shape, signal) is not None:
            continue
        steps = recording.payload.shape[1]
        made += (steps - signal.length) // signal.stride + 1
        span = signal.length + (WINDOWS_LOOKED_AT - 1) * signal.stride
        windows = cut(recording.payload[None, :, :span], signal)
        looked += len(windows.starts)
        bad = windows.nonfinite > 0
        nonfinite += int(bad.sum())
        dead += int((~bad & (windows.min_channel_std < rules.min_std)).sum())
        if not bad.all():
            largest = max(largest, float(np.abs(windows.payload[~bad]).max()))
    short = sum(r.payload is not None and r.payload.shape[1] < signal.length for r in seen.sample)
    for number, of, what in (
        (short, len(seen.sample), f"recordings looked at are shorter than one window of {signal.length} time steps"),
        (nonfinite, looked, "windows looked at hold values that are no finite number (NaN)"),
        (dead, looked, "windows looked at have a channel that does not change at all (a dead sensor, or padding)"),
    ):
        if number:
            remarks.append(f"{number} of {of} {what}: they go to quarantine.")
    good = looked - nonfinite - dead
    if looked == 0 or (looked - good) / looked > rules.max_quarantine:
        raise DataRefusedError(
            f"Of {looked} windows looked at, {nonfinite} hold NaN or infinity and {dead} have a channel that does not "
            f"change: a run refuses data with more than {rules.max_quarantine:.0%} of such windows. Mend the export, "
            "or leave the dead channel out."
        )
    return made / len(seen.sample) * good / looked, _round_up(10 * largest)


def _round_up(value: float) -> float:
    if value <= 0:
        return ValidationConfig().max_abs
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / unit) * unit:.6g}")
