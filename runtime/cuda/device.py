"""One GPU: what it can do, its memory, and the order in which it works."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_int, c_size_t, c_void_p, create_string_buffer
from functools import cache

from torch import Tensor

from ..plan import ArtifactError
from .abi import (
    COMPUTE_MAJOR,
    COMPUTE_MINOR,
    DISABLE_TIMING,
    NON_BLOCKING,
    SHARED_PER_BLOCK_OPTIN,
    Pointer,
)
from .driver import CudaError, Driver, driver


class Device:
    """A GPU and the context that torch, if it is there, uses too: the primary one, held as long as the process."""

    def __init__(self, calls: Driver, ordinal: int) -> None:
        self.driver = calls
        self.ordinal = ordinal
        number, context = c_int(), c_void_p()
        try:
            calls.cuDeviceGet(byref(number), ordinal)
            self.number = number.value
            calls.cuDevicePrimaryCtxRetain(byref(context), self.number)
        except CudaError as error:
            raise ArtifactError(f"CUDA cannot be used here: {error}") from None
        self.context = context
        self.capability = self.attribute(COMPUTE_MAJOR), self.attribute(COMPUTE_MINOR)
        self.shared_limit = self.attribute(SHARED_PER_BLOCK_OPTIN)
        name = create_string_buffer(256)
        calls.cuDeviceGetName(name, len(name), self.number)
        self.name = name.value.decode(errors="replace")

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.name} (sm_{major}{minor})"

    def attribute(self, which: int) -> int:
        found = c_int()
        self.driver.cuDeviceGetAttribute(byref(found), which, self.number)
        return found.value

    def set_current(self) -> None:
        """Make this thread's calls go to this GPU: a thread that never did so has no context."""
        self.driver.cuCtxSetCurrent(self.context)

    @contextmanager
    def make_current(self) -> Iterator[None]:
        """As `set_current`, and afterwards what the thread had before: it may have chosen another GPU for itself."""
        before = c_void_p()
        self.driver.cuCtxGetCurrent(byref(before))
        if before.value == self.context.value:
            yield
            return
        self.set_current()
        try:
            yield
        finally:
            self.driver.cuCtxSetCurrent(before)

    def allocate(self, nbytes: int, what: str) -> Buffer:
        """Memory for `what`, whose address is a multiple of 256. ArtifactError if there is not enough."""
        return Buffer(self, nbytes, what)

    def upload(self, tensor: Tensor, what: str) -> Buffer:
        """A tensor's bytes in logical order, copied to the GPU before this returns."""
        flat = tensor.detach().cpu().contiguous()
        nbytes = flat.numel() * flat.element_size()
        buffer = self.allocate(nbytes, what)
        if nbytes:
            self.driver.cuMemcpyHtoDAsync_v2(buffer.address, flat.data_ptr(), nbytes, None)
            self.driver.cuStreamSynchronize(None)
        return buffer


class Buffer:
    """Bytes on the GPU, given back when nobody refers to them any more."""

    def __init__(self, device: Device, nbytes: int, what: str) -> None:
        self.nbytes = nbytes
        address = Pointer()
        try:
            device.driver.cuMemAlloc_v2(byref(address), max(nbytes, 1))  # CUDA refuses to allocate nothing
        except CudaError as error:
            if not error.is_out_of_memory:
                raise
            free, total = c_size_t(), c_size_t()
            device.driver.cuMemGetInfo_v2(byref(free), byref(total))
            raise ArtifactError(
                f"the net needs {nbytes / 2**20:,.1f} MiB for {what} on {device}, of whose "
                f"{total.value / 2**20:,.0f} MiB only {free.value / 2**20:,.0f} are free: {error}"
            ) from None
        self.address = address.value
        release_with_owner(self, device, device.driver.cuMemFree_v2, self.address)


class Stream:
    """Work that the GPU does in order. CUDA's default stream, on which torch works unless told otherwise, is 0."""

    def __init__(self, device: Device) -> None:
        handle = c_void_p()
        device.driver.cuStreamCreate(byref(handle), NON_BLOCKING)
        self.handle = handle.value or 0
        release_with_owner(self, device, device.driver.cuStreamDestroy_v2, self.handle)


class Event:
    """A mark in one stream's work that another can wait for."""

    def __init__(self, device: Device) -> None:
        self.driver = device.driver
        handle = c_void_p()
        self.driver.cuEventCreate(byref(handle), DISABLE_TIMING)
        self.handle = handle.value or 0
        release_with_owner(self, device, self.driver.cuEventDestroy_v2, self.handle)

    def record(self, stream: int) -> None:
        self.driver.cuEventRecord(self.handle, stream)

    def wait(self, stream: int) -> None:
        """`stream` goes on when what was marked is done; an event that was never recorded is."""
        self.driver.cuStreamWaitEvent(stream, self.handle, 0)


def release_with_owner(owner: object, device: Device, release: Callable[[int], None], handle: int) -> None:
    """Give a resource of the GPU back when its owner goes; when the process ends, the driver does that itself."""

    def let_go() -> None:
        with suppress(CudaError), device.make_current():  # nobody is left to tell
            release(handle)

    weakref.finalize(owner, let_go).atexit = False


def device() -> Device:
    """The first GPU that is visible (CUDA_VISIBLE_DEVICES chooses). ArtifactError if there is none."""
    return open_device(driver())


@cache
def open_device(calls: Driver) -> Device:
    return Device(calls, 0)
