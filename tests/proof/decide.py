"""Random decisions that a person may write in a net and passes have to respect: kernels, layouts, placements, plans.

Each is kept if `verify` accepts it, even if no pass would decide so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Constant, Graph, Node, Value
from cortado.compiler.memory import ALIGN
from cortado.compiler.ops.shape import Relayout
from cortado.compiler.plan import UNPLANNED, Alias, MemoryPlan, Offset, Placement, PlannedGraph, Subview
from cortado.compiler.rewrite import UniqueNames
from cortado.compiler.storage import resolve_storage
from cortado.compiler.targets.onednn import OneDnn
from cortado.compiler.verify import is_layout_invariant, verify
from cortado.passes import Context
from cortado.passes.fuse import fuse

from .dice import Dice

PLACE_TRIES = 6  # placements that are tried


def draw_decisions(graph: Graph, dice: Dice) -> PlannedGraph:
    if dice.chance(0.25):
        graph = draw_layouts(graph, dice)
    if dice.chance(0.12):
        graph = fuse(graph, Context(OneDnn()))
    plan = draw_places(graph, dice) if dice.chance(0.3) else UNPLANNED
    return PlannedGraph(graph, draw_plan(graph, plan, dice) if dice.chance(0.1) else plan)


def draw_layouts(graph: Graph, dice: Dice) -> Graph:
    """The graph with a random layout for each image, with relayouts where a node needs them."""
    names, now, nodes = UniqueNames(graph), dict[Value, Value](), list[Node]()

    def relayout(value: Value, layout: str) -> Value:
        if value.layout in (None, layout) or is_layout_invariant(value):
            return value
        copy = Value(names.fresh(f"{value.name}.{layout}"), value.type, layout)
        nodes.append(Node(Relayout(to=layout), (value,), (copy,)))
        return copy

    def assign(value: Value, layout: str) -> Value:
        return replace(value, layout=layout) if value.type.rank == 4 else value

    for value in graph.inputs:
        now[value] = assign(value, dice.pick(("nchw", "nchw", "nhwc")))
    for node in graph.nodes:
        layout = "nchw" if node.op.row_major_only else dice.pick(("nchw", "nhwc"))
        inputs = [now.get(v, v) for v in node.inputs]
        if isinstance(node.op, Relayout):
            layout = node.op.to
        elif not node.op.layout_agnostic:
            inputs = [relayout(v, layout) for v in inputs]
        now.update((v, assign(v, layout)) for v in node.results)
        nodes.append(Node(node.op, tuple(inputs), tuple(now[v] for v in node.results)))
    return rebuild(graph, tuple(nodes), now, tuple(now[v] for v in graph.inputs))


def draw_places(graph: Graph, dice: Dice) -> MemoryPlan:
    """A plan with random aliases and subviews."""
    plan = UNPLANNED
    for _ in range(PLACE_TRIES):
        if not (choices := list(candidates(graph, plan, dice))):
            return plan
        value, placement = dice.pick(choices)
        more = plan.extend({value: placement})
        try:
            verify(graph, more)
        except CompileError:
            continue
        plan = more
    return plan


def candidates(graph: Graph, plan: MemoryPlan, dice: Dice) -> Iterator[tuple[Value, Placement]]:
    for node in graph.nodes:
        computed = [v in graph.producer for v in node.inputs]
        types = [v.type for v in node.inputs]
        if node.results[0] not in plan:
            yield from ((node.results[0], Alias(v)) for v, here in zip(node.inputs, computed, strict=True) if here)
        for part, operand, here in zip(node.op.concat_ranges(types), node.inputs, computed, strict=False):
            if here and operand not in plan:
                yield operand, Subview(node.results[0], part.start, part.stop)
        for piece, value in zip(node.op.slice_ranges(types) if any(computed[:1]) else (), node.results, strict=False):
            if value not in plan:
                yield value, Subview(node.inputs[0], piece.start, piece.stop)
    made = [v for v in graph.producer if v.type.rank > 1 and v.type.is_static and v not in plan]
    for value in made:
        root = dice.pick(made)
        room = root.type.shape[1] - value.type.shape[1]
        if value is not root and room >= 0:
            first = dice.between(0, room)
            yield value, Subview(root, first, first + value.type.shape[1])


def draw_plan(graph: Graph, plan: MemoryPlan, dice: Dice) -> MemoryPlan:
    """The plan with an offset for every root, in random order and with gaps: valid, but not optimal."""
    at, placements = 0, dict[Value, Placement]()
    roots = dict.fromkeys(s.root for s in resolve_storage(PlannedGraph(graph, plan)).values())
    for value in dice.shuffle(list(roots)):
        at += ALIGN * dice.pick((0, 0, 0, 1, 3))
        placements[value] = Offset(at)
        at += -(-value.type.nbytes // ALIGN) * ALIGN
    return MemoryPlan({**plan.placements, **placements}, at, plan.halos)


def rebuild(graph: Graph, nodes: tuple[Node, ...], now: dict[Value, Value], inputs: tuple[Value, ...]) -> Graph:
    returns = tuple((name, v if isinstance(v, Constant) else now.get(v, v)) for name, v in graph.returns)
    return replace(graph, inputs=inputs, nodes=nodes, returns=returns)
