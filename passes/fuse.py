"""Let elementwise nodes ride on the kernel that makes their operand.

    c = conv(x, w)                kernel conv_add_relu_1b2c3d4e5f60(a, b, c) {
    s = add(c, r)                     d = conv(a, b)
    y = relu(s)             =>        e = add(d, c)
                                      f = relu(e)
                                      return f
                                  }
                                  y = conv_add_relu_1b2c3d4e5f60(x, w, r)

An elementwise node rides if it alone reads the result, makes one of the same type, and the target accepts the kernel
that would come of it; so does a slice along the channels, which then ends its kernel: each piece is written where it
belongs. Where several operands could carry it, the one that is made last does: the others are there by then. Names
inside a kernel are canonical, so that kernels which do the same are the same text, and become one.
"""

from __future__ import annotations

from ..compiler.ir import Graph, Node, Value
from ..compiler.kernel import build_kernel, build_unnamed_kernel, external_operands
from ..compiler.op import Elementwise
from ..compiler.ops.fused import Fused
from ..compiler.rewrite import Writer
from .context import Context


def fuse(graph: Graph, context: Context) -> Graph:
    groups = group_nodes(graph, context)
    if all(len(g) == 1 for g in groups.values()):
        return graph
    writer = Writer(graph)
    for node in graph.nodes:
        group = groups.get(node, [node])
        if group[-1] is not node:
            continue  # it runs when the last of its kernel does
        if len(group) == 1:
            writer.copy(node)
            continue
        kernel, reads = build_kernel(group, node.results), external_operands(group)
        writer.add(Node(Fused(kernel), tuple(writer[v] for v in reads), node.results, group[0].loc))
    return writer.finish()


def group_nodes(graph: Graph, context: Context) -> dict[Node, list[Node]]:
    """For each node the nodes of its kernel, in order."""
    groups: dict[Node, list[Node]] = {}
    position = {n: i for i, n in enumerate(graph.nodes)}
    for node in graph.nodes:
        groups[node] = [node]
        if not isinstance(node.op, Elementwise) and not node.slice_ranges:
            continue
        carriers = [graph.producer[v] for v in dict.fromkeys(node.inputs) if can_anchor(v, node, graph)]
        for carrier in sorted(carriers, key=lambda n: -position[groups[n][-1]]):
            grown = [*groups[carrier], node]
            reason = context.target.accepts(build_unnamed_kernel(grown, node.results))
            if reason is None:
                groups.update((n, grown) for n in grown)
                break
            context.declined(node, f"does not ride on {carrier.name}: {reason}")
    return groups


def can_anchor(value: Value, node: Node, graph: Graph) -> bool:
    """Could this operand's kernel make the node's result instead?"""
    made = graph.producer.get(value)
    if made is None or isinstance(made.op, Fused) or len(made.results) > 1:
        return False
    return graph.is_only_used_by(value, node) and (bool(node.slice_ranges) or value.type == node.output.type)
