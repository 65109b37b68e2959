"""An architecture as results and bundles describe it: its choices and its blocks, drawn without the space at hand."""

from __future__ import annotations

from evernas.result import ArchitectureRecord, Block
from evernas.spaces import ConvolutionalSpace
from evernas.spaces.api import Architecture


def architecture_record(space: ConvolutionalSpace, arch: Architecture, precision: str = "fp32") -> ArchitectureRecord:
    """Choices, blocks from the stem to the head, and cost formulas."""
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
    return ArchitectureRecord(
        id=arch.id,
        genes=list(arch.genes),
        choices=space.describe(arch),
        blocks=[stem, *body, head],
        macs=space.macs(arch),
        parameters=space.parameters(arch),
        precision=precision,
        input_size=list(space.input_size(arch)),
    )
