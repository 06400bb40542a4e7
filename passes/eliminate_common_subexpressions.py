"""Compute once what is computed twice (common subexpressions).

    a = relu(x)                a = relu(x)
    b = relu(x)          =>    y = add(a, a)
    y = add(a, b)

Equal means the same operator, the same attributes, the same operands, and results in the same layouts.
"""

from __future__ import annotations

from ..compiler.ir import Graph, Node
from ..compiler.rewrite import Writer
from .context import Context


def eliminate_common_subexpressions(graph: Graph, context: Context) -> Graph:
    writer, first = Writer(graph), dict[tuple[object, ...], Node]()
    for node in graph.nodes:
        layouts = tuple(v.layout for v in node.results)
        key = (node.op, layouts, tuple(writer[v] for v in node.inputs))
        known = first.get(key)
        if known is None:
            first[key] = writer.copy(node)
            continue
        for old, new in zip(node.results, known.results, strict=True):
            writer[old] = new
        context.did(node, f"is {known.name} again")
    return writer.finish() if len(writer.nodes) < len(graph.nodes) else graph
