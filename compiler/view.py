"""A read-only networkx view of a graph, for queries: longest path, articulation points, reachability.

A view is never the storage. Importing networkx takes time, compared with compiling a small net, so it is imported when
the first view is asked for, and what every compilation runs (dead code, live ranges, the depths of `schedule`) is
computed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from .ir import Graph, Node, Value

if TYPE_CHECKING:
    from networkx import DiGraph

T = TypeVar("T")
ENTRY, EXIT = "entry", "exit"  # additional vertices: the producer of the inputs, and the consumer of the outputs
VIEWS: WeakKeyDictionary[Graph, DiGraph[Any]] = WeakKeyDictionary()  # a graph never changes, nor does its view


def view(graph: Graph) -> DiGraph[Any]:
    """The nodes in order, between ENTRY and EXIT, as a frozen DiGraph, which is cached for each graph.

    An edge leads from a producer to a consumer; its attribute `values: tuple[Value, ...]` holds the values between
    them. ENTRY produces the inputs and precedes each node that reads only constants. EXIT reads the outputs.
    """
    found = VIEWS.get(graph)
    if found is None:
        found = VIEWS[graph] = build_view(graph)
    return found


def build_view(graph: Graph) -> DiGraph[Any]:
    import networkx as nx

    carried: dict[tuple[object, object], list[Value]] = {}
    producer, inputs = graph.producer, set(graph.inputs)
    for node in graph.nodes:
        has_producer = False
        for value in dict.fromkeys(node.inputs):
            source = producer.get(value)
            if source is not None or value in inputs:
                carried.setdefault((source or ENTRY, node), []).append(value)
                has_producer = True
        if not has_producer:
            carried[ENTRY, node] = []
    for value in dict.fromkeys(graph.outputs):
        carried.setdefault((producer.get(value, ENTRY), EXIT), []).append(value)
    made: DiGraph[Any] = nx.DiGraph()
    made.add_nodes_from((ENTRY, *graph.nodes, EXIT))
    made.add_edges_from((a, b, {"values": tuple(values)}) for (a, b), values in carried.items())
    nx.freeze(made)
    return made


def longest_path(graph: Graph, weight: Callable[[Node], int]) -> list[Node]:
    """The nodes of the path from ENTRY to EXIT with the largest sum of weights (each at least 0), in order.

    Among paths of equal sums, the one with the most nodes.
    """
    import networkx as nx

    scale = len(graph.nodes) + 2  # above the number of edges of a path, so that edges only decide between equal sums
    weights = {n: weight(n) * scale for n in graph.nodes}
    weighted: DiGraph[Any] = nx.DiGraph()
    weighted.add_weighted_edges_from((a, b, weights.get(b, 0) + 1) for a, b in live_view(graph).edges)
    return [n for n in nx.dag_longest_path(weighted) if n not in (ENTRY, EXIT)]


def articulation_points(graph: Graph) -> list[Node]:
    """The nodes, in order, whose removal would disconnect the view; dead code is ignored.

    If there is one output, these are the nodes on every path from ENTRY to it.
    """
    import networkx as nx

    found = set(nx.articulation_points(nx.Graph(live_view(graph))))
    return [n for n in graph.nodes if n in found]


def live_view(graph: Graph) -> DiGraph[Any]:
    """The view without dead code."""
    import networkx as nx

    whole = view(graph)
    return whole.subgraph({ENTRY, EXIT, *nx.ancestors(whole, EXIT)})


def ancestors(edges: Iterable[tuple[T, T]], ends: Iterable[T]) -> set[T]:
    """All vertices from which one of `ends` can be reached along the edges (from, to), including `ends`.

    For any graph, such as the layers of a net in the front end.
    """
    import networkx as nx

    backward: DiGraph[T] = nx.DiGraph((b, a) for a, b in edges)
    backward.add_nodes_from(ends := list(ends))
    return {vertex for layer in nx.bfs_layers(backward, ends) for vertex in layer}
