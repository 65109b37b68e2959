"""What is said of an input, in training and in production alike: of each channel its mean and its spread; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def features(inputs: npt.NDArray[np.float32], channels: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    """Of a batch (n, channels, …) the features by name, n of each: `mean_<channel>` and `std_<channel>`.

    Production logs them as the columns `input_mean_<channel>` and `input_std_<channel>`.
    """
    flat = np.asarray(inputs, dtype=np.float64).reshape(len(inputs), len(channels), -1)
    found = {}
    for number, channel in enumerate(channels):
        found[f"mean_{channel}"] = flat[:, number].mean(1)
        found[f"std_{channel}"] = flat[:, number].std(1)
    return found


def tails(inputs: npt.NDArray[np.float32], channels: Sequence[str], share: float) -> dict[str, tuple[float, float]]:
    """Of each feature the limits below and above which this share of the batch lies."""
    return {
        name: (float(np.quantile(values, share)), float(np.quantile(values, 1 - share)))
        for name, values in features(inputs, channels).items()
    }
