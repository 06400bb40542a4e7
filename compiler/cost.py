"""What a net costs to run, counted from its nodes: arithmetic, bytes moved, parameters.

Arithmetic counts a multiplication and an addition as two, a function like exp as one. Bytes are those that a kernel has
to read and write if it touches each number once; what is already in place is not moved.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ir import Graph, Node, Value
from .memory import written_channels
from .plan import MemoryPlan, PlannedGraph
from .storage import Storages, resolve_storage, root_channels


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations on real numbers, bytes read and written, and parameters (numbers of weights, each counted once)."""

    flops: int
    bytes: int
    parameters: int


def cost(planned: PlannedGraph) -> Cost:
    graph, storages = planned.graph, resolve_storage(planned)
    parameters = sum(c.type.numel for c in graph.constants)
    return Cost(sum(map(flops, graph.nodes)), sum(traffic(n, planned, storages) for n in graph.nodes), parameters)


def flops(node: Node) -> int:
    """Operations of one node, at the largest sizes; 0 for what only moves numbers or decides by comparing."""
    return node.op.flops([v.type for v in node.inputs], [v.type for v in node.results])


def traffic(node: Node, planned: PlannedGraph, storages: Storages) -> int:
    """Bytes that a node reads and writes."""
    if is_pure_alias(node, planned.plan):
        return 0
    if node.concat_ranges or node.slice_ranges:  # moves as much as it writes
        return 2 * sum(bytes_written(planned.graph, v, storages) for v in node.results)
    return sum(v.type.nbytes for v in dict.fromkeys(node.inputs)) + sum(v.type.nbytes for v in node.results)


def is_pure_alias(node: Node, plan: MemoryPlan) -> bool:
    """True if the results are their operand's bytes under another name."""
    return node.can_alias_operand and all(plan.alias(v) is not None for v in node.results)


def bytes_written(graph: Graph, value: Value, storages: Storages) -> int:
    """Bytes of a value that its node writes."""
    mine = root_channels(value, storages)
    count = sum(len(part) for part in written_channels(graph, value, storages))
    return value.type.nbytes * count // max(len(mine), 1)


def is_free(node: Node, planned: PlannedGraph, storages: Storages) -> bool:
    """True if there is nothing to do at this node: all that it makes stands in its place already."""
    copies = bool(node.concat_ranges or node.slice_ranges)
    return is_pure_alias(node, planned.plan) or (copies and not traffic(node, planned, storages))
