"""The arguments of a GPU kernel launch as written in a plan, and their validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

WARP_SIZE = 32  # threads
LARGEST_GRID = (2**31 - 1, 65535, 65535)  # blocks along each axis (CUDA C++ Programming Guide, compute capabilities)


def is_parameter(value: Any) -> bool:
    """True for a valid argument {KIND: CONTENT}; KIND is a key of PARAMETER_KINDS."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, content),) = value.items()
    return kind in PARAMETER_KINDS and PARAMETER_KINDS[kind](content)


def integer_of(bits: int) -> Callable[[Any], bool]:
    """A predicate for signed integers of so many bits."""
    return lambda value: type(value) is int and -(1 << bits - 1) <= value < 1 << bits - 1


def is_index(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 16


def is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 40


def is_descriptor(value: Any) -> bool:
    """True for a valid TMA descriptor, axes outermost first; its fields are described at PARAMETER_KINDS."""
    if not isinstance(value, dict) or set(value) != {"of", "dtype", "shape", "strides", "box", "swizzle"}:
        return False
    shape, strides, box, of = value["shape"], value["strides"], value["box"], value["of"]
    if not all(isinstance(numbers, list | tuple) for numbers in (shape, strides, box)):
        return False
    sizes = 1 <= len(shape) <= 5 and len(box) == len(shape) == len(strides) + 1
    whole = all(type(n) is int and 0 < n < 1 << 40 for n in (*shape, *strides, *box))
    placed = is_parameter(of) and set(of) <= {"operand", "result"}
    return sizes and whole and placed and value["dtype"] in ("f32", "f16", "bf16") and value["swizzle"] in range(4)


PARAMETER_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "operand": is_index,
    "result": is_index,
    "i32": integer_of(32),
    "i64": integer_of(64),
    "f32": lambda value: type(value) in (int, float) and isfinite(value),
    "scratch": is_size,
    "counters": is_size,
    "descriptor": is_descriptor,
}
"""The validity check of each kind's content.

`operand` and `result`, by number: the address of the value's first element (for a subview, that of the subview), a
multiple of 16 for inputs and weights. `i32`, `i64`, `f32`: numbers.

`scratch`: the address of so many bytes that the launch may write; they hold what an earlier launch left. `counters`:
the address of so many i32 numbers, 0 before and after each launch. All launches of an instance get the same memory.

`descriptor`: {"of": operand or result, "dtype", "shape", "strides": in bytes, of all axes but the last, "box": the TMA
tile, "swizzle": a CUtensorMapSwizzle (0 none, 1 32 bytes, 2 64, 3 128)}. Outside the tensor it reads zeros. It is
passed as a 128-byte CUtensorMap, aligned to 64, then its shape as i32 and its strides in elements (the last is 1) as
i64, one parameter each.
"""
