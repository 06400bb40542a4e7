"""The two parts of an f32 number that tensor cores multiply: tf32 numbers, which have 10 bits of mantissa."""

from __future__ import annotations

import torch
from torch import Tensor

DROPPED_BITS = 13  # of f32's mantissa
LARGE = 2.0**11


def split_tf32(data: Tensor) -> dict[str, Tensor]:
    """f32 numbers as a sum of parts: "big", rounded to the nearest tf32 number, and the exact "rest".

    The rest of an infinity or NaN is 0. From LARGE on, numbers are rounded towards 0: their rest is 1 or more, so that
    its products may be infinite, too, and must then have the sign of the number's.
    """
    bits = data.view(torch.int32)
    half = (1 << (DROPPED_BITS - 1)) - 1 + (bits >> DROPPED_BITS & 1)  # ties to even
    mask = -(1 << DROPPED_BITS)
    nearest, towards_zero = ((bits + add & mask).view(torch.float32) for add in (half, torch.zeros_like(bits)))
    finite = data.isfinite()
    big = torch.where(finite, torch.where(data.abs() < LARGE, nearest, towards_zero), data)
    return {"big": big, "rest": torch.where(finite, data - big, torch.zeros_like(data))}
