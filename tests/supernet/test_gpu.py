"""Training on a real GPU. Without one all is skipped; test_accelerator.py goes as far as one can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evernas.config import AugmentConfig, FinalistConfig, SupernetConfig
from evernas.errors import EvernasError, Interrupted
from evernas.spaces import NetworkSpace
from evernas.supernet import TrainingData, calibrate, evaluate, extract, finetune, state_digest, train
from evernas.supernet.accelerator import chosen, placed

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0
KINDS = pytest.mark.parametrize("kind", ["signal", "image", "text"])
pytestmark = pytest.mark.skipif(GPUS == 0, reason="needs an NVIDIA GPU and torch's CUDA build: torch sees none here")


@pytest.fixture
def on_gpu(config: SupernetConfig) -> SupernetConfig:
    return config.model_copy(update={"steps": 12, "checkpoint_every": 5, "device": "cuda"})


@KINDS
def test_a_gpu_gives_the_same_bits_each_time_stopped_or_not(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path
) -> None:
    whole = train(space, data, on_gpu, 0, checkpoint=tmp_path / "whole")
    again = train(space, data, on_gpu, 0, checkpoint=tmp_path / "again")
    asked = iter([False] * 6 + [True])
    with pytest.raises(Interrupted, match="step 7 of 12"):
        train(space, data, on_gpu, 0, checkpoint=tmp_path / "cut", stopping=lambda: next(asked))
    resumed = train(space, data, on_gpu, 0, checkpoint=tmp_path / "cut")
    assert state_digest(whole) == state_digest(again) == state_digest(resumed)


@KINDS
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpus_losses_are_about_those_of_the_processors(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path, precision: str
) -> None:
    losses: dict[str, list[float]] = {"cpu": [], "cuda": []}
    for device, found in losses.items():
        kept = "fp32" if device == "cpu" else precision
        train(
            space, data, on_gpu.model_copy(update={"device": device, "learning_rate": 0.001, "precision": kept}), 0,
            checkpoint=tmp_path / device, on_progress=lambda s, t, m, found=found: found.append(m["loss"]),
        )  # fmt: skip
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-3 if precision == "fp32" else 0.03)


@KINDS
def test_a_subnet_is_evaluated_and_finetuned_on_a_gpu(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path
) -> None:
    gpu, few = chosen("cuda"), FinalistConfig(steps=40, batch=32)
    state = train(space, data, on_gpu, 0, checkpoint=tmp_path)
    calibration = data.calibration(256, AugmentConfig())
    teacher, subnet = (
        calibrate(placed(extract(state, arch, space), gpu), calibration) for arch in (space.largest(), space.smallest())
    )
    here = calibrate(extract(state, space.smallest(), space), calibration)
    assert abs(evaluate(subnet, data.x, data.y) - evaluate(here, data.x, data.y)) < 0.02
    runs = [
        finetune(subnet, data, few, AugmentConfig(), 0, teacher=teacher, threads=1, device=gpu) for _ in range(2)
    ]  # fmt: skip
    assert state_digest(runs[0].state_dict()) == state_digest(runs[1].state_dict())
    assert evaluate(runs[0], data.x, data.y) < evaluate(here, data.x, data.y)


def test_memory_that_is_full_is_a_sentence(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path
) -> None:
    _, whole = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(16 * 2**20 / whole)
    try:
        with pytest.raises(EvernasError, match=r"The GPU's memory is full .*: lower supernet.batch, which is 65536"):
            train(space, data, on_gpu.model_copy(update={"batch": 65536}), 0, checkpoint=tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.skipif(GPUS < 2, reason=f"needs two NVIDIA GPUs: torch sees {GPUS} here")
@pytest.mark.parametrize("kind", ["signal", "text"])
def test_two_gpus_compute_about_the_losses_of_one_and_repeat_themselves(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path
) -> None:
    losses: dict[str, list[float]] = {"one": [], "two": [], "again": []}
    for name, found in losses.items():
        asked = {"processes": 1 if name == "one" else 2, "learning_rate": 0.001, "dropout": 0}
        train(
            space, data, on_gpu.model_copy(update=asked), 0, checkpoint=tmp_path / name,
            on_progress=lambda s, t, m, found=found: found.append(m["loss"]),
        )  # fmt: skip
    np.testing.assert_allclose(losses["two"], losses["one"], rtol=1e-3)
    assert losses["two"] == losses["again"]
