"""Dead code elimination: remove nodes that no output depends on.

    a = relu(x)                     a = relu(x)
    b = tanh(x)               =>    y = softmax(a)
    y = softmax(a)                  return y
    return y

Left alone: unused inputs, which are part of the net's signature. Every pass that rewrites a graph drops dead nodes
anyway; this pass handles those of the net as it was read.
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
        context.did(node, "is removed: no output depends on it")
    writer = Writer(graph)
    for node in graph.nodes:
        writer.add(node)
    return writer.finish()
