"""Change the order of axes behind elementwise layers and joins of channels, not before them.

    t = transpose(x, order=[0, 2, 3, 1])         r = relu(x)
    y = relu(t)                           =>     y = transpose(r, order=[0, 2, 3, 1])

    t = transpose(a, order=[0, 2, 3, 1])         c = concat(a, b)
    u = transpose(b, order=[0, 2, 3, 1])  =>     y = transpose(c, order=[0, 2, 3, 1])
    y = concat(t, u, axis=3)

The layer can then ride on what made x, and the transpose may meet another one: the two become one, or nothing if they
undo each other. Numbers that a layer has for each place along one axis go with that axis. Left alone: an
order that somebody else reads too or that the net returns, operands in different orders, joins along another axis than
that of channels (they copy anyway), and nodes whose place is decided.
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
    """Every layer above the order right before it; orders that then stand one behind another become one."""
    writer, names, changed = Writer(graph), UniqueNames(graph), False
    for node in graph.nodes:
        if isinstance(node.op, Transpose) and (earlier := movable_transpose(node.inputs[0], writer)):
            writer[node.output], changed = compose_transposes(node, earlier, writer), True
            context.did(node, f"changes the order of {earlier.name} again: both are one")
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
        context.did(node, f"comes before the change of order {', '.join(n.name for n in moves)}")
    return writer.finish() if changed else graph


def movable_transpose(value: Value, out: Writer) -> Node | None:
    """The transpose that makes a value, as it stands in the new graph, if it does not have to stand there."""
    made = out.producer.get(out[value])
    return made if made is not None and isinstance(made.op, Transpose) else None


def exclusive_transpose(value: Value, reader: Node, out: Writer) -> Node | None:
    """The same of an operand that nobody else reads."""
    made = movable_transpose(value, out)
    return made if made and made.name == value.name and out.old.is_only_used_by(value, reader) else None


def compose_transposes(node: Node, before: Node, out: Writer) -> Value:
    """Two changes of order as one; none, if the second takes the first back."""
    source, first = before.inputs[0], before.op.axis_permutation(node.output.type.rank)
    order = tuple(first[a] for a in node.op.axis_permutation(node.output.type.rank))
    if order == tuple(range(len(order))) and source.layout == node.output.layout:
        return source
    return out.emit(Transpose(order=order), source, name=node.name, loc=node.loc, layout=node.output.layout)


def sunk_operator(node: Node, moves: dict[Value, Node]) -> Op | None:
    """The operator that does the node's work before the change of order; None if there is none that does."""
    found = {made.op.axis_permutation(made.output.type.rank) for made in moves.values()}
    alike = len({made.inputs[0].layout for made in moves.values()}) == 1
    if len(found) != 1 or not alike:
        return None
    (order,) = found
    if isinstance(node.op, Concat):
        joins = all(v in moves for v in node.inputs) and order[node.op.axis % len(order)] == 1
        return replace(node.op, axis=1) if joins else None
    return permute_elementwise(node, order, moves) if isinstance(node.op, Elementwise) else None


def permute_elementwise(node: Node, order: Ints, moves: dict[Value, Node]) -> Op | None:
    """An elementwise operator for operands of the whole shape before that change of order."""
    assert isinstance(node.op, Elementwise)
    starts = node.op.operand_axes([v.type for v in node.inputs])
    parts = [(v, a) for v, a in zip(node.inputs, starts, strict=True) if a is not None]
    if any(v not in moves for v, a in zip(node.inputs, starts, strict=True) if a is None):
        return None
    if any(v.type.rank != 1 for v, _ in parts):
        return None
    axis = {"axis": order[parts[0][1]]} if parts else {}  # one for all of them, as the operator has one
    return make_op(node.op.name, node.op.all_attributes() | axis)
