"""Push per-channel layers up through a concat, and out of the pieces of a slice, to where they can be folded.

    c = concat(a, b)              a.s = scale(a, gamma[:4], beta[:4])
    s = scale(c, gamma, beta) =>  b.s = scale(b, gamma[4:], beta[4:])
                                  s = concat(a.s, b.s)

    p, q = slice(x)               x.s = scale(x, gamma + 1, beta + 0)
    s = scale(p, gamma, beta) =>  s, q = slice(x.s)

Done only where everything above is a convolution or matrix product that nobody else reads, so that `fold_batchnorm`,
which comes next, makes the layers vanish. Left alone: everything else, where it would only be more work.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..compiler.ir import Graph, Node, Value
from ..compiler.ops.channels import Affine, Scale
from ..compiler.ops.shape import Concat, Slice
from ..compiler.ops.weighted import Weighted
from ..compiler.rewrite import Names, Writer, constant
from .affine import coefficients, known
from .context import Context


def push_scale(graph: Graph, context: Context) -> Graph:
    while (made := pushed_once(graph, context)) is not graph:
        graph = made
    return graph


def pushed_once(graph: Graph, context: Context) -> Graph:
    """Every layer one join or cut further up; the next behind it can follow."""
    through = {n.inputs[0]: n for n in graph.nodes if passes_concat(n, graph)}
    out_of = {n: layers for n in graph.nodes if (layers := behind_pieces(n, graph))}
    if not through and not out_of:
        return graph
    absorbed = {*through.values(), *(n for layers in out_of.values() for n in layers.values())}
    writer, names = Writer(graph), Names(graph)
    for node in graph.nodes:
        if node.results[0] in through:
            joined(node, through[node.output], writer, names)
            context.did(through[node.output], f"pushed through the concat {node.name}")
        elif node in out_of:
            cut(node, out_of[node], writer, names)
            context.did(node, f"{', '.join(n.name for n in out_of[node].values())} pushed above the slice")
        elif node not in absorbed:
            writer.copy(node)
    return writer.finish()


def layer(node: Node) -> bool:
    """Is it one constant a and b for each channel of axis 1?"""
    if not isinstance(node.op, Affine) or node.op.axis != 1:
        return False
    shapes = {v.type.dims for v in node.inputs[1:]}
    return known(node.inputs[1:]) and shapes == {node.output.type.dims[1:2]}


def takes_in(value: Value, reader: Node, graph: Graph) -> bool:
    """Can a layer behind this value be folded into what makes it, or into what other layers behind that leave?"""
    maker = graph.producer.get(value)
    while maker is not None and layer(maker) and graph.only_feeds(value, reader):
        value, reader = maker.inputs[0], maker
        maker = graph.producer.get(value)
    return (
        maker is not None
        and isinstance(maker.op, Weighted)
        and known(maker.inputs[1:])
        and graph.only_feeds(value, reader)
    )


def passes_concat(node: Node, graph: Graph) -> bool:
    above = graph.producer.get(node.inputs[0]) if node.inputs else None
    if above is None or not layer(node) or not isinstance(above.op, Concat) or not graph.only_feeds(above.output, node):
        return False
    distinct = len(set(above.inputs)) == len(above.inputs)
    first_axis = above.op.axis % above.output.type.rank == 1
    return distinct and first_axis and all(takes_in(v, above, graph) for v in above.inputs)


def behind_pieces(node: Node, graph: Graph) -> dict[Value, Node]:
    """For the pieces of a slice that only a layer reads, that layer; nothing if it would not pay."""
    if not isinstance(node.op, Slice) or node.op.axis % node.inputs[0].type.rank != 1:
        return {}
    if not takes_in(node.inputs[0], node, graph):
        return {}
    found = {v: graph.users[v][0] for v in node.results if graph.users[v] and layer(graph.users[v][0])}
    return {v: n for v, n in found.items() if graph.only_feeds(v, n) and n.inputs[0] is v}


def scaled(value: Value, a: torch.Tensor, b: torch.Tensor, writer: Writer, names: Names, node: Node) -> Value:
    gamma = constant(names.fresh(f"{value.name}.gamma"), a.float())
    beta = constant(names.fresh(f"{value.name}.beta"), b.float())
    return writer.emit(Scale(), value, gamma, beta, name=names.fresh(f"{value.name}.s"), loc=node.loc)


def joined(concat: Node, layer: Node, writer: Writer, names: Names) -> None:
    """The concat of scaled operands, under the layer's name."""
    a, b = coefficients(layer)
    sizes = [v.type.bounds[1] for v in concat.inputs]
    parts = zip(concat.inputs, torch.split(a, sizes), torch.split(b, sizes), strict=True)
    inputs = [scaled(writer[v], x, y, writer, names, layer) for v, x, y in parts]
    writer[layer.output] = writer.emit(concat.op, *inputs, name=layer.name, loc=concat.loc)


def cut(node: Node, layers: dict[Value, Node], writer: Writer, names: Names) -> None:
    """The slice of a scaled value; each piece that had a layer takes the layer's name."""
    sizes = [v.type.bounds[1] for v in node.results]
    ones = [(torch.ones(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)) for n in sizes]
    pairs = [coefficients(layers[v]) if v in layers else ones[i] for i, v in enumerate(node.results)]
    a, b = (torch.cat(numbers) for numbers in zip(*pairs, strict=True))
    whole = scaled(writer[node.inputs[0]], a, b, writer, names, node)
    results = tuple(replace(v, name=layers[v].name) if v in layers else v for v in node.results)
    writer.add(Node(node.op, (whole,), results, node.loc))
    for old, new in zip(node.results, results, strict=True):
        writer[layers[old].output if old in layers else old] = new
