"""Remove nodes whose results nobody needs.

    a = relu(x)                     a = relu(x)
    b = tanh(x)               =>    y = softmax(a)
    y = softmax(a)                  return y
    return y

Left alone: inputs, which are the net's signature. Every pass that rewrites a graph leaves dead nodes out anyway; this
one is for nets that came with some.
"""

from __future__ import annotations

from ..compiler.ir import Graph
from ..compiler.rewrite import Writer, live_nodes
from .context import Context


def eliminate_dead_code(graph: Graph, context: Context) -> Graph:
    live = set(live_nodes(list(graph.nodes), list(graph.outputs)))
    dead = [n for n in graph.nodes if n not in live]
    if not dead:
        return graph
    for node in dead:
        context.did(node, "is removed: nothing needs it")
    writer = Writer(graph)
    for node in graph.nodes:
        writer.add(node)
    return writer.finish()
