"""Numbers as Caffe keeps them: every setting is a float32, whatever decimal a file or a text gives.

>>> round_to_float32(1e-5), round_to_float32(1e39)
(9.999999747378752e-06, inf)
>>> shortest_decimal(0.10000000149011612)
0.1
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np

T = TypeVar("T")


def round_to_float32(value: float) -> float:
    """The float32 nearest to a number; infinite beyond the largest, as protobuf's parser has it."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def shortest_decimal(value: float) -> float:
    """The float with the shortest decimal that rounds to the same float32: 0.1 for 0.10000000149.

    The largest float32 stays as it is: its shortest decimal is larger, which Triton would take for a float64.
    """
    with np.errstate(over="ignore"):
        rounded = np.float32(value)
    shortest = float(str(rounded))
    return shortest if abs(shortest) <= np.finfo(np.float32).max or math.isinf(shortest) else float(rounded)


def power(base: float, exponent: float) -> float:
    """C's powf: infinite or NaN where Python's `**` raises or gives a complex number."""
    with np.errstate(all="ignore"):
        return float(np.power(np.float32(base), np.float32(exponent)))


def exp(x: float) -> float:
    """C's expf: infinite where Python's raises."""
    with np.errstate(all="ignore"):
        return float(np.exp(np.float32(x)))


def with_float32_attributes(op: T) -> T:
    """An operator with its numbers rounded to float32: what it computes by, where the text prints short decimals."""
    return cast(T, round_attributes(op))


@lru_cache(1 << 12)
def round_attributes(op: Any) -> Any:
    changed: dict[str, Any] = {}
    for f in fields(op):
        value = getattr(op, f.name)
        if isinstance(value, float):
            changed[f.name] = round_to_float32(value)
        elif isinstance(value, tuple) and any(isinstance(v, float) for v in value):
            changed[f.name] = tuple(map(round_to_float32, value))
    return replace(op, **changed) if changed else op
