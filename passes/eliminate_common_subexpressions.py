"""Common subexpression elimination: merge nodes that compute the same values.

    a = relu(x)                a = relu(x)
    b = relu(x)          =>    y = add(a, a)
    y = add(a, b)

Two nodes are equal if they have the same operator, attributes, operands and result layouts. Left alone: all others.
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
        context.did(node, f"is the same as {known.name}")
    return writer.finish() if len(writer.nodes) < len(graph.nodes) else graph
