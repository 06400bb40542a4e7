"""Losses per element or position, and accuracy. The operator `total_loss` sums and normalizes losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..float32 import round_to_float32
from ..op import Elementwise, Op, op
from ..types import Dim, TensorType
from .dense import axis_of
from .image import plural


@op("sigmoid_cross_entropy", operands=2)
class SigmoidCrossEntropy(Elementwise):
    """-t·log(p) - (1 - t)·log(1 - p) with p = sigmoid(x) and target t, in a form that cannot overflow.

    Source: Caffe, sigmoid_cross_entropy_loss_layer.cpp.
    """

    def scalar(self, m: Any, x: Any, target: Any) -> Any:
        positive = m.where(x >= 0, 1.0, 0.0)
        return m.log1p(m.exp(x - x * 2.0 * positive)) - x * (target - positive)


@op("smooth_l1")
class SmoothL1(Elementwise):
    """½ (sigma·x)² where |x| < 1 / sigma², else |x| - ½ / sigma² (Girshick 2015)."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if round_to_float32(self.sigma) == 0:
            raise ValueError("sigma cannot be 0: all losses would be 0")

    def scalar(self, m: Any, x: Any) -> Any:
        square = self.sigma * self.sigma
        far = m.abs(x)
        return m.where(far < 1 / square, x * x * (0.5 * square), far - 0.5 / square)


@op("contrastive", operands=2)
class Contrastive(Elementwise):
    """The contrastive loss of pairs: the squared distance of a similar pair, the margin violation of another pair.

    Operands: the squared distance of each pair, and a label, which marks a similar pair if its integer part is not 0.
    The violation is max(0, margin - distance)² or, with `legacy`, max(0, margin - squared distance)
    (Hadsell et al. 2006; Caffe, contrastive_loss_layer.cpp).
    """

    margin: float = 1.0
    legacy: bool = False

    def scalar(self, m: Any, square: Any, alike: Any) -> Any:
        lacks = self.margin - (square if self.legacy else m.sqrt(square))
        lacks = m.where(lacks < 0, 0.0, lacks)
        return m.where(m.abs(alike) >= 1, square, lacks if self.legacy else lacks * lacks)


@op("hinge", operands=2)
class Hinge(Op):
    """max(0, 1 - x) for the class of the label, max(0, 1 + x) for all other classes; 0 where x is NaN.

    Operands: scores [n, ...], whose rows hold one number per class, and one label per row. The result has the shape of
    the scores (Caffe, hinge_loss_layer.cpp). ValueError at run time for a label that is not a class.
    """

    def infer(self, x: TensorType, label: TensorType) -> TensorType:
        if not x.rank:
            raise ValueError(f"takes rows [n, ...], not {x}")
        wanted = x.with_shape(x.dims[0]).numel
        if label.numel != wanted:
            raise ValueError(f"{plural(label.numel, 'label')} for {plural(wanted, 'row')}")
        return x

    def reference(self, x: Tensor, label: Tensor) -> Tensor:
        rows = x.flatten(1) if x.ndim > 1 else x[:, None]
        classes, _ = classes_of(label, rows.shape[1], None)
        margin = 1 + rows.scatter(1, classes[:, None], -rows.gather(1, classes[:, None]))
        return torch.where(margin > 0, margin, 0.0).reshape(x.shape)


class Labelled(Op):
    """Base class of operators on scores along `axis` and one label for each position of the other axes.

    The labels may have any shape, in row-major order. A label is truncated to an integer, as in Caffe. A position whose
    label is `ignore` does not count. ValueError at run time for any other label that is not a class; Caffe, compiled
    for release, reads out of bounds there.
    """

    axis: int = 1
    ignore: int | None = None

    def places_and_classes(self, x: TensorType, label: TensorType) -> tuple[tuple[Dim, ...], int]:
        """The dimensions without `axis`, and the number of classes. ValueError if the number of labels is wrong."""
        axis = axis_of(self.axis, x)
        dims = (*x.dims[:axis], *x.dims[axis + 1 :])
        wanted = x.with_shape(*dims).numel
        if label.numel != wanted:
            raise ValueError(
                f"{plural(label.numel, 'label')} for {plural(wanted, 'position')} of {x} without its axis {axis}"
            )
        return dims, x.with_shape(x.dims[axis]).shape[0]

    def flatten_places(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores [positions, classes], the class of each position (0 where ignored), and whether it counts."""
        table = x.movedim(self.axis, -1).flatten(0, -2) if x.ndim > 1 else x[None]
        return table, *classes_of(label, table.shape[1], self.ignore)


@op("cross_entropy", operands=(2, 3))
class CrossEntropy(Labelled):
    """-log of the probability of the label's class, for each position; 0 where the label is `ignore`.

    Operands: probabilities with the classes along `axis`, a label per position, and optionally a matrix
    [classes, classes]: then the result is -Σ matrix[label, c] · log(p[c]), Caffe's information gain loss. A
    probability below `floor` counts as `floor`. The result has the shape of the probabilities without `axis`.
    """

    axis: int = 1
    ignore: int | None = None
    floor: float = torch.finfo(torch.float32).tiny

    def infer(self, p: TensorType, label: TensorType, gain: TensorType | None = None) -> TensorType:
        dims, classes = self.places_and_classes(p, label)
        if gain and gain.numel != classes * classes:
            raise ValueError(f"the matrix is {gain}, and {classes} classes take [{classes},{classes}]")
        return p.with_shape(*dims)

    def reference(self, p: Tensor, label: Tensor, gain: Tensor | None = None) -> Tensor:
        table, classes, counts = self.flatten_places(p, label)
        losses = -table.clamp(min=self.floor).log()
        if gain is None:
            lost = losses.gather(1, classes[:, None])[:, 0]
        else:
            lost = (gain.reshape(losses.shape[1], -1)[classes] * losses).sum(1)
        axis = self.axis % p.ndim
        return torch.where(counts, lost, 0.0).reshape((*p.shape[:axis], *p.shape[axis + 1 :]))


@op("accuracy", operands=2)
class Accuracy(Labelled):
    """The fraction of positions whose label is among the `top` classes of highest score: one number, [].

    Other classes with a score equal to the label's rank before it (Caffe, accuracy_layer.cpp); if the label's score is
    NaN, no class does. With `classes` there is a second result [classes]: the fraction for each class. A fraction of no
    positions is 0.
    """

    axis: int = 1
    ignore: int | None = None
    top: int = 1
    classes: bool = False

    def infer(self, x: TensorType, label: TensorType) -> TensorType | tuple[TensorType, ...]:
        _, count = self.places_and_classes(x, label)
        if not 1 <= self.top <= count:
            raise ValueError(f"top is 1 to {count}, the number of classes, not {self.top}")
        return (x.with_shape(), x.with_shape(count)) if self.classes else x.with_shape()

    def reference(self, x: Tensor, label: Tensor) -> Tensor | tuple[Tensor, ...]:
        table, classes, counts = self.flatten_places(x, label)
        better = (table >= table.gather(1, classes[:, None])).sum(1) - 1
        right = ((better < self.top) & counts).to(x.dtype)
        share = right.sum() / counts.sum().clamp(min=1)
        if not self.classes:
            return share
        asked = x.new_zeros(table.shape[1]).index_add(0, classes, counts.to(x.dtype))
        return share, torch.zeros_like(asked).index_add(0, classes, right) / asked.clamp(min=1)


def classes_of(label: Tensor, count: int, ignore: int | None) -> tuple[Tensor, Tensor]:
    """The labels in row-major order as integers (0 where they are `ignore`), and whether they count.

    ValueError if a label that counts is not a class, 0 ... count - 1.
    """
    classes = label.reshape(-1).to(torch.int64)
    counts = torch.ones_like(classes, dtype=torch.bool) if ignore is None else classes != ignore
    wrong = counts & ((classes < 0) | (classes >= count))
    if wrong.any():
        raise ValueError(f"a label is {label.reshape(-1)[wrong][0]:g}, and the classes are 0 to {count - 1}")
    return torch.where(counts, classes, 0), counts
