"""A graph as text for Graphviz: `cortado show NET --dot | dot -Tsvg > net.svg` draws it.

Boxes are nodes, ellipses inputs and outputs; weights are omitted. Edges are values, labelled if their producer has
several results. A double frame marks an articulation point, where the net can be cut in two; thick lines mark the path
with the most operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from .cost import flops
from .ir import Constant, Graph, Node, Value
from .text.show import kernel_body
from .view import articulation_points, longest_path


def dot(graph: Graph) -> str:
    """The Graphviz text of a graph."""
    ids: dict[object, str] = {v: f"i{i}" for i, v in enumerate(graph.inputs)}
    ids.update((n, f"n{i}") for i, n in enumerate(graph.nodes))
    heavy, cuts = longest_path(graph, flops), set(articulation_points(graph))
    lines = ["node [shape=box]"]
    lines += [f"{ids[v]} [label={quote(v.name, str(v.type))}, shape=ellipse]" for v in graph.inputs]
    for node in graph.nodes:
        style = ", peripheries=2" * (node in cuts) + ", penwidth=3" * (node in heavy)
        lines.append(f"{ids[node]} [label={node_label(node)}{style}]")
    lines += [f"o{i} [label={quote(name)}, shape=ellipse]" for i, (name, _) in enumerate(graph.returns)]
    lines += edge_lines(graph, ids, set(pairwise(heavy)))
    return f"digraph {quote(graph.name)} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def edge_lines(graph: Graph, ids: dict[object, str], heavy: set[tuple[Node, Node]]) -> Iterator[str]:
    """An edge for each value and consumer; outputs count as consumers."""
    readers = [(v, n) for n in graph.nodes for v in dict.fromkeys(n.inputs)]
    for value, node in readers:
        if not isinstance(value, Constant):
            producer = graph.producer.get(value)
            is_heavy = producer is not None and (producer, node) in heavy
            yield edge_line(value, producer, ids, ids[node], ["penwidth=3"] if is_heavy else [])
    for i, value in enumerate(graph.outputs):
        if not isinstance(value, Constant):
            yield edge_line(value, graph.producer.get(value), ids, f"o{i}", [])


def edge_line(value: Value, producer: Node | None, ids: dict[object, str], end: str, style: list[str]) -> str:
    label = [f"label={quote(value.name)}"] if producer is not None and len(producer.results) > 1 else []
    attributes = f" [{', '.join(label + style)}]" if label or style else ""
    return f"{ids[producer or value]} -> {end}{attributes}"


def node_label(node: Node) -> str:
    """The names of the results, the operator (for a fused kernel, its operators), and the result types."""
    body = kernel_body(node.op)
    how = " + ".join(n.op.name for n in body.nodes) if body else node.op.name
    return quote(", ".join(v.name for v in node.results), how, ", ".join(str(v.type) for v in node.results))


def quote(*lines: str) -> str:
    """Lines of text as one quoted string for Graphviz."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for line in lines)
    return '"' + "\\n".join(escaped) + '"'
