"""Reorder the nodes to lower the peak of live bytes.

    p = conv(x, big)              a = conv(x, small)
    a = conv(x, small)            b = conv(a, big)
    b = conv(a, big)       =>     p = conv(x, big)
    y = add(p, b)                 y = add(p, b)

On the left p is live while a and b are computed; on the right the sum can be fused into b. Candidates are the present
order and depth-first orders, which finish one branch before the next, with several priorities among branches. Each
candidate is evaluated after `fuse` and `reuse_storage`; only a strictly lower peak replaces the present order.

Left alone: a net that has fused kernels already, and one without branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..compiler.ir import Graph, Node
from ..compiler.ops.fused import Fused
from ..compiler.plan import UNPLANNED, PlannedGraph
from .context import Context
from .fuse import fuse
from .plan_memory import arena_bound
from .reuse_storage import reuse_storage

Priority = Callable[[Node], tuple[int, ...]]


def schedule(graph: Graph, context: Context) -> Graph:
    if any(isinstance(n.op, Fused) for n in graph.nodes) or not has_branches(graph):
        return graph
    best, least = graph, peak_memory(graph, context)
    found = True
    while found:  # until no candidate is better, so that a second run of the pass changes nothing
        found = False
        for order in candidate_orders(best):
            graph = replace(best, nodes=order)
            if (size := peak_memory(graph, context)) < least:
                context.did(order[0], f"is first in a new order: the peak is {size} bytes, {least} before")
                best, least, found = graph, size, True
    return best


def has_branches(graph: Graph) -> bool:
    """True if some node has operands from several producers."""
    return any(len({graph.producer[v] for v in n.inputs if v in graph.producer}) > 1 for n in graph.nodes)


def peak_memory(graph: Graph, context: Context) -> int:
    """The peak of live bytes after `fuse` and `reuse_storage`."""
    quiet = Context(context.target)
    fused = fuse(graph, quiet)
    return arena_bound(PlannedGraph(fused, reuse_storage(fused, UNPLANNED, quiet)))


def candidate_orders(graph: Graph) -> Iterator[tuple[Node, ...]]:
    """Other orders of the same nodes, each once."""
    position = {n: i for i, n in enumerate(graph.nodes)}
    depth, above = depths(graph)
    priorities: list[Priority] = [
        lambda n: (-depth[n], position[n]),  # the longest branch first
        lambda n: (depth[n], position[n]),
        lambda n: (-above[n], position[n]),  # the branch with the largest value in it first
        lambda n: (-position[n],),
        lambda n: (position[n],),
    ]
    seen = {graph.nodes}
    for priority in priorities:
        order = depth_first_order(graph, priority)
        if order not in seen:
            seen.add(order)
            yield order


def depths(graph: Graph) -> tuple[dict[Node, int], dict[Node, int]]:
    """For each node, its depth (the longest path from the inputs), and the bytes of the largest value of its branch."""
    depth: dict[Node, int] = {}
    largest: dict[Node, int] = {}
    for node in graph.nodes:
        over = [graph.producer[v] for v in node.inputs if v in graph.producer]
        size = max((v.type.nbytes for v in node.results), default=0)
        depth[node] = 1 + max((depth[n] for n in over), default=0)
        deepest = max(over, key=depth.__getitem__, default=None)
        largest[node] = (
            size if deepest is None or len(graph.users[node.results[0]]) > 1 else max(size, largest[deepest])
        )
    return depth, largest


def depth_first_order(graph: Graph, priority: Priority) -> tuple[Node, ...]:
    """A topological order that finishes the branch of one operand before the next; lowest `priority` first."""
    order, done = list[Node](), set[Node]()
    ends = [n for n in graph.nodes if not any(graph.users[v] for v in n.results)]
    ends += [graph.producer[v] for v in graph.outputs if v in graph.producer]
    stack = [(n, False) for n in sorted(dict.fromkeys(ends), key=priority, reverse=True)]
    while stack:
        node, ready = stack.pop()
        if node in done:
            continue
        if ready:
            done.add(node)
            order.append(node)
            continue
        stack.append((node, True))
        needed = dict.fromkeys(graph.producer[v] for v in node.inputs if v in graph.producer)
        stack.extend((n, False) for n in sorted(needed, key=priority, reverse=True) if n not in done)
    return tuple(order)
