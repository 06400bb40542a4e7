"""Operators that change the size of an image: bilinear, by nearest neighbour, or by a pooling's mask."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from ..op import Ints, Op, op, per_axis
from ..types import TensorType
from .image import split_image_dims


@op("interp")
class Interp(Op):
    """Resize an image by linear interpolation along each axis, with aligned corners.

    Index i of `out` elements is at index i · (in - 1) / (out - 1) of x. Before that, `trim` = (before, after) elements
    are cut off the ends of each image axis. The new size is `sizes`, if given; else size · times, if `times` is not 1;
    else (size - 1) // shrink · zoom + 1 (PSPNet's Caffe, interp_layer.cpp; `times` is its full_zoom_factor).
    """

    sizes: tuple[int, ...] = ()
    shrink: int = 1
    zoom: int = 1
    times: int = 1
    trim: Ints = (0,)

    def trimmed_ranges(self, sizes: tuple[int, ...]) -> tuple[range, ...]:
        """The indices of x after trimming, for each image axis. ValueError if none are left."""
        before, after = per_axis(self.trim, 2, "trim")
        if before < 0 or after < 0:
            raise ValueError(f"trim is 0 or more, not {list(self.trim)}")
        if any(size <= before + after for size in sizes):
            raise ValueError(f"nothing is left of an image of {list(sizes)} trimmed by {before} and {after}")
        return tuple(range(before, size - after) for size in sizes)

    def result_sizes(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """The sizes of the result for an image of these sizes. ValueError if the attributes are invalid."""
        if len(self.sizes) not in (0, len(sizes)):
            raise ValueError(f"sizes has {len(self.sizes)} numbers, the image {len(sizes)} axes")
        factors = {"shrink": self.shrink, "zoom": self.zoom, "times": self.times}
        if sum((bool(self.sizes), (self.shrink, self.zoom) != (1, 1), self.times != 1)) > 1:
            raise ValueError("give sizes, or shrink and zoom, or times")
        for name, number in (*factors.items(), *(("a size", n) for n in self.sizes)):
            if number < 1:
                raise ValueError(f"{name} is 1 or more, not {number}")
        lengths = [len(places) for places in self.trimmed_ranges(sizes)]
        if self.times != 1:
            return tuple(n * self.times for n in lengths)
        return self.sizes or tuple((n - 1) // self.shrink * self.zoom + 1 for n in lengths)

    def infer(self, x: TensorType) -> TensorType:
        n, c, sizes = split_image_dims(x)
        return x.with_shape(n, c, *self.result_sizes(sizes))

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return results[0].numel * 3 * (results[0].rank - 2)  # a difference, a product and a sum along each axis

    def reference(self, x: Tensor) -> Tensor:
        kept, sizes = self.trimmed_ranges(tuple(x.shape[2:])), self.result_sizes(tuple(x.shape[2:]))
        for axis, places in enumerate(kept, 2):
            x = x.narrow(axis, places.start, len(places))
        if x.shape[2:] == sizes:  # a copy, as in Caffe: no neighbour times 0, which would be NaN for an infinite one
            return x
        for axis, count in enumerate(sizes, 2):
            x = interpolate_axis(x, axis, count)
        return x


def interpolate_axis(x: Tensor, axis: int, count: int) -> Tensor:
    """Resize one axis to `count`.

    Positions are float32, whatever x is, as in Caffe (PSPNet's interp.cpp): if one is not quite an integer, the element
    behind it takes part with a weight of almost 0, which matters if that element is infinite.
    """
    size, steps = x.shape[axis], max(count - 1, 1)
    scale = torch.tensor(size - 1 if count > 1 else 0, dtype=torch.float32) / steps
    at = scale * torch.arange(count, dtype=torch.float32)
    left = at.long()
    part = (at - left).to(x.dtype).reshape(-1, *[1] * (x.ndim - 1 - axis))
    right = (left + 1).clamp(max=size - 1)
    return x.index_select(axis, left) * (1 - part) + x.index_select(axis, right) * part


ALIGNMENTS = {"linear": ("corners", "edges", "centers", "torch"), "nearest": ("corners", "edges", "centers", "onnx")}


@op("resize", operands=(1, None))
class Resize(Op):
    """Resize `axes` dimensions from `axis` on, linearly or by nearest neighbour (TensorFlow's and ONNX's rules).

    With s = size / new size, index i is at i·s for `align` "edges", at (i + ½)·s - ½ for "centers" and at
    i·(size - 1) / (new size - 1) for "corners". "torch" is "centers", but a single element is at -½. Beyond the ends,
    the last element counts. The nearest neighbour is the place rounded down; for "corners", rounded; for "centers",
    (i + ½)·s rounded down; for "onnx", (i + ½)·s - ½ rounded down (synopsys-caffe, resize_bilinear_layer.cpp and
    resize_nearest_neighbor_layer.cpp). Places are computed in float32.

    The new sizes are `sizes`; or, if there is none or 0, size · scale, rounded down; or the size rounded up to a
    `multiple`. If there are more operands, each size is the largest that one of them has there. With `enlarge`, the new
    sizes count only if each is above the size, which is kept otherwise (FlowNet 2, accum_layer.cpp).
    """

    how: str = "linear"
    align: str = "corners"
    axis: int = 2
    axes: int = 2
    sizes: tuple[int, ...] = ()
    scale: tuple[float, ...] = ()
    multiple: int = 1
    enlarge: bool = False

    def infer(self, x: TensorType, *likes: TensorType) -> TensorType:
        if self.align not in ALIGNMENTS.get(self.how, ()):
            raise ValueError(f'"{self.how}" and "{self.align}" are no way to resize')
        for type in (x, *likes):
            if not 0 <= self.axis <= self.axis + self.axes <= type.rank:
                raise ValueError(f"there are no {self.axes} dimensions from {self.axis} on in {type}")
        last = self.axis + self.axes
        found = [type.with_shape(*type.dims[self.axis : last]).shape for type in (x, *likes)]
        made = self.result_sizes(found)
        if min((*found[0], *made)) < 1:
            raise ValueError(f"{x} cannot be resized to {list(made)}")
        return x.with_shape(*x.dims[: self.axis], *made, *x.dims[last:])

    def result_sizes(self, found: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """The new sizes, from those of x and of the other operands. ValueError if the attributes are invalid."""
        base = [max(several) for several in zip(*(found[1:] or found), strict=True)]
        if len(self.sizes) not in (0, self.axes) or len(self.scale) not in (0, self.axes) or self.multiple < 1:
            raise ValueError(f"sizes and scale have {self.axes} numbers, and multiple is 1 or more")
        made = list(self.sizes) or [-(-size // self.multiple) * self.multiple for size in base]
        if self.scale:
            scaled = [floor_of(np.float32(size) * np.float32(s)) for size, s in zip(base, self.scale, strict=True)]
            made = [given or size for given, size in zip(self.sizes or (0,) * self.axes, scaled, strict=True)]
        kept = self.enlarge and not all(new > size for new, size in zip(made, base, strict=True))
        return tuple(base if kept else made)

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return results[0].numel * 3 * self.axes * (self.how == "linear")

    def reference(self, x: Tensor, *likes: Tensor) -> Tensor:
        found = [type.shape[self.axis : self.axis + self.axes] for type in (x, *likes)]
        made = self.result_sizes(found)
        for axis, count in reversed([*enumerate(made, self.axis)]):  # the last axis first, as in Caffe
            low, high, part = (torch.from_numpy(a) for a in self.neighbours(x.shape[axis], count))
            left = x.index_select(axis, low)
            if self.how == "linear":
                weights = part.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1 - axis))
                left = left + (x.index_select(axis, high) - left) * weights
            x = left
        return x

    def neighbours(self, size: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each new index the two indices of x that it lies between, and its distance from the first of them."""
        places = np.arange(count, dtype=np.float32)
        half, ends = np.float32(0.5), self.align == "corners" and count > 1
        scale = np.float32(size - 1) / np.float32(count - 1) if ends else np.float32(size) / np.float32(count)
        centred = self.align in ("centers", "torch", "onnx")
        at = (places + half) * scale if centred else places * scale
        if self.how == "nearest":
            if self.align == "corners":
                at = np.floor(at.astype(np.float64) + 0.5)  # C's roundf, of a number that is not negative
            at = np.floor(at - half if self.align == "onnx" else at)
            index = np.clip(at, 0, size - 1).astype(np.int64)
            return index, index, np.zeros(count, np.float32)
        at = at - half if centred else at
        if self.align == "torch" and count == 1:
            at = np.full(1, -half)
        low = np.floor(at)
        first, second = (np.clip(ends, 0, size - 1).astype(np.int64) for ends in (low, np.ceil(at)))
        return first, second, at - low


def floor_of(number: np.float32) -> int:
    """The largest integer that is not above it; 0 if there is none, for infinite and NaN."""
    return int(np.floor(number)) if np.isfinite(number) else 0


@op("upsample")
class Upsample(Op):
    """Repeat each element of the image `scale` times along each axis (nearest neighbour)."""

    scale: Ints

    def infer(self, x: TensorType) -> TensorType:
        n, c, sizes = split_image_dims(x)
        scale = per_axis(self.scale, len(sizes), "scale")
        if min(scale) < 1:
            raise ValueError(f"scale is 1 or more, not {list(self.scale)}")
        return x.with_shape(n, c, *(size * s for size, s in zip(sizes, scale, strict=True)))

    def reference(self, x: Tensor) -> Tensor:
        for axis, s in enumerate(per_axis(self.scale, x.ndim - 2, "scale"), 2):
            x = x.repeat_interleave(s, axis)
        return x


@op("unpool", operands=2)
class Unpool(Op):
    """Scatter the elements of each channel to the indices in `mask`, zeros elsewhere: the inverse of a max pooling.

    Operands: x [n, c, ...], and a mask of the same shape with row-major indices into a channel of the result, such as
    max_pool's second result. Of elements with one index, the last counts. The image sizes of the result are `sizes`, if
    given; else those of x times `scale`, minus `cut` (SegNet's Caffe, upsample_layer.cpp). ValueError at run time for
    an index outside of the channel.
    """

    sizes: tuple[int, ...] = ()
    scale: Ints = (2,)
    cut: Ints = (0,)

    def infer(self, x: TensorType, mask: TensorType) -> TensorType:
        n, c, sizes = split_image_dims(x)
        if mask.dims != x.dims:
            raise ValueError(f"the mask has to have the shape of x: {x} and {mask} differ")
        plane = self.plane_sizes(sizes)
        if mask.dtype == "f16" and prod(plane) > F16_EXACT_COUNT:
            raise ValueError(f"f16 cannot hold the indices of a plane of {prod(plane)}: the mask has to be f32")
        return x.with_shape(n, c, *plane)

    def plane_sizes(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """The image sizes of the result. ValueError if the attributes are invalid."""
        axes = len(sizes)
        if len(self.sizes) not in (0, axes):
            raise ValueError(f"sizes has {len(self.sizes)} numbers, the image {axes} axes")
        scale, cut = per_axis(self.scale, axes, "scale"), per_axis(self.cut, axes, "cut")
        made = self.sizes or tuple(i * s - c for i, s, c in zip(sizes, scale, cut, strict=True))
        if min(made) < 1 or min(cut) < 0 or min(scale) < 1:
            raise ValueError(f"nothing is left of a plane of {list(made)}")
        return made

    def reference(self, x: Tensor, mask: Tensor) -> Tensor:
        plane = self.plane_sizes(tuple(x.shape[2:]))
        numbers, places = x.flatten(2), mask.flatten(2).long()  # truncated to integers, as in Caffe
        if wrong := describe_outside(places, prod(plane)):
            raise ValueError(wrong)
        order = torch.arange(numbers.shape[-1]).expand(numbers.shape)
        none = torch.full((*x.shape[:2], prod(plane)), -1)
        last = none.scatter_reduce(-1, places, order, "amax")  # the last element with each index, or -1
        made = numbers.gather(-1, last.clamp(min=0)) if numbers.shape[-1] else none.to(x.dtype)
        return torch.where(last < 0, 0.0, made).reshape(*x.shape[:2], *plane).to(x.dtype)


F16_EXACT_COUNT = 2049  # f16 holds all integers from 0 to 2048 exactly


def describe_outside(places: Tensor, count: int) -> str:
    """A sentence about the first index outside of a plane of `count` elements; "" if there is none."""
    outside = places[(places < 0) | (places >= count)]
    return f"the mask holds the index {int(outside[0])} for a plane of {count}" if outside.numel() else ""
