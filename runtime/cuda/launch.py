"""Kernel launches with the bytes of all arguments prepared in advance.

The layout is that of Triton's launchers (3.6 to 3.9): kernelParams holds one pointer per parameter, to its value. A
tensor descriptor is a CUtensorMap by value, then its shape as i32 and its strides, in elements, as i64. The last two
parameters are addresses of scratch memory, which these kernels do not use. `runtime/arguments.py` has the plan's form.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from ctypes import c_float, c_int32, c_int64, c_uint, c_uint32, c_uint64, c_void_p, pointer
from dataclasses import dataclass
from typing import Any

from ..arguments import LARGEST_GRID, WARP_SIZE
from .abi import (
    FILL_ZERO,
    INTERLEAVE_NONE,
    L2_PROMOTION_128B,
    OVERLAP_IN_GRAPHS,
    PROGRAMMATIC_STREAM_SERIALIZATION,
    TENSOR_MAP_ALIGNMENT,
    TENSOR_MAP_BYTES,
    TENSOR_MAP_DTYPES,
    LaunchAttribute,
    LaunchConfig,
    Pointer,
)
from .driver import CudaError, Driver
from .modules import Kernel

SCALAR_TYPES: Mapping[str, type[Any]] = {"i32": c_int32, "i64": c_int64, "f32": c_float}

WORKING_MEMORY: Mapping[str, int] = {"scratch": 1, "counters": 4}
"""Arguments that are memory of an instance, with the bytes that one of their content counts for."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A prepared launch. `parameters` are the addresses of `values`, which it keeps alive.

    With `overlaps` the kernel may start before the launch before it has ended, for which it waits itself.
    """

    driver: Driver
    kernel: Kernel
    grid: tuple[int, int, int]
    block: int
    values: tuple[Any, ...]
    parameters: Any
    overlaps: bool = False

    def __call__(self, stream: int) -> None:
        if self.overlaps:
            self.launch_ahead(stream)
            return
        self.driver.cuLaunchKernel(
            self.kernel.function, *self.grid, self.block, 1, 1, self.kernel.shared, stream, self.parameters, None
        )

    def launch_ahead(self, stream: int) -> None:
        attribute = LaunchAttribute(PROGRAMMATIC_STREAM_SERIALIZATION, 0, 1)
        grid, block = (c_uint * 3)(*self.grid), (c_uint * 3)(self.block, 1, 1)
        config = LaunchConfig(grid, block, self.kernel.shared, stream, pointer(attribute), 1)
        self.driver.cuLaunchKernelEx(ctypes.addressof(config), self.kernel.function, self.parameters, None)


def make_launch(
    calls: Driver, kernel: Kernel, attributes: Mapping[str, Any], addresses: Mapping[str, Sequence[int]]
) -> Launch:
    """Prepare the launch of a step, from the GPU addresses of its "operand"s and "result"s, by number.

    `addresses` has those of the memory of an instance, too: one of "scratch" and one of "counters".
    ValueError if the grid is too large, or CUDA rejects a tensor descriptor.
    """
    x, y, z = attributes["grid"]
    if any(n > most for n, most in zip((x, y, z), LARGEST_GRID, strict=True)):
        raise ValueError(f"the grid is {[x, y, z]}, and CUDA's largest is {list(LARGEST_GRID)}")
    values = [value for argument in attributes["arguments"] for value in argument_values(calls, argument, addresses)]
    values += [Pointer(0), Pointer(0)]
    parameters = (c_void_p * len(values))(*map(ctypes.addressof, values))
    overlaps = attributes["overlaps"] and kernel.device.cuda >= OVERLAP_IN_GRAPHS
    return Launch(calls, kernel, (x, y, z), WARP_SIZE * attributes["warps"], tuple(values), parameters, overlaps)


def argument_values(calls: Driver, argument: Mapping[str, Any], addresses: Mapping[str, Sequence[int]]) -> list[Any]:
    """The C values of an argument of the plan, one per kernel parameter."""
    ((kind, content),) = argument.items()
    if kind in WORKING_MEMORY:
        return [Pointer(addresses[kind][0])]
    if kind in addresses:
        return [Pointer(addresses[kind][content])]
    if kind == "descriptor":
        return descriptor_values(calls, content, addresses)
    return [SCALAR_TYPES[kind](content)]


def working_memory(launches: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The bytes that an instance needs of each kind of working memory, for any of these launches, one at a time."""
    found = dict.fromkeys(WORKING_MEMORY, 0)
    for attributes in launches:
        for argument in attributes["arguments"]:
            ((kind, content),) = argument.items()
            if kind in found:
                found[kind] = max(found[kind], content * WORKING_MEMORY[kind])
    return found


def descriptor_values(calls: Driver, form: Mapping[str, Any], addresses: Mapping[str, Sequence[int]]) -> list[Any]:
    """The tensor map, shape and strides of a descriptor. CUDA takes axes innermost first, without the first stride."""
    number, itemsize = TENSOR_MAP_DTYPES[form["dtype"]]
    shape, strides, box, rank = form["shape"], form["strides"], form["box"], len(form["shape"])
    ((kind, index),) = form["of"].items()
    tensor_map = allocate_aligned(TENSOR_MAP_BYTES, TENSOR_MAP_ALIGNMENT)
    try:
        calls.cuTensorMapEncodeTiled(
            ctypes.addressof(tensor_map),
            number,
            rank,
            addresses[kind][index],
            (c_uint64 * rank)(*reversed(shape)),
            (c_uint64 * rank)(*reversed(strides)),
            (c_uint32 * rank)(*reversed(box)),
            (c_uint32 * rank)(*[1] * rank),
            INTERLEAVE_NONE,
            form["swizzle"],
            L2_PROMOTION_128B,
            FILL_ZERO,
        )
    except CudaError as error:
        raise ValueError(f"CUDA rejects a descriptor of shape {shape}, strides {strides}, box {box}: {error}") from None
    elements = [*(stride // itemsize for stride in strides), 1]
    return [tensor_map, *map(c_int32, shape), *map(c_int64, elements)]


def allocate_aligned(nbytes: int, alignment: int) -> Any:
    """Zeroed bytes at a multiple of `alignment`; they keep their underlying memory alive."""
    memory = bytearray(nbytes + alignment)
    start = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % alignment
    return (ctypes.c_ubyte * nbytes).from_buffer(memory, start)
