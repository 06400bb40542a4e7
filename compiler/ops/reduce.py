"""Reductions: sums, indices of maxima, standardization, normalized losses."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from ..op import Op, op
from ..types import TensorType
from .dense import axis_of
from .image import plural


@op("reduce")
class Reduce(Op):
    """Reduce the dimensions from `axis` on (Caffe, reduction_layer.cpp): [n, c, h, w] with axis 2 becomes [n, c].

    `how` is "sum", "asum" (of absolute values), "sumsq" (of squares) or "mean"; the result is multiplied by `coeff`.
    """

    how: str = "sum"
    axis: int = 0
    coeff: float = 1.0

    def infer(self, x: TensorType) -> TensorType:
        if self.how not in ("sum", "asum", "sumsq", "mean"):
            raise ValueError(f'how is "sum", "asum", "sumsq" or "mean", not "{self.how}"')
        return x.with_shape(*x.dims[: axis_of(self.axis, x)])

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return operands[0].numel

    def reference(self, x: Tensor) -> Tensor:
        rows = x.flatten(self.axis % x.ndim)
        each = rows.abs() if self.how == "asum" else rows * rows if self.how == "sumsq" else rows
        return (each.mean(-1) if self.how == "mean" else each.sum(-1)) * self.coeff


@op("argmax")
class Argmax(Op):
    """The indices along `axis` of the `top` largest elements, the largest first, as floats.

    The dimension becomes `top`. Of equal elements the one of the greatest index counts as the largest (Caffe,
    argmax_layer.cpp, which sorts pairs of element and index). With `numbers` there is a second result, the elements
    themselves. NaN counts as larger than all numbers; its order in Caffe is undefined.
    """

    axis: int = 1
    top: int = 1
    numbers: bool = False

    def infer(self, x: TensorType) -> TensorType | tuple[TensorType, ...]:
        axis = axis_of(self.axis, x)
        size = x.with_shape(x.dims[axis]).shape[0]
        if not 1 <= self.top <= size:
            raise ValueError(f"top is 1 to {size}, the size of axis {axis} of {x}, not {self.top}")
        made = x.with_shape(*x.dims[:axis], self.top, *x.dims[axis + 1 :])
        return (made, made) if self.numbers else made

    def reference(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = x.flip(self.axis).sort(dim=self.axis, descending=True, stable=True)
        places = (x.shape[self.axis] - 1 - found.indices.narrow(self.axis, 0, self.top)).to(x.dtype)
        return (places, found.values.narrow(self.axis, 0, self.top)) if self.numbers else places


@op("standardize")
class Standardize(Op):
    """Subtract the mean and, with `scaled`, divide by the standard deviation, both computed from x.

    The statistics are computed separately for each index of the axes `per`: [0, 1] is per channel of each image, [1]
    per channel of the whole batch. The variance is the population variance. `eps` is added to the standard deviation
    with `eps_in="deviation"` (Caffe, mvn_layer.cpp), to the variance with "variance" (batch_norm_layer.cpp).
    """

    per: tuple[int, ...] = (0, 1)
    eps: float = 1e-9
    eps_in: str = "deviation"
    scaled: bool = True

    def infer(self, x: TensorType) -> TensorType:
        for axis in self.per:
            axis_of(axis, x)
        if self.eps_in not in ("deviation", "variance"):
            raise ValueError(f'eps_in is "deviation" or "variance", not "{self.eps_in}"')
        return x

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 5 * results[0].numel

    def reference(self, x: Tensor) -> Tensor:
        per = [axis % x.ndim for axis in self.per]
        over = [axis for axis in range(x.ndim) if axis not in per] or [-1]  # no axis is left: add one of size 1
        grouped = x if len(per) < x.ndim else x[..., None]
        centred = grouped - grouped.mean(over, keepdim=True)
        if self.scaled:
            variance = (centred * centred).mean(over, keepdim=True)
            if self.eps_in == "variance":
                centred = centred / (variance + self.eps).sqrt()
            else:
                centred = centred / (variance.sqrt() + self.eps)
        return centred.reshape(x.shape)


@op("total_loss", operands=(1, 2))
class TotalLoss(Op):
    """The sum of the losses of all positions, times `scale`, divided by a normalizer: one number, [].

    The optional second operand holds a label for each position, in any shape; a position whose label is `ignore` does
    not count. `by` names the normalizer: "all" positions, "valid" ones (those that count), "batch" (the product of the
    dimensions before `axis`), or "none" for 1. It is at least 1 (Caffe, softmax_loss_layer.cpp, get_normalizer), so
    the loss of a batch without a valid label is 0.
    """

    by: str = "batch"
    axis: int = 1
    ignore: int | None = None
    scale: float = 1.0

    def infer(self, losses: TensorType, label: TensorType | None = None) -> TensorType:
        if self.by not in ("all", "valid", "batch", "none"):
            raise ValueError(f'by is "all", "valid", "batch" or "none", not "{self.by}"')
        if not 0 <= self.axis <= losses.rank:
            raise ValueError(f"axis is 0 to {losses.rank}, not {self.axis}")
        if label and label.numel != losses.numel:
            raise ValueError(f"{plural(label.numel, 'label')} for {plural(losses.numel, 'position')}")
        if self.ignore is not None and not label:
            raise ValueError("ignore needs labels")
        return losses.with_shape()

    def reference(self, losses: Tensor, label: Tensor | None = None) -> Tensor:
        flat = losses.reshape(-1)
        if label is None or self.ignore is None:
            counts = torch.ones_like(flat, dtype=torch.bool)
        else:
            counts = label.reshape(-1).to(torch.int64) != self.ignore
        total = torch.where(counts, flat, 0.0).sum() * self.scale
        divisors = {"all": flat.numel(), "valid": int(counts.sum()), "none": 1}
        return total / max(1, divisors.get(self.by, prod(losses.shape[: self.axis])))
