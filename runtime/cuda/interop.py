"""Where torch can use the GPU too: its tensors as plain addresses, our memory as its tensors, its order of work.

Both use the GPU's primary context, so that an address of one is an address of the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .device import Buffer, Device


def is_on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


def require_same_device(name: str, tensor: Tensor, device: Device) -> None:
    """ValueError if a tensor lies on another GPU than the net."""
    if tensor.device.index != device.ordinal:
        raise ValueError(
            f"input {name!r} lies on {tensor.device}, and the net on {torch_device(device)}; "
            "move it, or choose the net's GPU by CUDA_VISIBLE_DEVICES"
        )


def current_stream(device: Device) -> int:
    """The stream on which torch does this thread's work."""
    handle: int = torch.cuda.current_stream(device.ordinal).cuda_stream
    return handle


def torch_device(device: Device) -> str:
    """torch's name for the GPU."""
    return f"cuda:{device.ordinal}"


def tensor_over(buffer: Buffer, device: Device) -> Tensor:
    """A tensor, u8 [nbytes], that is this memory, and keeps it."""
    if not buffer.nbytes:
        return torch.empty(0, dtype=torch.uint8, device=torch_device(device))
    return torch.as_tensor(CudaArray(buffer), device=torch_device(device))


class CudaArray:
    """A buffer, as libraries tell each other about memory on a GPU (CUDA array interface, version 3)."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.__cuda_array_interface__: dict[str, Any] = {
            "shape": (buffer.nbytes,),
            "typestr": "|u1",
            "data": (buffer.address, False),
            "version": 3,
        }
