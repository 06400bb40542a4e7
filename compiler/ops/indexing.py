"""Operators that select, repeat or permute elements."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from ..op import Ints, Op, Trait, op, per_axis
from ..types import AtMost, TensorType, upper_bound
from .dense import axis_of
from .image import plural


@op("transpose")
class Transpose(Op):
    """Permute the dimensions: dimension i of the result is dimension `order[i]` of x."""

    order: tuple[int, ...]
    traits = frozenset({Trait.LAYOUT_AGNOSTIC, Trait.ANY_SIZE})

    def infer(self, x: TensorType) -> TensorType:
        if sorted(self.order) != list(range(x.rank)):
            raise ValueError(f"order {list(self.order)} does not name each of the {plural(x.rank, 'dimension')} once")
        return x.with_shape(*(x.dims[i] for i in self.order))

    def axis_permutation(self, rank: int) -> Ints:
        return self.order

    def reference(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


@op("flip")
class Flip(Op):
    """Reverse the order of the elements along each of `axes`."""

    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        named = [axis_of(axis, x) for axis in self.axes]
        if not named or len(set(named)) < len(named):
            raise ValueError(f"axes {list(self.axes)} has to name one or more axes, each once")
        for axis in named:
            if isinstance(x.dims[axis], AtMost):
                raise ValueError(f"dimension {axis} of {x} has to be known before the net runs")
        return x

    def reference(self, x: Tensor) -> Tensor:
        return x.flip(self.axes)


@op("reorg")
class Reorg(Op):
    """Reorganize an image by a stride s into s² times the channels; with `reverse`, back from them (Darknet's reorg).

    [n, c, h, w] becomes [n, c·s², h / s, w / s]: the elements are taken, in their order, for c / s² channels of images
    of h·s by w·s pixels; pixel (y, x) of each s by s block there is in channel (y·s + x)·c / s² of [n, c, h, w], whose
    elements, in their order, are the result's. So no element stays with its neighbours, as in Darknet.
    """

    stride: int
    reverse: bool = False

    def infer(self, x: TensorType) -> TensorType:
        if x.rank != 4:
            raise ValueError(f"it takes images [n, c, h, w], not {x}")
        s, (channels, high, wide) = self.stride, x.with_shape(*x.dims[1:]).shape
        if s < 1:
            raise ValueError(f"stride is 1 or more, not {s}")
        if channels % s**2 or (not self.reverse and (high % s or wide % s)):
            raise ValueError(f"{x} cannot be divided by {s}: its channels by {s**2}, its height and width by {s}")
        if self.reverse:
            return x.with_shape(x.dims[0], channels // s**2, high * s, wide * s)
        return x.with_shape(x.dims[0], channels * s**2, high // s, wide // s)

    def reference(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        s = self.stride
        if self.reverse:
            return x.reshape(n, s, s, c // s**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // s**2, h * s, w * s)
        return x.reshape(n, c // s**2, h, s, w, s).permute(0, 3, 5, 1, 2, 4).reshape(n, c * s**2, h // s, w // s)


@op("crop", operands=(1, 2))
class Crop(Op):
    """Crop x along the axes from `axis` on to the sizes of `like`, starting at `offset` (Caffe, crop_layer.cpp).

    Only the shape of the second operand, `like`, is used; without it the sizes are `sizes`, one for each of those axes.
    A single number in `offset` applies to all of them.
    """

    axis: int = 2
    offset: Ints = (0,)
    sizes: tuple[int, ...] = ()

    def infer(self, x: TensorType, like: TensorType | None = None) -> TensorType:
        axis = axis_of(self.axis, x)
        if like is None and len(self.sizes) != x.rank - axis:
            raise ValueError(f"sizes has {len(self.sizes)} numbers, and {x} has {x.rank - axis} axes from {axis} on")
        if like is not None and like.rank < x.rank:
            raise ValueError(f"the second operand gives the sizes of axes {axis} to {x.rank - 1}, and it is {like}")
        wanted = self.sizes if like is None else like.dims[axis : x.rank]
        for i, (start, size) in enumerate(zip(self.starts(x.rank), wanted, strict=True), axis):
            has = x.with_shape(x.dims[i]).shape[0]
            if start < 0 or upper_bound(size) < 1 or start + upper_bound(size) > has:
                raise ValueError(f"axis {i} has size {has}: it cannot be cropped to {size} from {start} on")
        return x.with_shape(*x.dims[:axis], *wanted)

    def starts(self, rank: int) -> Ints:
        """The first index that is kept, for each axis from `axis` on."""
        return per_axis(self.offset, rank - self.axis % rank, "offset")

    def reference(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        axis = self.axis % x.ndim
        sizes = self.sizes if like is None else like.shape[axis : x.ndim]
        for i, (start, size) in enumerate(zip(self.starts(x.ndim), sizes, strict=True), axis):
            x = x.narrow(i, start, size)
        return x


@op("tile")
class Tile(Op):
    """Repeat x `tiles` times along `axis` (Caffe, tile_layer.cpp)."""

    tiles: int
    axis: int = 1

    def infer(self, x: TensorType) -> TensorType:
        axis = axis_of(self.axis, x)
        if self.tiles < 1:
            raise ValueError(f"tiles is 1 or more, not {self.tiles}")
        (size,) = x.with_shape(x.dims[axis]).shape
        return x.with_shape(*x.dims[:axis], size * self.tiles, *x.dims[axis + 1 :])

    def reference(self, x: Tensor) -> Tensor:
        return torch.cat([x] * self.tiles, self.axis)


@op("gather", operands=2)
class Gather(Op):
    """Replace each element of `index`, truncated to an integer, by that row of `table`.

    Operands: table [rows, ...] and index [...]; the result has the dimensions of the index, then those of a row.
    ValueError at run time for an index outside of the table; Caffe reads out of bounds there.
    """

    def infer(self, table: TensorType, index: TensorType) -> TensorType:
        if table.rank < 1:
            raise ValueError(f"{table} has no rows")
        return table.with_shape(*index.dims, *table.dims[1:])

    def reference(self, table: Tensor, index: Tensor) -> Tensor:
        wanted = index.trunc() if index.is_floating_point() else index
        inside = (wanted >= 0) & (wanted < table.shape[0])
        if not inside.all():
            raise ValueError(f"an index is {wanted[~inside][0].item():g}, and the table has {table.shape[0]} rows")
        return table[wanted.long()]


@op("filter", operands=(1, None))
class Filter(Op):
    """Select rows of each operand except the last, the selector: those where the selector is not 0.

    Operands: one or more [rows, ...], and the selector, one number per row. The number of selected rows is known only
    at run time: `[?rows, ...]` (Caffe, filter_layer.cpp).
    """

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        *values, selector = operands
        if not values:
            raise ValueError("it takes one or more values and a selector")
        if selector.rank < 1 or prod(selector.with_shape(*selector.dims[1:]).shape) != 1:
            raise ValueError(f"the selector is one number for each row, not {selector}")
        rows = selector.dims[0]
        for i, x in enumerate(values):
            if x.rank < 1 or x.dims[0] != rows:
                raise ValueError(f"operand {i + 1} is {x}, and the selector has {rows} rows")
        return tuple(x.with_shape(AtMost(upper_bound(rows)), *x.dims[1:]) for x in values)

    def reference(self, *operands: Tensor) -> tuple[Tensor, ...]:
        *values, selector = operands
        chosen = selector.flatten() != 0
        return tuple(x[chosen] for x in values)
