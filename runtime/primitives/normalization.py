"""Local response normalisation, softmax and L2 normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Dim, Shape
from .chunks import chunk, chunks
from .pooling import AVG_POOL_FUNCTIONS
from .primitive import CallSite, Primitive, Run, axis_of, require


def infer_lrn_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    require(attributes["size"] >= 1 and attributes["size"] % 2 == 1, f"size is odd, not {attributes['size']}")
    require(len(x) >= 2, f"{list(x)} has no channels")
    require(attributes["region"] == "across" or 3 <= len(x) <= 5, f"{list(x)} is not an image")
    return [x]


def prepare_lrn(call: CallSite) -> Run:
    """Across channels: x / (k + alpha / size · Σ x²)^beta. Within: x / (1 + alpha · mean of x² over the window)^beta.

    The mean includes the zero padding, and k is not used within channels (Caffe, lrn_layer.cpp).
    """
    attributes, axes = call.attributes, len(call.operands[0].shape) - 2
    size, alpha, beta, k = (attributes[name] for name in ("size", "alpha", "beta", "k"))
    half = size // 2

    def run_across(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        for part in chunks(operands[0]):
            across(chunk(results[0], *part), chunk(operands[0], *part))

    def across(result: Tensor, x: Tensor) -> None:
        squares = x * x
        total = squares.clone()
        for shift in range(1, min(half, x.shape[1] - 1) + 1):
            total[:, shift:] += squares[:, :-shift]
            total[:, :-shift] += squares[:, shift:]
        scale = total.mul_(alpha / size).add_(k) if alpha else total.fill_(k)  # squares times 0 do not count (saxpy)
        torch.mul(x, inverse_power_(scale, beta), out=result)

    def run_within(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        x = operands[0]
        mean = AVG_POOL_FUNCTIONS[axes - 1](F.pad(x * x, [half] * (2 * axes)), size, 1)
        torch.mul(x, inverse_power_(mean.mul_(alpha).add_(1) if alpha else mean.fill_(1), beta), out=results[0])

    return run_within if attributes["region"] == "within" else run_across


def inverse_power_(x: Tensor, beta: float) -> Tensor:
    """x^-beta in place. For 0.75, the usual value, two square roots are faster than a power."""
    if beta == 0.75:
        return x.rsqrt_().mul_(x.sqrt())
    return x.pow_(-beta)


def infer_softmax_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    axis_of(attributes, x)
    return [x]


def prepare_softmax(call: CallSite) -> Run:
    axis = call.attributes["axis"]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        results[0].copy_(operands[0].softmax(axis))

    return run


def infer_l2_normalize_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    require(len(x) >= 2, f"{list(x)} has no channels")
    return [x]


def prepare_l2_normalize(call: CallSite) -> Run:
    """x / √(Σ x² + eps), the sum over the channels at each position, or over all of a picture with `across`."""
    eps = call.attributes["eps"]
    over = tuple(range(1, len(call.operands[0].shape))) if call.attributes["across"] else (1,)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        x = operands[0]
        torch.div(x, (x * x).sum(over, keepdim=True).add_(eps).sqrt_(), out=results[0])

    return run


LRN = Primitive(prepare_lrn, infer_lrn_shapes)
SOFTMAX = Primitive(prepare_softmax, infer_softmax_shapes)
L2_NORMALIZE = Primitive(prepare_l2_normalize, infer_l2_normalize_shapes)
