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
from .abi import DEFAULT_SHARED_LIMIT, MAX_DYNAMIC_SHARED
from .device import Device, release_with_owner
from .driver import Driver

ARCHITECTURE = re.compile(r"sm_(\d+)(\d)")


class Kernel:
    """A loaded GPU function, whose blocks use `shared` bytes of dynamic shared memory."""

    def __init__(self, device: Device, name: str, cubin: Tensor, shared: int) -> None:
        if shared > device.shared_limit:
            raise ArtifactError(
                f"kernel {name!r} needs {shared:,} bytes of shared memory, and a block of {device} has "
                f"{device.shared_limit:,}; compile the net again for this GPU"
            )
        calls, self.name, self.shared = device.driver, name, shared
        image = cubin.contiguous()
        module, function = c_void_p(), c_void_p()
        calls.cuModuleLoadData(byref(module), image.data_ptr())
        release_with_owner(self, device, partial(unload_module, calls), module.value or 0)
        calls.cuModuleGetFunction(byref(function), module, name.encode())
        self.function = function.value or 0
        if shared > DEFAULT_SHARED_LIMIT:
            calls.cuFuncSetAttribute(self.function, MAX_DYNAMIC_SHARED, shared)


def unload_module(calls: Driver, module: int) -> None:
    """Unload a module once the GPU has finished its work."""
    calls.cuCtxSynchronize()
    calls.cuModuleUnload(module)


def load_kernel(
    device: Device, attributes: Mapping[str, Any], resources: Resources
) -> tuple[Kernel, Mapping[str, Any]]:
    """The kernel of a `launch` step, loaded on first use, and the step's attributes for this GPU's architecture.

    ArtifactError if no cubin suits the GPU.
    """
    cubins = resources.binaries
    architecture = choose_architecture(device, cubins, attributes)
    here = {**attributes, **attributes["variants"].get(architecture, {})}
    name, shared = here["kernel"], here["shared"]
    key = f"{name}.{architecture}"
    return resources.packed_weights.get((key, shared), lambda: Kernel(device, name, cubins[key], shared)), here


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
