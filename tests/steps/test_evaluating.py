"""Architectures are evaluated on the device that the config asks for, and memory that is full says what to lower."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from evernas.config import SpaceConfig
from evernas.errors import EvernasError
from evernas.search import EvaluationCache
from evernas.spaces import SignalSpace
from evernas.steps.costing import Costing
from evernas.steps.evaluating import Evaluator
from evernas.supernet import initial, supernet_of
from evernas.supernet.accelerator import CPU, kept_near
from simulated_cuda import GPU, simulated_gpu

SPACE = SignalSpace(2, 16, 3, SpaceConfig(stem_width=4, stage_widths=[[4, 8]], depths=[1], head_width=8))


def evaluator(folder: Path, device: torch.device) -> Evaluator:
    """Of drawn samples and weights, with a latency that is always the same."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2, 16)).astype(np.float32)
    guard: Any = SimpleNamespace(publishing=nullcontext)
    costing = Costing(SPACE, {"latency_ms": SimpleNamespace(predict=lambda features, options: 1.0)})
    network, samples = supernet_of(SPACE, initial(SPACE, 0)), kept_near(x, device)
    classes = rng.integers(0, 3, 60)
    return Evaluator(costing, guard, network, samples, samples, classes, EvaluationCache(folder), device)


def test_a_gpu_evaluates_as_the_processors_do(tmp_path: Path) -> None:
    archs = [SPACE.smallest(), SPACE.largest()]
    here = [evaluator(tmp_path / "cpu", CPU).values(arch) for arch in archs]
    used = set[str]()
    with simulated_gpu(on_operator=used.add):
        there = [evaluator(tmp_path / "gpu", GPU).values(arch) for arch in archs]
    assert there == here
    assert "aten::convolution" in used


def test_memory_that_is_full_names_what_to_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr("evernas.supernet.calibrate", full)
    with pytest.raises(EvernasError, match=r"GPU's memory is full .*: lower supernet.calibration_batches or supernet"):
        evaluator(tmp_path, CPU).values(SPACE.smallest())
