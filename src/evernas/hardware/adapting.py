"""A network from elsewhere made to take and give what evernas's own do: declared preprocessing goes into the graph."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evernas.errors import UsageError

INPUT, OUTPUT = "input", "scores"
CLASSES = ("classes", "class_names", "labels", "names", "id2label")
"""Under which keys exporters leave the names of classes."""
OWN = "evernas_"
"""What the names of added values begin with."""


@dataclass(frozen=True)
class Preprocessing:
    """What the network expects of its input, and in which order it answers."""

    channels: tuple[str, ...]
    size: tuple[int, ...]
    """(time,) of a window, (height, width) of an image."""
    channels_last: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    output: str | None = None


def adapted(model_bytes: bytes, declared: Preprocessing, order: Sequence[int]) -> bytes:
    """The network from raw (batch, channels, *size) float32 to scores (batch, classes) in the order of `order`.

    `order[i]` is the network's own index of class i. Where nothing is declared that changes anything, and the names are
    ours already, the bytes stay as they are. UsageError if the network cannot be what was declared.
    """
    model = _loaded(model_bytes)
    given = _input(model, declared)
    answer = _output(model, declared.output)
    steps = _steps(declared)
    nodes: list[Any] = []
    constants: list[Any] = []
    if list(order) == list(range(len(order))) and not steps and (given, answer) == (INPUT, OUTPUT):
        return model_bytes
    graph = model.graph
    _rename(graph, given, f"{OWN}given")
    _rename(graph, answer, f"{OWN}answer")
    before = INPUT
    for number, (kind, values, attributes) in enumerate(steps):
        after = f"{OWN}given" if number == len(steps) - 1 else f"{OWN}step{number}"
        inputs = [before]
        if values is not None:
            constants.append(numpy_helper.from_array(values, f"{OWN}constant{number}"))
            inputs.append(f"{OWN}constant{number}")
        nodes.append(helper.make_node(kind, inputs, [after], **attributes))
        before = after
    if not steps:
        nodes.append(helper.make_node("Identity", [INPUT], [f"{OWN}given"]))
    constants.append(numpy_helper.from_array(np.asarray(order, np.int64), f"{OWN}order"))
    last = helper.make_node("Gather", [f"{OWN}answer", f"{OWN}order"], [OUTPUT], axis=1)
    inner = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *inner, last])
    graph.initializer.extend(constants)
    del graph.input[:]
    del graph.output[:]
    shape = ["batch", len(declared.channels), *declared.size]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", len(order)]))
    del graph.value_info[:]
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UsageError(f"The network does not fit what is declared of it ({error}): mend the declaration.") from None
    return bytes(model.SerializeToString())


@dataclass(frozen=True)
class Said:
    """What an ONNX file says of itself: the sizes of its input and of each output (0 is any), and its classes."""

    input: tuple[int, ...]
    outputs: dict[str, tuple[int, ...]]
    labels: tuple[str, ...] | None

    def takes(self, wanted: Sequence[int]) -> bool:
        """Whether the input is a batch of samples of these sizes."""
        return _fits(self.input, wanted)


def said_by(model_bytes: bytes) -> Said:
    """What a file says; UsageError where it is no network of one float32 input."""
    model = _loaded(model_bytes)
    (given,) = _inputs(model)
    outputs = {value.name: tuple(_sizes(value)) for value in model.graph.output}
    return Said(tuple(_sizes(given)), outputs, _classes(model))


def _classes(model: Any) -> tuple[str, ...] | None:
    """The names of the classes in their order, from the metadata that exporters leave; None where there are none."""
    for entry in model.metadata_props:
        if entry.key.lower() in CLASSES:
            value = _value(entry.value)
            if isinstance(value, dict):
                value = [value[key] for key in sorted(value, key=lambda key: (not str(key).isdigit(), _number(key)))]
            if isinstance(value, list | tuple) and len(value) > 1:
                return tuple(map(str, value))
    return None


def _value(text: str) -> object:
    """What an exporter wrote as JSON, as Python, or as names with commas between."""
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return read(text)
    return None if set("[]{}") & set(text) else [name.strip() for name in text.split(",")]


def _number(key: object) -> int:
    return int(str(key)) if str(key).isdigit() else 0


def parameters(model_bytes: bytes) -> int:
    """Numbers that the network holds."""
    return sum(int(np.prod(weight.dims)) for weight in onnx.load_from_string(model_bytes).graph.initializer)


def _loaded(model_bytes: bytes) -> Any:
    try:
        model = onnx.load_from_string(model_bytes)
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - protobuf and the checker raise several kinds
        raise UsageError(f"The file is no ONNX network ({error}): export it again.") from None
    if any(weight.data_location == TensorProto.EXTERNAL for weight in model.graph.initializer):
        raise UsageError("The network keeps weights in files beside it: save it as one file.")
    return model


def _input(model: Any, declared: Preprocessing) -> str:
    inputs = _inputs(model)
    sizes = _sizes(inputs[0])
    wanted = [len(declared.channels), *declared.size]
    wanted = [*wanted[1:], wanted[0]] if declared.channels_last else wanted
    if not _fits(sizes, wanted):
        size = "length" if len(declared.size) == 1 else "height, width"
        raise UsageError(
            f"The network's input has the shape {sizes} (0 is any), and (batch, {', '.join(map(str, wanted))}) is "
            f"declared: mend channels, {size} or layout in the declaration."
        )
    if sizes[0] not in (0,):
        raise UsageError(
            f"The network takes batches of {sizes[0]} only: export it with a dynamic batch axis, or no other batch can "
            "be compared."
        )
    return str(inputs[0].name)


def _inputs(model: Any) -> list[Any]:
    """The one input, as a list; UsageError where there are several, or it is no float32."""
    held = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        names = ", ".join(value.name for value in inputs)
        raise UsageError(f"The network has the inputs {names}: evernas serves one float32 input.")
    return inputs


def _output(model: Any, name: str | None) -> str:
    names = [value.name for value in model.graph.output]
    if name is None and len(names) > 1:
        raise UsageError(f"The network has the outputs {', '.join(names)}: declare which are the scores (output).")
    if name is not None and name not in names:
        raise UsageError(f"The network has no output {name!r}, but {', '.join(names)}: mend the declaration.")
    return name or names[0]


def _steps(declared: Preprocessing) -> list[tuple[str, Any, dict[str, Any]]]:
    """Operators before the network: standardise by channel, then turn the axes."""
    found: list[tuple[str, Any, dict[str, Any]]] = []
    sides = [1] * len(declared.size)
    for kind, values in (("Sub", declared.mean), ("Div", declared.std)):
        if values is not None:
            found.append((kind, np.asarray(values, np.float32).reshape(1, -1, *sides), {}))
    if declared.channels_last:
        found.append(("Transpose", None, {"perm": [0, *range(2, 2 + len(sides)), 1]}))
    return found


def _sizes(value: Any) -> list[int]:
    """The axes of a value, none of what is no tensor; 0 where any size may be."""
    return [size.dim_value for size in value.type.tensor_type.shape.dim]


def _fits(sizes: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether an input of these sizes, the batch first, takes samples of the wanted ones."""
    return len(sizes) == len(wanted) + 1 and all(s in (0, w) for s, w in zip(sizes[1:], wanted, strict=True))


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
