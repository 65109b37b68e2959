"""Subnets to ONNX: the graph is built node by node, norms folded in, and the same subnet gives the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from evernas.errors import EvernasError
from evernas.spaces.scaling import scaling

OPSET = 17
IR_VERSION = 8
TOLERANCE = 1e-5
INPUT, OUTPUT = "input", "scores"
STD_EPSILON = 1e-4
"""Added to a variance under a root, as the networks are trained."""
POWER_EPSILON = 1e-2
"""Added to a power under a logarithm, likewise."""


def export_onnx(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    """An ONNX model of a subnet: raw samples `input`, float32 (batch, *shape), to `scores` (batch, classes).

    `shape` is (channels, time) or (channels, height, width). Any batch will do. Normalisation of the input and the
    softmax are in the graph: a device needs no more than these
    bytes.
    """
    graph = _Graph()
    with torch.no_grad():
        _subnet(graph, module, shape)
    classes = len(module.get_parameter("classifier.bias"))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "subnet",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", classes])],
            graph.constants,
        ),
        producer_name="evernas",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    return bytes(model.SerializeToString(deterministic=True))


def check_equal(data: bytes, module: nn.Module, x: np.ndarray, tolerance: float = TOLERANCE) -> None:
    """EvernasError unless the model's scores for the samples `x` are those of the subnet within the tolerance."""
    found = run_onnx(data, x)
    with torch.inference_mode():
        wanted = module.eval()(torch.as_tensor(x, dtype=torch.float32)).softmax(1).numpy()
    gap = float(np.abs(found - wanted).max()) if found.shape == wanted.shape else float("inf")
    if not gap <= tolerance:
        raise EvernasError(
            f"The exported model's scores differ from the trained network's by {gap:.2g}, more than {tolerance:.2g}: "
            "it must not ship. Check for extreme values in the weights or in the input channels."
        )


def run_onnx(data: bytes, x: np.ndarray) -> np.ndarray:
    """The scores of an exported model on the CPU, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["scores"], {"input": np.asarray(x, dtype=np.float32)})[0])


class _Graph:
    """Nodes and constants as they are added; names count up, so that they are the same every time."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        output = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        kept = np.ascontiguousarray(value if value.dtype == np.int64 else value.astype(np.float32))
        self.constants.append(numpy_helper.from_array(kept, name))
        return name


def _subnet(graph: _Graph, module: Any, shape: tuple[int, ...]) -> None:
    broadcast = (-1, *[1] * (len(shape) - 1))
    mean, std = (_array(values).reshape(broadcast) for values in (module.normalise.mean, module.normalise.std))
    x = graph.add("Sub", ["input", graph.constant(mean)])
    raw = graph.add("Mul", [x, graph.constant(1 / std)])
    if len(shape) == 2:
        # Runtimes have fast two-dimensional depthwise kernels, not one-dimensional ones.
        y = graph.add("Unsqueeze", [raw, graph.constant(np.array([2], dtype=np.int64))])
    elif tuple(module.size) != shape[1:]:
        rows, columns = (scaling(side, to) for side, to in zip(shape[1:], module.size, strict=True))
        y = graph.add("MatMul", [graph.constant(rows), raw])
        y = graph.add("MatMul", [y, graph.constant(columns.T)])
    else:
        y = raw
    for block in module.blocks:
        y = _block(graph, block, y)
    pooled = [_pool(graph, y, kind, [2, 3]) for kind in module.pooling]
    if module.spectrum is not None:
        pooled += [_pool(graph, raw, kind, [2]) for kind in ("mean", "std", "min", "max")]
        pooled.append(_spectrum(graph, raw, module.spectrum))
    joined = graph.add("Concat", pooled, axis=1) if len(pooled) > 1 else pooled[0]
    scale, shift = _affine(module.pooled_norm)
    weight, bias = _array(module.classifier.weight), _array(module.classifier.bias)
    gemm = graph.add("Gemm", [joined, graph.constant(weight * scale), graph.constant(bias + weight @ shift)], transB=1)
    graph.add("Softmax", [gemm], "scores", axis=1)


def _block(graph: _Graph, block: Any, x: str) -> str:
    y = x
    for unit in block.units:
        if hasattr(unit, "excite"):
            y = _excited(graph, unit, y)
            continue
        scale, shift = _affine(unit.norm)
        convolution = unit.convolution
        weight = _array(convolution.weight) * scale[:, None, None, None]
        pads = [int(pad) for pad in convolution.padding]
        y = graph.add(
            "Conv", [y, graph.constant(weight), graph.constant(shift)],
            kernel_shape=list(convolution.kernel_size), strides=list(convolution.stride),
            pads=[*pads, *pads], group=int(convolution.groups),
        )  # fmt: skip
        if unit.active:
            y = graph.add("Relu", [y])
    return graph.add("Add", [x, y]) if block.residual else y


def _excited(graph: _Graph, unit: Any, x: str) -> str:
    """Squeeze and excitation; as 1x1 convolutions, which runtimes fuse with what follows."""
    y = graph.add("GlobalAveragePool", [x])
    for layer, last in ((unit.squeeze, False), (unit.excite, True)):
        weight, bias = _array(layer.weight)[:, :, None, None], _array(layer.bias)
        y = graph.add("Conv", [y, graph.constant(weight), graph.constant(bias)], kernel_shape=[1, 1])
        y = graph.add("HardSigmoid", [y], alpha=1 / 6, beta=0.5) if last else graph.add("Relu", [y])
    return graph.add("Mul", [x, y])


def _pool(graph: _Graph, x: str, kind: str, axes: list[int]) -> str:
    if kind != "std":
        return graph.add(
            {"mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}[kind], [x], axes=axes, keepdims=0
        )
    centred = graph.add("Sub", [x, graph.add("ReduceMean", [x], axes=axes, keepdims=1)])
    variance = graph.add("ReduceMean", [graph.add("Mul", [centred, centred])], axes=axes, keepdims=0)
    return graph.add("Sqrt", [graph.add("Add", [variance, graph.constant(np.array(STD_EPSILON))])])


def _spectrum(graph: _Graph, x: str, spectrum: Any) -> str:
    """Power in frequency bands. The tables of cosines are made in the graph: they would be most of a small file."""
    length, cycles = spectrum.length, len(spectrum.bands)
    steps = graph.constant(np.arange(length)[:, None].astype(np.float64))
    turns = graph.add("Mul", [steps, graph.constant(np.arange(1, cycles + 1)[None].astype(np.float64))])
    turns = graph.add("Mod", [turns, graph.constant(np.array(float(length)))], fmod=1)
    angle = graph.add("Mul", [turns, graph.constant(np.array(2 * np.pi / length))])
    parts = [graph.add("MatMul", [x, graph.add(kind, [angle])]) for kind in ("Cos", "Sin")]
    power = graph.add("Add", [graph.add("Mul", [part, part]) for part in parts])
    banded = graph.add("MatMul", [power, graph.constant(_array(spectrum.bands))])
    logarithm = graph.add("Log", [graph.add("Add", [banded, graph.constant(np.array(POWER_EPSILON))])])
    return graph.add("Flatten", [logarithm], axis=1)


def _affine(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift that a calibrated batch normalisation amounts to."""
    scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    return scale, _array(norm.bias) - scale * _array(norm.running_mean)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64)
