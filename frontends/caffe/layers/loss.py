"""Loss layers, which are computed in TEST too.

`loss_weight` scales gradients only. A loss may have no top: Caffe then adds an anonymous one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from ....compiler.ir import Value
from ....compiler.ops.activation import Abs
from ....compiler.ops.arithmetic import Add, Mul, Power
from ....compiler.ops.dense import Softmax
from ....compiler.ops.loss import Contrastive, CrossEntropy, Hinge, SigmoidCrossEntropy, SmoothL1
from ....compiler.ops.reduce import Reduce, TotalLoss
from ....compiler.ops.shape import Flatten, Reshape
from ...files.message import Message
from ..layer import Layer, layer, shortest_decimal
from .infogain_matrix import infogain_matrix

SOFTMAX_FLOOR = float(torch.finfo(torch.float32).tiny)  # SoftmaxWithLoss clamps probabilities to FLT_MIN,
LOG_FLOOR = 1e-20  # the other losses to kLOG_THRESHOLD
DIVISORS = {"FULL": "all", "VALID": "valid", "BATCH_SIZE": "batch", "NONE": "none", "PRE_FIXED": "none"}
Tops = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Normalization:
    """How losses are summed, from loss_param: the divisor, the label to ignore (None: none), and a factor."""

    by: str
    ignore: int | None
    scale: float


def normalization(l: Layer, default: str = "") -> Normalization:
    """`normalization`, else the older `normalize`, else `default` or, without, the field's (softmax_loss_layer.cpp)."""
    p = l.message["loss_param"]
    for field in ("weight_by_label_freqs", "class_weighting", "label_smoothing"):
        if p[field]:
            raise p.fault(f"{l.label}: {field} is not supported", field, "Take it out.")
    name = default
    if p.is_set("normalize"):
        name = "VALID" if p["normalize"] else "BATCH_SIZE"
    if p.is_set("normalization") or not name:
        name = p.choice("normalization", {value: value for value in DIVISORS}, l.label)
    fixed = shortest_decimal(p["pre_fixed_normalizer"])  # Intel's fork
    return Normalization(DIVISORS[name], ignored_label(p), 1 / max(1.0, fixed) if name == "PRE_FIXED" else 1.0)


def ignored_label(settings: Message) -> int | None:
    """The label to ignore; None if there is none."""
    label: int = settings["ignore_label"]
    return label if settings.is_set("ignore_label") else None


def reduce_losses(l: Layer, losses: Value, label: Value, rule: Normalization, axis: int = 1) -> Value:
    """Sum the losses by a rule, without those of the ignored label."""
    labels = () if rule.ignore is None else (label,)
    return l.emit(TotalLoss(by=rule.by, axis=axis, ignore=rule.ignore, scale=rule.scale), losses, *labels)


def average_over_batch(l: Layer, losses: Value, scale: float = 1.0) -> Value:
    """The sum of the losses divided by the batch size, times `scale`."""
    return l.emit(TotalLoss(scale=scale), losses)


def check_same_batch(l: Layer, *bottoms: Value) -> None:
    """Raise CompileError if the bottoms of a loss differ in batch size (loss_layer.cpp)."""
    if any(not b.type.rank or b.type.dims[0] != bottoms[0].type.dims[0] for b in bottoms):
        raise l.fault("its bottoms are not of one batch size" + l.importer.describe(bottoms))


def reshape_like(l: Layer, x: Value, y: Value) -> Value:
    """Reshape y to the shape of x, which has the same batch size and element count."""
    return y if y.type.dims == x.type.dims else l.emit(Reshape(shape=(0, *l.sizes(x.type.dims[1:]))), y)


@layer("SoftmaxWithLoss", "softmax_param", bottoms=2, tops=(0, 2))
def softmax_with_loss(l: Layer, x: Value, label: Value) -> Tops:
    """-log(softmax) at the label; the second top is the softmax (softmax_loss_layer.cpp)."""
    check_same_batch(l, x, label)
    axis, rule = l.axis(l.param["axis"], x), normalization(l)
    p = l.emit(Softmax(axis=axis), x)
    losses = l.emit(CrossEntropy(axis=axis, ignore=rule.ignore, floor=SOFTMAX_FLOOR), p, label)
    return (reduce_losses(l, losses, label, rule, axis), p)[: len(l.tops)]


@layer("InfogainLoss", "infogain_loss_param", bottoms=(2, 3), tops=(0, 2))
def infogain_loss(l: Layer, x: Value, label: Value, given: Value | None = None) -> Tops:
    """-log(softmax) of all classes, weighted by the label's row of a matrix (infogain_loss_layer.cpp).

    The matrix is read from a file, or is the third bottom.
    """
    check_same_batch(l, x, label)
    settings = l.message["loss_param"]
    if "normalize" in settings:
        advice = "Set normalization: VALID for true, BATCH_SIZE for false."
        raise settings.fault(f"{l.label}: normalize is not for this layer", "normalize", advice)
    axis, rule = l.axis(l.param["axis"], x), normalization(l)
    source = l.param["source"]  # ignored if there is a third bottom, as in Caffe
    matrix = infogain_matrix(l, source, l.size(x, axis)) if given is None else given
    p = l.emit(Softmax(axis=axis), x)
    losses = l.emit(CrossEntropy(axis=axis, ignore=rule.ignore, floor=LOG_FLOOR), p, label, matrix)
    return (reduce_losses(l, losses, label, rule, axis), p)[: len(l.tops)]


@layer("MultinomialLogisticLoss", bottoms=2, tops=(0, 1))
def multinomial_logistic_loss(l: Layer, p: Value, label: Value) -> Tops:
    """-log of the label's probability, averaged over the batch (multinomial_logistic_loss_layer.cpp)."""
    check_same_batch(l, p, label)
    rows = l.emit(Flatten(), p) if p.type.rank != 2 else p
    return (average_over_batch(l, l.emit(CrossEntropy(floor=LOG_FLOOR), rows, label)),)[: len(l.tops)]


@layer("SigmoidCrossEntropyLoss", bottoms=2, tops=(0, 1))
def sigmoid_cross_entropy_loss(l: Layer, x: Value, target: Value) -> Tops:
    """Cross entropy of sigmoids, by default averaged over the batch (sigmoid_cross_entropy_loss_layer.cpp)."""
    check_same_batch(l, x, target)
    rule, target = normalization(l, "BATCH_SIZE"), reshape_like(l, x, target)
    return (reduce_losses(l, l.emit(SigmoidCrossEntropy(), x, target), target, rule),)[: len(l.tops)]


@layer("EuclideanLoss", bottoms=2, tops=(0, 1))
def euclidean_loss(l: Layer, x: Value, y: Value) -> Tops:
    """Half the sum of squared differences, divided by the batch size (euclidean_loss_layer.cpp)."""
    check_same_batch(l, x, y)
    difference = l.emit(Add(beta=-1.0), x, reshape_like(l, x, y))
    return (average_over_batch(l, l.emit(Power(power=2.0), difference), 0.5),)[: len(l.tops)]


@layer("L1Loss", "l1_loss_param", bottoms=2, tops=(0, 1))
def l1_loss(l: Layer, x: Value, y: Value) -> Tops:
    """The sum of absolute differences, divided by the batch size (NVCaffe's l1_loss_layer.cpp)."""
    check_same_batch(l, x, y)
    difference = l.emit(Add(beta=-1.0), x, reshape_like(l, x, y))
    return (average_over_batch(l, l.emit(Abs(), difference)),)[: len(l.tops)]


@layer("HingeLoss", "hinge_loss_param", bottoms=2, tops=(0, 1))
def hinge_loss(l: Layer, x: Value, label: Value) -> Tops:
    """max(0, 1 - score) of the label and max(0, 1 + score) of other classes, squared for L2 (hinge_loss_layer.cpp)."""
    check_same_batch(l, x, label)
    power, margin = l.choice("norm", {"L1": 1.0, "L2": 2.0}), l.emit(Hinge(), x, label)
    if power != 1:
        margin = l.emit(Power(power=power), margin)
    return (average_over_batch(l, margin),)[: len(l.tops)]


@layer("ContrastiveLoss", "contrastive_loss_param", bottoms=3, tops=(0, 1))
def contrastive_loss(l: Layer, a: Value, b: Value, alike: Value) -> Tops:
    """Squared distance of similar rows, squared margin violation of others (contrastive_loss_layer.cpp)."""
    check_same_batch(l, a, b, alike)
    if a.type.rank < 2 or prod(l.sizes(a.type.dims[2:])) != 1 or prod(l.sizes(alike.type.dims[1:])) != 1:
        sentence = "it compares rows [n, c], or [n, c, 1, 1], and has one label for each pair"
        raise l.fault(sentence + l.importer.describe([a, b, alike]))
    square = l.emit(Reduce(how="sumsq", axis=1), l.emit(Add(beta=-1.0), a, reshape_like(l, a, b)))
    pairs = Contrastive(margin=l.number("margin"), legacy=l.param["legacy_version"])
    return (average_over_batch(l, l.emit(pairs, square, reshape_like(l, square, alike)), 0.5),)[: len(l.tops)]


@layer("SmoothL1Loss", "smooth_l1_loss_param", bottoms=(2, 4), tops=(0, 1))
def smooth_l1_loss(l: Layer, x: Value, y: Value, inside: Value | None = None, outside: Value | None = None) -> Tops:
    """Smooth L1 of (x - y), weighted by the third and fourth bottom, per image (smooth_L1_loss_layer.cpp).

    SSD and Fast R-CNN have one each; `sigma` and the fourth bottom are Fast R-CNN's.
    """
    check_same_batch(l, x, y)
    difference = l.emit(Add(beta=-1.0), x, reshape_like(l, x, y))
    if inside is not None:
        difference = l.emit(Mul(), difference, reshape_like(l, x, inside))
    losses = l.emit(SmoothL1(sigma=l.number("sigma")), difference)
    if outside is not None:
        losses = l.emit(Mul(), losses, reshape_like(l, x, outside))
    return (average_over_batch(l, losses),)[: len(l.tops)]
