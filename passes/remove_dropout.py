"""Remove operators that are the identity at inference: dropout, and a power layer with default attributes.

    f = relu(linear(x, w))              f = relu(linear(x, w))
    d = dropout(f, ratio=0.5)    =>     y = softmax(f)
    y = softmax(d)

If the layer is its operand's only consumer, the operand takes the layer's name: the name of a Caffe blob stays with the
last value that Caffe writes to it.

    fc.0 = linear(x, w)                 fc = linear(x, w)
    fc = dropout(fc.0)           =>     return fc
    return fc

Left alone: all other operators.
"""

from __future__ import annotations

from dataclasses import replace

from ..compiler.ir import Graph, Node, Value
from ..compiler.ops.activation import Dropout
from ..compiler.ops.arithmetic import Power
from ..compiler.rewrite import Writer
from .context import Context

IDENTITIES = (Power(),)


def remove_dropout(graph: Graph, context: Context) -> Graph:
    writer = Writer(graph)
    renamed = inherited_names(graph)
    for node in graph.nodes:
        if is_identity(node):
            context.did(node, f"{node.op.name} is the identity at inference")
            writer[node.output] = writer[node.inputs[0]]
            continue
        for value in node.results:
            if value in renamed:
                writer[value] = replace(value, name=renamed[value])
        results = tuple(writer[v] for v in node.results)
        writer.add(Node(node.op, tuple(writer[v] for v in node.inputs), results, node.loc))
    return writer.finish() if any(map(is_identity, graph.nodes)) else graph


def is_identity(node: Node) -> bool:
    return isinstance(node.op, Dropout) or node.op in IDENTITIES


def inherited_names(graph: Graph) -> dict[Value, str]:
    """The new names of values whose only consumer is an identity: the name of that node."""
    names: dict[Value, str] = {}
    for node in reversed(graph.nodes):
        source = node.inputs[0] if node.inputs else None
        if is_identity(node) and source in graph.producer and graph.is_only_used_by(source, node):
            names[source] = names.get(node.output, node.name)
    return names
