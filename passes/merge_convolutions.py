"""Merge convolutions of the same value into one, followed by a slice, where the target expects this to be faster.

    a = relu(conv(x, v, p))           x.all = relu(conv(x, v.w, p.q))
    b = relu(conv(x, w, q))     =>    a, b = slice(x.all, points=[64])

x is then read once, and `fuse` may fuse the slice too: the kernel stores each slice to its own place. Weights are
concatenated along the output channels. Consumers common to all branches are applied once, to the merged result; ReLUs
on some branches only become one `at_least` with a bound per channel. Left alone: a convolution that differs from the
others in more than its output channels, has groups or non-constant weights, or is followed by an elementwise layer
that could not be fused into any other producer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from ..compiler.ir import Constant, Graph, Node, Value
from ..compiler.kernel import build_unnamed_kernel
from ..compiler.op import Elementwise, Op
from ..compiler.ops.activation import AtLeast, Relu
from ..compiler.ops.conv import Conv
from ..compiler.ops.shape import Slice
from ..compiler.rewrite import UniqueNames, Writer, make_constant
from ..compiler.types import DTYPES
from .affine import are_constants
from .context import Context
from .fuse import can_anchor


class MergedLayer(NamedTuple):
    """A layer of the merged result: its operator, its per-channel constants, and the branches' layers it replaces."""

    op: Op
    numbers: list[Tensor]
    layers: Sequence[Node | None]


@dataclass(slots=True)
class Branches:
    """Convolutions to merge, the merged layers after them in order, and the result of each branch (`ends`)."""

    convs: list[Node]
    ends: list[Value]
    steps: list[MergedLayer] = field(default_factory=list)

    @property
    def layers(self) -> list[Node]:
        return [*self.convs, *(n for step in self.steps for n in step.layers if n is not None)]


def merge_convolutions(graph: Graph, context: Context) -> Graph:
    merged = (select_branches(convs, graph, context) for convs in find_candidates(graph))
    found = {b.convs[0]: b for b in merged if b is not None}
    if not found:
        return graph
    gone = {n for b in found.values() for n in b.layers}
    writer, names = Writer(graph), UniqueNames(graph)
    for node in graph.nodes:
        if node in found:
            merge(found[node], writer, names)
            others = ", ".join(n.name for n in found[node].convs[1:])
            context.did(node, f"is merged with {others}, which also reads {node.inputs[0].name}")
        elif node not in gone:
            writer.copy(node)
    return writer.finish()


def find_candidates(graph: Graph) -> list[list[Node]]:
    """Groups of two or more convolutions of one value that differ only in their output channels."""
    groups = dict[object, list[Node]]()
    for node in graph.nodes:
        if isinstance(node.op, Conv) and node.op.groups == 1 and are_constants(node.inputs[1:]):
            x, w = node.inputs[:2]
            groups.setdefault((x, node.op, w.type.dtype, w.type.dims[1:], node.output.layout), []).append(node)
    return [convs for convs in groups.values() if len(convs) > 1]


def select_branches(convs: list[Node], graph: Graph, context: Context) -> Branches | None:
    """The convolutions of a group that are merged; None if none are."""
    groups = ([n, *(o for o in convs[i:] if context.target.merges(n, o))] for i, n in enumerate(convs, 1))
    convs, first = next((group for group in groups if len(group) > 1), []), convs[0]
    if not convs:
        context.declined(first, f"is not merged: {context.target.name} expects no gain from it")
    while len(convs) > 1:
        branches = collect_common_layers(convs, graph)
        stranded = [
            n for n, v in zip(convs, branches.ends, strict=True) if would_lose_fusion(v, branches, graph, context)
        ]
        if not stranded:
            return branches
        last = stranded[-1]  # one at a time: fused into this one, a sum no longer holds back its other operand
        context.declined(last, "is not merged: its epilogue could not be fused into any other producer")
        convs = [n for n in convs if n is not last]
    return None


def collect_common_layers(convs: list[Node], graph: Graph) -> Branches:
    """The branches with all the layers after them that can be applied to the merged result."""
    made = Branches(convs, [n.output for n in convs])
    while True:
        readers = [elementwise_consumer(v, graph) for v in made.ends]
        step = merge_same_layer(readers) or merge_relus(readers, made.ends)
        if step is None:
            return made
        made.steps.append(step)
        made.ends = [v if n is None else n.output for v, n in zip(made.ends, step.layers, strict=True)]


def elementwise_consumer(value: Value, graph: Graph) -> Node | None:
    """The only consumer of a value, if it is elementwise and its other operands are per-channel constants."""
    readers = graph.users[value]
    if len(readers) != 1 or not graph.is_only_used_by(value, readers[0]) or not isinstance(readers[0].op, Elementwise):
        return None
    node, channels = readers[0], value.type.dims[1:2]
    rest = node.inputs[1:]
    each = are_constants(rest) and all(v.type.dims == channels for v in rest)
    at_channels = not rest or getattr(node.op, "axis", None) == 1
    return node if node.inputs[0] is value and each and at_channels else None


def merge_same_layer(readers: Sequence[Node | None]) -> MergedLayer | None:
    """One layer for all branches if each has the same operator next; its constants are concatenated."""
    first = readers[0]
    if first is None or any(n is None or n.op != first.op or len(n.inputs) != len(first.inputs) for n in readers):
        return None
    rows = zip(*(n.inputs[1:] for n in readers if n is not None), strict=True)
    return MergedLayer(first.op, [torch.cat([v.data for v in row if isinstance(v, Constant)]) for row in rows], readers)


def merge_relus(readers: Sequence[Node | None], ends: Sequence[Value]) -> MergedLayer | None:
    """An `at_least` layer if some branches have a ReLU next: the bound is 0 in their channels, -inf in the others."""
    relus = [n if n is not None and n.op == Relu() else None for n in readers]
    if not any(relus):
        return None
    bounds = [
        torch.full((v.type.bounds[1],), 0.0 if relu else -inf, dtype=DTYPES[v.type.dtype])
        for relu, v in zip(relus, ends, strict=True)
    ]
    return MergedLayer(AtLeast(), [torch.cat(bounds)], relus)


def would_lose_fusion(value: Value, branches: Branches, graph: Graph, context: Context) -> bool:
    """True if the consumer of this branch could be fused into it now, and into no producer after merging."""
    node = graph.users[value][0] if graph.users[value] else None
    if node is None or not isinstance(node.op, Elementwise):
        return False

    def can_fuse_into(by: Value) -> bool:
        pair = [graph.producer[by], node] if can_anchor(by, node, graph) else []
        return bool(pair) and context.target.accepts(build_unnamed_kernel(pair, node.results)) is None

    return can_fuse_into(value) and not any(v not in branches.ends and can_fuse_into(v) for v in node.inputs)


def merge(branches: Branches, writer: Writer, names: UniqueNames) -> None:
    """Emit the merged convolution, its layers, and the slice that gives each branch its result."""
    first, convs = branches.convs[0], branches.convs
    x, layout, loc = writer[first.inputs[0]], first.output.layout, first.loc

    def concatenate(rows: Sequence[Tensor], name: str) -> Value:
        return make_constant(names.fresh(name), torch.cat(list(rows)))

    name = names.fresh(f"{x.name}.all")
    weights = [concatenate([n.inputs[1].data for n in convs if isinstance(n.inputs[1], Constant)], f"{name}.w")]
    if any(len(n.inputs) > 2 for n in convs):
        weights.append(concatenate([bias_or_zeros(n) for n in convs], f"{name}.b"))
    whole = writer.emit(first.op, x, *weights, name=name, loc=loc, layout=layout)
    for step in branches.steps:
        rest = [make_constant(names.fresh(f"{name}.{step.op.name}"), t) for t in step.numbers]
        whole = writer.emit(step.op, whole, *rest, name=names.fresh(name), loc=loc, layout=layout)
    points = tuple(accumulate(v.type.bounds[1] for v in branches.ends))[:-1]
    writer.add(Node(Slice(points=points), (whole,), tuple(branches.ends), loc))


def bias_or_zeros(conv: Node) -> Tensor:
    """A convolution's bias, or zeros [o] if it has none."""
    weight, *rest = conv.inputs[1:]
    given = next((v.data for v in rest if isinstance(v, Constant)), None)
    return torch.zeros(weight.type.bounds[0], dtype=DTYPES[weight.type.dtype]) if given is None else given
