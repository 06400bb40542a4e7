"""Compute once what is computed twice (common subexpressions).

    a = relu(x)                a = relu(x)
    b = relu(x)          =>    y = add(a, a)
    y = add(a, b)

Equal means the same operator, the same attributes, the same operands, and results that lie alike. Left alone: nodes
whose place is decided, and those in whose place others lie.
"""

from __future__ import annotations

from ..compiler.ir import Graph, Node
from ..compiler.rewrite import Writer
from ..compiler.storage import alias_roots
from .context import Context


def eliminate_common_subexpressions(graph: Graph, context: Context) -> Graph:
    writer, first, bearing = Writer(graph), dict[tuple[object, ...], Node](), alias_roots(graph)
    for node in graph.nodes:
        layouts = tuple(v.layout for v in node.results)
        key = (node.op, layouts, tuple(writer[v] for v in node.inputs))
        settled = node.is_placed or not bearing.isdisjoint(v.name for v in node.results)
        known = None if settled else first.get(key)
        if known is None:
            first.setdefault(key, writer.copy(node))
            continue
        for old, new in zip(node.results, known.results, strict=True):
            writer[old] = new
        context.did(node, f"is {known.name} again")
    return writer.finish() if len(writer.nodes) < len(graph.nodes) else graph
