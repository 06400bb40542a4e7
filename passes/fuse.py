"""Operator fusion: fuse elementwise nodes and channel slices into the kernel of their producer, as its epilogue.

    c = conv(x, w)                kernel conv_add_relu_1b2c3d4e5f60(a, b, c) {
    s = add(c, r)                     d = conv(a, b)
    y = relu(s)             =>        e = add(d, c)
                                      f = relu(e)
                                      return f
                                  }
                                  y = conv_add_relu_1b2c3d4e5f60(x, w, r)

An elementwise node is fused into a producer if it is the only consumer, its result has the same type, and the target
accepts the resulting kernel. So is a slice along the channels, which then ends its kernel: the kernel stores each
slice to its own place. With several candidates, the producer that runs last is taken, because the other operands are
computed by then. Names inside a kernel are canonical, so that equal kernels have equal texts and are compiled once.
Left alone: nodes with several results, and kernels that are fused already.
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
            continue  # emitted with the last node of its kernel
        if len(group) == 1:
            writer.copy(node)
            continue
        kernel, reads = build_kernel(group, node.results), external_operands(group)
        writer.add(Node(Fused(kernel), tuple(writer[v] for v in reads), node.results, group[0].loc))
    return writer.finish()


def group_nodes(graph: Graph, context: Context) -> dict[Node, list[Node]]:
    """For each node, the nodes of its kernel in order, itself included."""
    groups: dict[Node, list[Node]] = {}
    position = {n: i for i, n in enumerate(graph.nodes)}
    for node in graph.nodes:
        groups[node] = [node]
        if not isinstance(node.op, Elementwise) and not node.slice_ranges:
            continue
        anchors = [graph.producer[v] for v in dict.fromkeys(node.inputs) if can_anchor(v, node, graph)]
        for anchor in sorted(anchors, key=lambda n: -position[groups[n][-1]]):
            grown = [*groups[anchor], node]
            reason = context.target.accepts(build_unnamed_kernel(grown, node.results))
            if reason is None:
                groups.update((n, grown) for n in grown)
                break
            context.declined(node, f"is not fused into {anchor.name}: {reason}")
    return groups


def can_anchor(value: Value, node: Node, graph: Graph) -> bool:
    """True if `node` may be fused into the kernel that computes `value`, the target's answer aside."""
    made = graph.producer.get(value)
    if made is None or isinstance(made.op, Fused) or len(made.results) > 1:
        return False
    return graph.is_only_used_by(value, node) and (bool(node.slice_ranges) or value.type == node.output.type)
