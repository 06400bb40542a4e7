"""Strategies for scores, losses, and operators with labels."""

from __future__ import annotations

from cortado.compiler.ir import Value
from cortado.compiler.op import Op
from cortado.compiler.ops.dense import Softmax
from cortado.compiler.ops.loss import Accuracy, Contrastive, CrossEntropy, Hinge
from cortado.compiler.ops.norm import L2Normalize
from cortado.compiler.ops.reduce import Argmax, Standardize, TotalLoss

from ..net_builder import NetBuilder, has_static_dims
from .general import axis


def scores_and_labels(d: NetBuilder) -> tuple[Value, int, Value]:
    """A value, the axis of its classes, and an input with a label for each position of the other axes."""
    x = d.value(lambda v: v.type.rank > 0 and has_static_dims(v))
    along = 1 if x.type.rank > 1 and d.dice.chance(0.7) else d.dice.between(0, x.type.rank - 1)
    dims = (*x.type.shape[:along], *x.type.shape[along + 1 :])
    return x, along, d.new_input(f"class{x.type.shape[along]}", *dims)


def ignore_label(d: NetBuilder, x: Value, along: int) -> int | None:
    return d.dice.between(0, x.type.shape[along] - 1) if d.dice.chance(0.4) else None


def cross_entropy(d: NetBuilder) -> Value:
    x, along, label = scores_and_labels(d)
    p = d.add(Softmax(axis=along), x)
    classes = x.type.shape[along]
    gain = [d.weight("w", classes, classes)] if d.dice.chance(0.3) else []
    return d.add(CrossEntropy(axis=along, ignore=ignore_label(d, x, along)), p, label, *gain)


def total_loss(d: NetBuilder) -> Value:
    losses = d.value(has_static_dims)
    by = d.dice.pick(("all", "valid", "batch", "none"))
    start = d.dice.between(0, losses.type.rank)
    if d.dice.chance(0.5):
        return d.add(TotalLoss(by=by, axis=start, scale=d.dice.pick((1.0, 0.5))), losses)
    ignore = d.dice.pick((None, 0, 1))
    return d.add(TotalLoss(by=by, axis=start, ignore=ignore), losses, d.new_input("class3", *losses.type.shape))


def hinge(d: NetBuilder) -> Value:
    x = d.value(lambda v: v.type.rank > 0 and has_static_dims(v))
    classes = x.type.with_shape(*x.type.dims[1:]).numel
    return d.add(Hinge(), x, d.new_input(f"class{classes}", x.type.shape[0]))


def accuracy(d: NetBuilder) -> object:
    x, along, label = scores_and_labels(d)
    top, each = d.dice.between(1, min(2, x.type.shape[along])), d.dice.chance(0.3)
    return d.add_all(Accuracy(axis=along, ignore=ignore_label(d, x, along), top=top, classes=each), x, label)


def argmax(d: NetBuilder) -> object:
    x = d.value(lambda v: v.type.rank > 0 and has_static_dims(v))
    along = axis(d, x)
    top = d.dice.between(1, x.type.shape[along] if d.dice.chance(0.3) else 1)
    return d.add_all(Argmax(axis=along, top=top, numbers=d.dice.chance(0.3)), x)


def standardize(d: NetBuilder) -> Value:
    x = d.value(lambda v: v.type.rank > 0 and has_static_dims(v))
    per = tuple(a for a in range(x.type.rank) if d.dice.chance(0.5))
    where, eps = d.dice.pick(("deviation", "variance")), d.dice.pick((1e-9, 1e-3))
    return d.add(Standardize(per=per, eps=eps, eps_in=where, scaled=d.dice.chance(0.8)), x)


def l2_normalize(d: NetBuilder) -> Value:
    return d.add(L2Normalize(across=d.dice.chance(0.5)), d.value(lambda v: v.type.rank > 1))


def contrastive(d: NetBuilder) -> Value:
    x = d.value(has_static_dims)
    legacy = d.dice.chance(0.5)
    square: Op = Contrastive(margin=d.dice.pick((1.0, 0.5)), legacy=legacy)
    return d.add(
        square, d.new_input("v", *x.type.shape) if d.dice.chance(0.5) else x, d.new_input("flag", *x.type.shape)
    )


STRATEGIES = {
    "cross_entropy": cross_entropy,
    "total_loss": total_loss,
    "hinge": hinge,
    "accuracy": accuracy,
    "argmax": argmax,
    "standardize": standardize,
    "l2_normalize": l2_normalize,
    "contrastive": contrastive,
}
