"""Strategies for convolutions, deconvolutions and matrix products, with matching weights."""

from __future__ import annotations

from math import prod

from cortado.compiler.ir import Value
from cortado.compiler.ops.conv import Conv, Deconv, Im2col
from cortado.compiler.ops.dense import Distance, Linear

from ..net_builder import NetBuilder, Unfit, has_static_dims


def divisors(n: int) -> list[int]:
    return [i for i in range(1, n + 1) if n % i == 0]


def window(d: NetBuilder, sizes: tuple[int, ...], most: int = 3) -> tuple[int, ...]:
    return tuple(min(d.dice.pick((1, 1, 2, most)), max(n, 1)) for n in sizes)


def stride_pad_dilation(d: NetBuilder, axes: int, sides: bool = True) -> dict[str, tuple[int, ...]]:
    """Stride, pad and dilation, sometimes other than 1, 0 and 1; one number for all axes, or one per axis.

    `sides`: pad may have two numbers per axis.
    """

    def numbers(usual: int, least: int, most: int) -> tuple[int, ...]:
        if d.dice.chance(0.6):
            return (usual,)
        return tuple(d.dice.between(least, most) for _ in range(axes if d.dice.chance(0.4) else 1))

    made = {"stride": numbers(1, 1, 3), "pad": numbers(0, 0, 2), "dilation": numbers(1, 1, 2)}
    if sides and d.dice.chance(0.2):
        made["pad"] = tuple(d.dice.between(0, 2) for _ in range(2 * axes))
    return made


def conv(d: NetBuilder, x: Value | None = None, outputs: int = 0, same: bool = False) -> Value:
    """A convolution; with `same` it keeps the image size, so that its result can be added to its operand."""
    x = x or d.image()
    _, channels, *sizes = x.type.dims
    assert isinstance(channels, int)
    groups = d.dice.pick(divisors(channels)) if d.dice.chance(0.35) else 1
    made = outputs or groups * d.dice.pick((1, 1, 2, 3, 5))
    if made % groups:
        groups = 1
    kernel: tuple[int, ...]
    attributes: dict[str, tuple[int, ...]]
    if same:
        size = d.dice.pick((1, 3))
        kernel, attributes = (size,) * len(sizes), {"pad": (size // 2,)}
    else:
        kernel, attributes = window(d, x.type.bounds[2:]), stride_pad_dilation(d, len(sizes))
    w = d.weight("w", made, channels // groups, *kernel)
    b = [d.weight("w", made)] if d.dice.chance(0.5) else []
    return d.add(Conv(groups=groups, **attributes), x, w, *b)


def deconv(d: NetBuilder) -> Value:
    x = d.image()
    _, channels, *sizes = x.type.dims
    assert isinstance(channels, int)
    groups = d.dice.pick(divisors(channels)) if d.dice.chance(0.35) else 1
    each = d.dice.pick((1, 2, 3))
    w = d.weight("w", channels, each, *window(d, (3,) * len(sizes)))
    b = [d.weight("w", each * groups)] if d.dice.chance(0.5) else []
    return d.add(Deconv(groups=groups, **stride_pad_dilation(d, len(sizes), sides=False)), x, w, *b)


def im2col(d: NetBuilder) -> Value:
    x = d.image()
    op = Im2col(kernel=window(d, x.type.bounds[2:]), channels=0, **stride_pad_dilation(d, x.type.rank - 2))
    return d.add(op, x)


def linear(d: NetBuilder, x: Value | None = None, outputs: int = 0, start: int = 1) -> Value:
    """A matrix product of a value of any rank, with `outputs` outputs, if given."""
    x = x or d.value(lambda v: v.type.rank > start and has_static_dims(v, start))
    axis = start if outputs or d.dice.chance(0.7) else d.dice.between(0, x.type.rank - 1)
    if not has_static_dims(x, axis):
        raise Unfit
    taken, made = prod(x.type.with_shape(*x.type.dims[axis:]).shape), outputs or d.dice.pick((1, 2, 3, 5, 8))
    turned = d.dice.chance(0.3)
    w = d.weight("w", *((taken, made) if turned else (made, taken)))
    b = [d.weight("w", made)] if d.dice.chance(0.5) else []
    counted = axis - x.type.rank if d.dice.chance(0.2) else axis
    return d.add(Linear(axis=counted, transpose=turned), x, w, *b)


def distance(d: NetBuilder) -> Value:
    """Distances from a matrix of centres, which is a weight or, if there is one of that shape, another value."""
    x = d.value(lambda v: v.type.rank > 1 and has_static_dims(v, 1))
    taken = prod(x.type.with_shape(*x.type.dims[1:]).shape)
    return d.add(Distance(norm=d.dice.between(1, 2)), x, d.weight("w", d.dice.between(1, 4), taken))


STRATEGIES = {"conv": conv, "deconv": deconv, "im2col": im2col, "linear": linear, "distance": distance}
