"""The cost of a net, counted from its nodes: operations, memory traffic, parameters.

A multiplication and an addition count as two operations, a function such as exp as one. Traffic is the bytes that a
kernel reads and writes if it accesses each element once; an alias or subview that needs no copy counts as 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ir import Graph, Node, Value
from .memory import written_channels
from .plan import MemoryPlan, PlannedGraph
from .storage import Storages, resolve_storage, root_channels


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations, bytes read and written, and parameters (elements of all weights)."""

    flops: int
    bytes: int
    parameters: int


def cost(planned: PlannedGraph) -> Cost:
    graph, storages = planned.graph, resolve_storage(planned)
    parameters = sum(c.type.numel for c in graph.constants)
    return Cost(sum(map(flops, graph.nodes)), sum(traffic(n, planned, storages) for n in graph.nodes), parameters)


def flops(node: Node) -> int:
    """The operations of one node, at the largest sizes; 0 if it only moves or compares elements."""
    return node.op.flops([v.type for v in node.inputs], [v.type for v in node.results])


def traffic(node: Node, planned: PlannedGraph, storages: Storages) -> int:
    """The bytes that a node reads and writes, at the largest sizes."""
    if is_pure_alias(node, planned.plan):
        return 0
    if node.concat_ranges or node.slice_ranges:  # copies: reads as much as it writes
        return 2 * sum(bytes_written(planned.graph, v, storages) for v in node.results)
    return sum(v.type.nbytes for v in dict.fromkeys(node.inputs)) + sum(v.type.nbytes for v in node.results)


def is_pure_alias(node: Node, plan: MemoryPlan) -> bool:
    """True if all results are aliases that reinterpret the operand, so that the node does nothing."""
    return node.can_alias_operand and all(plan.alias(v) is not None for v in node.results)


def bytes_written(graph: Graph, value: Value, storages: Storages) -> int:
    """The bytes of a value that its node writes, without those that are there already."""
    mine = root_channels(value, storages)
    count = sum(len(part) for part in written_channels(graph, value, storages))
    return value.type.nbytes * count // max(len(mine), 1)


def is_free(node: Node, planned: PlannedGraph, storages: Storages) -> bool:
    """True if the node has nothing to do, because all its results are in place already."""
    copies = bool(node.concat_ranges or node.slice_ranges)
    return is_pure_alias(node, planned.plan) or (copies and not traffic(node, planned, storages))
