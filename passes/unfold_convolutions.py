"""Unfold the rows of an image of few channels, so that its convolution has channels enough for a target's kernels.

    y = conv(x, w, stride=2, pad=3)   =>   x.rows = im2col(x, kernel=[1, 7], stride=[1, 2], pad=[0, 3], channels=24)
                                           y = conv(x.rows, w.rows, stride=[2, 1], pad=[3, 0])

A pixel of the rows holds what one row of a window reads; the weight is reordered alike, and has zeros for the channels
that fill them up. The products are the same, and so are the pixels that each result depends on. Where the stride does
not divide the height, the rows hold the padding above, and below as many rows as make it divisible. Left alone:
convolutions with groups, of other than two image axes, with dilated columns, with strides that the height could only
be cut to, and those for which the target expects no gain.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from ..compiler.ir import Constant, Graph, Node
from ..compiler.op import Ints
from ..compiler.ops.conv import Conv, Im2col
from ..compiler.rewrite import UniqueNames, Writer, make_constant
from .context import Context


class Unfolding(NamedTuple):
    """The operators that replace a convolution."""

    rows: Im2col
    conv: Conv


def unfold_convolutions(graph: Graph, context: Context) -> Graph:
    found = {node: unfolding for node in graph.nodes if (unfolding := unfold(node, context)) is not None}
    if not found:
        return graph
    writer, names = Writer(graph), UniqueNames(graph)
    for node in graph.nodes:
        if node not in found:
            writer.copy(node)
            continue
        (x, weight, *bias), (rows, conv) = node.inputs, found[node]
        assert isinstance(weight, Constant)
        unfolded = writer.emit(rows, writer[x], name=names.fresh(f"{x.name}.rows"), loc=node.loc)
        operands = make_constant(names.fresh(f"{weight.name}.rows"), reorder(weight, rows.channels))
        writer[node.output] = writer.emit(
            conv, unfolded, operands, *(writer[b] for b in bias), name=node.name, loc=node.loc
        )
        context.did(node, f"reads the rows of {x.name}, unfolded to {rows.channels} channels")
    return writer.finish()


def unfold(node: Node, context: Context) -> Unfolding | None:
    """The operators that replace a node; None if it is left alone."""
    op = node.op
    if not isinstance(op, Conv) or op.groups != 1 or node.output.type.rank != 4 or node.inputs[0].layout:
        return None
    x, weight, y = node.inputs[0], node.inputs[1], node.output
    (stride, _, dilation), (before, after) = op.geometry(2), op.pads(2)
    bound = isinstance(weight, Constant) and weight.is_bound
    if not bound or not x.type.is_static or dilation[1] != 1 or weight.type.shape[3] == 1:
        return None
    channels = context.target.unfolded_channels(node)
    if not channels:
        return None
    height, window = x.type.shape[2], weight.type.shape[2]
    rows_pad, kept_pad = (0, 0), (before[0], after[0])
    if height % stride[0]:
        reach = (y.type.shape[2] - 1) * stride[0] + dilation[0] * (window - 1) + 1
        below = -(-reach // stride[0]) * stride[0] - height - before[0]
        if below < 0:
            context.declined(node, "is not unfolded: its stride would divide the height only without the last rows")
            return None
        rows_pad, kept_pad = (before[0], below), (0, 0)
    rows = Im2col(
        kernel=(1, weight.type.shape[3]),
        stride=(1, stride[1]),
        pad=sides(rows_pad[0], before[1], rows_pad[1], after[1]),
        channels=channels,
    )
    conv = Conv(stride=(stride[0], 1), pad=sides(kept_pad[0], 0, kept_pad[1], 0), dilation=(dilation[0], 1))
    return Unfolding(rows, conv)


def sides(top: int, left: int, bottom: int, right: int) -> Ints:
    """Padding in the shortest form."""
    return (top, left) if (top, left) == (bottom, right) else (top, left, bottom, right)


def reorder(weight: Constant, channels: int) -> Tensor:
    """The weight [o, c, r, s] as [o, channels, r, 1]: channel c · s, in this order, then zeros."""
    o, c, r, s = weight.type.shape
    data = weight.data.permute(0, 1, 3, 2).reshape(o, c * s, r, 1)
    return F.pad(data, (0, 0, 0, 0, 0, channels - c * s)).contiguous()
