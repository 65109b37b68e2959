"""Training a supernet: it learns, it repeats itself, and being killed changes nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evernas.config import AugmentConfig, SupernetConfig, WarmStartConfig
from evernas.errors import DataRefusedError, EvernasError, Interrupted, OwnershipError, UsageError
from evernas.spaces import ConvolutionalSpace, SignalSpace
from evernas.supernet import (
    TrainingData,
    calibrate,
    evaluate,
    extract,
    initial,
    rules,
    state_digest,
    train,
    training,
    warm_start,
)
from evernas.supernet.accelerator import torch_threads
from evernas.supernet.optimiser import Optimiser
from evernas.supernet.states import CHECKPOINT

Waves = Callable[[int, int], TrainingData]


def error_of(state: dict[str, Tensor], space: ConvolutionalSpace, data: TrainingData, smallest: bool = False) -> float:
    arch = space.smallest() if smallest else space.largest()
    return evaluate(calibrate(extract(state, arch, space), data.x), data.x, data.y)


@pytest.mark.parametrize("kind", ["signal", "image"])
def test_largest_and_smallest_subnets_both_learn(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    state = train(space, data, config, 0, checkpoint=tmp_path)
    assert error_of(state, space, data) < 0.15
    assert error_of(state, space, data, smallest=True) < 0.4
    assert error_of(initial(space, 0), space, data) > 0.4


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    short = config.model_copy(update={"steps": 10})
    first, again, other = (train(space, data, short, s, checkpoint=tmp_path / str(i)) for i, s in enumerate([0, 0, 1]))
    assert state_digest(first) == state_digest(again) != state_digest(other)


@pytest.mark.parametrize("killed_at", [6, 7, 16])
@pytest.mark.parametrize("kind", ["signal", "image"])
def test_interrupted_training_ends_with_the_bits_of_an_undisturbed_one(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path, killed_at: int
) -> None:
    augment = AugmentConfig(
        rotate=[[0, 1, 2]], rotate_degrees=30, scale=0.1, jitter=0.1, time_warp=0.2, shift=0.1, mask=0.2, mixup=0.5
    )
    short = config.model_copy(update={"steps": 18, "augment": augment, "balance": True})
    whole = train(space, data, short, 0, checkpoint=tmp_path / "whole")

    def stop(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(space, data, short, 0, checkpoint=tmp_path / "cut", on_progress=stop)
    steps: list[int] = []
    resumed = train(space, data, short, 0, checkpoint=tmp_path / "cut", on_progress=lambda s, t, m: steps.append(s))
    assert steps[0] == killed_at // 7 * 7 + 1
    assert state_digest(resumed) == state_digest(whole)


def _train_here(space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, folder: Path) -> None:
    torch.set_num_threads(1)
    train(space, data, config, 0, checkpoint=folder)


def test_sigkill_in_the_middle_leaves_a_checkpoint_that_training_goes_on_from(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    often = config.model_copy(update={"steps": 40, "checkpoint_every": 1})
    whole = train(space, data, often, 0, checkpoint=tmp_path / "whole")
    # Not fork: torch's threads do not survive it.
    process = multiprocessing.get_context("spawn").Process(
        target=_train_here,
        args=(space, data, config.model_copy(update={"steps": 40, "checkpoint_every": 1}), tmp_path / "cut"),
    )
    process.start()
    while not (tmp_path / "cut" / CHECKPOINT).exists():
        process.join(0.01)
        assert process.exitcode is None
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    steps: list[int] = []
    resumed = train(space, data, often, 0, checkpoint=tmp_path / "cut", on_progress=lambda s, t, m: steps.append(s))
    assert steps[0] > 1
    assert state_digest(resumed) == state_digest(whole)


def test_training_that_is_asked_to_stop_leaves_a_checkpoint_of_its_last_step(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    seldom = config.model_copy(update={"steps": 6, "checkpoint_every": 100})
    whole = train(space, data, seldom, 0, checkpoint=tmp_path / "whole")
    asked = iter([False, False, True])
    with pytest.raises(Interrupted, match="step 3 of 6"):
        train(space, data, seldom, 0, checkpoint=tmp_path / "cut", stopping=lambda: next(asked))
    steps: list[int] = []
    resumed = train(space, data, seldom, 0, checkpoint=tmp_path / "cut", on_progress=lambda s, t, m: steps.append(s))
    assert steps == [4, 5, 6]
    assert state_digest(resumed) == state_digest(whole)


def test_checkpoint_of_another_training_is_not_used(
    space: ConvolutionalSpace, data: TrainingData, waves: Waves, config: SupernetConfig, tmp_path: Path
) -> None:
    short = config.model_copy(update={"steps": 10})
    train(space, data, short, 0, checkpoint=tmp_path)
    steps: list[int] = []
    train(space, waves(240, 1), short, 0, checkpoint=tmp_path, on_progress=lambda s, t, m: steps.append(s))
    assert steps[0] == 1


def test_broken_checkpoint_is_trained_anew(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    short = config.model_copy(update={"steps": 10})
    whole = train(space, data, short, 0, checkpoint=tmp_path)
    (tmp_path / CHECKPOINT).write_bytes((tmp_path / CHECKPOINT).read_bytes()[:1000])
    assert state_digest(train(space, data, short, 0, checkpoint=tmp_path)) == state_digest(whole)


def test_run_that_lost_its_folder_writes_no_checkpoint(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    def lost() -> None:
        raise OwnershipError("The folder is owned by another run.")

    with pytest.raises(OwnershipError):
        train(space, data, config, 0, checkpoint=tmp_path, guard=lost)
    assert not list(tmp_path.iterdir())


def test_diverging_training_says_what_to_lower(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    wild = config.model_copy(update={"learning_rate": 1e30, "clip": 1e30})
    with pytest.raises(EvernasError, match=r"Training diverged: the loss is .* lower supernet.learning_rate"):
        train(space, data, wild, 0, checkpoint=tmp_path)


def test_training_that_diverges_goes_back_to_the_last_checkpoint_at_half_the_rate(
    space: ConvolutionalSpace,
    data: TrainingData,
    config: SupernetConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = config.model_copy(update={"steps": 18})
    real = training._sandwich_step
    told: list[tuple[int, float]] = []

    def until(rate: float) -> Callable[..., float]:
        """The loss is no number at the tenth step, as long as the rate is above this one."""

        def step(*arguments: Any) -> float:
            loss = real(*arguments)
            return float("nan") if arguments[-1] == 9 and tamed[-1] > rate else loss

        return step

    tamed = [1.0]

    def watch(step: int, total: int, metrics: dict[str, float]) -> None:
        told.append((step, metrics["learning_rate"]))
        tamed.append(metrics["learning_rate"] / rules.one_cycle(step - 1, total, config.learning_rate))

    monkeypatch.setattr(training, "_sandwich_step", until(0.3))
    state = train(space, data, short, 0, checkpoint=tmp_path / "whole", on_progress=watch)
    assert [step for step, _ in told] == [*range(1, 10), 8, 9, 8, 9, *range(10, 19)], "a checkpoint is after step 7"
    assert told[-1][1] == rules.one_cycle(17, 18, config.learning_rate / 4)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())

    tamed[:] = [1.0]

    def killed(step: int, total: int, metrics: dict[str, float]) -> None:
        watch(step, total, metrics)
        if step == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(space, data, short, 0, checkpoint=tmp_path / "cut", on_progress=killed)
    resumed = train(space, data, short, 0, checkpoint=tmp_path / "cut", on_progress=watch)
    assert state_digest(resumed) == state_digest(state), "how often the rate was halved is in the checkpoint"


def test_weights_that_are_no_numbers_are_never_kept(
    space: ConvolutionalSpace,
    data: TrainingData,
    config: SupernetConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gradient that overflows shows in the next loss only; a checkpoint in between would keep the damage."""
    real = Optimiser.step

    def step(self: Optimiser, rate: float) -> None:
        real(self, rate)
        if self.steps == 7:
            with torch.no_grad():
                self._parameters[0].fill_(float("inf"))

    monkeypatch.setattr(Optimiser, "step", step)
    with pytest.raises(EvernasError, match="Training diverged"):
        train(space, data, config.model_copy(update={"steps": 18}), 0, checkpoint=tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_warm_start_learns_in_fewer_steps_than_a_cold_one(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    parent = train(space, data, config, 0, checkpoint=tmp_path / "parent")
    brief = config.model_copy(update={"steps": 8, "warm_steps": 8})
    cold = train(space, data, brief, 1, checkpoint=tmp_path / "cold")
    warm = train(space, data, brief, 1, checkpoint=tmp_path / "warm", parent=parent)
    assert error_of(warm, space, data) < error_of(cold, space, data)


def test_warm_start_shrinks_and_perturbs(space: ConvolutionalSpace) -> None:
    parent = initial(space, 0)
    kept = warm_start(parent, space, WarmStartConfig(shrink=1, perturb=0), 5)
    assert state_digest(kept) == state_digest(parent)
    forgotten = warm_start(parent, space, WarmStartConfig(shrink=0, perturb=1), 5)
    assert state_digest(forgotten) == state_digest(initial(space, 5))


def test_a_warm_start_ends_at_the_mean_of_the_parents_weights_and_its_own(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    parent = train(space, data, config, 0, checkpoint=tmp_path / "parent")

    def warm(keep: float) -> dict[str, Tensor]:
        asked = config.model_copy(update={"warm_start": WarmStartConfig(keep=keep)})
        return train(space, data, asked, 1, checkpoint=tmp_path / str(keep), parent=parent)

    trained, half = warm(0), warm(0.5)
    assert any(not torch.equal(trained[name], parent[name]) for name in parent)
    for name, tensor in half.items():
        torch.testing.assert_close(tensor, (trained[name] + parent[name]) / 2)
    torch.testing.assert_close(warm(1), parent)


def test_new_rows_are_drawn_as_often_as_a_cold_start_would_and_make_up_no_more_than_their_share() -> None:
    weights, new = torch.tensor([1.0, 1, 1, 1, 2, 2, 1, 1]), torch.tensor([False] * 6 + [True] * 2)

    def share(most: float, often: float) -> float:
        found = rules.with_replay(weights, new, most, often)
        assert torch.allclose(found[:6] / found[:6].sum(), weights[:6] / 8), "among themselves as before"
        return float(found[new].sum() / found.sum())

    assert share(0.5, 1.5) == pytest.approx(0.3)
    assert share(0.5, 4) == pytest.approx(0.5)
    assert share(1, 4) == pytest.approx(0.8)
    assert share(0, 4) == pytest.approx(0.2), "never less often than all are"
    for all_alike in (torch.zeros(8, dtype=torch.bool), torch.ones(8, dtype=torch.bool)):
        assert torch.equal(rules.with_replay(weights, all_alike, 0.5, 4), weights)


def test_few_new_rows_are_not_drawn_over_and_over() -> None:
    new = torch.arange(10_000) < 3
    found = rules.with_replay(torch.ones(10_000), new, 0.5, 3)
    assert float(found[new].sum() / found.sum()) == pytest.approx(0.0009)


def seen(space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, new: Any, folder: Path) -> np.ndarray:
    """How often each row was drawn in a warm start."""
    counts = np.zeros(len(data.x), int)

    class Counted(TrainingData):
        def changed(self, rows: Tensor, *others: Any) -> Tensor:
            np.add.at(counts, rows.numpy(), 1)
            return super().changed(rows, *others)

    counted = Counted(data.x, data.y, data.domains, data.recordings)
    train(space, counted, config, 0, checkpoint=folder, parent=initial(space, 0), new=new)
    return counts


def test_a_warm_start_draws_what_the_parent_has_not_seen_more_often(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    new = np.asarray(data.domains) == 3
    natural, rows = new.mean(), config.warm_steps * config.batch
    often = seen(space, data, config, new, tmp_path / "often")
    assert often.sum() == rows
    assert often[new].sum() / rows == pytest.approx(min(0.5, 2 * natural), abs=0.05)
    assert (often[~new] > 0).mean() > 0.8, "the others are replayed"
    alike = config.model_copy(update={"warm_start": WarmStartConfig(new_share=0)})
    assert seen(space, data, alike, new, tmp_path / "alike")[new].sum() / rows == pytest.approx(natural, abs=0.05)


def test_a_checkpoint_of_other_new_rows_is_not_gone_on_with(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    parent, new, steps = initial(space, 0), np.arange(len(data.x)) < 60, []

    def training_of(rows: np.ndarray | None, most: int) -> None:
        asked = iter([False] * most + [True])
        with pytest.raises(Interrupted):
            train(
                space, data, config, 0, checkpoint=tmp_path, parent=parent, new=rows,
                stopping=lambda: next(asked), on_progress=lambda step, t, m: steps.append(step),
            )  # fmt: skip

    for rows in (new, new, ~new, None):
        training_of(rows, 1)
    assert steps == [1, 2, 3, 4, 1, 2, 1, 2]


def test_which_rows_are_new_is_said_of_each(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="give a boolean for each of 240 rows"):
        train(space, data, config, 0, checkpoint=tmp_path, parent=initial(space, 0), new=np.zeros(3, dtype=bool))


def test_parent_of_another_space_is_refused(space: ConvolutionalSpace) -> None:
    other = SignalSpace(3, 32, 4, space.config)
    with pytest.raises(UsageError, match="does not fit the space"):
        warm_start(initial(other, 0), space, WarmStartConfig(), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_with_nan_or_infinity_is_refused(waves: Waves, value: float) -> None:
    data = waves(10, 0)
    x = data.x.copy()
    x[3, 1, 2] = value
    with pytest.raises(DataRefusedError, match="1 of 10 training samples hold NaN or infinity"):
        TrainingData(x, data.y, data.domains, data.recordings)


def test_empty_or_ragged_data_is_refused(waves: Waves) -> None:
    data = waves(10, 0)
    for x, y in ((data.x[:0], data.y[:0]), (data.x, data.y[:9])):
        with pytest.raises(DataRefusedError, match="give"):
            TrainingData(x, y, data.domains, data.recordings)


def test_constant_channel_does_not_break_training(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    x = data.x.copy()
    x[:, 2] = 7.0
    dead = TrainingData(x, data.y, data.domains, data.recordings)
    state = train(space, dead, config.model_copy(update={"steps": 10}), 0, checkpoint=tmp_path)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())


def test_balanced_draws_give_each_domain_and_class_the_same_chance(waves: Waves) -> None:
    data = waves(300, 0)
    few = TrainingData(data.x, data.y, np.array(["a"] * 290 + ["b"] * 10), data.recordings)
    weights = few.weights(balance=True).numpy()
    sums = [weights[(few.domains == d) & (few.y == c)].sum() for d in "ab" for c in range(3)]
    assert np.allclose(sums, 1, atol=1e-4)


def test_data_that_does_not_fit_the_space_is_refused(
    space: ConvolutionalSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    longer = np.concatenate([data.x, data.x], 2)
    for x, y in ((data.x[:, :2], data.y), (longer, data.y), (data.x, data.y + 1), (data.x, data.y - 1)):
        with pytest.raises(UsageError, match="make the space from the config"):
            train(space, TrainingData(x, y, data.domains, data.recordings), config, 0, checkpoint=tmp_path)


def test_number_of_threads_is_restored_even_after_an_error() -> None:
    def fail() -> None:
        with torch_threads(before + 1) as threads:
            assert torch.get_num_threads() == threads == before + 1
            raise RuntimeError

    before = torch.get_num_threads()
    with pytest.raises(RuntimeError):
        fail()
    assert torch.get_num_threads() == before
