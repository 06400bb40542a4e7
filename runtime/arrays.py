"""Inputs as arrays of numbers, whatever they were given as."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def array_of_numbers(name: str, given: Any) -> Array:
    """The input as an array in the machine's own form; it shares the input's memory if possible.

    ValueError if it is not one of numbers.
    """
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"input {name!r} is an array of {array.dtype}, and should be one of numbers")
    native = array.dtype.newbyteorder("=")
    if array.dtype.itemsize > 8:
        native = np.dtype(np.float64)
    elif array.dtype.kind == "u" and array.dtype.itemsize > 1:
        native = np.dtype(np.int64)  # torch has few operations on unsigned integers
    return np.require(array, native, ["C", "W"])  # torch cannot share read-only memory or negative strides


def float_array(name: str, given: Any) -> Array:
    """The input as float32, in one piece; what is out of range becomes infinite. ValueError as above."""
    array = array_of_numbers(name, given)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, np.float32).reshape(array.shape)
