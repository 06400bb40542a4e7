"""What a net costs to run, counted from its text: arithmetic, bytes moved, parameters.

Arithmetic counts a multiplication and an addition as two, a function like exp as one. Bytes are those that a kernel has
to read and write if it touches each number once; what stands in its place already is not moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod

from .codegen.record import record
from .ir import Graph, Node, Value
from .kernel import build_kernel
from .memory import written_channels
from .op import Elementwise
from .ops.conv import Conv, Deconv
from .ops.dense import Linear, Softmax
from .ops.fused import Fused
from .ops.norm import L2Normalize, Lrn
from .ops.pool import AvgPool, MaxPool, Pool
from .ops.recurrent import Lstm, LstmUnit, Rnn
from .ops.reduce import Reduce, Standardize
from .ops.resize import Interp
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
    out, op = node.results[0].type, node.op
    sizes = [v.type.bounds for v in node.inputs]
    bias = out.numel if len(sizes) == 3 else 0
    match op:
        case Fused():
            return sum(map(flops, op.body.nodes))
        case Elementwise():
            return scalar_calls(node) * out.numel
        case Conv():
            return 2 * out.numel * prod(sizes[1][1:]) + bias
        case Deconv():
            return 2 * prod(sizes[0]) * prod(sizes[1][1:]) + bias
        case Linear():
            return 2 * out.numel * (prod(sizes[1]) // max(out.bounds[-1], 1)) + bias
        case MaxPool() | AvgPool():
            return out.numel * window_size(op, sizes[0])
        case Lrn():
            return out.numel * (2 * op.size ** (1 if op.region == "across" else 2) + 4)
        case Softmax():
            return 5 * out.numel  # largest, minus it, exp, sum, division
        case L2Normalize() | Standardize():
            return 5 * out.numel
        case Reduce():
            return prod(sizes[0])
        case Interp():
            return out.numel * 3 * (len(out.dims) - 2)  # a difference, a product and a sum along each axis
        case Lstm() | Rnn():
            steps, streams, width = sizes[0]
            return steps * streams * width * (2 * sizes[2][-1] + 5)
        case LstmUnit():
            return 13 * out.numel
    return 0


def window_size(op: Pool, sizes: tuple[int, ...]) -> int:
    """Numbers under one window."""
    return prod(w.kernel for w in op.windows(sizes[2:]))


def scalar_calls(node: Node) -> int:
    """How many scalar functions an elementwise node applies to each element."""
    return count_scalar_calls(node.op, tuple(v.type for v in node.inputs))


@cache
def count_scalar_calls(op: Elementwise, types: tuple[object, ...]) -> int:
    values = tuple(Value(f"x{i}", type) for i, type in enumerate(types))  # type: ignore[arg-type]
    result = Value("y", values[0].type)
    return len(record(build_kernel([Node(op, values, (result,))], (result,))))


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
