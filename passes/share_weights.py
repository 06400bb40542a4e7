"""Merge equal weights, whatever their names.

    weight a.w: f32[2] = [1, 2]          weight a.w: f32[2] = [1, 2]
    weight b.w: f32[2] = [1, 2]    =>    y = scale(x, a.w)
    y = scale(x, a.w)                    z = scale(y, a.w)
    z = scale(y, b.w)

Two weights are equal if they have the same type and the same data, bit for bit. Left alone: weights without data.
"""

from __future__ import annotations

from ..compiler.ir import Constant, Graph
from ..compiler.rewrite import Writer
from .context import Context


def share_weights(graph: Graph, context: Context) -> Graph:
    writer, first = Writer(graph), dict[str, Constant]()
    for c in graph.constants:
        if c.is_bound and (kept := first.setdefault(c.handle, c)) is not c:
            context.did(c, f"is equal to {kept.name}: {c.type.nbytes} bytes saved")
            writer[c] = kept
    if not writer.replaced:
        return graph
    for node in graph.nodes:
        writer.copy(node)
    return writer.finish()
