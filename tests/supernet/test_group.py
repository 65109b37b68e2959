"""Training in two processes: the losses of one process, a worker that dies, a parent that is killed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pydantic import ValidationError

import started_by_torchrun
from evernas.config import SupernetConfig
from evernas.errors import EvernasError, Interrupted, UsageError
from evernas.spaces import NetworkSpace
from evernas.supernet import TrainingData, group, state_digest, train
from evernas.supernet.states import load_state

STEPS = started_by_torchrun.STEPS


@pytest.fixture
def config() -> SupernetConfig:
    return SupernetConfig(
        steps=STEPS, batch=32, learning_rate=0.01, checkpoint_every=20, threads=1, dropout=0, processes=2, device="cpu"
    )


def losses(space: NetworkSpace, data: TrainingData, config: SupernetConfig, folder: Path) -> list[float]:
    """Of the first steps of a training as long as a real one."""
    found: list[float] = []
    with pytest.raises(Interrupted):
        train(
            space, data, config, 0, checkpoint=folder, on_progress=lambda s, t, m: found.append(m["loss"]),
            stopping=lambda: len(found) == STEPS - 1,
        )  # fmt: skip
    return found


@pytest.mark.parametrize("kind", ["signal", "image", "text"])
def test_two_processes_compute_the_losses_of_one(
    space: NetworkSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    # At a higher rate rounding grows faster than that: two threads then differ from one as much.
    real = config.model_copy(update={"steps": 800, "learning_rate": 0.001, "batch": 64})
    alone = losses(space, data, real.model_copy(update={"processes": 1}), tmp_path / "one")
    both = losses(space, data, real, tmp_path / "two")
    assert len(both) == STEPS
    np.testing.assert_allclose(both, alone, rtol=1e-4)


def by_torchrun(count: int, processes: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program that trains, started by torchrun."""
    support = Path(__file__).parents[1] / "support"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(support), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        [*command, str(support / "started_by_torchrun.py"), str(folder), str(processes)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["text"])
def test_two_processes_that_torchrun_started_compute_the_losses_of_one(
    space: NetworkSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    done = by_torchrun(2, 2, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    of_each = [json.loads((tmp_path / "two" / f"{rank}.json").read_text()) for rank in range(2)]
    assert of_each[1]["losses"] == [], "the first tells of all"
    assert of_each[0]["weights"] == of_each[1]["weights"]
    alone: list[float] = []
    real = started_by_torchrun.config(1)
    state = train(
        space, data, real, 0, checkpoint=tmp_path / "one", on_progress=lambda s, t, m: alone.append(m["loss"])
    )
    assert len(alone) == STEPS
    np.testing.assert_allclose(of_each[0]["losses"], alone, rtol=1e-4)
    assert set(state) == set(load_state(tmp_path / "two" / "weights.safetensors")[0])


def test_torchrun_and_the_config_must_say_the_same_number(tmp_path: Path) -> None:
    done = by_torchrun(2, 1, tmp_path)
    assert done.returncode != 0
    assert "torchrun started 2 processes, and supernet.processes is 1: set both to the same number." in done.stderr


def test_processes_of_torchrun_are_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    for name, value in sizes.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="on several machines"), group.joined(4, _fails, ()):
        pass


@pytest.mark.parametrize("kind", ["image", "text"])
def test_training_together_goes_on_from_its_checkpoint_and_repeats_itself(
    space: NetworkSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    short = config.model_copy(update={"steps": 12, "checkpoint_every": 5, "dropout": 0.3})
    whole = train(space, data, short, 0, checkpoint=tmp_path / "whole")
    asked = iter([False] * 6 + [True])
    with pytest.raises(Interrupted, match="step 7 of 12"):
        train(space, data, short, 0, checkpoint=tmp_path / "cut", stopping=lambda: next(asked))
    steps: list[int] = []
    resumed = train(space, data, short, 0, checkpoint=tmp_path / "cut", on_progress=lambda s, t, m: steps.append(s))
    assert steps == [8, 9, 10, 11, 12]
    assert state_digest(resumed) == state_digest(whole)


def test_a_process_that_dies_ends_the_training_with_a_sentence(
    space: NetworkSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    def kill(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 5:
            (other,) = multiprocessing.active_children()
            os.kill(other.pid or 0, signal.SIGKILL)

    with pytest.raises(EvernasError, match=r"One of 2 training processes ended \(exit code -9\): start again"):
        train(space, data, config, 0, checkpoint=tmp_path, on_progress=kill)
    assert multiprocessing.active_children() == []


def _in_the_middle(space: NetworkSpace, data: TrainingData, config: SupernetConfig, folder: Path) -> None:
    def note(step: int, total: int, metrics: dict[str, float]) -> None:
        (other,) = multiprocessing.active_children()
        (folder / "other").write_text(str(other.pid))
        time.sleep(0.2)

    train(space, data, config, 0, checkpoint=folder, on_progress=note)


def test_processes_end_with_a_parent_that_is_killed(
    space: NetworkSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path
) -> None:
    parent = multiprocessing.get_context("spawn").Process(target=_in_the_middle, args=(space, data, config, tmp_path))
    parent.start()
    while not (tmp_path / "other").exists() or not (tmp_path / "other").read_text():
        parent.join(0.05)
        assert parent.exitcode is None
    other = int((tmp_path / "other").read_text())
    os.kill(parent.pid or 0, signal.SIGKILL)
    parent.join()
    deadline = time.monotonic() + 20
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(other, 0)
            time.sleep(0.1)
        pytest.fail("the other process outlived its parent")


def _late(folder: Path, limit_s: float) -> None:
    group.MEETING_S = limit_s
    (folder / "ready").touch()
    group._meet(f"file://{folder / 'meeting'}", 1, 2)
    time.sleep(limit_s + 2)
    dist.all_reduce(torch.ones(1))


def test_who_has_met_is_waited_for_longer_than_the_meeting_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_s = 5.0
    monkeypatch.setattr(group, "MEETING_S", limit_s)
    other = multiprocessing.get_context("spawn").Process(target=_late, args=(tmp_path, limit_s))
    other.start()
    while not (tmp_path / "ready").exists():
        other.join(0.05)
        assert other.exitcode is None
    group._meet(f"file://{tmp_path / 'meeting'}", 0, 2)
    try:
        sum_of_both = torch.ones(1)
        dist.all_reduce(sum_of_both)
        assert float(sum_of_both) == 2
    finally:
        dist.destroy_process_group()
        other.join()


def _fails() -> None:
    os._exit(3)


def _waits_for_another() -> None:
    other = multiprocessing.get_context("spawn").Process(target=_fails)
    other.start()
    threading.Thread(target=group._end_with_others, args=([other], threading.Event()), daemon=True).start()
    time.sleep(120)


def test_a_process_on_a_gpu_that_waits_for_another_ends_when_that_one_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """It would wait for good: an exchange between GPUs does not notice."""
    waiting = multiprocessing.get_context("spawn").Process(target=_waits_for_another)
    waiting.start()
    waiting.join(60)
    assert waiting.exitcode == 1
    assert "One of 2 training processes ended (exit code 3): start again, and it goes on from" in capfd.readouterr().err


def test_processes_on_gpus_meet_by_nccl_each_with_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_device", met.append)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **others: met.append((backend, others["rank"])))
    monkeypatch.setattr(dist.distributed_c10d, "_set_pg_timeout", lambda limit: None)
    group._meet("file:///nowhere", 1, 2, "cuda")
    assert met == [1, ("nccl", 1)]


def test_a_batch_is_shared_evenly_or_refused() -> None:
    with pytest.raises(ValidationError, match="batch is 64, which 3 processes cannot share"):
        SupernetConfig(batch=64, processes=3)
