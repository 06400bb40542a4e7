"""Fold per-channel affine layers into the convolutions or matrix products that consume them.

A scale in front of a convolution multiplies its weights; a shift becomes part of the bias.

    s = scale(x, gamma, beta)         y = conv(x, w.folded, b.folded)
    y = conv(s, w, b)           =>

A padding convolution pads the layer's result with zeros: then only a layer that maps zero to zero (no shift) can be
folded. Computed in float64. Shape-only consumers (prior_box) read x instead. Left alone: a layer with other consumers
or that is an output, and weights that are not constant.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..compiler.ir import Constant, Graph, Node
from ..compiler.ops.channels import Affine
from ..compiler.ops.conv import Conv
from ..compiler.ops.dense import Linear
from ..compiler.rewrite import UniqueNames, Writer, make_constant
from .affine import are_constants, coefficients, row_chunks
from .context import Context


def fold_forward(graph: Graph, context: Context) -> Graph:
    while (made := fold_once(graph, context)) is not graph:
        graph = made
    return graph


def fold_once(graph: Graph, context: Context) -> Graph:
    """Fold every layer that can be. This may enable folding of others, hence the loop in the caller."""
    folded = {n.output: n for n in graph.nodes if isinstance(n.op, Affine) and can_fold_forward(n, graph, context)}
    if not folded:
        return graph
    writer, names = Writer(graph), UniqueNames(graph)
    made: dict[tuple[object, ...], tuple[Constant, Constant]] = {}
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else None
        if node.op.shape_only:
            writer.copy(replace(node, inputs=tuple(folded[v].inputs[0] if v in folded else v for v in node.inputs)))
            continue
        if source not in folded:
            writer.copy(node)
            continue
        layer = folded[source]
        key = (layer.op, layer.inputs[1:], node.op, node.inputs[1:])
        if key not in made:
            made[key] = fold_parameters(layer, node, names)
        x = writer[layer.inputs[0]]
        writer[node.output] = writer.emit(node.op, x, *made[key], name=node.name, loc=node.loc)
        context.did(node, f"{layer.op.name} {layer.name} folded into the {node.op.name} that reads it")
    return writer.finish()


def can_fold_forward(layer: Node, graph: Graph, context: Context) -> bool:
    """True if an affine layer can be folded into all its consumers, shape-only ones aside."""
    readers = [n for n in graph.users[layer.output] if not n.op.shape_only]
    if not readers or not all(isinstance(n.op, Conv | Linear) and n.inputs.count(layer.output) == 1 for n in readers):
        return False
    if layer.output in graph.output_set:
        context.declined(layer, "not folded forward: it is an output of the net")
        return False
    if not are_constants(layer.inputs[1:]) or not all(are_constants(n.inputs[1:]) for n in readers):
        return False
    channel = layer.inputs[1].type.dims == layer.output.type.dims[1:2] and layer.op.all_attributes()["axis"] == 1
    if not channel or any(isinstance(n.op, Linear) and n.op.axis != 1 for n in readers):
        context.declined(layer, "not folded forward: it has not one constant per channel")
        return False
    if not all(numbers.isfinite().all() for numbers in coefficients(layer)):
        context.declined(layer, "not folded forward: a factor or a shift of it is infinite or NaN")
        return False
    shifts = bool(coefficients(layer)[1].any())
    padded = [n for n in readers if isinstance(n.op, Conv) and any(n.op.pad)]
    if shifts and padded:
        context.declined(layer, f"not folded forward: {padded[0].name} pads with zeros, which the shift would change")
        return False
    return True


def fold_parameters(layer: Node, reader: Node, names: UniqueNames) -> tuple[Constant, Constant]:
    """The consumer's weight and bias with the layer folded in, computed in chunks of rows (see `row_chunks`)."""
    weight, *rest = (v for v in reader.inputs[1:] if isinstance(v, Constant))
    transposed = isinstance(reader.op, Linear) and reader.op.transpose
    made = torch.empty_like(weight.data)
    before, after = (weight.data.T, made.T) if transposed else (weight.data, made)
    a, b = coefficients(layer)
    channels = before.shape[1] if isinstance(reader.op, Conv) else len(a)  # input channels of each output
    bias = torch.zeros(len(before), dtype=torch.float64)
    for chunk in row_chunks(before):
        rows = before[chunk].double()
        read = rows.reshape(len(rows), channels, -1)
        group = torch.arange(len(before))[chunk] * len(a) // (channels * len(before))
        after[chunk] = (read * a.reshape(-1, channels)[group, :, None]).reshape(rows.shape)
        bias[chunk] = (read * b.reshape(-1, channels)[group, :, None]).sum((1, 2))
    if rest:
        bias += rest[0].data.double()
    first = names.fresh(f"{weight.name}.folded")
    second = names.fresh(f"{rest[0].name if rest else f'{weight.name}.bias'}.folded")
    return make_constant(first, made), make_constant(second, bias.to(made.dtype))
