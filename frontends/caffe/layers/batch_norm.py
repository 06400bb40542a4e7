"""BatchNorm, with what NVCaffe and synopsys-caffe added to it."""

from __future__ import annotations

import torch

from ....compiler.ir import Value
from ....compiler.ops.channels import BatchNorm, Scale
from ....compiler.ops.reduce import Standardize
from ..layer import Layer, layer

ZERO_FACTOR_HINT = "did NVCaffe write this file? It keeps them as they are; with a factor of 1 they would count"
NV_EPS = 1e-5  # the least eps of NVCaffe (CUDNN_BN_MIN_EPSILON)
NV_FIELDS = ("scale_bias", "scale_filler", "bias_filler")


@layer("BatchNorm", "batch_norm_param")
def batch_norm(l: Layer, x: Value) -> Value:
    """Normalize by the stored statistics or, with use_global_stats: false, by the batch's (batch_norm_layer.cpp).

    The blobs are mean [c] and variance [c], both multiplied by a moving-average factor, and the factor [1]; a factor of
    0 makes both statistics 0. Data of rank 1 have one channel.

    With scale_bias or a filler the layer is NVCaffe's: there are two more blobs, scale and bias; TEST always takes the
    stored statistics, as they are; eps is at least 1e-5. add_eps_before_sqrt: false is synopsys-caffe's: eps is added
    to the standard deviation.
    """
    p, channels = l.param, l.sizes(x.type.dims[1:2])
    if "filler" in p:
        raise l.fault("filler is of Intel's fork, whose BatchNorm has other blobs", "filler")
    scaled = p["scale_bias"] or any(f in p for f in NV_FIELDS[1:])
    batch = p.is_set("use_global_stats") and not p["use_global_stats"] and not scaled
    if batch:
        if not p["add_eps_before_sqrt"]:
            sentence = (
                "synopsys-caffe, which has add_eps_before_sqrt, computes no variance with use_global_stats: false"
            )
            raise l.fault(f"{sentence} at TEST", "add_eps_before_sqrt")
        for shape in (channels or (1,), channels or (1,), (1,)):
            l.skip_weight(shape)
        per = (1,) if channels else ()
        return l.emit(Standardize(per=per, eps=l.number("eps"), eps_in="variance"), x)
    eps = max(l.number("eps"), NV_EPS) if scaled else l.number("eps")
    mean, variance = stored_statistics(l, channels, is_factored=not scaled)
    if not p["add_eps_before_sqrt"]:
        variance = None if variance is None else deviation_squared(variance, eps)
        eps = 0.0
    stored = [l.constant(mean, channels, "mean"), l.constant(variance, channels, "variance")]
    axis = 1 if channels else 0
    y = l.emit(BatchNorm(eps=eps, axis=axis), x, *stored)
    if not scaled:
        return y
    gamma, beta = l.weight(channels or (1,), "gamma"), l.weight(channels or (1,), "beta")
    return l.emit(Scale(axis=axis), y, gamma, beta)


def stored_statistics(
    l: Layer, channels: tuple[int, ...], is_factored: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Mean and variance [c], divided by the factor if they are stored multiplied by it; None: unbound."""
    count = channels or (1,)
    mean, variance, factor = l.numbers(count, "mean"), l.numbers(count, "variance"), l.numbers((1,), "factor")
    if mean is None or variance is None or factor is None:
        return None, None
    if not is_factored:
        return mean.reshape(channels), variance.reshape(channels)
    if not factor.any() and (mean.any() or variance.any()):
        l.importer.warn(f"{l.label} has statistics and the factor 0, so Caffe takes them for 0: {ZERO_FACTOR_HINT}")
    by = torch.where(factor == 0, torch.zeros_like(factor), 1 / factor)
    return (mean * by).reshape(channels), (variance * by).reshape(channels)


def deviation_squared(variance: torch.Tensor, eps: float) -> torch.Tensor:
    """(sqrt(variance) + eps)^2, the variance of which the standard deviation has eps added to it."""
    deviation = variance.sqrt() + torch.tensor(eps, dtype=torch.float32)
    return deviation.double().square().float()
