"""Records the body of an elementwise operator as a list of calls: `scalar` runs on numbered values in place of tensors.

>>> from cortado.compiler.ops.activation import Relu
>>> recorder = Recorder(operands=1)
>>> Relu(slope=0.5).scalar(recorder, recorder.operand(0))
RecordedValue(index=3)
>>> recorder.code
[['gt', 0, {'c': 0}], ['mul', 0, {'c': 0.5}], ['where', 1, 0, 2]]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .float32 import shortest_decimal
from .scalar import FUNCTIONS


@dataclass(eq=False)
class RecordedValue:
    """A value by its number: operands first, then the recorded calls in order. Arithmetic on it records more calls."""

    index: int
    recorder: Recorder = field(repr=False)

    def __add__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("add", self, other)

    def __radd__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("add", other, self)

    def __sub__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("sub", self, other)

    def __rsub__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("sub", other, self)

    def __mul__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("mul", self, other)

    def __rmul__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("mul", other, self)

    def __truediv__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("div", self, other)

    def __rtruediv__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("div", other, self)

    def __neg__(self) -> RecordedValue:
        return self.recorder.record_call("neg", self)

    def __gt__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("gt", self, other)

    def __ge__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("ge", self, other)

    def __lt__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("lt", self, other)

    def __le__(self, other: Any) -> RecordedValue:
        return self.recorder.record_call("le", self, other)

    def __eq__(self, other: object) -> RecordedValue:  # type: ignore[override]
        return self.recorder.record_call("eq", self, other)

    __hash__ = None  # type: ignore[assignment]


class Recorder:
    """The argument `m` of a `scalar` body, whose calls are recorded in `code` as [function, argument, ...]."""

    def __init__(self, operands: int) -> None:
        self.operands = operands
        self.code: list[list[Any]] = []

    def operand(self, i: int) -> RecordedValue:
        return RecordedValue(i, self)

    def record_call(self, function: str, *arguments: Any) -> RecordedValue:
        self.code.append([function, *map(to_argument, arguments)])
        return RecordedValue(self.operands + len(self.code) - 1, self)

    def __getattr__(self, name: str) -> Callable[..., RecordedValue]:
        if name not in FUNCTIONS:
            raise AttributeError(f"no scalar function is called {name}")
        return lambda *arguments: self.record_call(name, *arguments)

    def end_with(self, result: RecordedValue) -> None:
        """Make `result` the result of the last call, if it is not, by a multiplication by 1."""
        if not self.code or result.index != self.operands + len(self.code) - 1:
            self.record_call("mul", result, 1)


def to_argument(value: Any) -> Any:
    if isinstance(value, RecordedValue):
        return value.index
    if isinstance(value, int):
        return {"c": value}
    return {"c": number if math.isfinite(number := shortest_decimal(value)) else str(number)}
