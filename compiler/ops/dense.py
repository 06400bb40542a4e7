"""Operators on feature vectors: matrix product, distances and softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor
from torch.nn import functional as F

from ..op import Op, Trait, op
from ..types import TensorType
from .image import plural
from .weighted import Weighted


def axis_of(axis: int, x: TensorType) -> int:
    """A negative axis counted from the front. ValueError if x has no such axis."""
    if not -x.rank <= axis < x.rank:
        raise ValueError(f"there is no axis {axis} in {x}")
    return axis % x.rank


@op("linear", operands=(2, 3))
class Linear(Weighted):
    """Matrix product of x, flattened from `axis` on to rows of k, with a weight; Caffe's InnerProduct.

    Operands: x, a weight [o, k], or [k, o] with `transpose`, and optionally a bias [o]. The result has the dimensions
    of x before `axis`, then o.
    """

    axis: int = 1
    transpose: bool = False
    traits = frozenset({Trait.ROW_MAJOR_ONLY, Trait.ANY_SIZE})

    def infer(self, x: TensorType, w: TensorType, b: TensorType | None = None) -> TensorType:
        if w.rank != 2:
            raise ValueError(f"the weight is a matrix, not {w}")
        axis = axis_of(self.axis, x)
        taken = prod(TensorType(x.dtype, x.dims[axis:]).shape)
        o, k = w.shape[::-1] if self.transpose else w.shape
        if taken != k:
            raise ValueError(f"the weight takes {plural(k, 'number')}, a row of the data has {taken}")
        if b and b.dims != (o,):
            raise ValueError(f"the bias is {b}, and there are {plural(o, 'output')}")
        return x.with_shape(*x.dims[:axis], o)

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        taken = operands[1].numel // max(results[0].bounds[-1], 1)
        return 2 * results[0].numel * taken + self.bias_flops(operands, results)

    def channel_axis(self, rank: int) -> int:
        return rank - 1

    def factors(self, shape: tuple[int, ...], a: Tensor) -> Tensor:
        return a[None, :] if self.transpose else a[:, None]

    def reference(self, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        axis = self.axis % x.ndim
        return F.linear(x.reshape(*x.shape[:axis], -1), w.T if self.transpose else w, b)


@op("distance", operands=2)
class Distance(Op):
    """The distance of x, flattened from `axis` on to rows of k, from each row of a matrix [o, k] of centres.

    It is the sum of absolute differences for `norm` 1, of their squares for 2. The result has the dimensions of x
    before `axis`, then o (happynear's Caffe, inner_distance_layer.cpp).
    """

    axis: int = 1
    norm: int = 2
    traits = frozenset({Trait.ROW_MAJOR_ONLY})

    def infer(self, x: TensorType, centres: TensorType) -> TensorType:
        if self.norm not in (1, 2):
            raise ValueError(f"norm is 1 or 2, not {self.norm}")
        axis = axis_of(self.axis, x)
        taken = prod(TensorType(x.dtype, x.dims[axis:]).shape)
        if centres.rank != 2 or centres.shape[1] != taken:
            raise ValueError(f"the centres are a matrix of rows of {plural(taken, 'number')}, not {centres}")
        return x.with_shape(*x.dims[:axis], centres.dims[0])

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 3 * results[0].numel * operands[1].bounds[1]

    def reference(self, x: Tensor, centres: Tensor) -> Tensor:
        axis = self.axis % x.ndim
        difference = x.reshape(*x.shape[:axis], 1, centres.shape[1]) - centres
        return (difference.abs() if self.norm == 1 else difference * difference).sum(-1)


@op("softmax")
class Softmax(Op):
    """eˣ / Σ eˣ, summed along `axis`."""

    axis: int = 1
    traits = frozenset({Trait.ANY_SIZE})

    def infer(self, x: TensorType) -> TensorType:
        axis_of(self.axis, x)
        return x

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 5 * results[0].numel  # maximum, subtraction, exp, sum, division

    def reference(self, x: Tensor) -> Tensor:
        return x.softmax(self.axis)
