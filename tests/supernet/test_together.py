"""Statistics and gradients over several processes are those of one process with the whole batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from evernas.supernet.elastic import EPSILON
from evernas.supernet.together import alike, normalised, processes, rank, share_of, summed

PROCESSES = 3
# Two parts of seven samples, and a last one of six.
SAMPLES = 20


def of_one_process(x: Tensor, scale: Tensor, shift: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Outputs and gradients of a loss that weighs every output."""
    inputs = [tensor.clone().requires_grad_() for tensor in (x, scale, shift)]
    y = torch.nn.functional.batch_norm(inputs[0], None, None, inputs[1], inputs[2], True, 0.0, EPSILON)
    (y * weight).sum().backward()
    return {"y": y.detach(), **{name: t.grad for name, t in zip(("x", "scale", "shift"), inputs, strict=True)}}


def work(folder: Path, number: int) -> None:
    """One of several processes: its part of the samples, and what it found in a file."""
    store = f"file://{folder / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=number, world_size=PROCESSES)
    given = load_file(folder / "given.safetensors")
    x, weight = (share_of(given[name]).clone() for name in ("x", "weight"))
    inputs = [x.requires_grad_(), given["scale"].requires_grad_(), given["shift"].requires_grad_()]
    y = normalised(*inputs)
    (y * weight).sum().backward()
    gradients = [inputs[1].grad, inputs[2].grad]
    told = summed(gradients, [1.0, float(rank())])
    own = torch.full((2,), float(number))
    alike([own])
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    found = {"y": y.detach(), "x": x.grad, "scale": gradients[0], "shift": gradients[1], "told": torch.tensor(told)}
    save_file({**found, "alike": own}, folder / f"found-{number}.safetensors")


@pytest.fixture(scope="module", params=[2, 4], ids=["features", "maps"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[dict]]:
    folder = tmp_path_factory.mktemp("together")
    torch.manual_seed(0)
    shape = (SAMPLES, 3, 4, 5)[: request.param]
    # A large mean beside a small spread: sums of squares would lose it.
    given = {
        "x": 50 + torch.randn(shape), "weight": torch.randn(shape),
        "scale": torch.rand(3) + 0.5, "shift": torch.randn(3),
    }  # fmt: skip
    save_file(given, folder / "given.safetensors")
    command = "import sys, pathlib, test_together as t; t.work(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
    others = [
        subprocess.Popen([sys.executable, "-c", command, str(folder), str(number)], cwd=Path(__file__).parent)
        for number in range(PROCESSES)
    ]
    assert [other.wait(120) for other in others] == [0] * PROCESSES
    one = of_one_process(given["x"], given["scale"], given["shift"], given["weight"])
    return one, [load_file(folder / f"found-{number}.safetensors") for number in range(PROCESSES)]


def test_batch_statistics_are_those_of_the_whole_batch(found: tuple[dict, list[dict]]) -> None:
    one, parts = found
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), one[name], rtol=1e-4, atol=1e-4)


def test_gradients_are_the_mean_over_the_processes_and_the_same_in_all(found: tuple[dict, list[dict]]) -> None:
    one, parts = found
    for name in ("scale", "shift"):
        assert all(torch.equal(part[name], parts[0][name]) for part in parts)
        torch.testing.assert_close(PROCESSES * parts[0][name], one[name], rtol=1e-4, atol=1e-4)


def test_what_each_tells_is_summed_and_the_first_ones_values_are_everyones(found: tuple[dict, list[dict]]) -> None:
    for part in found[1]:
        assert part["told"].tolist() == [3.0, 3.0]
        assert part["alike"].tolist() == [0.0, 0.0]


def test_alone_everything_stays_as_it_is() -> None:
    x, scale, shift = torch.randn(6, 3), torch.rand(3), torch.rand(3)
    assert (processes(), rank()) == (1, 0)
    assert share_of(x) is x
    gradient = torch.ones(2)
    assert summed([gradient], [2.5]) == [2.5]
    alike([gradient])
    assert gradient.tolist() == [1.0, 1.0]
    one = torch.nn.functional.batch_norm(x, None, None, scale, shift, True, 0.0, EPSILON)
    assert torch.equal(normalised(x, scale, shift), one)
