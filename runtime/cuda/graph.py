"""CUDA graphs: launches captured once and replayed with one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import byref, c_void_p

from .abi import CAPTURE_RELAXED
from .device import Device, Stream, release_with_owner


class CudaGraph:
    """A captured and instantiated graph of `launches`, which run in order. Their addresses are fixed at capture."""

    def __init__(self, device: Device, stream: Stream, launches: Sequence[Callable[[int], None]]) -> None:
        self.driver = calls = device.driver
        graph, executable = c_void_p(), c_void_p()
        calls.cuStreamBeginCapture_v2(stream.handle, CAPTURE_RELAXED)
        try:
            for launch in launches:
                launch(stream.handle)
        finally:  # a stream left in capture mode is unusable
            calls.cuStreamEndCapture(stream.handle, byref(graph))
        try:
            calls.cuGraphInstantiateWithFlags(byref(executable), graph, 0)
        finally:
            calls.cuGraphDestroy(graph)
        self.executable = executable.value or 0
        release_with_owner(self, device, calls.cuGraphExecDestroy, self.executable)
        calls.cuGraphUpload(self.executable, stream.handle)

    def __call__(self, stream: int) -> None:
        self.driver.cuGraphLaunch(self.executable, stream)
