"""The closed list of functions that an elementwise meaning may call, and its spelling on torch tensors.

An elementwise operator states its meaning once, as `scalar(m, x, ...)`. With `Tensors` as `m` it computes; with a
recorder (recorder.py) it becomes the lines of a kernel. Whatever is not in FUNCTIONS cannot be said, so a
backend is complete when it spells these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

FUNCTIONS = (
    "where",  # where(condition, x, y)
    "exp",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "rsqrt",
    "pow",  # pow(x, y); a negative x with a fractional y is NaN
    "abs",
    "maximum",  # NaN if either is
    "minimum",
    "tanh",
    "sigmoid",
    "floor",
    "ceil",
    "round",  # half to even
    "sign",
    "erf",
)
OPERATORS = ("add", "sub", "mul", "div", "neg", "gt", "ge", "lt", "le", "eq")


def _like(x: Any, other: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=other.dtype)


class Tensors:
    """The list on torch tensors; numbers are allowed wherever a tensor is."""

    def __getattr__(self, name: str) -> Callable[..., Tensor]:
        if name not in FUNCTIONS:
            raise AttributeError(f"no scalar function is called {name}; the list is {', '.join(FUNCTIONS)}")
        function: Callable[..., Tensor] = getattr(torch, name)
        return function

    def maximum(self, x: Any, y: Any) -> Tensor:
        return torch.maximum(_like(x, y), _like(y, x))

    def minimum(self, x: Any, y: Any) -> Tensor:
        return torch.minimum(_like(x, y), _like(y, x))


TENSORS = Tensors()
