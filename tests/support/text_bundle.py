"""A bundle of a network for texts, as small as one can be."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from evernas.bundle import Bundle, Contract, Samples, write_bundle
from evernas.hardware.runtime import runtime_named
from evernas.supernet.vocabulary import learn
from small_project import LABELS, Place


def text_bundle(place: Place) -> Bundle:
    """A bundle of a network for texts, of eight sub-words each; written into the project's state."""
    tokens, tokeniser = 8, learn(["left and right", "right and left"], 300, True, 8)
    weights = np.random.default_rng(0).normal(size=(len(tokeniser), 2)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["weights", "input"], ["of each"]),
        helper.make_node("ReduceMean", ["of each"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Softmax", ["mean"], ["scores"], axis=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "of texts",
        [info("input", TensorProto.INT64, ["n", tokens])],
        [info("scores", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    inputs = tokeniser.batch(["left", "right and right"], tokens)
    samples = Samples(inputs, runtime_named("onnxruntime-cpu").load(model, 1).run(inputs))
    contract = Contract((), (tokens,), dtype="int64", characters=64)
    return write_bundle(place.home.bundles(place.project), model, LABELS, contract, samples, {}, tokeniser)
