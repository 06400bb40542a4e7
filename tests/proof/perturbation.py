"""How far rounding alone can move a net's results: it is run again with every value moved by a millionth.

What a value is moved by depends on its bits alone, so that equal numbers stay equal: a tie that comes of equal work
(zeros behind a relu, a value tiled) is a tie in both runs, and one that hangs on rounding is not.
"""

from __future__ import annotations

import torch
from torch import Tensor

RELATIVE_STEP = 1e-6  # of each number: float32 rounds to 6e-8, and a sum of some hundreds to a few times that


def perturb(x: Tensor) -> Tensor:
    """Each number times 1 ± BY, by a hash of its bits. Whole numbers up to 64 stay: labels, flags, places, zero."""
    if not x.is_floating_point():
        return x
    bits = x.double().contiguous().view(torch.int64)
    hashed = (bits ^ (bits >> 29)) * 0x5851F42D4C957F2D  # wraps around
    noise = (hashed >> 40).remainder(1 << 16).double() / (1 << 15) - 1
    still = (x == x.round()) & (x.abs() <= 64)
    return torch.where(still, x, x * (1 + RELATIVE_STEP * noise))


def relative_difference(exact: Tensor, again: Tensor) -> float:
    """The most that any number differs, as a part of the largest.

    Infinite where one is a number and the other none, or another infinity or NaN.
    """
    if exact.shape != again.shape or not torch.equal(exact.isfinite(), again.isfinite()):
        return float("inf")
    both = exact.isfinite()
    if not torch.equal(exact[~both].nan_to_num(), again[~both].nan_to_num()):
        return float("inf")
    return float((exact - again)[both].abs().max() / max_magnitude(exact)) if both.any() else 0.0


def max_magnitude(x: Tensor) -> float:
    """The largest absolute number, and never 0."""
    known = x[x.isfinite()]
    return max(float(known.abs().max()) if known.numel() else 0.0, 1e-6)
