"""Fine-tuning betters a subnet, repeats itself and leaves the original alone."""

from __future__ import annotations

import numpy as np
import pytest

from evernas.config import AugmentConfig, FinalistConfig
from evernas.errors import EvernasError, OwnershipError
from evernas.spaces import SignalSpace
from evernas.supernet import TrainingData, calibrate, evaluate, extract, finetune, initial, predict

CONFIG = FinalistConfig(steps=40, batch=32, learning_rate=0.01)


def test_finetuning_betters_a_subnet_and_leaves_the_original(space: SignalSpace, data: TrainingData) -> None:
    subnet = calibrate(extract(initial(space, 0), space.largest(), space), data.x)
    before = predict(subnet, data.x)
    tuned = finetune(subnet, data, CONFIG, AugmentConfig(), 0, threads=1)
    assert evaluate(tuned, data.x, data.y) < evaluate(subnet, data.x, data.y) / 2
    assert np.array_equal(predict(subnet, data.x), before)


def test_same_seed_gives_the_same_bits_with_a_teacher(space: SignalSpace, data: TrainingData) -> None:
    state = initial(space, 0)
    teacher = calibrate(extract(state, space.largest(), space), data.x)
    subnet = extract(state, space.smallest(), space)
    short = CONFIG.model_copy(update={"steps": 8})
    augment = AugmentConfig(jitter=0.1, cutmix=1.0, flip=[[0], [1, 2]])
    runs = [finetune(subnet, data, short, augment, s, teacher=teacher, threads=1) for s in (0, 0, 1)]
    first, again, other = (predict(run, data.x) for run in runs)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_run_that_lost_its_folder_stops_before_the_work(space: SignalSpace, data: TrainingData) -> None:
    def lost() -> None:
        raise OwnershipError("The folder is owned by another run.")

    steps: list[int] = []
    with pytest.raises(OwnershipError):
        finetune(
            extract(initial(space, 0), space.smallest(), space), data, CONFIG, AugmentConfig(), 0,
            guard=lost, on_progress=lambda step, total, metrics: steps.append(step),
        )  # fmt: skip
    assert not steps


def test_diverging_finetuning_says_what_to_lower(space: SignalSpace, data: TrainingData) -> None:
    wild = CONFIG.model_copy(update={"learning_rate": 1e30, "clip": 1e30})
    with pytest.raises(EvernasError, match=r"lower finalists\.learning_rate"):
        finetune(extract(initial(space, 0), space.smallest(), space), data, wild, AugmentConfig(), 0, threads=1)
