"""An ONNX graph as it is built: nodes, constants, and convolutions with their normalisation folded in."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper


class Graph:
    """Nodes and constants as they are added; names count up, so that they are the same every time."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        """A node; the name of its output."""
        output = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def split(self, x: str, sizes: list[int]) -> list[str]:
        """Parts along the second axis."""
        outputs = [f"t{len(self.nodes)}_{part}" for part in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [x, self.constant(np.array(sizes, np.int64))], outputs, axis=1))
        return outputs

    def constant(self, value: np.ndarray) -> str:
        """A constant, float32 unless it is of whole numbers; its name."""
        name = f"c{len(self.constants)}"
        kept = np.ascontiguousarray(value if value.dtype == np.int64 else value.astype(np.float32))
        self.constants.append(numpy_helper.from_array(kept, name))
        return name


def convolution(graph: Graph, unit: Any, x: str) -> str:
    """A convolution whose batch normalisation is folded in, and ReLU where the unit has one."""
    scale, shift = affine(unit.norm)
    made = unit.convolution
    weight = array(made.weight) * scale[:, None, None, None]
    pads = [int(pad) for pad in made.padding]
    y = graph.add(
        "Conv", [x, graph.constant(weight), graph.constant(shift)],
        kernel_shape=list(made.kernel_size), strides=list(made.stride),
        pads=[*pads, *pads], group=int(made.groups),
    )  # fmt: skip
    return graph.add("Relu", [y]) if unit.active else y


def affine(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift that a calibrated batch normalisation amounts to."""
    scale = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
    return scale, array(norm.bias) - scale * array(norm.running_mean)


def array(tensor: torch.Tensor) -> np.ndarray:
    """A copy as float64."""
    return tensor.detach().cpu().numpy().astype(np.float64)
