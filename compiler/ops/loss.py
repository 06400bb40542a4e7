"""What each place loses against its label, and how often the labels were found. `total_loss` adds losses up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..op import Elementwise, Op, op
from ..types import Dim, TensorType
from .dense import axis_of
from .image import plural


@op("sigmoid_cross_entropy", operands=2)
class SigmoidCrossEntropy(Elementwise):
    """-t·log(p) - (1 - t)·log(1 - p) for p = sigmoid(x), in the form that cannot overflow.

    Source: Caffe, sigmoid_cross_entropy_loss_layer.cpp.
    """

    def scalar(self, m: Any, x: Any, target: Any) -> Any:
        positive = m.where(x >= 0, x, 0.0)
        return m.log1p(m.exp(x - positive * 2.0)) - (x * target - positive)


@op("smooth_l1")
class SmoothL1(Elementwise):
    """½ (sigma·x)² while |x| is below 1 / sigma², |x| - ½ / sigma² from there on (Girshick 2015)."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma == 0:
            raise ValueError("sigma is not 0: all losses would be 0")

    def scalar(self, m: Any, x: Any) -> Any:
        square = self.sigma * self.sigma
        far = m.abs(x)
        return m.where(far < 1 / square, x * x * (0.5 * square), far - 0.5 / square)


@op("contrastive", operands=2)
class Contrastive(Elementwise):
    """The loss of a pair by its squared distance: that distance if alike, else its violation of the margin.

    With `legacy` the violation is margin - squared distance, else (margin - distance) squared (Hadsell et al. 2006;
    Caffe, contrastive_loss_layer.cpp). Pairs are alike whose label has a whole part other than 0.
    """

    margin: float = 1.0
    legacy: bool = False

    def scalar(self, m: Any, square: Any, alike: Any) -> Any:
        lacks = self.margin - (square if self.legacy else m.sqrt(square))
        lacks = m.where(lacks < 0, 0.0, lacks)
        return m.where(m.abs(alike) >= 1, square, lacks if self.legacy else lacks * lacks)


@op("hinge", operands=2)
class Hinge(Op):
    """max(0, 1 - x) for the class that the label names, max(0, 1 + x) for all others: of the shape of x.

    Data [n, ...], whose rows hold a number for each class, and one label for each row. 0 where x is no number
    (Caffe, hinge_loss_layer.cpp). ValueError, when it runs, for a label that names no class.
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
    """An operator on scores along `axis`, and one class for every place beside that, in any shape: row by row.

    A label is cut to its whole part, as Caffe does. Where it is `ignore` the place does not count; any other that names
    no class is a ValueError when the net runs (Caffe, compiled for release, reads whatever stands there).
    """

    axis: int = 1
    ignore: int | None = None

    def places_and_classes(self, x: TensorType, label: TensorType) -> tuple[tuple[Dim, ...], int]:
        """The dimensions beside the classes, and how many classes. ValueError for another number of labels."""
        axis = axis_of(self.axis, x)
        dims = (*x.dims[:axis], *x.dims[axis + 1 :])
        wanted = x.with_shape(*dims).numel
        if label.numel != wanted:
            raise ValueError(f"{plural(label.numel, 'label')} for {plural(wanted, 'place')} beside axis {axis} of {x}")
        return dims, x.with_shape(x.dims[axis]).shape[0]

    def flatten_places(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[places, classes], the class of each place (0 where it does not count), and whether it counts."""
        table = x.movedim(self.axis, -1).flatten(0, -2) if x.ndim > 1 else x[None]
        return table, *classes_of(label, table.shape[1], self.ignore)


@op("cross_entropy", operands=(2, 3))
class CrossEntropy(Labelled):
    """What each place loses: -log of the probability, along `axis`, of the class that its label names.

    A third operand [classes, classes] says how much -log of each probability weighs (across) under each label (down):
    Caffe's information gain; without one, only the label's own counts. A probability below `floor` counts as `floor`.
    The result has the shape of the data without `axis`, and 0 where the label is `ignore`.
    """

    axis: int = 1
    ignore: int | None = None
    floor: float = torch.finfo(torch.float32).tiny

    def infer(self, p: TensorType, label: TensorType, gain: TensorType | None = None) -> TensorType:
        dims, classes = self.places_and_classes(p, label)
        if gain and gain.numel != classes * classes:
            raise ValueError(f"the gains are {gain}, and {classes} classes take [{classes},{classes}]")
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
    """The share of places at which the class that the label names is among the `top` best scored: one number [].

    A score as high as the label's own counts as better (Caffe, accuracy_layer.cpp), and where the label's is NaN none
    does. With `classes` there is a second result: the share for each class. 0 where nothing counts.
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
    """Labels, row by row, as whole numbers (0 where they are `ignore`), and whether they count.

    ValueError if one that counts is none of the classes 0 ... count - 1.
    """
    classes = label.reshape(-1).to(torch.int64)
    counts = torch.ones_like(classes, dtype=torch.bool) if ignore is None else classes != ignore
    wrong = counts & ((classes < 0) | (classes >= count))
    if wrong.any():
        raise ValueError(f"a label is {label.reshape(-1)[wrong][0]:g}, and the classes are 0 to {count - 1}")
    return torch.where(counts, classes, 0), counts
