"""Operators that move or reinterpret elements without computing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod

import torch
from torch import Tensor

from ..op import Ints, Op, Trait, op
from ..types import AtMost, Dim, TensorType, upper_bound
from .dense import axis_of


@op("concat", operands=(1, None))
class Concat(Op):
    """Concatenate the operands along `axis`."""

    axis: int = 1
    traits = frozenset({Trait.JOINS, Trait.ANY_SIZE})

    def infer(self, *operands: TensorType) -> TensorType:
        first, axis = operands[0], axis_of(self.axis, operands[0])
        total = 0
        for i, type in enumerate(operands):
            others = (*first.dims[:axis], *first.dims[axis + 1 :])
            if type.rank != first.rank or (*type.dims[:axis], *type.dims[axis + 1 :]) != others:
                differ = f"operand {i + 1} is {type}, the first {first}"
                raise ValueError(f"{differ}: they may differ along axis {axis} only")
            if isinstance(size := type.dims[axis], AtMost):
                raise ValueError(f"dimension {axis} of {type} has to be known before the net runs")
            total += size
        return first.with_shape(*first.dims[:axis], total, *first.dims[axis + 1 :])

    def reference(self, *operands: Tensor) -> Tensor:
        return torch.cat(operands, self.axis)

    def concat_ranges(self, operands: Sequence[TensorType]) -> tuple[range, ...]:
        if axis_of(self.axis, operands[0]) != 1:
            return ()
        stops = list(accumulate(upper_bound(t.dims[1]) for t in operands))
        return tuple(range(a, b) for a, b in pairwise([0, *stops]))


@op("slice")
class Slice(Op):
    """Split x along `axis` at `points` or, without points, into `parts` slices of equal size."""

    axis: int = 1
    points: tuple[int, ...] = ()
    parts: int = 1
    traits = frozenset({Trait.SLICES, Trait.ANY_SIZE})

    def cut_points(self, x: TensorType) -> list[int]:
        axis = axis_of(self.axis, x)
        if isinstance(size := x.dims[axis], AtMost):
            raise ValueError(f"dimension {axis} of {x} has to be known before the net runs")
        if self.points:
            return [0, *self.points, size]
        if self.parts < 1 or size % self.parts:
            raise ValueError(f"{size} cannot be split into {self.parts} equal parts")
        return [i * size // self.parts for i in range(self.parts + 1)]

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        axis, cuts = axis_of(self.axis, x), self.cut_points(x)
        if any(a >= b for a, b in pairwise(cuts)):
            raise ValueError(f"the points {list(self.points)} do not increase between 0 and {cuts[-1]}")
        return tuple(x.with_shape(*x.dims[:axis], b - a, *x.dims[axis + 1 :]) for a, b in pairwise(cuts))

    def reference(self, x: Tensor) -> tuple[Tensor, ...]:
        cuts = self.cut_points(TensorType("f32", tuple(x.shape)))
        return tuple(x.narrow(self.axis, a, b - a) for a, b in pairwise(cuts))

    def slice_ranges(self, operands: Sequence[TensorType]) -> tuple[range, ...]:
        if axis_of(self.axis, operands[0]) != 1:
            return ()
        return tuple(range(a, b) for a, b in pairwise(self.cut_points(operands[0])))


@op("pad")
class Pad(Op):
    """Add `before` elements, which are all `value`, at the start of each dimension and `after` at its end.

    A negative number cuts elements off.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: float = 0.0

    def infer(self, x: TensorType) -> TensorType:
        if not len(self.before) == len(self.after) == x.rank:
            given = f"{len(self.before)} and {len(self.after)}"
            raise ValueError(f"before and after have a number for each dimension of {x}, not {given}")
        made = list[Dim]()
        for i, (size, first, last) in enumerate(zip(x.dims, self.before, self.after, strict=True)):
            if isinstance(size, AtMost):
                if first or last:
                    raise ValueError(f"dimension {i} of {x} has to be known before the net runs")
                made.append(size)
            elif size + min(first, 0) + min(last, 0) < 1:
                raise ValueError(f"nothing is left of dimension {i} of {x} by {first} before and {last} after")
            else:
                made.append(size + first + last)
        return x.with_shape(*made)

    def reference(self, x: Tensor) -> Tensor:
        for axis, (first, last) in enumerate(zip(self.before, self.after, strict=True)):
            start, stop = max(-first, 0), x.shape[axis] - max(-last, 0)
            x = x.narrow(axis, start, stop - start)
            ends = ([*x.shape[:axis], max(n, 0), *x.shape[axis + 1 :]] for n in (first, last))
            filled = [torch.full(shape, self.value, dtype=x.dtype) for shape in ends]
            x = torch.cat([filled[0], x, filled[1]], axis)
        return x


class Reinterpret(Op):
    """Base class of operators that change only the shape: the elements in row-major order stay the same."""

    traits = frozenset({Trait.REINTERPRETS, Trait.ROW_MAJOR_ONLY})

    def reference(self, x: Tensor) -> Tensor:
        made = self.infer_types([TensorType("f32", tuple(x.shape))])
        return x.reshape(made[0].shape)


@op("reshape")
class Reshape(Reinterpret):
    """Replace `num_axes` dimensions from `axis` on by `shape`: 0 copies a dimension, -1 is computed from the others.

    A dimension that is known only when the net runs is copied by 0, or it is in that of -1. `num_axes=-1` replaces all
    dimensions to the end; a negative `axis` counts from the end, -1 is after the last dimension (Caffe,
    reshape_layer.cpp).
    """

    shape: tuple[int, ...] = ()
    axis: int = 0
    num_axes: int = -1
    traits = Reinterpret.traits | {Trait.ANY_SIZE}

    def infer(self, x: TensorType) -> TensorType:
        start = self.axis + x.rank + 1 if self.axis < 0 else self.axis
        stop = x.rank if self.num_axes < 0 else start + self.num_axes
        if not 0 <= start <= stop <= x.rank:
            raise ValueError(f"{x} has no {self.num_axes} dimensions from axis {self.axis} on")
        if self.shape.count(-1) > 1 or any(d < -1 for d in self.shape):
            raise ValueError(f"shape {list(self.shape)}: sizes are 0 or more, and at most one is -1")
        before, taken, after = x.dims[:start], x.dims[start:stop], x.dims[stop:]
        made = list[Dim]()
        for i, d in enumerate(self.shape):
            if d == 0 and start + i >= x.rank:
                raise ValueError(f"shape {list(self.shape)} copies dimension {start + i}, and {x} has none")
            made.append(x.dims[start + i] if d == 0 else d)
        has, unknown = product_and_bounds(taken)
        asked, copied = product_and_bounds([d for d in made if d != -1])
        if -1 in made and len(unknown) == 1 and not copied and asked and has % asked == 0:
            made[made.index(-1)] = AtMost(unknown[0] * (has // asked))
            return x.with_shape(*before, *made, *after)
        if unknown != copied and -1 in made and len(unknown) == 1 and not copied and asked:
            raise ValueError(f"{x} cannot take the shape {list(self.shape)}: {has} is not a multiple of {asked}")
        if unknown != copied:
            raise ValueError(f"{x} has a dimension that is known only when the net runs: copy it with 0")
        if -1 in made and asked and has % asked == 0:
            made[made.index(-1)] = has // asked
        elif -1 in made or has != asked:
            raise ValueError(f"{x} cannot take the shape {list(self.shape)}: {has} elements, not {asked}")
        return x.with_shape(*before, *made, *after)


def product_and_bounds(dims: Sequence[Dim]) -> tuple[int, list[int]]:
    """The product of the known dimensions, and the sorted bounds of the others."""
    return prod(d for d in dims if isinstance(d, int)), sorted(d.bound for d in dims if isinstance(d, AtMost))


@op("flatten")
class Flatten(Reinterpret):
    """Merge the dimensions from `axis` to `end_axis` into one (Caffe, flatten_layer.cpp)."""

    axis: int = 1
    end_axis: int = -1
    traits = Reinterpret.traits | {Trait.ANY_SIZE}

    def infer(self, x: TensorType) -> TensorType:
        start, stop = axis_of(self.axis, x), axis_of(self.end_axis, x)
        if start > stop:
            raise ValueError(f"axis {self.axis} comes after end_axis {self.end_axis} in {x}")
        taken = x.dims[start : stop + 1]
        one = taken[0] if len(taken) == 1 else prod(TensorType(x.dtype, taken).shape)
        return x.with_shape(*x.dims[:start], one, *x.dims[stop + 1 :])


@op("squeeze")
class Squeeze(Reinterpret):
    """Drop the dimensions `axes`, which are of size 1; without any, all dimensions of size 1."""

    axes: tuple[int, ...] = ()

    def infer(self, x: TensorType) -> TensorType:
        named = [axis_of(axis, x) for axis in self.axes]
        if wide := [axis for axis in named if x.dims[axis] != 1]:
            raise ValueError(f"dimension {wide[0]} of {x} is not of size 1")
        if not named and not x.is_static:
            raise ValueError(f"a dimension of {x} that is known only when the net runs may be 1: name the axes")
        dropped = named or [axis for axis, size in enumerate(x.dims) if size == 1]
        return x.with_shape(*(size for axis, size in enumerate(x.dims) if axis not in dropped))


@op("relayout")
class Relayout(Op):
    """Copy an image to the layout `to`, "nchw" or "nhwc"; the tensor stays the same. Inserted by `assign_layout`."""

    to: str = "nhwc"
    traits = frozenset({Trait.ANY_SIZE})

    def infer(self, x: TensorType) -> TensorType:
        if self.to not in ("nchw", "nhwc"):
            raise ValueError(f'to is "nchw" or "nhwc", not "{self.to}"')
        if x.rank != 4:
            raise ValueError(f"only images [n, c, h, w] have layouts, not {x}")
        return x

    def axis_permutation(self, rank: int) -> Ints:
        return tuple(range(rank))

    def reference(self, x: Tensor) -> Tensor:
        return x
