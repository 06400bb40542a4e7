"""Compiled kernels: the cubins of a net that this GPU can run, loaded once and shared by all shapes of the net."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ctypes import byref, c_void_p
from functools import partial
from typing import Any

from torch import Tensor

from ..plan import ArtifactError
from ..resources import Resources
from .abi import DEFAULT_SHARED_LIMIT, MAX_DYNAMIC_SHARED, SHARED_CARVEOUT, Pointer
from .device import Device, release_with_owner
from .driver import Driver

ARCHITECTURE = re.compile(r"sm_(\d+)(\d)")
DRIVERS: Mapping[int, str] = {12000: "525", 13000: "580"}
"""The first driver for Linux of each major CUDA release, by NVIDIA's table of minor version compatibility."""


class Kernel:
    """A loaded GPU function, whose blocks use `shared` bytes of dynamic shared memory.

    `cuda`: the CUDA release whose assembler made the code; 0 if that is unknown.
    """

    def __init__(self, device: Device, name: str, cubin: Tensor, shared: int, cuda: int = 0) -> None:
        require_driver(device, name, cuda)
        if shared > device.shared_limit:
            raise ArtifactError(
                f"kernel {name!r} needs {shared:,} bytes of shared memory, and a block of {device} has "
                f"{device.shared_limit:,}; compile the net again for this GPU"
            )
        calls, self.device, self.name, self.shared = device.driver, device, name, shared
        image = cubin.contiguous()
        fence, module, function = Pointer(), c_void_p(), c_void_p()
        calls.cuMemAlloc_v2(byref(fence), 1)
        calls.cuModuleLoadData(byref(module), image.data_ptr())
        release_with_owner(self, device, partial(unload_module, calls, fence.value), module.value or 0)
        calls.cuModuleGetFunction(byref(function), module, name.encode())
        self.function = function.value or 0
        if shared > DEFAULT_SHARED_LIMIT:
            calls.cuFuncSetAttribute(self.function, MAX_DYNAMIC_SHARED, shared)
            calls.cuFuncSetAttribute(self.function, SHARED_CARVEOUT, 100)  # else the driver may fit fewer blocks


def unload_module(calls: Driver, fence: int, module: int) -> None:
    """Unload a module once the GPU has finished its work, for which freeing the memory `fence` waits.

    cuMemFree waits for all streams (CUDA C++ Programming Guide, "Stream Ordered Memory Allocator"), and a finalizer may
    call it while another library captures a graph; cuCtxSynchronize would invalidate the capture.
    """
    calls.cuMemFree_v2(fence)
    calls.cuModuleUnload(module)


def require_driver(device: Device, name: str, cuda: int) -> None:
    """ArtifactError if the driver is too old for machine code that was made by a CUDA release's assembler.

    Machine code of CUDA 13.4 runs with drivers of 13.0 and newer: of the same major release or a later one (NVIDIA,
    CUDA Compatibility, "Minor Version Compatibility").
    """
    least = cuda // 1000 * 1000
    if device.cuda < least:
        known = f" ({DRIVERS[least]} or newer)" if least in DRIVERS else ""
        made, needed, here = map(format_release, (cuda, least, device.cuda))
        raise ArtifactError(
            f"kernel {name!r} was assembled by CUDA {made}, so it needs a driver for CUDA {needed}{known}, and the "
            f"driver here is for CUDA {here}; update the driver, or compile the net again with a Triton that brings an "
            "older assembler"
        )


def format_release(cuda: int) -> str:
    """A CUDA release as people write it: 12080 is 12.8."""
    return f"{cuda // 1000}.{cuda % 1000 // 10}"


def load_kernel(
    device: Device, attributes: Mapping[str, Any], resources: Resources
) -> tuple[Kernel, Mapping[str, Any]]:
    """The kernel of a `launch` step, loaded on first use, and the step's attributes for this GPU's architecture.

    ArtifactError if no cubin suits the GPU.
    """
    cubins = resources.binaries
    architecture = choose_architecture(device, cubins, attributes)
    here = {**attributes, **attributes["variants"].get(architecture, {})}
    name, shared, cuda = here["kernel"], here["shared"], here["cuda"]
    key = f"{name}.{architecture}"
    return resources.packed_weights.get((key, shared), lambda: Kernel(device, name, cubins[key], shared, cuda)), here


def choose_architecture(device: Device, cubins: Mapping[str, Tensor], attributes: Mapping[str, Any]) -> str:
    """The newest architecture for which there is a cubin that the GPU can run.

    CUDA guarantees binary compatibility only within a major version, from older to newer minor versions.
    """
    available = []
    for architecture in {key.rpartition(".")[2] for key in cubins}:
        name = attributes["variants"].get(architecture, {}).get("kernel", attributes["kernel"])
        if f"{name}.{architecture}" in cubins and (match := ARCHITECTURE.fullmatch(architecture)):
            available.append((int(match[1]), int(match[2])))
    major, minor = device.capability
    if not (fitting := [version for version in available if version[0] == major and version[1] <= minor]):
        names = (
            " and ".join(f"sm_{a}{b}" for a, b in sorted(available)) or "no GPU that this version of cortado supports"
        )
        raise ArtifactError(
            f"kernel {attributes['kernel']!r} was compiled for {names}, and this is {device}; "
            "compile the net again for this GPU"
        )
    major, minor = max(fitting)
    return f"sm_{major}{minor}"
