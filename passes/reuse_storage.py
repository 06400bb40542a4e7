"""Write in place where nobody can tell.

    y = relu(x)               =>   y = relu(x) over x
    z = concat(a, b)               a, b made `in z[0:4]`, `in z[4:6]`: the concat copies nothing
    p, q = slice(z)           =>   p, q `in z[0:4]`, `in z[4:6]`: neither does the slice
    f = reshape(y)            =>   f = reshape(y) over y
    t = transpose(c)          =>   t = transpose(c) over c: an nhwc image, told pixel by pixel
    z = concat(f, g)               and, for one picture, c made `in z[0:72]` if f is c's bytes under another shape

Over an operand that dies here, was made in this graph, lies as the result does, and is read only at the place
that is being written; or whose bytes, in their order, the result is. In a concat along the channels, if the target
writes such views; a value lies in one concat at most. Left alone: inputs, constants, bytes that another value looks at,
and bytes that were chosen before.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ..compiler.ir import Graph, Node, Place, Subview, Value
from ..compiler.ops.shape import Concat, Slice
from ..compiler.rewrite import Writer, eliminate_dead_code
from ..compiler.storage import LiveRange, has_contiguous_channels, live_ranges, resolve_storage
from .context import Context

Places = dict[Value, Place]


def reuse_storage(graph: Graph, context: Context) -> Graph:
    graph = eliminate_dead_code(graph)
    life, places, taken, over = live_ranges(graph), Places(), placed_names(graph), aliased_names(graph)
    for node in graph.nodes:
        if node.is_placed:
            continue
        if isinstance(node.op, Concat):
            place_in_concat(node, graph, places, taken | over, context)
        elif isinstance(node.op, Slice):
            place_slices(node, graph, places, taken | over, context)
    viewed, joined = {p.within.root for p in places.values() if p.within} | taken, set(places)
    for node in graph.nodes:
        value = node.results[0]
        if value in places or value.place.is_placed or value.name in viewed:
            continue
        for i, operand in enumerate(node.inputs):
            if operand.name in viewed or operand in joined:
                continue
            if can_overwrite(node, i, graph, life, context):
                places[value] = replace(value.place, over=operand.name)
                context.did(value, f"is written over {operand.name}: {value.type.nbytes} bytes")
                break
    return with_places(graph, places) if places else graph


def placed_names(graph: Graph) -> set[str]:
    """The names of values whose bytes were chosen before: those with an offset, and all that lie in part of another."""
    where = resolve_storage(graph)
    roots = {s.root for v, s in where.items() if s.channels is not None or s.root.place.at is not None}
    return {v.name for v, s in where.items() if s.root in roots}


def aliased_names(graph: Graph) -> set[str]:
    """The names of values that lie over others, and of those: their bytes are written again."""
    placed = [v for n in graph.nodes for v in n.results if v.place.over is not None]
    return {name for v in placed for name in (v.name, v.place.over or "")}


def place_in_concat(node: Node, graph: Graph, places: Places, taken: set[str], context: Context) -> None:
    """Place a concat's operands in its result."""
    root = node.output
    if root.name in taken:
        return
    for operand in node.inputs:
        parts = node.concat_ranges.get(operand, [])
        *told, made = reinterpretation_chain(operand, graph) if has_contiguous_channels(root) else [operand]
        reason = reason_not_in_concat(made, graph, places, parts, context)
        if taken.intersection(v.name for v in (*told, made)) or (told and holds_its_operands(made, graph, places)):
            reason = "it has a place already"
        if reason is None and operand.type.dtype != root.type.dtype:
            reason = f"it is {operand.type.dtype}"
        if reason is None and operand.layout != root.layout:
            reason = f"it lies in {operand.layout}"
        if reason:
            context.declined(root, f"{operand.name} is copied: {reason}")
        else:
            (part,) = parts
            places[made] = replace(made.place, within=Subview(root.name, part.start, part.stop))
            for value, below in pairwise((*told, made)):
                places[value] = replace(value.place, over=below.name)
            context.did(made, f"is made in its place in {root.name}: {operand.type.nbytes} bytes not copied")


def reinterpretation_chain(value: Value, graph: Graph) -> list[Value]:
    """A value, and those before it that are its bytes under another shape, if nobody else needs them."""
    found, made = [value], graph.producer.get(value)
    while made is not None and made.can_alias_operand and not made.is_placed and made.output.type.is_static:
        below = made.inputs[0]
        if below not in graph.producer or not graph.is_only_used_by(below, made):
            break
        found.append(below)
        made = graph.producer[below]
    return found


def holds_its_operands(value: Value, graph: Graph, places: Places) -> bool:
    """Do operands of what makes a value lie in it?"""
    made = graph.producer.get(value)
    within = [places[v].within for v in made.inputs if v in places] if made else []
    return any(part is not None and part.root == value.name for part in within)


def reason_not_in_concat(
    operand: Value, graph: Graph, places: Places, parts: list[range], context: Context
) -> str | None:
    """Why an operand cannot be made in its place in the concat, or its places."""
    maker = graph.producer.get(operand)
    if not parts:
        return "only channels can be joined in place"
    if maker is None:
        return "it is not computed here"
    if operand in places or operand.place.is_placed:
        return "it has a place already"
    if len(parts) > 1:
        return "it is joined twice"
    if not context.target.writes_views(maker.op):
        return f"{context.target.name} does not write {maker.op.name} into part of a value"
    if isinstance(maker.op, Slice):
        return "it is a piece of another value"
    return None


def place_slices(node: Node, graph: Graph, places: Places, taken: set[str], context: Context) -> None:
    """Let a slice's results be what they are: pieces of its operand."""
    source = node.inputs[0]
    if source not in graph.producer or source.name in taken or not context.target.writes_views(node.op):
        return
    for value, part in node.slice_ranges.items():
        if value not in places and value.name not in taken and value.layout == source.layout:
            places[value] = replace(value.place, within=Subview(source.name, part.start, part.stop))
            context.did(value, f"is a piece of {source.name}: {value.type.nbytes} bytes not copied")


def can_overwrite(node: Node, i: int, graph: Graph, life: dict[Value, LiveRange], context: Context) -> bool:
    """May the first result be written over operand i?"""
    operand, value = node.inputs[i], node.results[0]
    if operand not in life or value.type.nbytes != operand.type.nbytes:
        return False
    places = [j for j, v in enumerate(node.inputs) if v is operand]
    pointwise = all(node.op.pointwise_in(j) for j in places)
    alike = pointwise and value.type == operand.type and value.layout == operand.layout
    if not alike and not (node.can_alias_operand and i == 0):
        return False
    if life[operand].last > life[value].first:
        context.declined(value, f"not over {operand.name}, which is {describe_use(operand, node, graph)}")
        return False
    return True


def describe_use(operand: Value, node: Node, graph: Graph) -> str:
    if operand in graph.output_set:
        return "an output of the net"
    return "read again by " + ", ".join(n.name for n in graph.users[operand] if n is not node)


def with_places(graph: Graph, places: Places) -> Graph:
    """The same graph with these values in these places."""
    writer = Writer(graph)
    for node in graph.nodes:
        for value in node.results:
            if value in places:
                writer[value] = replace(value, place=places[value])
        results = tuple(writer[v] for v in node.results)
        writer.add(Node(node.op, tuple(writer[v] for v in node.inputs), results, node.loc))
    return writer.finish()
