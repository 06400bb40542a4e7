"""Fold per-channel affine layers into the convolution, deconvolution or matrix product that produces their operand.

A trained BatchNorm, like a Scale, is a·x + b for each channel. A convolution is linear, so the two
together are one convolution, with weight a·w and bias a·c + b.

    c = conv(x, w)                          s = conv(x, w.folded, bias.folded)
    n = batch_norm(c, mean, variance)   =>
    s = scale(n, gamma, beta)

Without such a producer, consecutive affine layers become one:

    n = batch_norm(x, mean, variance)   =>  s = scale(x, a, b)
    s = scale(n, gamma, beta)

Computed in float64, stored as float32. A weight that several layers read is folded once if all agree on the result,
else each gets a copy of its own. Duplicate consumers, that is layers of one value with equal constants, are merged
into one.

Left alone: a layer whose operand has other consumers or is an output, and weights that are not constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..compiler.ir import Constant, Graph, Node, Value
from ..compiler.ops.channels import Affine, BatchNorm, Scale
from ..compiler.ops.weighted import Weighted
from ..compiler.rewrite import UniqueNames, Writer, make_constant
from ..compiler.types import DTYPES
from .affine import are_constants, coefficients, constant_data, has_infinite, row_chunks
from .context import Context

Constants = dict[tuple[object, ...], tuple[Constant, Constant]]


@dataclass(frozen=True, slots=True)
class Chain:
    """An anchor and the affine nodes after it that become one node; each of `duplicates` equals one of `layers`."""

    anchor: Node
    layers: tuple[Node, ...]
    duplicates: tuple[Node, ...] = ()
    ends: tuple[Value, ...] = ()  # the results of the last layer and of its duplicates

    @property
    def last(self) -> Node:
        return (self.anchor, *self.layers)[-1]


def fold_batchnorm(graph: Graph, context: Context) -> Graph:
    chains = {c.anchor: c for c in find_chains(graph, context)}
    absorbed = {n for c in chains.values() for n in (*c.layers, *c.duplicates)}
    if not chains:
        return graph
    writer, names, made = Writer(graph), UniqueNames(graph), Constants()
    needed = {v for n in graph.nodes if n not in chains and n not in absorbed for v in n.inputs}
    for node in graph.nodes:
        chain = chains.get(node)
        if chain is not None and fold(chain, writer, names, made, needed, context):
            continue
        if chain is not None:
            context.declined(chain.last, f"not folded into {node.op.name}: a weight would be infinite")
            absorbed.difference_update(chain.layers, chain.duplicates)
        if node not in absorbed:
            writer.copy(node)
    return writer.finish()


def find_chains(graph: Graph, context: Context) -> list[Chain]:
    chains, taken = list[Chain](), set[Node]()
    for node in graph.nodes:
        if node in taken or not can_fold_into(node):
            continue
        chain = grow_chain(node, graph, context)
        taken.update(chain.layers, chain.duplicates)
        if chain.layers or isinstance(node.op, BatchNorm):
            chains.append(chain)
    return chains


def can_fold_into(node: Node) -> bool:
    """True if an affine layer may be folded into this node, its consumers aside."""
    return isinstance(node.op, Weighted | Affine) and are_constants(node.inputs[1:])


def grow_chain(anchor: Node, graph: Graph, context: Context) -> Chain:
    """Follow affine consumers while each is, apart from duplicates, the only consumer of its operand."""
    layers, duplicates, values = list[Node](), list[Node](), [anchor.output]

    def chain() -> Chain:
        return Chain(anchor, tuple(layers), tuple(duplicates), tuple(values))

    while True:
        readers = list(dict.fromkeys(n for v in values for n in graph.users[v]))
        reader = next((n for n in readers if isinstance(n.op, Affine) and n.inputs[0] in values), None)
        if reader is None:
            return chain()
        others = [n for n in readers if n is not reader]
        different = [n for n in others if not (n.inputs[0] in values and is_duplicate(n, reader))]
        returned = [v for v in values if v in graph.output_set]
        if different or returned:
            read = "is also read by " + ", ".join(n.name for n in different)
            why = f"{returned[0].name} is an output of the net" if returned else f"{reader.inputs[0].name} {read}"
            context.declined(reader, f"not folded into {anchor.op.name}: {why}")
            return chain()
        if not are_constants(reader.inputs[1:]) or not matches_output_channels(anchor, reader):
            context.declined(reader, f"not folded into {anchor.op.name}: it has not one constant per channel")
            return chain()
        for node in others:
            context.did(node, f"is the same as {reader.name}: an equal {node.op.name} of {reader.inputs[0].name}")
        layers.append(reader)
        duplicates += others
        values = [n.output for n in (reader, *others)]


def is_duplicate(a: Node, b: Node) -> bool:
    """True if two layers have the same operator and equal constants, byte for byte."""
    if (
        a.op != b.op
        or not are_constants(a.inputs[1:])
        or not are_constants(b.inputs[1:])
        or len(a.inputs) != len(b.inputs)
    ):
        return False
    pairs = zip(a.inputs[1:], b.inputs[1:], strict=True)
    return all(isinstance(v, Constant) and isinstance(w, Constant) and v.digest == w.digest for v, w in pairs)


def matches_output_channels(anchor: Node, layer: Node) -> bool:
    """True if the layer has one coefficient per output channel of the anchor, or one for all."""
    rank, shape = anchor.output.type.rank, layer.inputs[1].type.dims
    assert isinstance(layer.op, Affine)
    axis = layer.op.axis % rank if shape else 0
    if isinstance(anchor.op, Affine):
        mine = anchor.inputs[1].type.dims
        return mine == shape and (not shape or anchor.op.axis % rank == layer.op.axis % rank)
    assert isinstance(anchor.op, Weighted)
    return not shape or (axis == anchor.op.channel_axis(rank) and len(shape) == 1)


def fold(chain: Chain, out: Writer, names: UniqueNames, made: Constants, needed: set[Value], context: Context) -> bool:
    """Emit the chain as one node; False, and nothing emitted, if one of its numbers would be infinite.

    `needed`: values that other nodes read, unfolded or in another fold.
    """
    anchor, last = chain.anchor, chain.last
    a, b = compose(chain.layers)
    op, weight, bias = anchor.op, anchor.inputs[1] if len(anchor.inputs) > 1 else None, anchor.inputs[2:]
    key = (op, anchor.inputs[1:], *((n.op, n.inputs[1:]) for n in chain.layers))
    if key not in made:
        assert isinstance(weight, Constant)
        dtype = DTYPES[anchor.output.type.dtype]  # not the weight's: preprocessing is written in f64
        w, c = (numbers.to(dtype) for numbers in fold_weights(anchor, a, b))
        if has_infinite(a, b, w, c):
            return False
        if weight in needed and not isinstance(op, Affine):
            more = f"{weight.type.nbytes} bytes more"
            context.did(weight, f"is shared, and folding {last.name} into it needs a copy: {more}")
        needed.add(weight)
        if isinstance(op, Affine):
            first, second = f"{last.name}.gamma", f"{last.name}.beta"
        else:
            first, second = f"{weight.name}.folded", f"{bias[0].name if bias else f'{weight.name}.bias'}.folded"
        first, second = names.fresh(first), names.fresh(second)
        made[key] = make_constant(first, w), make_constant(second, c)
    if isinstance(op, Affine):
        op = Scale(axis=op.axis)
    inputs = (out[anchor.inputs[0]], *made[key])
    made_once = out.emit(op, *inputs, name=last.name, loc=anchor.loc)
    for value in chain.ends:
        out[value] = made_once
    layers = " and ".join(n.op.name for n in chain.layers)
    context.did(last, f"{layers} folded into {anchor.op.name}" if layers else f"{anchor.op.name} is one scale")
    return True


def compose(layers: tuple[Node, ...]) -> tuple[Tensor, Tensor]:
    """The coefficients a and b of the composed layers, in float64."""
    a, b = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for node in layers:
        scale, shift = coefficients(node)
        a, b = a * scale, b * scale + shift
    return a, b


def fold_weights(anchor: Node, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of the anchor followed by a·y + b. The bias is float64, the weight in its own dtype."""
    if isinstance(anchor.op, Affine):
        scale, shift = coefficients(anchor)
        return scale * a, shift * a + b
    assert isinstance(anchor.op, Weighted)
    made = anchor.output.type
    (outputs,) = made.with_shape(made.dims[anchor.op.channel_axis(made.rank)]).shape
    a, b = a.expand(outputs), b.expand(outputs)
    weight, bias = anchor.inputs[1], constant_data(anchor.inputs[2:])
    assert isinstance(weight, Constant)
    return multiply_rows(weight.data, anchor.op.factors(weight.type.shape, a)), (bias[0] * a if bias else 0) + b


def multiply_rows(weight: Tensor, factors: Tensor) -> Tensor:
    """weight · factors, computed in the factors' dtype, stored in the weight's."""
    made, factors = torch.empty_like(weight), factors.expand(-1, *weight.shape[1:])
    for rows in row_chunks(weight):
        made[rows] = weight[rows] * (factors if len(factors) == 1 else factors[rows])
    return made
