"""Networks that people designed, written from their papers and scaled to small inputs where a comment says how.

Each offers what evernas' own plain networks do, so that the same code trains, calibrates and judges them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evernas.supernet.elastic import PlainNetwork

OPSET = 17
SAMPLES = "input"


class Designed(PlainNetwork):
    """Raw samples to logits: normalised by channel, through the body (batch, features), and a linear classifier."""

    def __init__(self, body: nn.Module, features: int, classes: int, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.body = body
        self.classifier = nn.Linear(features, classes)

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes); `dropout`, if given, is multiplied with the classifier's input."""
        found = self.body(self.normalised(x))
        logits: Tensor = self.classifier(found if dropout is None else found * dropout)
        return logits

    def normalised(self, x: Tensor) -> Tensor:
        """What the body is given."""
        if x.dtype == torch.int64:
            return x
        more = (1,) * (x.dim() - 2)
        mean, std = (getattr(self, name).reshape(1, -1, *more) for name in ("mean", "std"))
        normal: Tensor = (x - mean) / std
        return normal

    def spread(self) -> Tensor:
        """Standard deviation of each channel of raw samples; nothing where samples are texts."""
        found: Tensor = self.std
        return found


class Residual(nn.Module):
    """A branch beside a short cut, with a ReLU after their sum."""

    def __init__(self, branch: nn.Module, short: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.short = branch, short or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.branch(x) + self.short(x))


def _conv1d(before: int, after: int, kernel: int, *, relu: bool = True) -> nn.Sequential:
    """As long as its input, also where the kernel is even; a normalisation, and a ReLU if asked for."""
    left = (kernel - 1) // 2
    pad = nn.ConstantPad1d((left, kernel - 1 - left), 0.0)
    layers = [pad, nn.Conv1d(before, after, kernel, bias=False), nn.BatchNorm1d(after)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class Averaged(nn.Module):
    """The mean over all places."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


def fcn(channels: int) -> tuple[nn.Module, int]:
    """Wang, Yan and Oates 2017: three convolutions and the mean."""
    layers = [_conv1d(channels, 128, 8), _conv1d(128, 256, 5), _conv1d(256, 128, 3)]
    return nn.Sequential(*layers, Averaged()), 128


def resnet1d(channels: int) -> tuple[nn.Module, int]:
    """Wang, Yan and Oates 2017: three residual blocks of three convolutions."""
    blocks: list[nn.Module] = []
    before = channels
    for after in (64, 128, 128):
        branch = [_conv1d(before, after, 8), _conv1d(after, after, 5), _conv1d(after, after, 3, relu=False)]
        short = nn.BatchNorm1d(after) if before == after else _conv1d(before, after, 1, relu=False)
        blocks.append(Residual(nn.Sequential(*branch), short))
        before = after
    return nn.Sequential(*blocks, Averaged()), before


class Inception(nn.Module):
    """Three long kernels on a bottleneck and a pooled branch, side by side."""

    def __init__(self, before: int, filters: int = 32, kernels: tuple[int, ...] = (39, 19, 9)) -> None:
        super().__init__()
        self.bottleneck = nn.Conv1d(before, filters, 1, bias=False) if before > 1 else nn.Identity()
        width = filters if before > 1 else before
        self.branches = nn.ModuleList(nn.Conv1d(width, filters, k, padding=k // 2, bias=False) for k in kernels)
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(before, filters, 1, bias=False))
        self.norm = nn.BatchNorm1d(filters * (len(kernels) + 1))

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)
        joined = torch.cat([*(branch(narrow) for branch in self.branches), self.pooled(x)], 1)
        return functional.relu(self.norm(joined))


def inception_time(channels: int) -> tuple[nn.Module, int]:
    """Ismail Fawaz et al. 2020, one network of its five: two residual blocks of three inception modules."""
    width = 128
    blocks = [
        Residual(
            nn.Sequential(Inception(before), Inception(width), Inception(width)),
            nn.Sequential(nn.Conv1d(before, width, 1, bias=False), nn.BatchNorm1d(width)),
        )
        for before in (channels, width)
    ]
    return nn.Sequential(*blocks, Averaged()), width


class DeepConvLstm(nn.Module):
    """Ordóñez and Roggen 2016: four convolutions along time on each channel, two LSTM layers, the last answer."""

    def __init__(self, channels: int, filters: int = 64, hidden: int = 128) -> None:
        super().__init__()
        widths = [1, filters, filters, filters, filters]
        layers = [(nn.Conv2d(a, b, (1, 5)), nn.ReLU()) for a, b in pairwise(widths)]
        self.convolutions = nn.Sequential(*(layer for pair in layers for layer in pair))
        self.recurrent = nn.LSTM(filters * channels, hidden, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        found = self.convolutions(x[:, None])
        along = found.permute(0, 3, 1, 2).flatten(2)
        last: Tensor = self.recurrent(along)[0][:, -1]
        return last


def deep_conv_lstm(channels: int) -> tuple[nn.Module, int]:
    """Ordóñez and Roggen 2016."""
    return DeepConvLstm(channels), 128


def _conv2d(
    before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    layers = [
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
    ]
    return nn.Sequential(*layers, *([act] if act else []))


class Squeeze(nn.Module):
    """Squeeze and excitation by a quarter of the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        within = max(8, (channels // 4 + 4) // 8 * 8)
        self.narrow, self.wide = nn.Conv2d(channels, within, 1), nn.Conv2d(within, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        told = self.wide(functional.relu(self.narrow(functional.adaptive_avg_pool2d(x, 1))))
        scaled: Tensor = x * functional.hardsigmoid(told)
        return scaled


class Inverted(nn.Module):
    """MobileNetV3's block: expand, depthwise, squeeze, project; a short cut where nothing changes shape."""

    def __init__(self, before: int, within: int, after: int, kernel: int, stride: int, se: bool, hard: bool) -> None:
        super().__init__()
        act: Callable[[], nn.Module] = nn.Hardswish if hard else nn.ReLU
        layers: list[nn.Module] = [] if within == before else [_conv2d(before, within, 1, act=act())]
        layers.append(_conv2d(within, within, kernel, stride, within, act()))
        layers += [Squeeze(within)] if se else []
        self.branch = nn.Sequential(*layers, _conv2d(within, after, 1))
        self.residual = before == after and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.branch(x)
        return x + found if self.residual else found


def mobilenet_v3_small(channels: int) -> tuple[nn.Module, int]:
    """Howard et al. 2019, table 2. For small images the first two strides are 1, as usual for 32 x 32."""
    rows = [
        (3, 16, 16, True, False, 1), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
    ]  # fmt: skip
    layers: list[nn.Module] = [_conv2d(channels, 16, 3, 1, act=nn.Hardswish())]
    before = 16
    for kernel, within, after, se, hard, stride in rows:
        layers.append(Inverted(before, within, after, kernel, stride, se, hard))
        before = after
    last = [_conv2d(before, 576, 1, act=nn.Hardswish()), Averaged(), nn.Linear(576, 1024), nn.Hardswish()]
    return nn.Sequential(*layers, *last), 1024


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass, or with a stride both halves are changed; then they are mixed."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        half, inner = after // 2, before if stride > 1 else before // 2
        self.stride = stride
        self.right = nn.Sequential(
            _conv2d(inner, half, 1, act=nn.ReLU()),
            _conv2d(half, half, 3, stride, half),
            _conv2d(half, half, 1, act=nn.ReLU()),
        )
        changed = nn.Sequential(_conv2d(before, before, 3, stride, before), _conv2d(before, half, 1, act=nn.ReLU()))
        self.left = changed if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        left, right = (x, x) if self.stride > 1 else x.chunk(2, 1)
        joined = torch.stack([self.left(left), self.right(right)], 2)
        return joined.flatten(1, 2)


def shufflenet_v2(channels: int) -> tuple[nn.Module, int]:
    """Ma et al. 2018, half width. For small images the first stride is 1 and there is no pooling after it."""
    layers: list[nn.Module] = [_conv2d(channels, 24, 3, 1, act=nn.ReLU())]
    before = 24
    for after, repeats in ((48, 4), (96, 8), (192, 4)):
        for number in range(repeats):
            layers.append(Shuffle(before, after, 2 if number == 0 else 1))
            before = after
    return nn.Sequential(*layers, _conv2d(before, 1024, 1, act=nn.ReLU()), Averaged()), 1024


def small_resnet(channels: int) -> tuple[nn.Module, int]:
    """He et al. 2016 for 32 x 32 images, with one block for each of three widths, as in MLPerf Tiny."""
    layers: list[nn.Module] = [_conv2d(channels, 16, 3, act=nn.ReLU())]
    before = 16
    for after, stride in ((16, 1), (32, 2), (64, 2)):
        branch = nn.Sequential(_conv2d(before, after, 3, stride, act=nn.ReLU()), _conv2d(after, after, 3))
        layers.append(Residual(branch, None if before == after else _conv2d(before, after, 1, stride)))
        before = after
    return nn.Sequential(*layers, Averaged()), before


class TextCnn(nn.Module):
    """Kim 2014: windows of three, four and five sub-words, a hundred filters each, and their largest answer."""

    def __init__(self, vocabulary: int, width: int = 128, filters: int = 100) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, kernel, padding=kernel - 1) for kernel in (3, 4, 5))

    def forward(self, x: Tensor) -> Tensor:
        along = self.embedding(x).transpose(1, 2)
        return torch.cat([functional.relu(layer(along)).amax(2) for layer in self.convolutions], 1)


class FastText(nn.Module):
    """Joulin et al. 2017: the mean of the vectors of sub-words and of hashed pairs of neighbours."""

    def __init__(self, vocabulary: int, width: int = 64, pairs: int = 8192) -> None:
        super().__init__()
        self.single = nn.Embedding(vocabulary, width, padding_idx=0)
        self.pair = nn.Embedding(pairs, width, padding_idx=0)
        self.pairs = pairs

    def forward(self, x: Tensor) -> Tensor:
        there = (x != 0).float()
        both = there[:, 1:] * there[:, :-1]
        hashed = (x[:, :-1] * 1_000_003 + x[:, 1:]) % (self.pairs - 1) + 1
        total = (self.single(x) * there[..., None]).sum(1) + (self.pair(hashed) * both[..., None]).sum(1)
        count = there.sum(1, keepdim=True) + both.sum(1, keepdim=True)
        mean: Tensor = total / count.clamp(min=1)
        return mean


class SmallTransformer(nn.Module):
    """Vaswani et al. 2017, the encoder alone: two layers of four heads; the mean over what is no padding."""

    def __init__(self, vocabulary: int, tokens: int, width: int = 128, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.places = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.heads = heads
        self.layers = nn.ModuleList(
            nn.ModuleDict({
                "before": nn.LayerNorm(width), "three": nn.Linear(width, 3 * width), "out": nn.Linear(width, width),
                "after": nn.LayerNorm(width), "wide": nn.Linear(width, 2 * width), "back": nn.Linear(2 * width, width),
            })
            for _ in range(layers)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        there = (x != 0).float()
        y = self.embedding(x) + self.places[: x.shape[1]]
        unseen = (there - 1)[:, None, None, :] * 1e4
        for layer in self.layers:
            y = y + layer["out"](self._attended(layer["three"](layer["before"](y)), unseen))
            y = y + layer["back"](functional.gelu(layer["wide"](layer["after"](y))))
        mean: Tensor = (y * there[..., None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        return mean

    def _attended(self, three: Tensor, unseen: Tensor) -> Tensor:
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in three.chunk(3, 2))
        weights = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + unseen).softmax(3)
        return (weights @ value).transpose(1, 2).flatten(2)


SIGNALS: Mapping[str, Callable[[int], tuple[nn.Module, int]]] = {
    "FCN": fcn, "ResNet1D": resnet1d, "InceptionTime": inception_time, "DeepConvLSTM": deep_conv_lstm,
}  # fmt: skip
IMAGES: Mapping[str, Callable[[int], tuple[nn.Module, int]]] = {
    "MobileNetV3-small": mobilenet_v3_small, "ShuffleNetV2-0.5": shufflenet_v2, "ResNet-8": small_resnet,
}  # fmt: skip
TEXTS = ("TextCNN", "fastText", "transformer")


def names(kind: str) -> list[str]:
    """The networks for signals, images or texts."""
    return {"signal": list(SIGNALS), "image": list(IMAGES), "text": list(TEXTS)}[kind]


def designed(name: str, data: Any, classes: int, seed: int, vocabulary: int = 0) -> Designed:
    """A network with first weights of the seed, for samples such as the training data's.

    `data` has x (n, channels, …), mean and std by channel; or for texts x (n, tokens), and there is a vocabulary.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name in TEXTS:
            made = {
                "TextCNN": lambda: (TextCnn(vocabulary), 300),
                "fastText": lambda: (FastText(vocabulary), 64),
                "transformer": lambda: (SmallTransformer(vocabulary, data.x.shape[1]), 128),
            }[name]
            body, features = made()
            return Designed(body, features, classes, torch.zeros(0), torch.zeros(0))
        body, features = {**SIGNALS, **IMAGES}[name](data.x.shape[1])
        mean, std = torch.from_numpy(data.mean).float(), torch.from_numpy(data.std).float()
        return Designed(body, features, classes, mean, std)


def to_onnx(network: Designed, shape: tuple[int, ...]) -> bytes:
    """An ONNX model of a network: samples `input` (batch, *shape) to `scores` (batch, classes), softmax within."""
    whole = nn.Sequential(network, nn.Softmax(1)).eval()
    kind = torch.int64 if len(shape) == 1 else torch.float32
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter needs packages that nothing else here does; of LSTM layers it says that batches are fixed,
        # which they are: one sample a call.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            whole, (torch.ones(1, *shape, dtype=kind),), file, input_names=[SAMPLES], output_names=["scores"],
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    return file.getvalue()
