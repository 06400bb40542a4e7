"""Layers of forks that move elements: ShuffleChannel, Reorg, DepthToSpace, Pad, Flip, Transpose; batches of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ....compiler.ir import Value
from ....compiler.ops.arithmetic import Power
from ....compiler.ops.indexing import Flip, Reorg, Transpose
from ....compiler.ops.shape import Flatten, Pad, Reshape
from ..layer import Layer, layer


def split_axis(l: Layer, x: Value, axis: int, *sizes: int) -> Value:
    """Split an axis into several; one of the sizes may be -1."""
    return l.emit(Reshape(shape=sizes, axis=axis, num_axes=1), x)


def merge_axes(l: Layer, x: Value, first: int, last: int) -> Value:
    """Merge the axes from `first` to `last`."""
    return l.emit(Flatten(axis=first, end_axis=last), x)


def require_four_axes(l: Layer, x: Value) -> None:
    if x.type.rank != 4:
        raise l.fault(f"it takes blobs of four axes, not {x.type}")


@layer("ShuffleChannel", "shuffle_channel_param")
def shuffle_channel(l: Layer, x: Value) -> Value:
    """Split the channels into `group` groups, and take one of each group in turn (shuffle_channel_layer.cpp).

    The layer of ShuffleNet (Zhang et al. 2017), in synopsys-caffe and mini-caffe.
    """
    require_four_axes(l, x)
    groups, (channels,) = l.param["group"], l.sizes(x.type.dims[1:2])
    if groups < 1 or channels % groups:
        raise l.fault(f"{channels} channels cannot be divided into {groups} groups", "group")
    parts = split_axis(l, x, 1, groups, channels // groups)
    return merge_axes(l, l.emit(Transpose(order=(0, 2, 1, 3, 4)), parts), 1, 2)


@layer("Reorg", "reorg_param")
def reorg(l: Layer, x: Value) -> Value:
    """Darknet's reorganization of an image by `stride` s into s * s times the channels, or by `reverse` back from them.

    MobileNet-YOLO's reorg_layer.hpp; synopsys-caffe's is the same for square images and a stride of 2.
    """
    l.require_new_tops()
    if l.param["stride"] < 1:
        raise l.fault("stride has to be 1 or more", "stride", "Add stride: and a number.")
    return l.emit(Reorg(stride=l.param["stride"], reverse=l.param["reverse"]), x)


@layer("DepthToSpace", "depth_to_space_param")
def depth_to_space(l: Layer, x: Value) -> Value:
    """Move channels into blocks of `block_size` x `block_size` pixels (synopsys-caffe's depth_to_space_layer.cpp).

    `data_format` is NHWC, the default: the last axis has the channels; NCHW or DCR: the second has them, the place in
    the block first; CRD: the second has them, the place in the block last.
    """
    l.require_new_tops()
    require_four_axes(l, x)
    form, s = l.param["data_format"], l.param["block_size"]
    if form not in ("NHWC", "NCHW", "DCR", "CRD"):
        raise l.fault(f"data_format is NHWC, NCHW, DCR or CRD, not {form}", "data_format")
    axis = 3 if form == "NHWC" else 1
    (channels,) = l.sizes(x.type.dims[axis : axis + 1])
    if s < 1 or channels % s**2:
        raise l.fault(f"{channels} channels cannot be divided into blocks of {s} x {s}", "block_size")
    split = (channels // s**2, s, s) if form == "CRD" else (s, s, channels // s**2)
    order = {"NHWC": (0, 1, 3, 2, 4, 5), "CRD": (0, 1, 4, 2, 5, 3)}.get(form, (0, 3, 4, 1, 5, 2))
    apart = l.emit(Transpose(order=order), split_axis(l, x, axis, *split))
    high = 1 if form == "NHWC" else 2
    return merge_axes(l, merge_axes(l, apart, high, high + 1), high + 1, high + 2)


@layer("SpaceToBatchND", "space_to_batch_nd_param")
def space_to_batch(l: Layer, x: Value) -> Value:
    """Pad the axes after the batch with zeros, and make a batch of each place in a block (space_to_batch_nd_layer.cpp).

    `block_shape` has a size for each of the axes from the second on; `paddings` two numbers for each, before and after
    (synopsys-caffe, as TensorFlow's).
    """
    blocks, pairs = block_and_pairs(l, x, "paddings")
    x = pad_inner_axes(l, x, pairs, 1)
    for i, (size, block) in enumerate(zip(l.sizes(x.type.dims[1 : 1 + len(blocks)]), blocks, strict=True)):
        if size % block:
            raise l.fault(f"axis {i + 1}, of {size} with its padding, has no whole number of blocks", "block_shape")
        x = split_axis(l, x, 1 + 2 * i, -1, block)
    m = len(blocks)
    order = (*range(2, 2 * m + 1, 2), 0, *range(1, 2 * m, 2), *range(2 * m + 1, x.type.rank))
    return merge_axes(l, l.emit(Transpose(order=order), x), 0, m)


@layer("BatchToSpaceND", "batch_to_space_nd_param")
def batch_to_space(l: Layer, x: Value) -> Value:
    """Lay the batches of each place in a block side by side, and crop (batch_to_space_nd_layer.cpp).

    The inverse of SpaceToBatchND: `crops` are what its `paddings` are.
    """
    blocks, pairs = block_and_pairs(l, x, "crops")
    m, (batch,) = len(blocks), l.sizes(x.type.dims[:1])
    if batch % prod(blocks):
        raise l.fault(f"a batch of {batch} has no whole number of blocks of {list(blocks)}", "block_shape")
    x = split_axis(l, x, 0, *blocks, -1)
    order = (m, *(axis for i in range(m) for axis in (m + 1 + i, i)), *range(2 * m + 1, x.type.rank))
    x = l.emit(Transpose(order=order), x)
    for i in range(m):
        x = merge_axes(l, x, 1 + i, 2 + i)
    return pad_inner_axes(l, x, pairs, -1)


def pad_inner_axes(l: Layer, x: Value, pairs: Sequence[tuple[int, int]], sign: int) -> Value:
    """Pad the axes after the batch by these numbers, or cut them off if `sign` is -1."""
    if not any(n for pair in pairs for n in pair):
        return x
    rest = [0] * (x.type.rank - 1 - len(pairs))
    before, after = ((0, *(sign * pair[i] for pair in pairs), *rest) for i in (0, 1))
    return l.emit(Pad(before=before, after=after), x)


def block_and_pairs(l: Layer, x: Value, field: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """`block_shape`, and the numbers in `field` in pairs, one for each block. CompileError if they do not fit x."""
    blocks, numbers = l.param["block_shape"], l.param[field]
    if not 1 <= len(blocks) < x.type.rank or min(blocks) < 1:
        raise l.fault(f"block_shape has one to {x.type.rank - 1} sizes of 1 or more for {x.type}", "block_shape")
    if len(numbers) != 2 * len(blocks):
        raise l.fault(f"{field} has two numbers for each of {len(blocks)} blocks, not {len(numbers)}", field)
    return blocks, list(zip(numbers[::2], numbers[1::2], strict=True))


@layer("Pad", "pad_param")
def pad(l: Layer, x: Value) -> Value:
    """Pad each axis by two of `paddings`, before and after, with `constant_values` (synopsys-caffe's pad_layer.cpp)."""
    numbers = l.param["paddings"]
    if len(numbers) != 2 * x.type.rank:
        raise l.fault(f"paddings has two numbers for each axis of {x.type}, not {len(numbers)}", "paddings")
    if x.type.rank == 0 or not any(numbers):
        return l.emit(Power(), x)
    return l.emit(Pad(before=numbers[::2], after=numbers[1::2], value=l.number("constant_values")), x)


@layer("Flip", "flip_param")
def flip(l: Layer, x: Value) -> Value:
    """Mirror images, by default from left to right (happynear's flip_layer.cpp)."""
    require_four_axes(l, x)
    axes = tuple(axis for axis, field in ((2, "flip_height"), (3, "flip_width")) if l.param[field])
    return l.emit(Flip(axes=axes) if axes else Power(), x)


@layer("Transpose", "transpose_param")
def transpose(l: Layer, x: Value) -> Value:
    """Axis i of the top is axis dim[i] of the bottom (CTPN's transpose_layer.cpp)."""
    l.require_new_tops()
    order = l.param["dim"]
    if sorted(order) != list(range(x.type.rank)):
        raise l.fault(f"dim is {list(order)}, and has to name each axis of {x.type} once", "dim")
    return l.emit(Transpose(order=order), x)
