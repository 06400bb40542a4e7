"""The kernel of a node: the graph that one file, or one primitive, computes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, product
from string import ascii_lowercase

from .ir import Graph, Node, Value
from .ops.fused import Fused
from .text.show import KEYWORDS, show


def canonical_names() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ...: without those that the language keeps for itself."""
    for length in count(1):
        for word in map("".join, product(ascii_lowercase, repeat=length)):
            if word not in KEYWORDS:
                yield word


def kernel_graph(node: Node) -> Graph:
    """A fused node's body; a node that runs alone becomes a body of one, named and numbered the same way."""
    return node.op.body if isinstance(node.op, Fused) else build_kernel([node], node.results)


def build_kernel(nodes: list[Node], results: tuple[Value, ...]) -> Graph:
    """These nodes as a graph of their own, called by its content."""
    return name_by_content(build_unnamed_kernel(nodes, results))


def build_unnamed_kernel(nodes: list[Node], results: tuple[Value, ...]) -> Graph:
    """The same without a name of its own yet. Names inside are canonical: equal kernels are equal texts."""
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
    """What nodes that become one kernel read from outside, in the kernel's order."""
    made = {v for n in nodes for v in n.results}
    return tuple(dict.fromkeys(v for n in nodes for v in n.inputs if v not in made))


def name_by_content(graph: Graph) -> Graph:
    """Called by what it does and a hash of its text: the same work has the same name, and one file."""
    digest = hashlib.sha256(show(replace(graph, name="kernel"), kind="kernel").encode()).hexdigest()[:12]
    words = [n.op.name for n in graph.nodes]
    return replace(graph, name="_".join(words[:4] + (["more"] if len(words) > 4 else [])) + f"_{digest}")
