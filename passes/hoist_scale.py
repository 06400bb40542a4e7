"""Hoist per-channel affine layers above a concat or a slice, to where they can be folded.

    c = concat(a, b)              a.s = scale(a, gamma[:4], beta[:4])
    s = scale(c, gamma, beta) =>  b.s = scale(b, gamma[4:], beta[4:])
                                  s = concat(a.s, b.s)

    p, q = slice(x)               x.s = scale(x, gamma + 1, beta + 0)
    s = scale(p, gamma, beta) =>  s, q = slice(x.s)

Done only if every producer above is a convolution or matrix product without other consumers, into which
`fold_batchnorm`, the next pass, folds the layers. Left alone: all others, where hoisting would add work.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..compiler.ir import Graph, Node, Value
from ..compiler.ops.channels import Affine, Scale
from ..compiler.ops.shape import Concat, Slice
from ..compiler.ops.weighted import Weighted
from ..compiler.rewrite import UniqueNames, Writer, make_constant
from .affine import are_constants, coefficients, has_infinite
from .context import Context


def hoist_scale(graph: Graph, context: Context) -> Graph:
    while (made := hoist_once(graph, context)) is not graph:
        graph = made
    return graph


def hoist_once(graph: Graph, context: Context) -> Graph:
    """Hoist every layer above one concat or slice. The caller repeats this until nothing moves."""
    through = {n.inputs[0]: n for n in graph.nodes if can_hoist_through_concat(n, graph)}
    out_of = {n: layers for n in graph.nodes if (layers := layers_behind_slice(n, graph))}
    if not through and not out_of:
        return graph
    absorbed = {*through.values(), *(n for layers in out_of.values() for n in layers.values())}
    writer, names = Writer(graph), UniqueNames(graph)
    for node in graph.nodes:
        if node.results[0] in through:
            hoist_through_concat(node, through[node.output], writer, names)
            context.did(through[node.output], f"hoisted above the concat {node.name}")
        elif node in out_of:
            hoist_above_slice(node, out_of[node], writer, names)
            context.did(node, f"{', '.join(n.name for n in out_of[node].values())} hoisted above the slice")
        elif node not in absorbed:
            writer.copy(node)
    return writer.finish()


def is_channel_affine(node: Node) -> bool:
    """True for an affine layer with one constant and finite a and b per channel of axis 1."""
    if not isinstance(node.op, Affine) or node.op.axis != 1:
        return False
    shapes = {v.type.dims for v in node.inputs[1:]}
    if not are_constants(node.inputs[1:]) or shapes != {node.output.type.dims[1:2]}:
        return False
    return not has_infinite(*(numbers.float() for numbers in coefficients(node)))


def can_absorb(value: Value, reader: Node, graph: Graph) -> bool:
    """True if an affine layer of this value can be folded into its producer, perhaps through other affine layers."""
    maker = graph.producer.get(value)
    while maker is not None and is_channel_affine(maker) and graph.is_only_used_by(value, reader):
        value, reader = maker.inputs[0], maker
        maker = graph.producer.get(value)
    return (
        maker is not None
        and isinstance(maker.op, Weighted)
        and are_constants(maker.inputs[1:])
        and graph.is_only_used_by(value, reader)
    )


def can_hoist_through_concat(node: Node, graph: Graph) -> bool:
    above = graph.producer.get(node.inputs[0]) if node.inputs else None
    if (
        above is None
        or not is_channel_affine(node)
        or not isinstance(above.op, Concat)
        or not graph.is_only_used_by(above.output, node)
    ):
        return False
    distinct = len(set(above.inputs)) == len(above.inputs)
    first_axis = above.op.axis % above.output.type.rank == 1
    return distinct and first_axis and all(can_absorb(v, above, graph) for v in above.inputs)


def layers_behind_slice(node: Node, graph: Graph) -> dict[Value, Node]:
    """The affine layer of each result of a slice that has it as only consumer; {} if hoisting would not remove it."""
    if not isinstance(node.op, Slice) or node.op.axis % node.inputs[0].type.rank != 1:
        return {}
    if not can_absorb(node.inputs[0], node, graph):
        return {}
    found = {v: graph.users[v][0] for v in node.results if graph.users[v] and is_channel_affine(graph.users[v][0])}
    return {v: n for v, n in found.items() if graph.is_only_used_by(v, n) and n.inputs[0] is v}


def emit_scale(value: Value, a: torch.Tensor, b: torch.Tensor, writer: Writer, names: UniqueNames, node: Node) -> Value:
    gamma = make_constant(names.fresh(f"{value.name}.gamma"), a.float())
    beta = make_constant(names.fresh(f"{value.name}.beta"), b.float())
    return writer.emit(Scale(), value, gamma, beta, name=names.fresh(f"{value.name}.s"), loc=node.loc)


def hoist_through_concat(concat: Node, layer: Node, writer: Writer, names: UniqueNames) -> None:
    """Emit the concat of scaled operands; its result takes the layer's name."""
    a, b = coefficients(layer)
    sizes = [v.type.bounds[1] for v in concat.inputs]
    parts = zip(concat.inputs, torch.split(a, sizes), torch.split(b, sizes), strict=True)
    inputs = [emit_scale(writer[v], x, y, writer, names, layer) for v, x, y in parts]
    writer[layer.output] = writer.emit(concat.op, *inputs, name=layer.name, loc=concat.loc)


def hoist_above_slice(node: Node, layers: dict[Value, Node], writer: Writer, names: UniqueNames) -> None:
    """Emit the slice of a scaled value; each result that had a layer takes the layer's name."""
    sizes = [v.type.bounds[1] for v in node.results]
    ones = [(torch.ones(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)) for n in sizes]
    pairs = [coefficients(layers[v]) if v in layers else ones[i] for i, v in enumerate(node.results)]
    a, b = (torch.cat(numbers) for numbers in zip(*pairs, strict=True))
    whole = emit_scale(writer[node.inputs[0]], a, b, writer, names, node)
    results = tuple(replace(v, name=layers[v].name) if v in layers else v for v in node.results)
    writer.add(Node(node.op, (whole,), results, node.loc))
    for old, new in zip(node.results, results, strict=True):
        writer[layers[old].output if old in layers else old] = new
