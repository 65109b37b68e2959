"""Subnets to ONNX: the graph is built node by node, norms folded in, and the same subnet gives the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import nn

from evernas.errors import EvernasError
from evernas.hardware.export_text import text_scores
from evernas.hardware.graph import Graph, affine, array, convolution
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
    """An ONNX model of a subnet: samples `input` (batch, *shape) to `scores`, float32 (batch, classes).

    `shape` is (channels, time) or (channels, height, width) of raw float32 samples; or (tokens,) of the numbers of
    sub-words, int64. Any batch will do. Normalisation of the input and the softmax are in the graph: a device needs no
    more than these bytes, and for texts the tokeniser.
    """
    graph, texts = Graph(), len(shape) == 1
    with torch.no_grad():
        if texts:
            text_scores(graph, module, shape[0])
        else:
            _subnet(graph, module, shape)
    kind = TensorProto.INT64 if texts else TensorProto.FLOAT
    classes = len(module.get_parameter("classifier.bias"))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "subnet",
            [helper.make_tensor_value_info("input", kind, ["batch", *shape])],
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
        wanted = module.eval()(torch.as_tensor(_typed(x))).softmax(1).numpy()
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
    return np.asarray(session.run(["scores"], {"input": _typed(x)})[0])


def _typed(x: np.ndarray) -> np.ndarray:
    """Samples in the type that networks take: numbers of sub-words stay whole."""
    return np.asarray(x, dtype=np.int64 if x.dtype.kind in "iu" else np.float32)


def _subnet(graph: Graph, module: Any, shape: tuple[int, ...]) -> None:
    broadcast = (-1, *[1] * (len(shape) - 1))
    mean, std = (array(values).reshape(broadcast) for values in (module.normalise.mean, module.normalise.std))
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
    scale, shift = affine(module.pooled_norm)
    weight, bias = array(module.classifier.weight), array(module.classifier.bias)
    gemm = graph.add("Gemm", [joined, graph.constant(weight * scale), graph.constant(bias + weight @ shift)], transB=1)
    graph.add("Softmax", [gemm], "scores", axis=1)


def _block(graph: Graph, block: Any, x: str) -> str:
    y = x
    for unit in block.units:
        if hasattr(unit, "excite"):
            y = _excited(graph, unit, y)
            continue
        y = convolution(graph, unit, y)
    return graph.add("Add", [x, y]) if block.residual else y


def _excited(graph: Graph, unit: Any, x: str) -> str:
    """Squeeze and excitation; as 1x1 convolutions, which runtimes fuse with what follows."""
    y = graph.add("GlobalAveragePool", [x])
    for layer, last in ((unit.squeeze, False), (unit.excite, True)):
        weight, bias = array(layer.weight)[:, :, None, None], array(layer.bias)
        y = graph.add("Conv", [y, graph.constant(weight), graph.constant(bias)], kernel_shape=[1, 1])
        y = graph.add("HardSigmoid", [y], alpha=1 / 6, beta=0.5) if last else graph.add("Relu", [y])
    return graph.add("Mul", [x, y])


def _pool(graph: Graph, x: str, kind: str, axes: list[int]) -> str:
    if kind != "std":
        return graph.add(
            {"mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}[kind], [x], axes=axes, keepdims=0
        )
    centred = graph.add("Sub", [x, graph.add("ReduceMean", [x], axes=axes, keepdims=1)])
    variance = graph.add("ReduceMean", [graph.add("Mul", [centred, centred])], axes=axes, keepdims=0)
    return graph.add("Sqrt", [graph.add("Add", [variance, graph.constant(np.array(STD_EPSILON))])])


def _spectrum(graph: Graph, x: str, spectrum: Any) -> str:
    """Power in frequency bands. The tables of cosines are made in the graph: they would be most of a small file."""
    length, cycles = spectrum.length, len(spectrum.bands)
    steps = graph.constant(np.arange(length)[:, None].astype(np.float64))
    turns = graph.add("Mul", [steps, graph.constant(np.arange(1, cycles + 1)[None].astype(np.float64))])
    turns = graph.add("Mod", [turns, graph.constant(np.array(float(length)))], fmod=1)
    angle = graph.add("Mul", [turns, graph.constant(np.array(2 * np.pi / length))])
    parts = [graph.add("MatMul", [x, graph.add(kind, [angle])]) for kind in ("Cos", "Sin")]
    power = graph.add("Add", [graph.add("Mul", [part, part]) for part in parts])
    banded = graph.add("MatMul", [power, graph.constant(array(spectrum.bands))])
    logarithm = graph.add("Log", [graph.add("Add", [banded, graph.constant(np.array(POWER_EPSILON))])])
    return graph.add("Flatten", [logarithm], axis=1)
