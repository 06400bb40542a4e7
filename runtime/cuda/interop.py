"""Interoperation with torch on a GPU: devices, streams, and tensors over GPU memory of the runtime.

Both use the GPU's primary context, so addresses and streams of one are valid in the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .device import Buffer, Device


def is_on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


def require_same_device(name: str, tensor: Tensor, device: Device) -> None:
    """ValueError if a tensor is on another GPU than the net."""
    if tensor.device.index != device.ordinal:
        raise ValueError(
            f"input {name!r} is on {tensor.device}, and the net on {torch_device(device)}; "
            "move it, or choose the net's GPU by CUDA_VISIBLE_DEVICES"
        )


def current_stream(device: Device) -> int:
    """The handle of torch's current stream in this thread."""
    handle: int = torch.cuda.current_stream(device.ordinal).cuda_stream
    return handle


def torch_device(device: Device) -> str:
    """torch's name for the GPU."""
    return f"cuda:{device.ordinal}"


def tensor_over(buffer: Buffer, device: Device) -> Tensor:
    """A tensor, u8 [nbytes], that shares the buffer's memory and keeps it alive."""
    if not buffer.nbytes:
        return torch.empty(0, dtype=torch.uint8, device=torch_device(device))
    return torch.as_tensor(CudaArray(buffer), device=torch_device(device))


class CudaArray:
    """A buffer in the CUDA array interface, version 3, by which libraries share GPU memory."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.__cuda_array_interface__: dict[str, Any] = {
            "shape": (buffer.nbytes,),
            "typestr": "|u1",
            "data": (buffer.address, False),
            "version": 3,
        }
