"""Strategies for the operators of optical flow."""

from __future__ import annotations

from dataclasses import replace

from cortado.compiler.ir import Value
from cortado.compiler.ops.flow import Correlation, FlowWarp, Resample

from ..net_builder import NetBuilder, has_static_dims


def image_of(d: NetBuilder) -> Value:
    return d.value(lambda v: v.type.rank == 4 and has_static_dims(v) and min(v.type.shape) > 0)


def correlation(d: NetBuilder) -> Value:
    a = image_of(d)
    b = d.value(lambda v: v.type == a.type) if d.dice.chance(0.7) else a
    reach, kernel = d.dice.between(0, 2), d.dice.pick((1, 1, 3))
    op = Correlation(
        displacement=reach,
        kernel=kernel,
        stride=d.dice.between(1, 2),
        step=d.dice.between(1, 2),
        pad=reach + kernel // 2,
        difference=d.dice.chance(0.3),
    )
    return d.add(op, a, b)


def flow_warp(d: NetBuilder) -> Value:
    x = image_of(d)
    n, _, h, w = x.type.shape
    return d.add(FlowWarp(fill="zero"), x, d.new_input(f"flow{n}x{h}x{w}", n, 2, h, w))


def resample(d: NetBuilder) -> Value:
    sizes = (d.dice.between(1, 6), d.dice.between(1, 6))
    op = Resample(sizes=sizes, filter=d.dice.pick(("linear", "cubic")), antialias=d.dice.chance(0.5))
    x = image_of(d)
    if sizes[0] == 1:  # the sizes of another image
        return d.add(replace(op, sizes=()), x, image_of(d))
    return d.add(op, x)


STRATEGIES = {"correlation": correlation, "flow_warp": flow_warp, "resample": resample}
