"""A read-only networkx view of a graph: depths, longest path, dominators, articulation points, reachability, conflicts.

A view is for queries and drawings, and never the storage. Importing networkx is slow beside compiling a net, so it is
imported when the first view is asked for, and what every compilation runs keeps loops of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from .ir import Graph, Node, Value
from .storage import LiveRange

if TYPE_CHECKING:
    from networkx import DiGraph
    from networkx import Graph as Undirected

T = TypeVar("T")
ENTRY, EXIT = "entry", "exit"  # vertices for whatever feeds the inputs and constants, and for whoever reads the outputs
VIEWS: WeakKeyDictionary[Graph, DiGraph[Any]] = WeakKeyDictionary()  # a graph never changes, nor does its view


def view(graph: Graph) -> DiGraph[Any]:
    """The nodes in their order, between ENTRY and EXIT, as a frozen DiGraph, made once for each graph.

    An edge leads from a producer to a consumer and has the values that it carries as `values: tuple[Value, ...]`.
    ENTRY produces the inputs, and precedes each node without operands that the net computes. EXIT reads the outputs.
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


def depths(graph: Graph) -> dict[Node, int]:
    """For each node the number of nodes on the longest path that ends with it, itself included."""
    import networkx as nx

    generations = nx.topological_generations(view(graph))
    return {n: depth for depth, nodes in enumerate(generations) for n in nodes if n not in (ENTRY, EXIT)}


def longest_path(graph: Graph, weight: Callable[[Node], int]) -> list[Node]:
    """The nodes of the path from ENTRY to EXIT with the largest sum of weights (each at least 0), in order.

    Of equal sums the one with more nodes.
    """
    import networkx as nx

    scale = len(graph.nodes) + 2  # more than a path has edges: those count among equals only
    weights = {n: weight(n) * scale for n in graph.nodes}
    weighted: DiGraph[Any] = nx.DiGraph()
    weighted.add_weighted_edges_from((a, b, weights.get(b, 0) + 1) for a, b in live_view(graph).edges)
    return [n for n in nx.dag_longest_path(weighted) if n not in (ENTRY, EXIT)]


def immediate_dominators(graph: Graph) -> dict[Node, Node | None]:
    """For each node the last other one that every path from ENTRY to it passes; None if there is none."""
    import networkx as nx

    found = nx.immediate_dominators(view(graph), ENTRY)
    return {n: None if found[n] == ENTRY else found[n] for n in graph.nodes}


def articulation_points(graph: Graph) -> list[Node]:
    """The nodes each of which, taken out, would leave the view in unconnected parts, in order; dead code is ignored.

    If all branches end in one output, these are the nodes on every path from ENTRY to it.
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
    """All vertices from which one of `ends` can be reached along the edges (from, to); `ends` are among them.

    For whatever has the form of a graph, a net's layers in the front end among it.
    """
    import networkx as nx

    backward: DiGraph[T] = nx.DiGraph((b, a) for a, b in edges)
    backward.add_nodes_from(ends := list(ends))
    return {vertex for layer in nx.bfs_layers(backward, ends) for vertex in layer}


def conflicts(spans: Mapping[Value, LiveRange]) -> Undirected[Value]:
    """The values as vertices, with an edge between two that are live at one step and cannot share bytes.

    This is an interval graph; its heaviest clique is the least arena. It has up to n²/2 edges: for small nets.
    """
    import networkx as nx

    made: Undirected[Value] = nx.Graph()
    live: list[Value] = []
    for value, span in sorted(spans.items(), key=lambda item: item[1].first):
        live = [v for v in live if spans[v].last >= span.first]
        made.add_node(value)
        made.add_edges_from((v, value) for v in live)
        live.append(value)
    nx.freeze(made)
    return made
