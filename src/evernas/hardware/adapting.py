"""A network from elsewhere made to take and give what evernas's own do: declared preprocessing goes into the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evernas.errors import UsageError

INPUT, OUTPUT = "input", "scores"
OWN = "evernas_"
"""What the names of added values begin with."""


@dataclass(frozen=True)
class Preprocessing:
    """What the network expects of its input, and in which order it answers."""

    channels: tuple[str, ...]
    length: int
    time_first: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    output: str | None = None


def adapted(model_bytes: bytes, declared: Preprocessing, order: Sequence[int]) -> bytes:
    """The network from raw (batch, channels, time) float32 to scores (batch, classes) in the order of `order`.

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
    shape = ["batch", len(declared.channels), declared.length]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", len(order)]))
    del graph.value_info[:]
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UsageError(f"The network does not fit what is declared of it ({error}): mend the declaration.") from None
    return bytes(model.SerializeToString())


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
    held = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        names = ", ".join(value.name for value in inputs)
        raise UsageError(f"The network has the inputs {names}: evernas serves one float32 input of windows.")
    sizes = [size.dim_value for size in inputs[0].type.tensor_type.shape.dim]
    wanted = [len(declared.channels), declared.length]
    wanted = wanted[::-1] if declared.time_first else wanted
    if len(sizes) != 3 or any(size not in (0, want) for size, want in zip(sizes[1:], wanted, strict=False)):
        raise UsageError(
            f"The network's input has the shape {sizes} (0 is any), and (batch, {wanted[0]}, {wanted[1]}) is declared: "
            "mend channels, length or layout in the declaration."
        )
    if sizes[0] not in (0,):
        raise UsageError(
            f"The network takes batches of {sizes[0]} only: export it with a dynamic batch axis, or no other batch can "
            "be compared."
        )
    return str(inputs[0].name)


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
    for kind, values in (("Sub", declared.mean), ("Div", declared.std)):
        if values is not None:
            found.append((kind, np.asarray(values, np.float32)[None, :, None], {}))
    if declared.time_first:
        found.append(("Transpose", None, {"perm": [0, 2, 1]}))
    return found


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
