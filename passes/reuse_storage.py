"""Alias outputs to dead operands, concat parts or slice sources.

    y = relu(x)               =>   y = relu(x) over x
    z = concat(a, b)               a, b made `in z[0:4]`, `in z[4:6]`: the concat copies nothing
    p, q = slice(z)           =>   p, q `in z[0:4]`, `in z[4:6]`: neither does the slice
    f = reshape(y)            =>   f = reshape(y) over y
    t = transpose(c)          =>   t = transpose(c) over c, if c is nhwc and t has its axes in that order
    z = concat(f, g)               for batch 1, c made `in z[0:72]` if f aliases c

A result may alias an operand whose live range ends at this node if both have the same type and layout and the operator
is pointwise in the operand, or if the result is a reinterpretation of its bytes (`Node.can_alias_operand`). An operand
of a concat along the channels becomes a subview of the result if the target writes its producer's kernel into
subviews; a value is a subview of one concat at most. A root of subviews may be aliased where they are not read again.
Left alone: inputs, constants, and values that are placed already.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import pairwise

from ..compiler.ir import Graph, Node, Value
from ..compiler.ops.shape import Concat, Slice
from ..compiler.plan import Alias, MemoryPlan, Placement, PlannedGraph, Subview
from ..compiler.storage import LiveRanges, has_contiguous_channels, live_ranges, resolve_storage
from .context import Context

Placements = dict[Value, Placement]


def reuse_storage(graph: Graph, plan: MemoryPlan, context: Context) -> MemoryPlan:
    planned, live, made = PlannedGraph(graph, plan), live_ranges(graph), Placements()
    fixed = fixed_values(planned)
    taken = fixed | aliased_values(plan)
    for node in graph.nodes:
        if plan.places_any_of(node):
            continue
        if isinstance(node.op, Concat):
            place_in_concat(node, planned, made, taken, context)
        elif isinstance(node.op, Slice):
            place_slices(node, graph, made, taken, context)
    sharers = values_by_root(made)
    joined = frozenset(made)
    for node in graph.nodes:
        value = node.results[0]
        if value in made or value in plan or value in fixed or value in sharers:
            continue
        for i, operand in enumerate(node.inputs):
            if operand in fixed or operand in joined:
                continue
            if any(live[v].last > live[value].first for v in sharers.get(operand, ())):
                continue  # parts of it are read again
            if can_overwrite(node, i, graph, live, context):
                made[value] = Alias(operand)
                context.did(value, f"aliases {operand.name}: {value.type.nbytes} bytes")
                break
    return plan.extend(made)


def values_by_root(made: Placements) -> dict[Value, list[Value]]:
    """The values in each root of subviews: the subviews, what aliases them, and what lies in them."""
    found = dict[Value, list[Value]]()
    for value in made:
        below = value
        while isinstance(place := made.get(below), Alias | Subview):
            below = place.operand if isinstance(place, Alias) else place.root
            if isinstance(place, Subview):
                found.setdefault(below, []).append(value)
    return found


def fixed_values(planned: PlannedGraph) -> Set[Value]:
    """Values that share a root which is placed already: one with an offset, with subviews, or with a halo."""
    storages, plan = resolve_storage(planned), planned.plan
    roots = {s.root for s in storages.values() if s.channels is not None or plan.offset(s.root) is not None}
    roots |= set(plan.halos)
    return {v for v, s in storages.items() if s.root in roots}


def aliased_values(plan: MemoryPlan) -> Set[Value]:
    """Values that are aliases, and the operands they alias."""
    return {v for value, p in plan.placements.items() if isinstance(p, Alias) for v in (value, p.operand)}


def place_in_concat(node: Node, planned: PlannedGraph, made: Placements, taken: Set[Value], context: Context) -> None:
    """Make a concat's operands subviews of its result where possible."""
    root, graph = node.output, planned.graph
    if root in taken:
        return
    for operand in node.inputs:
        parts = node.concat_ranges.get(operand, [])
        *views, source = reinterpretation_chain(operand, planned) if has_contiguous_channels(root) else [operand]
        reason = reason_not_in_concat(source, planned, made, parts, context)
        if not taken.isdisjoint((*views, source)) or (views and has_operand_subviews(source, graph, made)):
            reason = "it is placed already"
        if reason is None and operand.type.dtype != root.type.dtype:
            reason = f"it is {operand.type.dtype}"
        if reason is None and operand.layout != root.layout:
            reason = f"its layout is {operand.layout}"
        if reason:
            context.declined(root, f"{operand.name} is copied: {reason}")
        else:
            (part,) = parts
            made[source] = Subview(root, part.start, part.stop)
            made.update((view, Alias(below)) for view, below in pairwise((*views, source)))
            context.did(source, f"is a subview of {root.name}: {operand.type.nbytes} bytes not copied")


def reinterpretation_chain(value: Value, planned: PlannedGraph) -> list[Value]:
    """A value and its producers' operands, as long as each only reinterprets the next and is its only consumer."""
    graph, plan = planned
    found, node = [value], graph.producer.get(value)
    while node is not None and node.can_alias_operand and node.output.type.is_static and node.output not in plan:
        below = node.inputs[0]
        if below not in graph.producer or not graph.is_only_used_by(below, node):
            break
        found.append(below)
        node = graph.producer[below]
    return found


def has_operand_subviews(value: Value, graph: Graph, made: Placements) -> bool:
    """True if operands of the value's producer are subviews of it."""
    node = graph.producer.get(value)
    parts = [made.get(v) for v in node.inputs] if node else []
    return any(isinstance(part, Subview) and part.root is value for part in parts)


def reason_not_in_concat(
    operand: Value, planned: PlannedGraph, made: Placements, parts: list[range], context: Context
) -> str | None:
    """The reason why an operand cannot be a subview of the concat; None if it can."""
    maker = planned.graph.producer.get(operand)
    if not parts:
        return "the concat is not along the channels"
    if maker is None:
        return "this net does not compute it"
    if operand in made or operand in planned.plan:
        return "it is placed already"
    if len(parts) > 1:
        return "it is an operand twice"
    if not context.target.writes_views(maker.op):
        return f"{context.target.name} does not write {maker.op.name} into a subview"
    if isinstance(maker.op, Slice):
        return "it is a slice of another value"
    return None


def place_slices(node: Node, graph: Graph, made: Placements, taken: Set[Value], context: Context) -> None:
    """Make a slice's results subviews of its operand."""
    source = node.inputs[0]
    if source not in graph.producer or source in taken or not context.target.writes_views(node.op):
        return
    for value, part in node.slice_ranges.items():
        if value not in made and value not in taken and value.layout == source.layout:
            made[value] = Subview(source, part.start, part.stop)
            context.did(value, f"is a subview of {source.name}: {value.type.nbytes} bytes not copied")


def can_overwrite(node: Node, i: int, graph: Graph, live: LiveRanges, context: Context) -> bool:
    """True if the first result may alias operand i."""
    operand, value = node.inputs[i], node.results[0]
    if operand not in live or value.type.nbytes != operand.type.nbytes:
        return False
    positions = [j for j, v in enumerate(node.inputs) if v is operand]
    pointwise = all(node.op.pointwise_in(j) for j in positions)
    alike = pointwise and value.type == operand.type and value.layout == operand.layout
    if not alike and not (node.can_alias_operand and i == 0):
        return False
    if live[operand].last > live[value].first:
        context.declined(value, f"does not alias {operand.name}, which is {describe_use(operand, node, graph)}")
        return False
    return True


def describe_use(operand: Value, node: Node, graph: Graph) -> str:
    """The reason why an operand is live after `node`, for a note."""
    if operand in graph.output_set:
        return "an output of the net"
    return "read again by " + ", ".join(n.name for n in graph.users[operand] if n is not node)
