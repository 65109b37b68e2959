"""An architecture as results and bundles describe it: its choices and its blocks, drawn without the space at hand."""

from __future__ import annotations

from evernas.result import ArchitectureRecord, Block
from evernas.spaces import ConvolutionalSpace, NetworkSpace, TextSpace
from evernas.spaces.api import Architecture


def architecture_record(space: NetworkSpace, arch: Architecture, precision: str = "fp32") -> ArchitectureRecord:
    """Choices, blocks in the order they run, and cost formulas."""
    if isinstance(space, TextSpace):
        blocks = _of_texts(space, arch)
    else:
        assert isinstance(space, ConvolutionalSpace)
        blocks = _convolutional(space, arch)
    return ArchitectureRecord(
        id=arch.id,
        genes=list(arch.genes),
        choices=space.describe(arch),
        blocks=blocks,
        macs=space.macs(arch),
        parameters=space.parameters(arch),
        precision=precision,
        input_size=list(space.input_size(arch)),
    )


def _convolutional(space: ConvolutionalSpace, arch: Architecture) -> list[Block]:
    blocks = space.blocks(arch)
    stem = Block(
        kind="stem",
        stage=None,
        inputs=space.channels,
        outputs=space.config.stem_width,
        kernel=space.stem_kernel,
        expansion=1,
        stride=2,
    )
    body = [
        Block(
            kind="bottleneck",
            stage=b.stage,
            inputs=b.width_in,
            outputs=b.width_out,
            kernel=b.kernel,
            expansion=b.expansion,
            stride=b.stride,
            squeeze=b.squeeze,
        )
        for b in blocks
    ]
    head = Block(
        kind="head",
        stage=None,
        inputs=blocks[-1].width_out,
        outputs=space.config.head_width,
        kernel=1,
        expansion=1,
        stride=1,
    )
    return [stem, *body, head]


def _of_texts(space: TextSpace, arch: Architecture) -> list[Block]:
    width = space.width(arch)
    embedding = Block(
        kind="embedding",
        stage=None,
        inputs=space.text.vocabulary,
        outputs=width,
        kernel=1,
        expansion=1,
        stride=1,
    )
    body = [
        Block(
            kind="attention" if block.heads else "convolution",
            stage=None,
            inputs=width,
            outputs=width,
            kernel=max(block.kernel, 1),
            expansion=block.ratio,
            stride=1,
            heads=block.heads,
        )
        for block in space.blocks(arch)
    ]
    return [embedding, *body]
