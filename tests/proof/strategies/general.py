"""Strategies for any operator by its arity and attributes, and for elementwise operators with special operands."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

from cortado.compiler.ir import Value
from cortado.compiler.op import REGISTRY, Op
from cortado.compiler.ops.activation import AtLeast, Clip, PRelu
from cortado.compiler.ops.arithmetic import Exp, Log, Power
from cortado.compiler.ops.channels import BatchNorm, Bias, Scale
from cortado.compiler.ops.reduce import Reduce

from ..net_builder import NetBuilder, Unfit, has_static_dims

FLOATS = (-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0)


def by_signature(d: NetBuilder, cls: type[Op]) -> None:
    """Operands of one type, as many as the operator takes; attributes by their types, or their defaults."""
    x = d.value()
    least, most = cls.arity
    count = d.dice.between(max(least, 1), least + 2 if most is None else min(most, least + 2))
    attributes = {f.name: draw_attribute(d, f, x) for f in fields(cls) if is_required(f) or d.dice.chance(0.5)}  # type: ignore[arg-type]
    try:
        op = cls(**{name: value for name, value in attributes.items() if value is not None})
    except ValueError:
        raise Unfit from None
    d.add_all(op, *[x, *(d.value_like(x) for _ in range(count - 1))][:count])


def is_required(f: Field[Any]) -> bool:
    return f.default is MISSING


def draw_attribute(d: NetBuilder, f: Field[Any], x: Value) -> Any:
    """A random value for an attribute; None keeps its default."""
    kind = str(f.type)
    if "axis" in f.name and x.type.rank:
        return axis(d, x)
    if kind.startswith("float"):
        return d.dice.pick(FLOATS)
    if kind == "bool":
        return d.dice.chance(0.5)
    if kind.startswith("int"):
        return d.dice.between(0, 3)
    if "int" in kind.lower():
        return tuple(d.dice.between(1, 3) for _ in range(d.dice.between(1, 2)))
    return None


def axis(d: NetBuilder, x: Value) -> int:
    """A random axis of x, positive or negative."""
    return d.dice.between(-x.type.rank, x.type.rank - 1)


def axis_and_weight(d: NetBuilder, x: Value, kind: str) -> tuple[int, Value]:
    """An axis, and a weight with the shape of dimensions of x from this axis on; most often one number per channel."""
    rank = x.type.rank
    if rank < 2 or d.dice.chance(0.25):
        start, count = d.dice.between(0, max(rank - 1, 0)), d.dice.between(0, rank)
    else:
        start, count = 1, 1
    dims = x.type.dims[start : start + count]
    if not all(isinstance(n, int) for n in dims):
        raise Unfit
    at = start - rank if rank and d.dice.chance(0.15) else start
    return at, d.weight(kind, *x.type.with_shape(*dims).shape)


def prelu(d: NetBuilder) -> Value:
    x = d.value()
    at, slope = axis_and_weight(d, x, "w")
    return d.add(d.dice.pick((PRelu, AtLeast))(axis=at), x, slope)


def batch_norm(d: NetBuilder, x: Value | None = None) -> Value:
    x = x or d.value()
    at, variance = axis_and_weight(d, x, "v")
    return d.add(BatchNorm(axis=at, eps=d.dice.pick((1e-5, 1e-3))), x, d.weight("w", *variance.type.shape), variance)


def scale(d: NetBuilder, x: Value | None = None) -> Value:
    x = x or d.value()
    at, gamma = axis_and_weight(d, x, "w")
    if d.dice.chance(0.1):  # by another value instead of a constant
        others = [v for v in d.numbers if v.type == gamma.type]
        gamma = d.dice.pick(others) if others else gamma
    return d.add(Scale(axis=at), x, gamma, *([d.weight("w", *gamma.type.shape)] if d.dice.chance(0.6) else []))


def bias(d: NetBuilder, x: Value | None = None) -> Value:
    x = x or d.value()
    at, beta = axis_and_weight(d, x, "w")
    return d.add(Bias(axis=at), x, beta)


def clip(d: NetBuilder) -> Value:
    low = d.dice.pick((-2.0, -0.5, 0.0))
    return d.add(Clip(low=low, high=low + d.dice.pick((0.75, 2.0, 6.0))), d.value())


def positive(d: NetBuilder) -> Value:
    """The absolute value of a value, as the base of powers and logarithms."""
    return d.add(REGISTRY["abs"](), d.value())


def power(d: NetBuilder) -> Value:
    exponent = d.dice.pick((0.0, 0.5, 1.0, 2.0, 3.0, -1.0, 1.5))
    whole = exponent in (0.0, 1.0, 2.0, 3.0)
    x, shift = d.value() if whole else positive(d), d.dice.pick((0.0, 0.0, 1.0, 0.3)) if whole else 0.5
    return d.add(Power(power=exponent, scale=d.dice.pick((1.0, 1.0, 0.5, 0.0)), shift=shift), x)


def exp(d: NetBuilder) -> Value:
    return d.add(
        Exp(base=d.dice.pick((2.0, 0.5, 3.0)), scale=d.dice.pick(FLOATS), shift=d.dice.pick(FLOATS)), d.value()
    )


def log(d: NetBuilder) -> Value:
    return d.add(Log(base=d.dice.pick((2.0, 10.0, 0.5)), scale=d.dice.pick((1.0, 0.5)), shift=1.5), positive(d))


def reduce(d: NetBuilder) -> Value:
    x = d.value(lambda v: v.type.rank > 0 and has_static_dims(v))
    how = d.dice.pick(("sum", "asum", "sumsq", "mean"))
    return d.add(Reduce(how=how, axis=axis(d, x), coeff=d.dice.pick((1.0, 0.5))), x)


STRATEGIES = {
    "prelu": prelu,
    "at_least": prelu,
    "batch_norm": batch_norm,
    "scale": scale,
    "bias": bias,
    "clip": clip,
    "power": power,
    "exp": exp,
    "log": log,
    "reduce": reduce,
}
