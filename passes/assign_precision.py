"""Convert f32 inputs, weights and results to the target's element type, such as f16.

    net n(x: f32[1,3,8,8])               net n(x: f16[1,3,8,8])
    weight w: f32[4,3,3,3]        =>     weight w: f16[4,3,3,3]
    y: f32[1,4,6,6] = conv(x, w)         y: f16[1,4,6,6] = conv(x, w)

Inputs and outputs change too, so that nothing is converted at run time. Values that hold indices stay f32 (the mask of
a max pool), and so do the weights of operators whose first operand is f32. Left alone: integers, f64, and nets for a
target without an element type of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from ..compiler.ir import Constant, Graph, Value
from ..compiler.kernel import name_by_content
from ..compiler.ops.fused import Fused
from ..compiler.rewrite import UniqueNames, Writer, retype
from ..compiler.types import DTYPES, TensorType
from .context import Context

V = TypeVar("V", bound=Value)


def assign_precision(graph: Graph, context: Context) -> Graph:
    dtype = context.target.dtype
    floats = [v for v in (*graph.inputs, *graph.constants) if v.type.dtype == "f32"]
    if dtype is None or not floats:
        return graph
    writer, weights = Writer(graph), RoundedWeights(graph, dtype)
    for value in graph.inputs:
        writer[value] = convert(value, dtype)
    for node in graph.nodes:
        first = next((writer[v] for v in node.inputs if not isinstance(v, Constant)), None)
        stays = first is not None and first.type.dtype == "f32"
        for value in node.inputs:
            if isinstance(value, Constant):
                writer[value] = weights.in_f32(value) if stays else weights.in_target_dtype(value)
        operands = [writer[v] for v in node.inputs]
        writer.copy(
            replace(node, op=Fused(retype_kernel(node.op.body, operands))) if isinstance(node.op, Fused) else node
        )
    for value in graph.outputs:
        if isinstance(value, Constant):
            writer[value] = weights.in_target_dtype(value)
    writer.graph = replace(graph, inputs=tuple(writer[v] for v in graph.inputs))
    if weights.used or any(v.type.dtype == "f32" for v in graph.inputs):
        context.did(floats[0], f"is {dtype}, and so is all that is computed from it")
    return writer.finish()


class RoundedWeights:
    """Each weight in the precisions in which it is read. The first one requested keeps the weight's name."""

    def __init__(self, graph: Graph, dtype: str) -> None:
        self.names, self.dtype = UniqueNames(graph), dtype
        self.used: dict[Constant, Constant] = {}  # in the target's element type
        self.kept: dict[Constant, Constant] = {}  # in f32

    def in_target_dtype(self, weight: Constant) -> Constant:
        if weight.type.dtype != "f32":
            return weight
        if weight not in self.used:
            made = convert(weight, self.dtype)
            self.used[weight] = self.rename_copy(made, self.dtype) if weight in self.kept else made
        return self.used[weight]

    def in_f32(self, weight: Constant) -> Constant:
        if weight not in self.kept:
            self.kept[weight] = self.rename_copy(weight, "f32") if weight in self.used else weight
        return self.kept[weight]

    def rename_copy(self, weight: Constant, dtype: str) -> Constant:
        return replace(weight, name=self.names.fresh(f"{weight.name}.{dtype}"))


def retype_kernel(body: Graph, operands: Sequence[Value]) -> Graph:
    """The body of an existing kernel, retyped for operands of these types."""
    types = {inner.name: v.type for inner, v in zip(body.inputs, operands, strict=True)}
    return body if all(types[v.name] == v.type for v in body.inputs) else name_by_content(retype(body, types))


def convert(value: V, dtype: str) -> V:
    if value.type.dtype != "f32":
        return value
    type = TensorType(dtype, value.type.dims)
    if isinstance(value, Constant):
        return replace(value, type=type, data=value.data.to(DTYPES[dtype]))
    return replace(value, type=type)
