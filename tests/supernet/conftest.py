"""A small space and small separable data of each kind, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from evernas.config import SpaceConfig, SupernetConfig
from evernas.spaces import ImageSpace, NetworkSpace, SignalSpace
from evernas.supernet import TrainingData
from small_texts import sentences, texts_space


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def kind() -> str:
    """What the samples are; a test that is for images or texts too is parametrised with it."""
    return "signal"


@pytest.fixture
def space(kind: str) -> NetworkSpace:
    if kind == "image":
        return _images_space()
    if kind == "text":
        return texts_space()
    config = SpaceConfig(
        stem_width=8, stage_widths=[[8, 12], [12, 16]], depths=[1, 2], kernels=[3, 5], expansions=[1, 2], head_width=24,
        pooling=["mean", "max", "std"], statistics=True,
    )  # fmt: skip
    return SignalSpace(3, 32, 3, config)


@pytest.fixture
def config() -> SupernetConfig:
    return SupernetConfig(
        steps=60, warm_steps=30, batch=32, learning_rate=0.01, checkpoint_every=7, threads=1, device="cpu"
    )


@pytest.fixture
def waves() -> Callable[[int, int], TrainingData]:
    """Makes so many rows, from a seed."""
    return _waves


@pytest.fixture
def data(kind: str) -> TrainingData:
    return {"signal": _waves, "image": _bars, "text": sentences}[kind](240, 0)


def _images_space() -> ImageSpace:
    config = SpaceConfig(
        stem_width=8, stage_widths=[[8, 12], [12, 16]], depths=[1, 2], kernels=[3, 5], expansions=[1, 2], head_width=24,
        pooling=["mean", "max"], squeeze_excite=[False, True], resolutions=[12, 16],
    )  # fmt: skip
    return ImageSpace(2, 16, 20, 3, config)


def _bars(rows: int, seed: int) -> TrainingData:
    """Three classes of images: bars across, bars down, and noise, on channels of unlike scales."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    across, down = np.arange(16)[:, None] // 2 % 2, np.arange(20)[None] // 2 % 2
    patterns = np.stack([across + 0 * down, down + 0 * across, np.full((16, 20), 0.5)])
    x = patterns[y][:, None] + 0.3 * rng.normal(size=(rows, 2, 16, 20))
    x = x * np.array([1.0, 100.0])[:, None, None] + np.array([0.0, 50.0])[:, None, None]
    domain = rng.integers(0, 4, rows)
    return TrainingData(x.astype(np.float32), y.astype(np.int64), domain, domain)


def _waves(rows: int, seed: int) -> TrainingData:
    """Three classes that differ in frequency, on channels of unlike scales, from four domains."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    phase = rng.uniform(0, 6.28, (rows, 3, 1))
    x = np.sin(np.arange(32) * (0.2 + 0.35 * y[:, None, None]) + phase) + 0.3 * rng.normal(size=(rows, 3, 32))
    x = x * np.array([1.0, 20.0, 0.05])[:, None] + np.array([0.0, 5.0, -1.0])[:, None]
    domain = rng.integers(0, 4, rows)
    return TrainingData(x.astype(np.float32), y.astype(np.int64), domain, domain)
