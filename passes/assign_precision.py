"""Keep numbers as the target asks for them: f16 where it computes in that.

    net n(x: f32[1,3,8,8])               net n(x: f16[1,3,8,8])
    weight w: f32[4,3,3,3]        =>     weight w: f16[4,3,3,3]
    y: f32[1,4,6,6] = conv(x, w)         y: f16[1,4,6,6] = conv(x, w)

Inputs and outputs change with the rest, so that nothing is converted while the net runs. Left alone: whole numbers,
f64, and nets for a target that takes numbers as they come.
"""

from __future__ import annotations

from dataclasses import replace

from ..compiler.ir import Constant, Graph, Value
from ..compiler.kernel import named
from ..compiler.ops.fused import Fused
from ..compiler.rewrite import Writer, retyped
from ..compiler.types import DTYPES, TensorType
from .context import Context


def assign_precision(graph: Graph, context: Context) -> Graph:
    dtype = context.target.dtype
    if dtype is None or all(v.type.dtype != "f32" for v in (*graph.inputs, *graph.constants)):
        return graph
    writer = Writer(graph)
    for value in (*graph.inputs, *graph.constants):
        if value.type.dtype == "f32":
            writer[value] = converted(value, dtype)
    context.did(graph.inputs[0] if graph.inputs else graph.constants[0], f"and all that follows is {dtype}")
    for node in graph.nodes:
        writer.copy(replace(node, op=Fused(in_precision(node.op.body, dtype))) if isinstance(node.op, Fused) else node)
    writer.graph = replace(graph, inputs=tuple(writer[v] for v in graph.inputs))
    return writer.finish()


def in_precision(body: Graph, dtype: str) -> Graph:
    """A kernel that was there before, for such numbers."""
    return named(retyped(body, {v.name: TensorType(dtype, v.type.dims) for v in body.inputs if v.type.dtype == "f32"}))


def converted(value: Value, dtype: str) -> Value:
    type = TensorType(dtype, value.type.dims)
    if isinstance(value, Constant):
        return replace(value, type=type, data=value.data.to(DTYPES[dtype]))
    return replace(value, type=type)
