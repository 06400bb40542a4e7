"""Layers with parameters per channel: Scale and Bias."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.channels import Bias, Scale
from ..layer import Layer, layer


@layer("Scale", "scale_param", bottoms=(1, 2))
def scale(l: Layer, x: Value, by: Value | None = None) -> Value:
    """Multiply by a learnt blob or a bottom, broadcast from `axis` on; bias_term adds a blob (scale_layer.cpp)."""
    gamma, axis = operand_and_axis(l, x, by, "gamma")
    beta = (l.weight(l.sizes(gamma.type.dims), "beta"),) if l.param["bias_term"] else ()
    return l.emit(Scale(axis=axis), x, gamma, *beta)


@layer("Bias", "bias_param", bottoms=(1, 2))
def bias(l: Layer, x: Value, by: Value | None = None) -> Value:
    """Add a learnt blob or a second bottom, broadcast from `axis` on (bias_layer.cpp)."""
    beta, axis = operand_and_axis(l, x, by, "beta")
    return l.emit(Bias(axis=axis), x, beta)


def operand_and_axis(l: Layer, x: Value, by: Value | None, role: str) -> tuple[Value, int]:
    """The operand to broadcast over x, a second bottom or the next learnt blob, and the first axis it applies to."""
    first, many = l.param["axis"], l.param["num_axes"]
    if by is not None and not by.type.rank:  # a scalar, for which `axis` has no meaning
        return by, 0
    axis = l.axis(first, x)
    if by is not None:
        return by, axis
    if many < -1 or axis + many > x.type.rank:
        raise l.fault(f"{x.type} has no {many} axes from {axis} on", "num_axes")
    stop = x.type.rank if many == -1 else axis + many
    return l.weight(l.sizes(x.type.dims[axis:stop]), role), axis
