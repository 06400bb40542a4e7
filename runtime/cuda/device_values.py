"""Where a value lies in the GPU's memory, and how its bytes come and go.

A value whose size is known only when the net runs lies in the corner of its largest: kernels always run over all of
it, and the host looks at the part that counts. (On the CPU it is packed instead.)
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
    """`slot` in a buffer, which is the arena or, for an input, its own."""

    driver: Driver
    buffer: Buffer | None
    base: int
    slot: Slot

    @cached_property
    def address(self) -> int:
        """Of the first element: in a part of the channels of a stored tensor, that is not where the tensor begins."""
        if self.slot.channels is None:
            return self.base
        stride = strides_of(self.slot.stored_shape, self.slot.layout)[1]
        return self.base + self.slot.channels[0] * stride * DTYPES[self.slot.dtype].itemsize

    @cached_property
    def slot_at_zero(self) -> Slot:
        """The slot, as if the stored tensor began where memory does."""
        return replace(self.slot, at=0)

    def allocate_host(self) -> Tensor:
        """Host memory for the stored tensor, u8."""
        return torch.empty(self.slot.nbytes, dtype=torch.uint8)

    def view_in(self, memory: Tensor, shape: Shape | None = None) -> Tensor:
        """The value in a copy of its stored tensor, u8; with `shape`, the corner of it that counts."""
        whole = view(memory, self.slot_at_zero)
        return whole if shape is None else leading_slice(whole, shape)

    def copy_to_host(self, memory: Tensor, stream: int) -> None:
        """Copy the stored tensor to host memory, once the stream gets there."""
        if self.slot.nbytes:
            self.driver.cuMemcpyDtoHAsync_v2(memory.data_ptr(), self.base, self.slot.nbytes, stream)

    def copy_from_host(self, memory: Tensor, stream: int) -> None:
        """Copy the stored tensor from host memory."""
        if self.slot.nbytes:
            self.driver.cuMemcpyHtoDAsync_v2(self.base, memory.data_ptr(), self.slot.nbytes, stream)

    def copy_input(self, tensor: Tensor, stream: int, on_gpu: bool) -> None:
        """Copy an input of the slot's dtype and layout, from the GPU's memory or the host's, to where it is due."""
        if tuple(tensor.shape) != self.slot.bounds:
            whole = view(torch.zeros(self.slot.nbytes, dtype=torch.uint8, device=tensor.device), self.slot_at_zero)
            leading_slice(whole, tuple(tensor.shape)).copy_(tensor)
            tensor = whole
        if self.slot.nbytes:
            copy = self.driver.cuMemcpyDtoDAsync_v2 if on_gpu else self.driver.cuMemcpyHtoDAsync_v2
            copy(self.base, tensor.data_ptr(), self.slot.nbytes, stream)

    def poison(self, stream: int) -> None:
        """Fill the stored tensor with bytes 255: NaN, and -1."""
        if self.slot.nbytes:
            self.driver.cuMemsetD8Async(self.base, 0xFF, self.slot.nbytes, stream)


def leading_slice(whole: Tensor, shape: Shape) -> Tensor:
    return whole[tuple(map(slice, shape))]
