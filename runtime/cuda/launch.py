"""A kernel launch as CUDA wants it: every argument's bytes laid out in advance, so that launching computes nothing.

The layout is that of Triton's launchers (read on 3.6 to 3.9): kernelParams holds one pointer per parameter, to its
value. A tensor descriptor is a CUtensorMap by value, then its shape as i32 and its strides, in elements, as i64. At
the end come the addresses of two scratch memories, which our kernels do not use. `arguments.py` tells a plan's side.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_float, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

from .abi import (
    FILL_ZERO,
    INTERLEAVE_NONE,
    L2_PROMOTION_128B,
    TENSOR_MAP_ALIGNMENT,
    TENSOR_MAP_BYTES,
    TENSOR_MAP_DTYPES,
    Pointer,
)
from .driver import CudaError, Driver
from .modules import Kernel

WARP_SIZE = 32
MAX_GRID = (2**31 - 1, 65535, 65535)
SCALAR_TYPES: Mapping[str, type[Any]] = {"i32": c_int32, "i64": c_int64, "f32": c_float}


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch, ready. `parameters` are addresses of `values`, which therefore stay with it."""

    driver: Driver
    kernel: Kernel
    grid: tuple[int, int, int]
    block: int
    values: tuple[Any, ...]
    parameters: Any

    def __call__(self, stream: int) -> None:
        self.driver.cuLaunchKernel(
            self.kernel.function, *self.grid, self.block, 1, 1, self.kernel.shared, stream, self.parameters, None
        )


def make_launch(
    calls: Driver, kernel: Kernel, attributes: Mapping[str, Any], operands: Sequence[int], results: Sequence[int]
) -> Launch:
    """The launch of a step whose operands and results begin at these addresses of the GPU's memory.

    ValueError if no GPU could run it: the grid is too large, or CUDA describes no such tensor.
    """
    x, y, z = attributes["grid"]
    if any(n > most for n, most in zip((x, y, z), MAX_GRID, strict=True)):
        raise ValueError(f"the grid is {[x, y, z]}, and CUDA's largest is {list(MAX_GRID)}")
    places = {"operand": operands, "result": results}
    values = [value for argument in attributes["arguments"] for value in argument_values(calls, argument, places)]
    values += [Pointer(0), Pointer(0)]
    parameters = (c_void_p * len(values))(*map(ctypes.addressof, values))
    return Launch(calls, kernel, (x, y, z), WARP_SIZE * attributes["warps"], tuple(values), parameters)


def argument_values(calls: Driver, argument: Mapping[str, Any], places: Mapping[str, Sequence[int]]) -> list[Any]:
    """What one argument of a plan becomes: a C value for each parameter."""
    ((kind, content),) = argument.items()
    if kind in places:
        return [Pointer(places[kind][content])]
    if kind == "descriptor":
        return descriptor_values(calls, content, places)
    return [SCALAR_TYPES[kind](content)]


def descriptor_values(calls: Driver, form: Mapping[str, Any], places: Mapping[str, Sequence[int]]) -> list[Any]:
    """The tensor map, the shape and the strides. CUDA counts axes from the innermost, whose stride is not told."""
    number, itemsize = TENSOR_MAP_DTYPES[form["dtype"]]
    shape, strides, box, rank = form["shape"], form["strides"], form["box"], len(form["shape"])
    ((kind, index),) = form["of"].items()
    tensor_map = allocate_aligned(TENSOR_MAP_BYTES, TENSOR_MAP_ALIGNMENT)
    try:
        calls.cuTensorMapEncodeTiled(
            ctypes.addressof(tensor_map),
            number,
            rank,
            places[kind][index],
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
        raise ValueError(f"CUDA describes no tensor of shape {shape}, strides {strides}, box {box}: {error}") from None
    elements = [*(stride // itemsize for stride in strides), 1]
    return [tensor_map, *map(c_int32, shape), *map(c_int64, elements)]


def allocate_aligned(nbytes: int, alignment: int) -> Any:
    """Zeroed bytes whose address is a multiple of `alignment`; they keep alive the memory that they lie in."""
    memory = bytearray(nbytes + alignment)
    start = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % alignment
    return (ctypes.c_ubyte * nbytes).from_buffer(memory, start)
