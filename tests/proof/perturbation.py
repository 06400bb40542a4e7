"""Estimates the effect of rounding on a net's results: a second run perturbs every value by a millionth.

The perturbation depends only on the bits of an element, so that equal elements stay equal: ties of elements that are
computed in the same way (zeros after a relu, tiled values) stay ties, and ties that depend on rounding do not.
"""

from __future__ import annotations

import torch
from torch import Tensor

RELATIVE_STEP = 1e-6  # float32 rounds to 6e-8, and a sum of some hundreds of elements to a few times that


def perturb(x: Tensor) -> Tensor:
    """Each element times 1 ± RELATIVE_STEP, by a hash of its bits; integers up to 64, such as labels, stay."""
    if not x.is_floating_point():
        return x
    bits = x.double().contiguous().view(torch.int64)
    hashed = (bits ^ (bits >> 29)) * 0x5851F42D4C957F2D  # wraps around
    noise = (hashed >> 40).remainder(1 << 16).double() / (1 << 15) - 1
    still = (x == x.round()) & (x.abs() <= 64)
    return torch.where(still, x, x * (1 + RELATIVE_STEP * noise))


def perturb_by_place(x: Tensor) -> Tensor:
    """Each element times 1 ± RELATIVE_STEP, by its place: equal elements differ afterwards.

    For the operands of operators that subtract a mean, whose own rounding keeps equal numbers from cancelling.
    """
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    return x * (1 + RELATIVE_STEP * noise)


def relative_difference(exact: Tensor, again: Tensor) -> float:
    """The largest difference, relative to the largest magnitude.

    Infinite if only one of two elements is finite, or if both are not and differ.
    """
    if exact.shape != again.shape or not torch.equal(exact.isfinite(), again.isfinite()):
        return float("inf")
    both = exact.isfinite()
    if not torch.equal(exact[~both].nan_to_num(), again[~both].nan_to_num()):
        return float("inf")
    return float((exact - again)[both].abs().max() / max_magnitude(exact)) if both.any() else 0.0


def max_magnitude(x: Tensor) -> float:
    """The largest magnitude, at least a tiny positive number."""
    known = x[x.isfinite()]
    return max(float(known.abs().max()) if known.numel() else 0.0, 1e-6)
