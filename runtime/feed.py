"""Converts inputs, numpy arrays or torch tensors, to the dtype and layout that a net was compiled for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arena import strides_of
from .arrays import array_of_numbers
from .plan import DTYPES, Shape, Slot
from .spec import Spec as Spec

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def tensor_of(name: str, given: Any, gpu: bool = False) -> Tensor:
    """The input as a tensor, which shares its memory if possible: on the CPU, or with `gpu` on its own device.

    ValueError if it is not an array of numbers.
    """
    if gpu and hasattr(given, "__cuda_array_interface__") and not isinstance(given, Tensor):
        if not torch.cuda.is_available():
            raise ValueError(f"input {name!r} is on a GPU, and this torch has no CUDA; copy it to the host")
        given = torch.as_tensor(given, device="cuda")
    if isinstance(given, Tensor):
        return given.detach() if gpu else given.detach().cpu()
    return torch.from_numpy(array_of_numbers(name, given))


def convert_input(name: str, data: Tensor, slot: Slot) -> Tensor:
    """The input in the slot's dtype and layout. ValueError if it is complex, or not integral for an integer dtype."""
    dtype = DTYPES[slot.dtype]
    if data.dtype.is_complex:
        raise ValueError(f"input {name!r} is complex, and should be {slot.dtype}")
    if data.dtype != dtype:
        made = data.to(dtype)
        if data.dtype.is_floating_point and not dtype.is_floating_point and not torch.equal(made.to(data.dtype), data):
            raise ValueError(f"input {name!r} should hold whole numbers ({slot.dtype}) and holds others")
        data = made
    return relayout(data, slot.layout)


def relayout(data: Tensor, layout: str) -> Tensor:
    """The tensor with the strides of a contiguous one in `layout`; itself if it has them."""
    strides = strides_of(tuple(data.shape), layout)
    if all(s == t or n == 1 for n, s, t in zip(data.shape, data.stride(), strides, strict=True)):
        return data
    return torch.empty_strided(data.shape, strides, dtype=data.dtype, device=data.device).copy_(data)


def array_of(result: Tensor) -> np.ndarray[Any, Any]:
    """A result as a numpy array; bfloat16, which numpy lacks, as float32."""
    made: np.ndarray[Any, Any] = (result.float() if result.dtype == torch.bfloat16 else result).numpy()
    return made


def shape_of(data: Tensor) -> Shape:
    return tuple(data.shape)
