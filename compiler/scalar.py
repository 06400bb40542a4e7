"""The closed list of scalar functions that elementwise operators may call, and their implementation on torch tensors.

An elementwise operator is defined once, as `scalar(m, x, ...)`. With `Tensors` as `m` it computes its reference; with a
recorder (recorder.py) it yields the lines of a kernel. A backend is complete when it implements FUNCTIONS and
OPERATORS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..runtime.artifact import EXPR_FUNCTIONS

OPERATORS = ("add", "sub", "mul", "div", "neg", "gt", "ge", "lt", "le", "eq")
FUNCTIONS = tuple(name for name in EXPR_FUNCTIONS if name not in OPERATORS)


def _like(x: Any, other: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=other.dtype)


class Tensors:
    """The scalar functions on torch tensors. Python numbers are allowed in place of tensors."""

    def __getattr__(self, name: str) -> Callable[..., Tensor]:
        if name not in FUNCTIONS:
            raise AttributeError(f"no scalar function is called {name}; the list is {', '.join(FUNCTIONS)}")
        function: Callable[..., Tensor] = getattr(torch, name)
        return function

    def pow(self, x: Any, y: Any) -> Tensor:
        return torch.pow(x, _like(y, x))  # as C has it: with a number for y torch takes square roots, NaN for -inf

    def maximum(self, x: Any, y: Any) -> Tensor:
        return torch.maximum(_like(x, y), _like(y, x))

    def minimum(self, x: Any, y: Any) -> Tensor:
        return torch.minimum(_like(x, y), _like(y, x))


TENSORS = Tensors()
