"""Layers with parameters per channel: BatchNorm, Scale and Bias."""

from __future__ import annotations

import torch

from ....compiler.ir import Value
from ....compiler.ops.channels import BatchNorm, Bias, Scale
from ....compiler.ops.reduce import Standardize
from ..layer import Layer, layer

ZERO_FACTOR_HINT = "did NVCaffe write this file? It keeps them as they are; with a factor of 1 they would count"


@layer("BatchNorm", "batch_norm_param")
def batch_norm(l: Layer, x: Value) -> Value:
    """Normalize by the stored statistics or, with use_global_stats: false, by the batch's (batch_norm_layer.cpp).

    The blobs are mean [c] and variance [c], both multiplied by a moving-average factor, and the factor [1]; a factor of
    0 makes both statistics 0. Data of rank 1 have one channel.
    """
    p, channels = l.param, l.sizes(x.type.dims[1:2])
    if "use_global_stats" in p and not p["use_global_stats"]:
        l.blobs = 3  # they are in the file, and not used
        per = (1,) if channels else ()
        return l.emit(Standardize(per=per, eps=l.number("eps"), eps_in="variance"), x)
    count = channels or (1,)
    mean, variance, factor = l.numbers(count, "mean"), l.numbers(count, "variance"), l.numbers((1,), "factor")
    if mean is not None and variance is not None and factor is not None:
        if not factor.any() and (mean.any() or variance.any()):
            l.importer.warn(f"{l.label} has statistics and the factor 0, so Caffe takes them for 0: {ZERO_FACTOR_HINT}")
        by = torch.where(factor == 0, torch.zeros_like(factor), 1 / factor)
        mean, variance = (mean * by).reshape(channels), (variance * by).reshape(channels)
    stored = [l.constant(mean, channels, "mean"), l.constant(variance, channels, "variance")]
    return l.emit(BatchNorm(eps=l.number("eps"), axis=1 if channels else 0), x, *stored)


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
