"""Kernels: the body of a node as a graph with canonical value names, named by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, product
from string import ascii_lowercase
from weakref import WeakKeyDictionary

from .ir import Graph, Node, Value
from .ops.fused import Fused
from .text.show import KEYWORDS, show


def canonical_names() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ... without keywords of the language."""
    for length in count(1):
        for word in map("".join, product(ascii_lowercase, repeat=length)):
            if word not in KEYWORDS:
                yield word


BODIES: WeakKeyDictionary[Node, Graph] = WeakKeyDictionary()  # of nodes that are not fused: several stages ask


def kernel_graph(node: Node) -> Graph:
    """The body of a fused node; for any other node, a body with that node only."""
    if isinstance(node.op, Fused):
        return node.op.body
    if (body := BODIES.get(node)) is None:
        BODIES[node] = body = build_kernel([node], node.results)
    return body


def build_kernel(nodes: list[Node], results: tuple[Value, ...]) -> Graph:
    """The nodes as a graph with canonical value names, named by its content."""
    return name_by_content(build_unnamed_kernel(nodes, results))


def build_unnamed_kernel(nodes: list[Node], results: tuple[Value, ...]) -> Graph:
    """The nodes as a graph named "kernel". Value names are canonical, so that equal kernels have equal texts."""
    made = {v for n in nodes for v in n.results}
    outside = dict.fromkeys(v for n in nodes for v in n.inputs if v not in made)
    names = canonical_names()
    inner = {v: Value(next(names), v.type, v.layout) for v in outside}
    copies = []
    for n in nodes:
        inner.update((v, Value(next(names), v.type, v.layout)) for v in n.results)
        copies.append(Node(n.op, tuple(inner[v] for v in n.inputs), tuple(inner[v] for v in n.results), n.loc))
    returns = tuple((inner[v].name, inner[v]) for v in results)
    return Graph("kernel", tuple(inner[v] for v in outside), tuple(copies), returns)


def external_operands(nodes: list[Node]) -> tuple[Value, ...]:
    """The operands of a group of nodes that the group does not compute, in order of first use."""
    made = {v for n in nodes for v in n.results}
    return tuple(dict.fromkeys(v for n in nodes for v in n.inputs if v not in made))


def name_by_content(graph: Graph) -> Graph:
    """The graph, named by its operators (four at most) and 12 hex digits of the hash of its text."""
    digest = hashlib.sha256(show(replace(graph, name="kernel"), kind="kernel").encode()).hexdigest()[:12]
    words = [n.op.name for n in graph.nodes]
    return replace(graph, name="_".join(words[:4] + (["more"] if len(words) > 4 else [])) + f"_{digest}")
