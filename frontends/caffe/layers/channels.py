"""Layers with numbers for each channel: BatchNorm, and the Scale that follows it."""

from __future__ import annotations

import torch

from ....compiler.ir import Value
from ....compiler.ops.channels import BatchNorm, Scale
from ..layer import Layer, layer


@layer("BatchNorm", "batch_norm_param")
def batch_norm(l: Layer, x: Value) -> Value:
    """Normalise by the stored statistics (batch_norm_layer.cpp).

    The file holds mean and variance times a moving-average factor, and the factor as a third blob; 0 means no statistics.
    """
    p = l.param
    if "use_global_stats" in p and not p["use_global_stats"]:
        advice = "Set use_global_stats: true (the default when testing) if the stored statistics are meant."
        raise l.fault("it asks for the statistics of the batch itself", "use_global_stats", advice)
    count = l.sizes(x.type.dims[1:2]) if x.type.rank > 1 else (1,)
    mean, variance, factor = l.numbers(count, "mean"), l.numbers(count, "variance"), l.numbers((1,), "factor")
    if mean is not None and variance is not None and factor is not None:
        by = torch.where(factor == 0, torch.zeros_like(factor), 1 / factor)
        mean, variance = mean * by, variance * by
    stored = [l.constant(mean, count, "mean"), l.constant(variance, count, "variance")]
    return l.emit(BatchNorm(eps=l.number("eps"), axis=1 if x.type.rank > 1 else 0), x, *stored)


@layer("Scale", "scale_param", bottoms=(1, 2))
def scale(l: Layer, x: Value, by: Value | None = None) -> Value:
    """Multiply by a learnt blob or by a second bottom, along the axes from `axis` on; perhaps add one (scale_layer.cpp)."""
    p = l.param
    axis = l.axis(p["axis"], x) if by is None or by.type.rank else 0
    if by is None:
        many = p["num_axes"]
        if many < -1 or axis + many > x.type.rank:
            raise l.fault(f"{x.type} has no {many} axes from {axis} on", "num_axes")
        shape = l.sizes(x.type.dims[axis:] if many == -1 else x.type.dims[axis : axis + many])
        gamma: Value = l.weight(shape, "gamma")
    else:
        gamma, shape = by, ()
    if not p["bias_term"]:
        return l.emit(Scale(axis=axis), x, gamma)
    return l.emit(Scale(axis=axis), x, gamma, l.weight(shape if by is None else l.sizes(by.type.dims), "beta"))
