"""Training data in memory and which of it a step sees; draws are functions of seed and step, so none is stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from evernas.config import AugmentConfig
from evernas.errors import DataRefusedError
from evernas.supernet.augment import augment

STD_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Raw samples with their classes, domains and recordings, row by row."""

    x: np.ndarray
    """float32 (n, channels, time) or (n, channels, height, width)."""
    y: np.ndarray
    """int64 (n,), class indices."""
    domains: np.ndarray
    """(n,), the group each row comes from."""
    recordings: np.ndarray
    """(n,), the recording each row comes from."""
    _dimensions: ClassVar[tuple[int, ...]] = (3, 4)

    def __post_init__(self) -> None:
        rows = len(self.x)
        if (
            self.x.ndim not in self._dimensions
            or rows == 0
            or not (rows == len(self.y) == len(self.domains) == len(self.recordings))
        ):
            raise DataRefusedError(
                f"The training data has samples of shape {self.x.shape}, {len(self.y)} classes, "
                f"{len(self.domains)} domains and {len(self.recordings)} recordings: give (n, channels, time) or "
                "(n, channels, height, width), and n of each, n at least 1."
            )
        if not np.isfinite(self.x).all():
            bad = int((~np.isfinite(self.x.reshape(rows, -1)).all(1)).sum())
            raise DataRefusedError(f"{bad} of {rows} training samples hold NaN or infinity: quarantine them first.")

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean of each channel, float32."""
        return np.asarray(self.x.mean(self._positions, dtype=np.float64), dtype=np.float32)

    @cached_property
    def std(self) -> np.ndarray:
        """Standard deviation of each channel, float32; never 0, so that a constant channel stays finite."""
        return np.asarray(np.maximum(self.x.std(self._positions, dtype=np.float64), STD_FLOOR), dtype=np.float32)

    @property
    def _positions(self) -> tuple[int, ...]:
        """All axes but the channels."""
        return (0, *range(2, self.x.ndim))

    def changed(self, rows: Tensor, std: Tensor, config: AugmentConfig, draws: torch.Generator) -> Tensor:
        """The samples of these rows, each changed at random as the config says."""
        return augment(self._samples[rows], std, config, draws)

    @cached_property
    def _samples(self) -> Tensor:
        return torch.from_numpy(self.x)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all values that training reads."""
        found = hashlib.sha256(repr(self.x.shape).encode())
        found.update(np.ascontiguousarray(self.x, dtype="<f4").tobytes())
        found.update(np.ascontiguousarray(self.y, dtype="<i8").tobytes())
        found.update(repr(list(map(str, self.domains))).encode())
        return found.hexdigest()

    def weights(self, balance: bool) -> Tensor:
        """Chance of each row to be drawn, up to a factor: equal for rows, or for pairs of domain and class."""
        if not balance:
            return torch.ones(len(self.x))
        _, domain = np.unique(self.domains, return_inverse=True)
        _, pair, counts = np.unique(domain * (int(self.y.max()) + 1) + self.y, return_inverse=True, return_counts=True)
        return torch.from_numpy(1.0 / counts[pair]).float()

    def calibration(self, most: int, config: AugmentConfig) -> np.ndarray:
        """At most this many samples, spread evenly over the rows, to set statistics by."""
        return self.x if len(self.x) <= most else self.x[self.spaced(most)]

    def spaced(self, most: int) -> np.ndarray:
        """At most this many rows, spread evenly."""
        return spaced(len(self.x), most)


def spaced(rows: int, most: int) -> np.ndarray:
    """At most so many of the rows' numbers, spread evenly."""
    return np.linspace(0, rows - 1, min(most, rows)).round().astype(np.int64)


def generator(seed: int, purpose: str, step: int) -> torch.Generator:
    """A generator of its own for every seed, purpose and step."""
    return torch.Generator().manual_seed(_mixed(seed, purpose, step))


def numpy_generator(seed: int, purpose: str, step: int) -> np.random.Generator:
    """The same for numpy."""
    return np.random.default_rng(_mixed(seed, purpose, step))


def _mixed(seed: int, purpose: str, step: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()[:8], "big") >> 1
