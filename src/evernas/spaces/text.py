"""The space of networks for texts: an embedding of sub-words, and blocks of either convolution or self-attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evernas.config import TextConfig, TextSpaceConfig
from evernas.errors import UsageError
from evernas.spaces.api import Architecture, Choice, Option
from evernas.spaces.layers import Kind, LayerSpec, TextBlockSpec
from evernas.spaces.network import NetworkSpace

KINDS: tuple[Kind, ...] = ("embedding", "pointwise", "depthwise", "attention", "linear")
WIDTH, DEPTH = "width", "depth"
CONVOLUTION, ATTENTION = "convolution", "attention"


class TextSpace(NetworkSpace):
    """How many sub-words are read, how wide they are, how many blocks follow, and of each its operator and ratio.

    Depth 0 is the embedding, its mean (and maximum) and a linear classifier, as in fastText (Joulin et al. 2017).
    Every layer is a 1x1 or depthwise convolution with its normalisation folded in, attention included, as in LeViT
    (Graham et al. 2021). No positions are added: convolutions see the order, attention does not. The genes of blocks
    beyond the depth are 0 in a canonical architecture.
    """

    def __init__(self, text: TextConfig, classes: int, config: TextSpaceConfig) -> None:
        if classes < 2:
            raise UsageError(f"Texts of {classes} classes cannot be told apart: give 2 classes or more.")
        self.text, self.config = text, config
        self.lengths = tuple(config.lengths or [text.tokens])
        self.operators: tuple[str, ...] = (
            *(f"{ATTENTION} of {heads}" for heads in config.heads),
            *(f"{CONVOLUTION} of {kernel}" for kernel in config.kernels),
        )
        choices = [
            Choice("length", self.lengths),
            Choice(WIDTH, tuple(config.widths)),
            Choice(DEPTH, tuple(config.depths)),
        ]
        self._first = len(choices)
        for block in range(config.depths[-1]):
            choices.append(Choice(f"block{block}.operator", self.operators))
            choices.append(Choice(f"block{block}.ratio", tuple(config.ratios)))
        super().__init__("text", choices, text.shape, classes)

    def identity(self) -> Any:
        """The choices, and whatever else shapes the network or gives its numbers their meaning."""
        text = self.text.model_dump(mode="json", exclude={"characters"})
        return [super().identity(), self.classes, text, self.config.model_dump(mode="json")]

    @property
    def pooled_parts(self) -> dict[str, int]:
        """Every pooling of the widest embedding."""
        return {str(kind): self.config.widths[-1] for kind in self.config.pooling}

    def input_size(self, arch: Architecture) -> tuple[int]:
        """(sub-words,) that the network reads."""
        return (self.lengths[arch.genes[0]],)

    def width(self, arch: Architecture) -> int:
        """Numbers that stand for a sub-word."""
        width: int = self.config.widths[arch.genes[1]]
        return width

    def active(self, genes: Sequence[int]) -> tuple[bool, ...]:
        """Every gene but those of blocks beyond the depth."""
        used = self._first + 2 * self.config.depths[genes[2]]
        return tuple(at < used for at in range(len(self.choices)))

    def active_many(self, genes: np.ndarray) -> np.ndarray:
        """`active` of each row at once."""
        used = self._first + 2 * np.array(self.config.depths)[genes[:, 2]]
        on: np.ndarray = np.arange(len(self.choices)) < used[:, None]
        return on

    def size(self) -> int:
        """Lengths times widths times the sum over depths of the ways to choose the blocks."""
        block = len(self.operators) * len(self.config.ratios)
        ways: int = len(self.lengths) * len(self.config.widths) * sum(block**depth for depth in self.config.depths)
        return ways

    def teacher(self, rng: np.random.Generator) -> Architecture:
        """The largest sizes with operators drawn: no operator holds the weights of another."""
        genes = list(self.largest().genes)
        for at in range(self._first, len(genes), 2):
            genes[at] = int(rng.integers(len(self.operators)))
        return self.architecture(genes)

    def blocks(self, arch: Architecture) -> tuple[TextBlockSpec, ...]:
        """The blocks in the order they run."""
        self.check(arch)
        config, width, (length,) = self.config, self.width(arch), self.input_size(arch)
        found = []
        for position in range(config.depths[arch.genes[2]]):
            at = self._first + 2 * position
            operator, ratio = arch.genes[at], config.ratios[arch.genes[at + 1]]
            heads = config.heads[operator] if operator < len(config.heads) else 0
            kernel = 0 if heads else config.kernels[operator - len(config.heads)]
            found.append(TextBlockSpec(position, width, length, ratio, kernel, heads))
        return tuple(found)

    def layers(self, arch: Architecture) -> tuple[LayerSpec, ...]:
        """The operators that cost something, in the order they run."""
        width, (length,) = self.width(arch), self.input_size(arch)
        layers = [LayerSpec("embedding", -1, self.text.vocabulary, width, 1, length, length)]

        def add(kind: Kind, block: TextBlockSpec, inputs: int, outputs: int, taps: int, held: int) -> None:
            layers.append(LayerSpec(kind, block.position, inputs, outputs, taps, length, length, held))

        for block in self.blocks(arch):
            held = width * length
            if block.heads:
                add("pointwise", block, width, 3 * width, 1, held)
                # Beside queries, keys and values there are the scores of each head.
                add("attention", block, 3 * width, width, 1, held + block.heads * length * length)
                add("pointwise", block, width, width, 1, held)
                add("pointwise", block, width, block.hidden, 1, held)
            else:
                add("pointwise", block, width, block.hidden, 1, 0)
                add("depthwise", block, block.hidden, block.hidden, block.kernel, held)
            add("pointwise", block, block.hidden, width, 1, held)
        pooled = len(self.config.pooling) * width
        return (*layers, LayerSpec("linear", -1, pooled, self.classes, 1, 1, 1))

    def feature_names(self) -> tuple[str, ...]:
        """What `features` holds, in its order."""
        return (
            "layers", "convolutions", "attentions", "length", "width",
            "macs", "weights", "moved_bytes", "activation_bytes",
            *(f"{kind}_macs" for kind in KINDS if kind != "embedding"),
            *(f"{kind}_moved_bytes" for kind in KINDS),
        )  # fmt: skip

    def features(self, arch: Architecture) -> np.ndarray:
        """Costs that a latency predictor can be fitted on, float64, named by `feature_names`."""
        layers, blocks = self.layers(arch), self.blocks(arch)
        values: list[int] = [
            len(layers),
            sum(block.kernel > 0 for block in blocks),
            sum(block.heads > 0 for block in blocks),
            *self.input_size(arch),
            self.width(arch),
            sum(layer.macs for layer in layers),
            sum(layer.weights for layer in layers),
            sum(layer.moved_bytes for layer in layers),
            max(layer.live_bytes for layer in layers),
        ]
        values += [sum(layer.macs for layer in layers if layer.kind == kind) for kind in KINDS if kind != "embedding"]
        values += [sum(layer.moved_bytes for layer in layers if layer.kind == kind) for kind in KINDS]
        return np.array(values, dtype=np.float64)

    def describe(self, arch: Architecture) -> dict[str, Option]:
        """The chosen option of every choice that matters, by the choice's name; what is no choice is left out."""
        known = super().describe(arch)
        return {name: option for name, option in known.items() if name != "length" or len(self.lengths) > 1}
