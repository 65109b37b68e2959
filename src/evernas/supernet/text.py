"""The supernet for texts: an elastic embedding, and blocks of the elastic convolutions that other spaces have too.

Positions beyond a text's end are never computed: sub-words of a batch lie one below the other, (sub-words, channels),
and are laid out as (batch, channels, 1, length) only where neighbours meet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from evernas.spaces import Architecture, TextBlockSpec, TextSpace
from evernas.supernet.data import TrainingData
from evernas.supernet.elastic import ElasticNetwork
from evernas.supernet.network import ElasticConvolution, convolve
from evernas.supernet.together import normalised
from evernas.tokeniser import PADDING

EMBEDDING_STD = 0.3
NOTHING = -1e4
"""Stands where no sub-word is, in a maximum or before a softmax."""


@dataclass(frozen=True)
class Places:
    """Where the sub-words of a batch stand: `index` of each in (batch * length) positions, row by row."""

    batch: int
    length: int
    index: Tensor
    present: Tensor
    """bool (batch, length)."""

    @classmethod
    def of(cls, ids: Tensor) -> Places:
        """Those of (batch, length) numbers, of which PADDING are none."""
        present = ids != PADDING
        batch, length = ids.shape
        return cls(batch, length, present.flatten().nonzero()[:, 0], present)

    def laid_out(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """(sub-words, channels) as (batch, length, channels), `fill` where none is."""
        empty = x.new_full((self.batch * self.length, x.shape[1]), fill)
        return empty.index_copy(0, self.index, x).view(self.batch, self.length, -1)

    def of_texts(self, ids: Tensor) -> Tensor:
        """The numbers of the sub-words one below the other, without padding."""
        return ids.flatten().index_select(0, self.index)

    def gathered(self, x: Tensor) -> Tensor:
        """The inverse of `laid_out`."""
        return x.reshape(self.batch * self.length, -1).index_select(0, self.index)


def neighbours(x: Tensor, weight: Tensor, places: Places) -> Tensor:
    """A convolution (sub-words, channels) to the same, with a weight as `convolve` takes it."""
    if weight.shape[3] == 1:
        return functional.linear(x, weight[:, :, 0, 0])
    grid = places.laid_out(x)[:, None].permute(0, 3, 1, 2)
    return places.gathered(convolve(grid, weight, 1).permute(0, 2, 3, 1))


def attended(queries: Tensor, keys: Tensor, values: Tensor, heads: int, places: Places) -> Tensor:
    """Scaled dot-product attention among the sub-words of each text (Vaswani et al. 2017), (sub-words, channels)."""
    grid = places.laid_out(torch.cat([queries, keys, values], 1))
    q, k, v = grid.view(places.batch, places.length, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    # Added, not -inf: a row of padding alone must have a gradient too.
    unseen = torch.where(places.present, 0.0, NOTHING)[:, None, None]
    scores = (q @ k.transpose(2, 3)) / math.sqrt(q.shape[3]) + unseen
    return places.gathered((scores.softmax(3) @ v).transpose(1, 2))


def summed_up(x: Tensor, kinds: list[str], places: Places) -> Tensor:
    """Mean and maximum of each text's sub-words, side by side, (batch, channels * kinds)."""
    parts = []
    for kind in kinds:
        if kind == "mean":
            counts = places.present.sum(1, keepdim=True).clamp(min=1)
            parts.append(places.laid_out(x).sum(1) / counts)
        else:
            parts.append(places.laid_out(x, NOTHING).amax(1))
    return torch.cat(parts, 1)


class ElasticTextBlock(nn.Module):
    """The weights of both operators; which one runs, and how wide, comes with every call."""

    def __init__(self, width: int, ratio: int, kernel: int, attention: bool) -> None:
        super().__init__()
        hidden = width * ratio
        if attention:
            self.queries = ElasticConvolution(width, width, 1, 1)
            self.keys = ElasticConvolution(width, width, 1, 1)
            self.values = ElasticConvolution(width, width, 1, 1)
            self.attended = ElasticConvolution(width, width, 1, 1)
            self.widen = ElasticConvolution(width, hidden, 1, 1)
            self.narrow = ElasticConvolution(hidden, width, 1, 1)
        if kernel:
            self.expand = ElasticConvolution(width, hidden, 1, 1)
            self.depthwise = ElasticConvolution(hidden, hidden, kernel, 1, depthwise=True)
            self.project = ElasticConvolution(hidden, width, 1, 1)

    def forward(self, x: Tensor, block: TextBlockSpec, places: Places) -> Tensor:
        """Run the part that `block` describes, (sub-words, width) to the same."""

        def unit(convolution: ElasticConvolution, x: Tensor, outputs: int, kernel: int = 1) -> Tensor:
            y = neighbours(x, convolution.taps(x.shape[1], outputs, kernel), places)
            scale, shift = convolution.scale[:outputs], convolution.shift[:outputs]
            return normalised(y, scale, shift)

        if block.kernel:
            y = functional.relu(unit(self.expand, x, block.hidden))
            y = functional.relu(unit(self.depthwise, y, block.hidden, block.kernel))
            return x + unit(self.project, y, block.width)
        q, k, v = (unit(made, x, block.width) for made in (self.queries, self.keys, self.values))
        x = x + unit(self.attended, attended(q, k, v, block.heads, places), block.width)
        return x + unit(self.narrow, functional.relu(unit(self.widen, x, block.hidden)), block.width)


class TextSupernet(ElasticNetwork):
    """Takes the numbers of sub-words, (batch, tokens), PADDING at the end, and gives class logits."""

    def __init__(self, space: TextSpace) -> None:
        super().__init__()
        self.space: TextSpace = space
        config, width = space.config, space.config.widths[-1]
        self.embedding = nn.Parameter(torch.empty(space.text.vocabulary, width))
        kernel = config.kernels[-1] if config.kernels else 0
        self.blocks = nn.ModuleList(
            ElasticTextBlock(width, config.ratios[-1], kernel, bool(config.heads)) for _ in range(config.depths[-1])
        )
        self.pooled_scale = nn.Parameter(torch.ones(space.pooled))
        self.pooled_shift = nn.Parameter(torch.zeros(space.pooled))
        self.classifier = nn.Linear(space.pooled, space.classes)

    def forward(self, x: Tensor, arch: Architecture, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes); `dropout`, if given, is multiplied with the classifier's input."""
        (length,) = self.space.input_size(arch)
        ids = x[:, :length]
        places = Places.of(ids)
        y = functional.embedding(places.of_texts(ids), self.embedding[:, : self.space.width(arch)])
        for block in self.space.blocks(arch):
            y = self.block(block)(y, block, places)
        pooled, columns = summed_up(y, list(self.space.config.pooling), places), self.columns(arch)
        scale, shift = self.pooled_scale[columns], self.pooled_shift[columns]
        pooled = normalised(pooled, scale, shift)
        if dropout is not None:
            pooled = pooled * dropout[:, columns]
        return functional.linear(pooled, self.classifier.weight[:, columns], self.classifier.bias)

    def columns(self, arch: Architecture) -> Tensor:
        """Which of the largest classifier's inputs this architecture has: of each pooling the first ones."""
        widest, width = self.space.config.widths[-1], self.space.width(arch)
        each = torch.arange(width, device=self.pooled_scale.device)
        return torch.cat([each + at * widest for at in range(len(self.space.config.pooling))])

    def block(self, spec: TextBlockSpec) -> ElasticTextBlock:
        """The elastic block in this one's place."""
        return cast("ElasticTextBlock", self.blocks[spec.position])

    def reset(self, generator: torch.Generator) -> None:
        """First weights, all drawn from the generator."""
        with torch.no_grad():
            self.embedding.normal_(0.0, EMBEDDING_STD, generator=generator)
            for module in self.modules():
                if isinstance(module, ElasticConvolution):
                    module.reset(generator)
            self.classifier.weight.normal_(0.0, 1.0 / math.sqrt(self.space.pooled), generator=generator)
            self.classifier.bias.zero_()

    def adopt(self, data: TrainingData) -> None:
        """Sub-words are no measurements: there is nothing to take over."""
