"""What a sandwich step of the supernet costs beside the same subnets as plain torch modules.

    python benchmarks/supernet.py [--quick] [--json FILE] [--draws N] [--threads N]

A step is the forward and backward of the largest, two random and the smallest subnet, with the losses of training, on a
batch of 64; the optimiser is left out everywhere. The same four subnets are also run as plain modules in PyTorch's
default layout (Conv1d over batch, channels, time; Conv2d over batch, channels, height, width), and as the modules that
evernas extracts, in its own layout. All three start from the same weights and must give the same losses. They take
turns; a figure is the median over the draws of architectures. docs/benchmarks/supernet.md explains.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from evernas.config import Config
from evernas.hardware.devices import environment
from evernas.spaces import Architecture, BlockSpec, ConvolutionalSpace
from evernas.spaces.scaling import scaling
from evernas.steps.context import space_of
from evernas.supernet import Supernet, extract, initial, rules
from evernas.supernet.elastic import EPSILON
from evernas.supernet.network import ElasticConvolution, ElasticSqueeze
from evernas.supernet.pooling import pool, statistics

ROOT = Path(__file__).parents[1]
SPACES = {
    "signal": ROOT / "examples" / "watch" / "evernas.yaml",
    "image": ROOT / "examples" / "digits" / "evernas.yaml",
}
BATCH, DRAWS, REPEATS, SEED = 64, 20, 5, 5
SAME = 1e-4
"""How far the losses of the three may differ, relatively: they are sums in another order."""
MOST_OF_PLAIN, MOST_OF_OWN = 0.65, 1.05


class PlainConvolution(nn.Sequential):
    """Convolution, batch normalisation and ReLU as anybody writes them, with weights of the supernet."""

    def __init__(self, e: ElasticConvolution, width_in: int, width_out: int, kernel: int, stride: int, active: bool):
        groups = width_out if e.depthwise else 1
        weight = e.taps(width_in, width_out, kernel).detach().clone()
        if e.dimensions == 1:
            convolution: nn.Module = nn.Conv1d(
                width_in, width_out, kernel, stride, kernel // 2, groups=groups, bias=False
            )
            norm: nn.Module = nn.BatchNorm1d(width_out, EPSILON)
            weight = weight[:, :, 0]
        else:
            convolution = nn.Conv2d(width_in, width_out, kernel, stride, kernel // 2, groups=groups, bias=False)
            norm = nn.BatchNorm2d(width_out, EPSILON)
        super().__init__(convolution, norm, *([nn.ReLU()] if active else []))
        with torch.no_grad():
            convolution.weight.copy_(weight)
            norm.weight.copy_(e.scale[:width_out])
            norm.bias.copy_(e.shift[:width_out])


class PlainSqueeze(nn.Module):
    """Squeeze and excitation over all places, in the default layout."""

    def __init__(self, e: ElasticSqueeze, width: int, middle: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(width, middle), nn.Linear(middle, width)
        with torch.no_grad():
            for own, given in zip(
                (self.squeeze.weight, self.squeeze.bias, self.excite.weight, self.excite.bias),
                e.parts(width, middle),
                strict=True,
            ):
                own.copy_(given)

    def forward(self, x: Tensor) -> Tensor:
        weight = functional.hardsigmoid(self.excite(torch.relu(self.squeeze(x.flatten(2).mean(2)))))
        return x * weight.view(*weight.shape, *[1] * (x.dim() - 2))


class PlainBlock(nn.Module):
    """An inverted bottleneck."""

    def __init__(self, net: Supernet, spec: BlockSpec) -> None:
        super().__init__()
        elastic = net.block(spec)
        units: list[nn.Module] = [
            PlainConvolution(elastic.expand, spec.width_in, spec.hidden, 1, 1, True),
            PlainConvolution(elastic.depthwise, spec.hidden, spec.hidden, spec.kernel, spec.stride, True),
        ]
        if elastic.squeeze is not None and spec.squeeze:
            units.append(PlainSqueeze(elastic.squeeze, spec.hidden, spec.squeezed))
        units.append(PlainConvolution(elastic.project, spec.hidden, spec.width_out, 1, 1, False))
        self.units, self.residual = nn.Sequential(*units), spec.residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.units(x)
        return x + y if self.residual else y


class PlainNetwork(nn.Module):
    """One architecture, in PyTorch's default layout."""

    def __init__(self, net: Supernet, arch: Architecture) -> None:
        super().__init__()
        space, config = net.space, net.space.config
        specs = space.blocks(arch)
        self.pooling, self.spectrum, self.size = list(config.pooling), net.spectrum, space.input_size(arch)
        self.register_buffer("mean", net.mean.view(-1, *[1] * space.dimensions))
        self.register_buffer("std", net.std.view(-1, *[1] * space.dimensions))
        self.features = nn.Sequential(
            PlainConvolution(net.stem, space.channels, config.stem_width, space.stem_kernel, 2, True),
            *(PlainBlock(net, spec) for spec in specs),
            PlainConvolution(net.head, specs[-1].width_out, config.head_width, 1, 1, True),
        )
        self.norm = nn.BatchNorm1d(space.pooled, EPSILON)
        self.classifier = nn.Linear(space.pooled, space.classes)
        with torch.no_grad():
            self.classifier.weight.copy_(net.classifier.weight)
            self.classifier.bias.copy_(net.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        raw = (x - self.mean) / self.std
        y = raw
        if raw.dim() == 4 and tuple(raw.shape[2:]) != self.size:
            rows, columns = (
                torch.from_numpy(scaling(side, to)).float() for side, to in zip(x.shape[2:], self.size, strict=True)
            )
            y = (rows @ raw @ columns.T).contiguous()
        pooled = pool(self.features(y).flatten(2), self.pooling)
        told = statistics(raw, self.spectrum) if self.spectrum is not None else []
        logits: Tensor = self.classifier(self.norm(torch.cat([*pooled, *told], 1)))
        return logits


@dataclass
class Ways:
    """Seconds of each draw by way of computing; the smallest of a few turns, since a busy machine only adds."""

    supernet: list[float]
    plain: list[float]
    extracted: list[float]

    def ratios(self, to: Sequence[float]) -> list[float]:
        return [own / other for own, other in zip(self.supernet, to, strict=True)]


def step(networks: Sequence[Callable[[Any], Tensor]], x: Any, targets: Tensor) -> list[float]:
    """Forward and backward of all networks as in training; their losses."""
    first, *others = networks
    logits = first(x)
    loss = rules.cross_entropy(logits, targets)
    loss.backward()
    soft, losses = logits.detach().softmax(1), [loss.item()]
    for network in others:
        loss = rules.cross_entropy(network(x), soft)
        loss.backward()
        losses.append(loss.item())
    return losses


def measure(space: ConvolutionalSpace, draws: int, repeats: int) -> Ways:
    """The three ways in turns, for so many draws of four architectures."""
    net = Supernet(space)
    net.load_state_dict(initial(space, SEED))
    rng = np.random.default_rng(SEED)
    x = torch.from_numpy(rng.standard_normal((BATCH, *space.shape), dtype=np.float32))
    targets = rules.smooth(torch.from_numpy(rng.integers(0, space.classes, BATCH)), space.classes, 0.1)
    found = Ways([], [], [])
    for _ in range(draws):
        archs: list[Architecture] = []
        while len(archs) < 4:  # the random ones may meet the largest or the smallest
            archs = rules.sandwich(space, 2, rng)
        ways: dict[str, list[Callable[[Any], Tensor]]] = {
            "supernet": [lambda x, a=arch: net(x, a) for arch in archs],  # x is what the supernet saw
            "plain": [PlainNetwork(net, arch).train() for arch in archs],
            "extracted": [extract(net, arch).train() for arch in archs],
        }
        given: dict[str, Callable[[], Any]] = {way: lambda: x for way in ways}
        given["supernet"] = lambda: net.see(x)
        losses = {way: step(networks, given[way](), targets) for way, networks in ways.items()}
        for way in ("plain", "extracted"):
            np.testing.assert_allclose(losses[way], losses["supernet"], rtol=SAME, err_msg=f"{way} computes another")
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way in rng.permutation(list(ways)):
                start = time.perf_counter()
                step(ways[way], given[way](), targets)
                seconds[way].append(time.perf_counter() - start)
        for way, taken in seconds.items():
            getattr(found, way).append(min(taken))
    return found


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three draws")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--draws", type=int, help=f"{DRAWS} by default")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    draws, repeats = asked.draws or (3 if asked.quick else DRAWS), 2 if asked.quick else REPEATS
    figures: dict[str, Any] = {
        "draws": draws, "batch": BATCH, "threads": asked.threads, "torch": version("torch"),
        "python": platform.python_version(), "cpu": environment()["cpu"],
    }  # fmt: skip
    print(f"{'space':8}{'supernet ms':>12}{'plain ms':>10}{'own layout ms':>15}{'of plain':>22}{'of own layout':>22}")
    for name, file in SPACES.items():
        space = space_of(Config.model_validate(yaml.safe_load(file.read_text())))
        ways = measure(space, draws, repeats)
        figures |= {f"{name}.{way}_ms": 1000 * float(np.median(getattr(ways, way))) for way in vars(ways)}
        cells = []
        for other, most in (("plain", MOST_OF_PLAIN), ("extracted", MOST_OF_OWN)):
            low, middle, high = quartiles(ways.ratios(getattr(ways, other)))
            figures |= {f"{name}.of_{other}": middle, f"{name}.of_{other}_within_bar": bool(middle <= most)}
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        times = [figures[f"{name}.{way}_ms"] for way in ("supernet", "plain", "extracted")]
        print(f"{name:8}{times[0]:12.1f}{times[1]:10.1f}{times[2]:15.1f}{cells[0]:>22}{cells[1]:>22}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
