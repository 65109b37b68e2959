"""Subnets for texts as plain modules, extracted from their supernet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from evernas.spaces import Architecture, TextBlockSpec
from evernas.supernet.elastic import EPSILON, PlainNetwork
from evernas.supernet.network import ElasticConvolution
from evernas.supernet.text import ElasticTextBlock, Places, TextSupernet, attended, neighbours, summed_up

Layer = TypeVar("Layer", bound=nn.Module)


class TextUnit(nn.Module):
    """Convolution, batch normalisation and, where `active`, ReLU, over sub-words (sub-words, channels)."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm1d, active: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm
        self.active = active

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """(sub-words, channels) to the same with other channels."""
        x = self.norm(neighbours(x, self.convolution.weight, places))
        return torch.relu(x) if self.active else x


class ConvolutionalTextBlock(nn.Module):
    """Units one after the other, and the input added."""

    def __init__(self, units: list[TextUnit]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """(sub-words, width) to the same."""
        y = x
        for unit in self.units:
            y = unit(y, places)
        return x + y


class AttentiveTextBlock(nn.Module):
    """Self-attention, and then a convolutional block of units without neighbours."""

    def __init__(self, projections: list[TextUnit], attended: TextUnit, heads: int, forward: list[TextUnit]) -> None:
        super().__init__()
        self.projections = nn.ModuleList(projections)
        self.attended = attended
        self.heads = heads
        self.fed = ConvolutionalTextBlock(forward)

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """(sub-words, width) to the same."""
        q, k, v = (unit(x, places) for unit in self.projections)
        fed: Tensor = self.fed(x + self.attended(attended(q, k, v, self.heads, places), places), places)
        return fed


class TextSubnet(PlainNetwork):
    """One architecture's network for texts: numbers of sub-words (batch, tokens), of which it reads `length`."""

    def __init__(
        self,
        length: int,
        embedding: Tensor,
        blocks: list[ConvolutionalTextBlock | AttentiveTextBlock],
        pooling: list[str],
        pooled_norm: nn.BatchNorm1d,
        classifier: nn.Linear,
    ) -> None:
        super().__init__()
        self.length = length
        self.embedding = nn.Parameter(embedding)
        self.blocks = nn.ModuleList(blocks)
        self.pooling = list(pooling)
        self.pooled_norm = pooled_norm
        self.classifier = classifier

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes); `dropout`, if given, is multiplied with the classifier's input."""
        ids = x[:, : self.length]
        places = Places.of(ids)
        y = functional.embedding(places.of_texts(ids), self.embedding)
        for block in self.blocks:
            y = block(y, places)
        pooled = self.pooled_norm(summed_up(y, self.pooling, places))
        logits: Tensor = self.classifier(pooled if dropout is None else pooled * dropout)
        return logits


def plain_text(supernet: TextSupernet, arch: Architecture) -> TextSubnet:
    """The subnet of `arch` with a copy of its part of the weights; its statistics are unset."""
    space, columns = supernet.space, supernet.columns(arch)
    (length,) = space.input_size(arch)
    blocks = [_block(supernet.block(spec), spec) for spec in space.blocks(arch)]
    norm, classifier = nn.BatchNorm1d(len(columns), EPSILON), _empty(lambda: nn.Linear(len(columns), space.classes))
    with torch.no_grad():
        norm.weight.copy_(supernet.pooled_scale[columns])
        norm.bias.copy_(supernet.pooled_shift[columns])
        classifier.weight.copy_(supernet.classifier.weight[:, columns])
        classifier.bias.copy_(supernet.classifier.bias)
    embedding = supernet.embedding.detach()[:, : space.width(arch)].clone().cpu()
    return TextSubnet(length, embedding, blocks, list(space.config.pooling), norm, classifier).eval()


def _block(elastic: ElasticTextBlock, spec: TextBlockSpec) -> ConvolutionalTextBlock | AttentiveTextBlock:
    width, hidden = spec.width, spec.hidden
    if spec.kernel:
        return ConvolutionalTextBlock(
            [
                _unit(elastic.expand, width, hidden, 1, True),
                _unit(elastic.depthwise, hidden, hidden, spec.kernel, True),
                _unit(elastic.project, hidden, width, 1, False),
            ]
        )
    projections = [_unit(made, width, width, 1, False) for made in (elastic.queries, elastic.keys, elastic.values)]
    forward = [_unit(elastic.widen, width, hidden, 1, True), _unit(elastic.narrow, hidden, width, 1, False)]
    return AttentiveTextBlock(projections, _unit(elastic.attended, width, width, 1, False), spec.heads, forward)


def _unit(elastic: ElasticConvolution, inputs: int, outputs: int, kernel: int, active: bool) -> TextUnit:
    groups = outputs if elastic.depthwise else 1
    shape, padding = (1, kernel), (0, kernel // 2)
    convolution = _empty(lambda: nn.Conv2d(inputs, outputs, shape, 1, padding, groups=groups, bias=False))
    norm = nn.BatchNorm1d(outputs, EPSILON)
    with torch.no_grad():
        convolution.weight.copy_(elastic.taps(inputs, outputs, kernel))
        norm.weight.copy_(elastic.scale[:outputs])
        norm.bias.copy_(elastic.shift[:outputs])
    return TextUnit(convolution, norm, active)


def _empty(make: Callable[[], Layer]) -> Layer:
    """A layer without first weights, which would be drawn from torch's own generator."""
    with torch.device("meta"):
        made = make()
    return made.to_empty(device="cpu")
