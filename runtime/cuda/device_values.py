"""Values in GPU memory: their addresses, and copies to and from the host.

A value of dynamic shape occupies the leading indices of its largest shape: kernels always compute the largest shape,
and the host reads the leading part. (On the CPU a value of dynamic shape is contiguous.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..arena import strides_of, view
from ..plan import DTYPES, Shape, Slot
from .device import Buffer
from .driver import Driver


@dataclass(frozen=True)
class DeviceValue:
    """A slot in GPU memory, at the address `base`: in the arena or, for an input, in a separate buffer."""

    driver: Driver
    buffer: Buffer | None
    base: int
    slot: Slot

    @cached_property
    def address(self) -> int:
        """The address of the first element; for a subview of channels, not the begin of the stored tensor."""
        if self.slot.channels is None:
            return self.base
        stride = strides_of(self.slot.stored_shape, self.slot.layout)[1]
        return self.base + self.slot.channels[0] * stride * DTYPES[self.slot.dtype].itemsize

    @cached_property
    def slot_at_zero(self) -> Slot:
        """The slot, with the stored tensor at offset 0."""
        return replace(self.slot, at=0)

    def allocate_host(self) -> Tensor:
        """Host memory for the stored tensor, u8 [nbytes]."""
        return torch.empty(self.slot.nbytes, dtype=torch.uint8)

    def view_in(self, memory: Tensor, shape: Shape | None = None) -> Tensor:
        """The value, as a view of a copy of its stored tensor (u8); with `shape`, its leading part of that shape."""
        whole = view(memory, self.slot_at_zero)
        return whole if shape is None else leading_slice(whole, shape)

    def copy_to_host(self, memory: Tensor, stream: int) -> None:
        """Copy the stored tensor to host memory, asynchronously on the stream."""
        if self.slot.nbytes:
            self.driver.cuMemcpyDtoHAsync_v2(memory.data_ptr(), self.base, self.slot.nbytes, stream)

    def copy_from_host(self, memory: Tensor, stream: int) -> None:
        """Copy the stored tensor from host memory, asynchronously on the stream."""
        if self.slot.nbytes:
            self.driver.cuMemcpyHtoDAsync_v2(self.base, memory.data_ptr(), self.slot.nbytes, stream)

    def copy_input(self, tensor: Tensor, stream: int, on_gpu: bool) -> None:
        """Copy an input of the slot's dtype and layout from GPU or host memory, asynchronously on the stream."""
        if tuple(tensor.shape) != self.slot.bounds:
            whole = view(torch.zeros(self.slot.nbytes, dtype=torch.uint8, device=tensor.device), self.slot_at_zero)
            leading_slice(whole, tuple(tensor.shape)).copy_(tensor)
            tensor = whole
        if self.slot.nbytes:
            copy = self.driver.cuMemcpyDtoDAsync_v2 if on_gpu else self.driver.cuMemcpyHtoDAsync_v2
            copy(self.base, tensor.data_ptr(), self.slot.nbytes, stream)

    def poison(self, stream: int) -> None:
        """Fill the stored tensor with bytes 255: NaN in floats, -1 in integers."""
        if self.slot.nbytes:
            self.driver.cuMemsetD8Async(self.base, 0xFF, self.slot.nbytes, stream)


def leading_slice(whole: Tensor, shape: Shape) -> Tensor:
    return whole[tuple(map(slice, shape))]
