"""One GPU: its context, properties, memory, streams and events."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_int, c_size_t, c_void_p, create_string_buffer
from functools import cache

from torch import Tensor

from ..plan import ArtifactError
from .abi import (
    CAPTURE_RELAXED,
    COMPUTE_MAJOR,
    COMPUTE_MINOR,
    DISABLE_TIMING,
    NON_BLOCKING,
    SHARED_PER_BLOCK_OPTIN,
    Pointer,
)
from .driver import CudaError, Driver, driver


class Device:
    """A GPU and its primary context, which torch uses too; retained until the process ends.

    `cuda`: the newest CUDA release that the driver supports, 1000 × major + 10 × minor.
    """

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
        version = c_int()
        calls.cuDriverGetVersion(byref(version))
        self.cuda = version.value
        self.capability = self.attribute(COMPUTE_MAJOR), self.attribute(COMPUTE_MINOR)
        self.shared_limit = self.attribute(SHARED_PER_BLOCK_OPTIN)
        name = create_string_buffer(256)
        calls.cuDeviceGetName(name, len(name), self.number)
        self.name = name.value.decode(errors="replace")

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.name} (sm_{major}{minor})"

    def attribute(self, which: int) -> int:
        """The value of a CUdevice_attribute."""
        value = c_int()
        self.driver.cuDeviceGetAttribute(byref(value), which, self.number)
        return value.value

    def set_current(self) -> None:
        """Make this GPU's context current in this thread; a new thread has none."""
        self.driver.cuCtxSetCurrent(self.context)

    @contextmanager
    def make_current(self) -> Iterator[None]:
        """`set_current` inside the `with` block; the context current before is restored after it."""
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

    @contextmanager
    def ignore_captures(self) -> Iterator[None]:
        """Calls inside the `with` block belong to no capture, and leave those of other threads and libraries valid.

        By default a call that frees memory or unloads code invalidates every capture of mode "global", which is torch's
        default, in any thread (cuThreadExchangeStreamCaptureMode).
        """
        mode = c_int(CAPTURE_RELAXED)
        self.driver.cuThreadExchangeStreamCaptureMode(byref(mode))
        try:
            yield
        finally:
            self.driver.cuThreadExchangeStreamCaptureMode(byref(mode))

    def allocate(self, nbytes: int, what: str) -> Buffer:
        """Allocate memory, aligned to 256 bytes. ArtifactError, which names its use `what`, if there is not enough."""
        return Buffer(self, nbytes, what)

    def upload(self, tensor: Tensor, what: str) -> Buffer:
        """Copy a tensor, in logical order, to the GPU, and wait for the copy."""
        flat = tensor.detach().cpu().contiguous()
        nbytes = flat.numel() * flat.element_size()
        buffer = self.allocate(nbytes, what)
        if nbytes:
            self.driver.cuMemcpyHtoDAsync_v2(buffer.address, flat.data_ptr(), nbytes, None)
            self.driver.cuStreamSynchronize(None)
        return buffer


class Buffer:
    """A block of GPU memory, freed when the object is collected."""

    def __init__(self, device: Device, nbytes: int, what: str) -> None:
        self.nbytes = nbytes
        address = Pointer()
        try:
            device.driver.cuMemAlloc_v2(byref(address), max(nbytes, 1))  # CUDA rejects an allocation of 0 bytes
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
    """A CUDA stream that does not wait for the default stream (handle 0), which is torch's unless set otherwise."""

    def __init__(self, device: Device) -> None:
        handle = c_void_p()
        device.driver.cuStreamCreate(byref(handle), NON_BLOCKING)
        self.handle = handle.value or 0
        release_with_owner(self, device, device.driver.cuStreamDestroy_v2, self.handle)


class Event:
    """A CUDA event: a point in one stream that another stream can wait for."""

    def __init__(self, device: Device) -> None:
        self.driver = device.driver
        handle = c_void_p()
        self.driver.cuEventCreate(byref(handle), DISABLE_TIMING)
        self.handle = handle.value or 0
        release_with_owner(self, device, self.driver.cuEventDestroy_v2, self.handle)

    def record(self, stream: int) -> None:
        self.driver.cuEventRecord(self.handle, stream)

    def wait(self, stream: int) -> None:
        """Make `stream` wait for the event; an event that was never recorded counts as complete."""
        self.driver.cuStreamWaitEvent(stream, self.handle, 0)


def release_with_owner(owner: object, device: Device, release: Callable[[int], None], handle: int) -> None:
    """Release a GPU resource when its owner is collected; at process exit the driver releases all.

    The garbage collector may do so at any time, also while another library captures a graph.
    """

    def finalize() -> None:
        with suppress(CudaError), device.make_current(), device.ignore_captures():  # a finalizer cannot report errors
            release(handle)

    weakref.finalize(owner, finalize).atexit = False


def device() -> Device:
    """The first visible GPU (see CUDA_VISIBLE_DEVICES). ArtifactError if there is none."""
    return open_device(driver())


@cache
def open_device(calls: Driver) -> Device:
    return Device(calls, 0)
