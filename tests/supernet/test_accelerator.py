"""Computing on a GPU, here one that is none: nothing stays behind on the processors, and the digits are theirs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from evernas.config import AugmentConfig, FinalistConfig, SupernetConfig
from evernas.errors import EXIT_USAGE, EvernasError, Interrupted, UsageError
from evernas.spaces import NetworkSpace
from evernas.supernet import (
    TrainingData,
    accelerator,
    batches,
    calibrate,
    evaluate,
    extract,
    finetune,
    finetuning,
    initial,
    load_state,
    network,
    predict,
    state_digest,
    subnet,
    supernet_of,
    together,
    train,
    training,
)
from evernas.supernet.accelerator import CPU, chosen, kept_near, name_of, of_training, placed, repeatable
from evernas.supernet.elastic import EPSILON
from evernas.supernet.states import CHECKPOINT
from simulated_cuda import GPU, simulated_gpu

KINDS = pytest.mark.parametrize("kind", ["signal", "image", "text"])
SHORT = {"steps": 9, "checkpoint_every": 4}
# What torch.use_deterministic_algorithms says it has no repeatable kernel for on a GPU.
UNREPEATABLE = re.compile(
    r"aten::(_?adaptive_(avg|max)_pool\w*_backward|avg_pool3d_backward|max_pool3d\w*_backward|max_unpool\w*"
    r"|fractional_max_pool\w*_backward|upsample_\w*linear\w*_backward|upsample_bicubic\w*_backward"
    r"|(reflection|replication)_pad\w*_backward|nll_loss2d\w*|_ctc_loss_backward|_embedding_bag\w*|put_?|histc"
    r"|bincount|kthvalue|median|grid_sampler\w*_backward|cumsum|scatter_reduce\w*|resize_)$"
)


@pytest.fixture
def on_gpu(config: SupernetConfig) -> SupernetConfig:
    return config.model_copy(update={**SHORT, "device": "auto"})


def augmented(kind: str) -> AugmentConfig:
    if kind == "text":
        return AugmentConfig()
    return AugmentConfig(scale=0.1, jitter=0.1, time_warp=0.2, shift=0.1, mask=0.2, mixup=0.5, cutmix=0.5)


@KINDS
def test_a_training_on_a_gpu_draws_and_computes_what_the_processors_do(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, kind: str, tmp_path: Path
) -> None:
    config = on_gpu.model_copy(update={"augment": augmented(kind)})
    here = train(space, data, config.model_copy(update={"device": "cpu"}), 0, checkpoint=tmp_path / "cpu")
    operators = set[str]()
    with simulated_gpu(on_operator=operators.add):
        there = train(space, data, config, 0, checkpoint=tmp_path / "gpu")
    assert state_digest(there) == state_digest(here)
    assert {type(tensor) for tensor in there.values()} == {torch.Tensor}
    assert {"aten::native_batch_norm", "aten::_log_softmax", "aten::_foreach_addcdiv_"} <= operators
    assert [name for name in sorted(operators) if UNREPEATABLE.match(name)] == []


def test_a_gpu_is_waited_for_once_a_step(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path
) -> None:
    waits: list[str] = []

    def note(operator: str) -> None:
        if operator in ("aten::_local_scalar_dense", "aten::nonzero"):
            waits.append(operator)

    with simulated_gpu(on_operator=note):
        train(space, data, on_gpu.model_copy(update={"steps": 5, "checkpoint_every": 100}), 0, checkpoint=tmp_path)
    assert len(waits) == 5 + 1, "and at the end, whether the weights are numbers"


@pytest.mark.parametrize("numbers", [torch.float32, torch.bfloat16])
def test_statistics_over_several_gpus_are_computed_there_and_nobody_waits(
    numbers: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a group of one, since that of several needs several GPUs."""
    monkeypatch.setattr(torch.distributed, "all_gather", lambda others, own: others[0].copy_(own))
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: None)
    operators = set[str]()
    rng = torch.Generator().manual_seed(0)
    x, scale, shift = (torch.randn(shape, generator=rng) for shape in ((20, 3, 4, 5), (3,), (3,)))
    wanted = torch.nn.functional.batch_norm(x, None, None, scale, shift, True, 0.0, EPSILON)
    with simulated_gpu(on_operator=operators.add):
        given = [tensor.to(GPU).requires_grad_() for tensor in (x.to(numbers), scale, shift)]
        found = together._Normalised.apply(*given)
        found.sum().backward()
        waited = operators & {"aten::_local_scalar_dense", "aten::nonzero"}
        gradients = [tensor.grad for tensor in given]
        here = found.detach().float().cpu()
    assert not waited
    assert [gradient.dtype for gradient in gradients] == [numbers, torch.float32, torch.float32]
    torch.testing.assert_close(here, wanted, rtol=0, atol=1e-5 if numbers == torch.float32 else 0.05)


@KINDS
def test_a_stopped_training_on_a_gpu_is_gone_on_with_on_a_gpu_alone(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path
) -> None:
    whole = train(space, data, on_gpu, 0, checkpoint=tmp_path / "whole")
    asked = iter([False] * 5 + [True])
    with simulated_gpu(), pytest.raises(Interrupted):
        train(space, data, on_gpu, 0, checkpoint=tmp_path / "cut", stopping=lambda: next(asked))
    tensors, meta = load_state(tmp_path / "cut" / CHECKPOINT)
    assert meta["step"] == 6
    assert {tensor.device for tensor in tensors.values()} == {CPU}
    kept = (tmp_path / "cut" / CHECKPOINT).read_bytes()
    steps: list[int] = []
    with simulated_gpu():
        found = train(space, data, on_gpu, 0, checkpoint=tmp_path / "cut", on_progress=lambda s, t, m: steps.append(s))
    assert steps == [7, 8, 9]
    assert state_digest(found) == state_digest(whole)
    (tmp_path / "cut" / CHECKPOINT).write_bytes(kept)
    train(space, data, on_gpu, 0, checkpoint=tmp_path / "cut", on_progress=lambda s, t, m: steps.append(s))
    assert steps[3] == 1, "the processors begin anew"


@KINDS
def test_a_warm_start_and_a_rate_that_diverges_work_on_a_gpu_too(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = on_gpu.model_copy(update={"warm_steps": 9})
    real, failed = training._sandwich_step, list[int]()

    def step(*arguments: Any) -> Any:
        loss = real(*arguments)
        if arguments[-1] == 6 and not failed:
            failed.append(6)
            return loss * float("nan")
        return loss

    monkeypatch.setattr(training, "_sandwich_step", step)
    steps: list[int] = []
    parent = initial(space, 3)
    with simulated_gpu():
        there = train(
            space, data, warm, 0, checkpoint=tmp_path / "gpu", parent=parent,
            on_progress=lambda s, t, m: steps.append(s),
        )  # fmt: skip
    assert steps == [*range(1, 7), *range(5, 10)], "from the checkpoint after step 4, with the batch of that step"
    failed.clear()
    here = train(space, data, warm, 0, checkpoint=tmp_path / "cpu", parent=parent)
    assert state_digest(there) == state_digest(here)


@KINDS
def test_subnets_are_calibrated_evaluated_and_finetuned_where_they_are_told(
    space: NetworkSpace, data: TrainingData, kind: str
) -> None:
    state, augment = initial(space, 0), augmented(kind)
    calibration, few = data.calibration(64, augment), FinalistConfig(steps=4, batch=16)

    def answers(device: torch.device) -> tuple[Any, float, np.ndarray, Any]:
        largest = calibrate(placed(extract(state, space.largest(), space), device), kept_near(calibration, device))
        smallest = calibrate(placed(extract(state, space.smallest(), space), device), calibration)
        error = evaluate(smallest, kept_near(data.x, device), data.y)
        tuned = finetune(
            smallest, data, few, augment, 0, teacher=largest, threads=1, calibration=64, device=device,
        )  # fmt: skip
        return state_digest(smallest.state_dict()), error, predict(largest, data.x), tuned

    here = answers(CPU)
    with simulated_gpu():
        there = answers(GPU)
    assert there[:2] == here[:2]
    assert np.array_equal(there[2], here[2])
    assert state_digest(there[3].state_dict()) == state_digest(here[3].state_dict())
    assert np.array_equal(predict(there[3], data.x), predict(here[3], data.x)), "it is back on the processors"


def test_a_subnet_of_a_supernet_on_a_gpu_is_on_the_processors(space: NetworkSpace, data: TrainingData) -> None:
    with simulated_gpu():
        net = placed(supernet_of(space, initial(space, 0)), GPU)
        found = extract(net, space.largest())
    assert state_digest(found.state_dict()) == state_digest(
        extract(initial(space, 0), space.largest(), space).state_dict()
    )


@pytest.mark.parametrize(
    ("kind", "where", "what"),
    [
        ("signal", batches, "moved"),
        ("signal", training, "placed"),
        ("signal", subnet, "place_of"),
        ("signal", finetuning, "moved"),
        ("image", network, "_scaling"),
        ("text", torch, "arange"),
    ],
)
def test_what_is_left_on_the_processors_is_refused(
    space: NetworkSpace, data: TrainingData, on_gpu: SupernetConfig, tmp_path: Path, where: Any, what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Proof that the tests above would see a tensor that somebody forgot: each of the moves is left out in turn."""
    real = getattr(where, what)
    stay = {
        "moved": lambda tensor, device: tensor,
        "placed": lambda module, device: module,
        "place_of": lambda module: CPU,
        "arange": lambda *arguments, device=None: real(*arguments),
        "_scaling": lambda side, to, device: real(side, to, CPU),
    }

    def everything() -> None:
        net = placed(extract(initial(space, 0), space.largest(), space), GPU)
        train(space, data, on_gpu, 0, checkpoint=tmp_path)
        calibrate(net, data.x[:32])
        finetune(net, data, FinalistConfig(steps=1, batch=8), AugmentConfig(), 0, threads=1, device=GPU)

    with simulated_gpu():
        everything()
        (tmp_path / CHECKPOINT).unlink()
        monkeypatch.setattr(where, what, stay[what])
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            everything()


@pytest.mark.parametrize("kind", ["signal", "image"])
def test_torchs_own_fake_gpu_sees_nothing_left_behind_either(space: NetworkSpace) -> None:
    """Forward alone: without a driver it has no backward pass, and texts' lengths are values, of which it has none."""
    with FakeTensorMode(), torch.device(GPU):
        net, x = supernet_of(space), torch.empty(8, *space.shape)
        assert net(net.see(x), space.largest()).device == net(net.see(x), space.smallest()).device == GPU
        plain = net.space.random(np.random.default_rng(0))
        assert net(net.see(x), plain, torch.ones(8, space.pooled)).device == GPU
        with pytest.raises(RuntimeError, match="device"):
            net(net.see(torch.empty(8, *space.shape, device="cpu")), space.largest())


def test_auto_takes_a_gpu_where_there_is_one_and_cuda_asks_for_it() -> None:
    assert chosen("cpu") == CPU
    with simulated_gpu():
        assert chosen("auto") == chosen("cuda") == GPU
        assert chosen("cpu") == CPU
        assert name_of(GPU) == "cuda: a GPU that is none"
    with simulated_gpu(0):
        assert chosen("auto") == CPU
        assert name_of(CPU) == "cpu"
        with pytest.raises(
            UsageError, match=r"supernet.device is cuda, and torch sees no GPU here: set it to"
        ) as refused:
            chosen("cuda")
    assert refused.value.exit_code == EXIT_USAGE


def test_stand_ins_for_a_gpus_libraries_are_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would end the process without a word."""
    monkeypatch.setattr(accelerator, "distribution", lambda name: name)
    with simulated_gpu():
        assert chosen("auto") == CPU
        with pytest.raises(UsageError, match=r"this image holds torch without the libraries of a GPU .*--torch cuda"):
            chosen("cuda")


@pytest.mark.parametrize(
    ("asked", "gpus", "said"),
    [
        ({"processes": 4}, 2, r"supernet.processes is 4, each with a GPU of its own, and here are 2: lower it"),
        ({"precision": "bf16"}, 0, "supernet.precision is bf16, which is for GPUs, and supernet.device is auto"),
    ],
)
def test_a_training_that_this_machine_cannot_do_is_refused_before_it_begins(
    space: NetworkSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path, asked: Any, gpus: int, said: str
) -> None:
    with simulated_gpu(gpus), pytest.raises(UsageError, match=said):
        train(space, data, config.model_copy(update={"device": "auto", **asked}), 0, checkpoint=tmp_path)
    assert not list(tmp_path.iterdir())


def test_bf16_is_refused_where_the_gpu_has_none(config: SupernetConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated_gpu():
        wanted = config.model_copy(update={"device": "cuda", "precision": "bf16"})
        assert of_training(wanted) == GPU
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
        with pytest.raises(UsageError, match=r"supernet.precision is bf16, which the GPU a GPU that is none has not"):
            of_training(wanted)


@KINDS
def test_bf16_computes_about_the_same_and_keeps_weights_whole(
    space: NetworkSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the processors, which have the format too, if slowly; a config does not reach this."""
    monkeypatch.setattr(training, "of_training", lambda config: CPU)
    losses: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for precision, found in losses.items():
        narrow = config.model_copy(update={"steps": 8, "learning_rate": 0.001, "precision": precision})
        state = train(
            space, data, narrow, 0, checkpoint=tmp_path / precision,
            on_progress=lambda step, total, metrics, found=found: found.append(metrics["loss"]),
        )  # fmt: skip
        assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.03)
    assert losses["bf16"] != losses["fp32"]


def test_a_gpu_is_told_to_repeat_itself_and_to_be_exact_and_processors_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def told() -> tuple[bool, ...]:
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        return torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, matmul.allow_tf32, cudnn.allow_tf32

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = told()
    with repeatable(CPU):
        assert told() == before
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    with repeatable(GPU):
        assert told() == (True, False, False, False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert told() == before


def test_memory_that_is_full_names_what_to_lower(
    space: NetworkSpace, data: TrainingData, config: SupernetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity")

    monkeypatch.setattr(training, "_sandwich_step", full)
    said = r"The GPU's memory is full \(CUDA out of memory\): lower supernet.batch, which is 32, or train on cores"
    with pytest.raises(EvernasError, match=said):
        train(space, data, config, 0, checkpoint=tmp_path)
    monkeypatch.setattr(finetuning, "_taught", full)
    with pytest.raises(EvernasError, match=r"lower finalists.batch, which is 8, or supernet.batch"):
        finetune(
            extract(initial(space, 0), space.smallest(), space), data, FinalistConfig(steps=1, batch=8),
            AugmentConfig(), 0, threads=1,
        )  # fmt: skip
    with pytest.raises(SystemExit, match="GPU 0 of 1: CUDA out of memory"):
        training.follow(training.Task(space, data, config, 0, None, 1, "cpu"))


def test_samples_lie_on_the_gpu_where_they_fit(data: TrainingData) -> None:
    with simulated_gpu():
        assert kept_near(data.x, GPU).device == GPU
        large = np.broadcast_to(np.float32(0), (2**27, 1))
        assert kept_near(large, GPU).device == CPU
    assert kept_near(data.x, CPU) is data.x
