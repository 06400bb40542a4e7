"""Sink transposes below elementwise layers and below concats along the channels.

    t = transpose(x, order=[0, 2, 3, 1])         r = relu(x)
    y = relu(t)                           =>     y = transpose(r, order=[0, 2, 3, 1])

    t = transpose(a, order=[0, 2, 3, 1])         c = concat(a, b)
    u = transpose(b, order=[0, 2, 3, 1])  =>     y = transpose(c, order=[0, 2, 3, 1])
    y = concat(t, u, axis=3)

The layer can then be fused into the producer of x, and the transpose may be composed with another one, or cancel it.
The axis attribute of a layer with per-axis operands is permuted along. Left alone: a transpose that has other
consumers or is an output, operands with different permutations or layouts, and concats along other axes, which copy
anyway.
"""

from __future__ import annotations

from dataclasses import replace

from ..compiler.ir import Graph, Node, Value
from ..compiler.op import Elementwise, Ints, Op, make_op
from ..compiler.ops.indexing import Transpose
from ..compiler.ops.shape import Concat
from ..compiler.rewrite import UniqueNames, Writer
from .context import Context


def sink_transpose(graph: Graph, context: Context) -> Graph:
    while (made := sink_once(graph, context)) is not graph:
        graph = made
    return graph


def sink_once(graph: Graph, context: Context) -> Graph:
    """Sink every transpose below one layer, and compose consecutive ones. The caller repeats this."""
    writer, names, changed = Writer(graph), UniqueNames(graph), False
    for node in graph.nodes:
        if isinstance(node.op, Transpose) and (earlier := movable_transpose(node.inputs[0], writer)):
            writer[node.output], changed = compose_transposes(node, earlier, writer), True
            context.did(node, f"is composed with the transpose {earlier.name}")
            continue
        before = {v: made for v in node.inputs if (made := exclusive_transpose(v, node, writer)) is not None}
        op = sunk_operator(node, before)
        if op is None:
            writer.copy(node)
            continue
        changed, moves = True, list(before.values())
        inputs = [before[v].inputs[0] if v in before else writer[v] for v in node.inputs]
        name = names.fresh(f"{node.name}.0")
        layer = writer.emit(op, *inputs, name=name, loc=node.loc, layout=inputs[0].layout)
        ordered = writer.emit(moves[0].op, layer, name=node.name, loc=moves[0].loc, layout=node.output.layout)
        writer[node.output] = ordered
        context.did(node, f"is computed before the transpose {', '.join(n.name for n in moves)}")
    return writer.finish() if changed else graph


def movable_transpose(value: Value, out: Writer) -> Node | None:
    """The transpose that produces a value in the new graph, if one does."""
    made = out.producer.get(out[value])
    return made if made is not None and isinstance(made.op, Transpose) else None


def exclusive_transpose(value: Value, reader: Node, out: Writer) -> Node | None:
    """The transpose that produces a value in the new graph, if `reader` is its only consumer."""
    made = movable_transpose(value, out)
    return made if made and made.name == value.name and out.old.is_only_used_by(value, reader) else None


def compose_transposes(node: Node, before: Node, out: Writer) -> Value:
    """Emit two transposes as one; the operand itself if they cancel out."""
    source, first = before.inputs[0], before.op.axis_permutation(node.output.type.rank)
    order = tuple(first[a] for a in node.op.axis_permutation(node.output.type.rank))
    if order == tuple(range(len(order))) and source.layout == node.output.layout:
        return source
    return out.emit(Transpose(order=order), source, name=node.name, loc=node.loc, layout=node.output.layout)


def sunk_operator(node: Node, moves: dict[Value, Node]) -> Op | None:
    """The operator that replaces the node's if it is applied before the transposes; None if there is none."""
    found = {made.op.axis_permutation(made.output.type.rank) for made in moves.values()}
    alike = len({made.inputs[0].layout for made in moves.values()}) == 1
    if len(found) != 1 or not alike:
        return None
    (order,) = found
    if isinstance(node.op, Concat):
        can_sink = all(v in moves for v in node.inputs) and order[node.op.axis % len(order)] == 1
        return replace(node.op, axis=1) if can_sink else None
    return permute_elementwise(node, order, moves) if isinstance(node.op, Elementwise) else None


def permute_elementwise(node: Node, order: Ints, moves: dict[Value, Node]) -> Op | None:
    """The elementwise operator for operands that are not transposed yet; None if its other operands forbid it."""
    assert isinstance(node.op, Elementwise)
    starts = node.op.operand_axes([v.type for v in node.inputs])
    parts = [(v, a) for v, a in zip(node.inputs, starts, strict=True) if a is not None]
    if any(v not in moves for v, a in zip(node.inputs, starts, strict=True) if a is None):
        return None
    if any(v.type.rank != 1 for v, _ in parts):
        return None
    axis = {"axis": order[parts[0][1]]} if parts else {}  # one for all operands: the operator has one axis
    return make_op(node.op.name, node.op.all_attributes() | axis)
