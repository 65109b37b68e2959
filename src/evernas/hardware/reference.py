"""The fixed networks that measurements lean on, written as ONNX bytes by hand: a device's image has no onnx package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

OPSET, IR_VERSION = 17, 8
CHANNELS, LENGTH, WIDTH = 8, 128, 32
FLOAT, INT, INTS = 1, 2, 7
VARINT, BYTES = 0, 2


def reference_model() -> bytes:
    """A small convolutional network, the same for every project and device, so that ratios to it can be compared."""
    nodes = [
        *_convolution("input", "stem", kernel=5, stride=2),
        *_convolution("stem", "middle", kernel=5, group=WIDTH),
        *_convolution("middle", "last", kernel=1),
        *_pooling("last"),
    ]
    shapes = {"stem_w": (WIDTH, CHANNELS, 5), "middle_w": (WIDTH, 1, 5), "last_w": (WIDTH, WIDTH, 1)}
    rng = np.random.default_rng(0)
    return _model(nodes, {name: rng.random(shape) - 0.5 for name, shape in shapes.items()}, WIDTH)


def trivial_model() -> bytes:
    """Pooling alone: what a process needs for the runtime itself, before any network."""
    return _model(_pooling("input"), {}, CHANNELS)


def _convolution(source: str, name: str, kernel: int, stride: int = 1, group: int = 1) -> list[bytes]:
    sizes: dict[str, int | list[int]] = {"group": group, "pads": [kernel // 2, kernel // 2], "strides": [stride]}
    return [_node("Conv", [source, f"{name}_w"], f"{name}_c", sizes), _node("Relu", [f"{name}_c"], name, {})]


def _pooling(source: str) -> list[bytes]:
    return [_node("GlobalAveragePool", [source], "pooled", {}), _node("Flatten", ["pooled"], "scores", {})]


# The numbers below are the fields' numbers in onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).


def _model(nodes: Sequence[bytes], weights: Mapping[str, np.ndarray], classes: int) -> bytes:
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "reference")
    graph += b"".join(_field(5, _tensor(name, values)) for name, values in weights.items())
    graph += _field(11, _value("input", ["batch", CHANNELS, LENGTH])) + _field(12, _value("scores", ["batch", classes]))
    return _field(1, IR_VERSION) + _field(7, graph) + _field(8, _field(1, "") + _field(2, OPSET))


def _node(kind: str, inputs: Sequence[str], output: str, attributes: Mapping[str, int | list[int]]) -> bytes:
    body = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind)
    for name, value in attributes.items():
        if isinstance(value, int):
            attribute = _field(1, name) + _field(3, value) + _field(20, INT)
        else:
            attribute = _field(1, name) + b"".join(_field(8, item) for item in value) + _field(20, INTS)
        body += _field(5, attribute)
    return body


def _tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_field(1, size) for size in values.shape)
    return dims + _field(2, FLOAT) + _field(8, name) + _field(9, values.astype("<f4").tobytes())


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_field(1, _field(2 if isinstance(size, str) else 1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, FLOAT) + _field(2, dims)))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | VARINT) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
