"""The one call into a library: which steps to run, over which memory (templates/pool.c, struct call)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence


class NetCall(ctypes.Structure):
    """`first` to before `stop` are C steps; `times` gets the nanoseconds of each, if it is given."""

    _fields_ = (
        ("arena", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("inputs", ctypes.POINTER(ctypes.c_void_p)),
        ("first", ctypes.c_int),
        ("stop", ctypes.c_int),
        ("threads", ctypes.c_int),
        ("times", ctypes.POINTER(ctypes.c_double)),
    )


def make_calls(
    arena: int, weights: int, inputs: Sequence[int], ranges: Sequence[tuple[int, int]], threads: int
) -> tuple[list[NetCall], ctypes.Array[ctypes.c_void_p]]:
    """A call for each range of steps, and the array of the inputs' addresses, which they share."""
    addresses = (ctypes.c_void_p * max(len(inputs), 1))(*inputs)
    pointer = ctypes.cast(addresses, ctypes.POINTER(ctypes.c_void_p))
    return [NetCall(arena, weights, pointer, a, b, threads, None) for a, b in ranges], addresses
