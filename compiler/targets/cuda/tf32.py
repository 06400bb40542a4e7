"""The two parts of an f32 number that tensor cores multiply: tf32 numbers, which have 10 bits of mantissa."""

from __future__ import annotations

import torch
from torch import Tensor

DROPPED_BITS = 13  # of f32's mantissa


def split_tf32(data: Tensor) -> dict[str, Tensor]:
    """f32 numbers as a sum of parts: "big", rounded to the nearest tf32 number, and the exact "rest".

    The rest of an infinity or NaN is 0. A number that would be rounded to infinity is rounded towards 0.
    """
    bits = data.view(torch.int32)
    half = (1 << (DROPPED_BITS - 1)) - 1 + (bits >> DROPPED_BITS & 1)  # ties to even
    mask = -(1 << DROPPED_BITS)
    nearest, towards_zero = ((bits + add & mask).view(torch.float32) for add in (half, torch.zeros_like(bits)))
    finite = data.isfinite()
    big = torch.where(finite, torch.where(nearest.isfinite(), nearest, towards_zero), data)
    return {"big": big, "rest": torch.where(finite, data - big, torch.zeros_like(data))}
