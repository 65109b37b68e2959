"""The graph of a subnet for texts: fixed length, and what stands beyond a text's end never changes an answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto

from evernas.hardware.graph import Graph, affine, array, convolution

PADDING = 0
NOTHING = -1e4
"""Added where no sub-word is, before a maximum or a softmax, as the networks are trained."""


def text_scores(graph: Graph, module: Any, tokens: int) -> None:
    """Add all nodes from `input`, int64 (batch, tokens), to `scores`."""
    ids = "input"
    if module.length < tokens:
        ends = [graph.constant(np.array([at], np.int64)) for at in (0, module.length, 1)]
        ids = graph.add("Slice", [ids, *ends])
    seen = _Seen(graph, ids)
    table = array(module.embedding)
    # Padding counts nothing in a sum.
    table[PADDING] = 0
    x = graph.add("Gather", [graph.constant(table), ids])
    x = graph.add("Unsqueeze", [graph.add("Transpose", [x], perm=[0, 2, 1]), graph.constant(np.array([2], np.int64))])
    for block in module.blocks:
        x = _attentive(graph, block, x, seen, module.length) if hasattr(block, "heads") else _fed(graph, block, x, seen)
    pooled = [_summed_up(graph, x, kind, seen, bare=not len(module.blocks)) for kind in module.pooling]
    joined = graph.add("Concat", pooled, axis=1) if len(pooled) > 1 else pooled[0]
    scale, shift = affine(module.pooled_norm)
    weight, bias = array(module.classifier.weight), array(module.classifier.bias)
    gemm = graph.add("Gemm", [joined, graph.constant(weight * scale), graph.constant(bias + weight @ shift)], transB=1)
    graph.add("Softmax", [gemm], "scores", axis=1)


class _Seen:
    """Where sub-words are, as factors and as addends (batch, 1, 1, length); each made once, where it is used."""

    def __init__(self, graph: Graph, ids: str) -> None:
        self._graph, self._ids = graph, ids
        self._made: dict[str, str] = {}

    def factors(self) -> str:
        """1 where a sub-word is, else 0."""

        def make() -> str:
            present = self._graph.add("Cast", [self._ids], to=TensorProto.BOOL)
            numbers = self._graph.add("Cast", [present], to=TensorProto.FLOAT)
            return self._graph.add("Unsqueeze", [numbers, self._graph.constant(np.array([1, 2], np.int64))])

        return self._once("factors", make)

    def addends(self) -> str:
        """0 where a sub-word is, else NOTHING."""

        def make() -> str:
            absent = self._graph.add("Sub", [self.factors(), self._graph.constant(np.array(1.0))])
            return self._graph.add("Mul", [absent, self._graph.constant(np.array(-NOTHING))])

        return self._once("addends", make)

    def counts(self) -> str:
        """Sub-words of each text (batch, 1), at least 1."""

        def make() -> str:
            axes = self._graph.constant(np.array([2, 3], np.int64))
            summed = self._graph.add("ReduceSum", [self.factors(), axes], keepdims=0)
            return self._graph.add("Max", [summed, self._graph.constant(np.array(1.0))])

        return self._once("counts", make)

    def _once(self, name: str, make: Any) -> str:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


def _fed(graph: Graph, block: Any, x: str, seen: _Seen) -> str:
    """Units one after the other, and the input added. Before neighbours meet, what is beyond the end is made 0."""
    y = x
    for unit in block.units:
        if unit.convolution.kernel_size[1] > 1:
            y = graph.add("Mul", [y, seen.factors()])
        y = convolution(graph, unit, y)
    return graph.add("Add", [x, y])


def _attentive(graph: Graph, block: Any, x: str, seen: _Seen, length: int) -> str:
    """Self-attention with queries, keys and values from one convolution, then the feed-forward."""
    folded = [affine(unit.norm) for unit in block.projections]
    found = [array(unit.convolution.weight)[..., 0, 0] for unit in block.projections]
    weights = [weight * scale[:, None] for weight, (scale, _) in zip(found, folded, strict=True)]
    biases = [shift for _, shift in folded]
    width = len(biases[0])
    each = width // block.heads
    # The scale of the scores is in the queries.
    weights[0], biases[0] = weights[0] / math.sqrt(each), biases[0] / math.sqrt(each)
    weight = np.concatenate(weights)[..., None, None]
    together = graph.add(
        "Conv", [x, graph.constant(weight), graph.constant(np.concatenate(biases))], kernel_shape=[1, 1]
    )
    parts = graph.split(together, [width] * 3)
    heads = graph.constant(np.array([0, block.heads, each, length], np.int64))
    queries, keys, values = (graph.add("Reshape", [part, heads]) for part in parts)
    scores = graph.add("MatMul", [graph.add("Transpose", [queries], perm=[0, 1, 3, 2]), keys])
    shares = graph.add("Softmax", [graph.add("Add", [scores, seen.addends()])], axis=3)
    mixed = graph.add("MatMul", [shares, graph.add("Transpose", [values], perm=[0, 1, 3, 2])])
    whole = graph.constant(np.array([0, width, 1, length], np.int64))
    y = graph.add("Reshape", [graph.add("Transpose", [mixed], perm=[0, 1, 3, 2]), whole])
    return _fed(graph, block.fed, graph.add("Add", [x, convolution(graph, block.attended, y)]), seen)


def _summed_up(graph: Graph, x: str, kind: str, seen: _Seen, bare: bool) -> str:
    """Mean or maximum over the sub-words of each text; a `bare` embedding is 0 beyond the end as it is."""
    if kind == "max":
        return graph.add("ReduceMax", [graph.add("Add", [x, seen.addends()])], axes=[2, 3], keepdims=0)
    counted = x if bare else graph.add("Mul", [x, seen.factors()])
    axes = graph.constant(np.array([2, 3], np.int64))
    return graph.add("Div", [graph.add("ReduceSum", [counted, axes], keepdims=0), seen.counts()])
