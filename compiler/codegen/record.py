"""Records elementwise operators as data: a `scalar` method run on recording values instead of tensors.

>>> from cortado.compiler.ops.activation import Relu
>>> recorder = Recorder(operands=1)
>>> Relu(slope=0.5).scalar(recorder, recorder.operand(0))
RecordedValue(index=3)
>>> recorder.code
[['gt', 0, {'c': 0}], ['mul', 0, {'c': 0.5}], ['where', 1, 0, 2]]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ir import Graph, Value
from ..op import Elementwise
from ..scalar import FUNCTIONS


@dataclass(eq=False)
class RecordedValue:
    """A value by its number: operands first, then results of calls. Python operators on it record further calls."""

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
    """The argument `m` of `scalar`: appends each call to `code`, as [function, argument, ...].

    An argument is the number of a value, or a constant {"c": number}.
    """

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


def to_argument(value: Any) -> Any:
    if isinstance(value, RecordedValue):
        return value.index
    return {"c": value if math.isfinite(value) else str(float(value))}


def record(kernel: Graph) -> list[list[Any]]:
    """Record a kernel of elementwise nodes; the last call gives its result."""
    recorder = Recorder(len(kernel.inputs))
    env: dict[Value, RecordedValue] = {v: recorder.operand(i) for i, v in enumerate(kernel.inputs)}
    for node in kernel.nodes:
        assert isinstance(node.op, Elementwise), node.op.name
        env[node.output] = node.op.scalar(recorder, *(env[v] for v in node.inputs))
    last = env[kernel.outputs[0]].index
    if last != recorder.operands + len(recorder.code) - 1:  # the result is an operand, or not the last call
        recorder.record_call("mul", env[kernel.outputs[0]], 1)
    return recorder.code


def kernel_operand_axes(kernel: Graph) -> list[int | None]:
    """For each operand, the result axis at which its shape starts; None if it has the shape of the result.

    Requires `has_consistent_axes`: all nodes that read an operand read it at one axis.
    """
    axes: dict[Value, int | None] = {}
    for node in kernel.nodes:
        assert isinstance(node.op, Elementwise), node.op.name
        for value, axis in zip(node.inputs, node.op.operand_axes([v.type for v in node.inputs]), strict=True):
            axes.setdefault(value, axis)
    return [axes[v] for v in kernel.inputs]


def has_consistent_axes(nodes: Sequence[Any]) -> bool:
    """True if each operand is read at the same axis by all nodes."""
    axes: dict[Value, int | None] = {}
    for node in nodes:
        for value, axis in zip(node.inputs, node.op.operand_axes([v.type for v in node.inputs]), strict=True):
            if axes.setdefault(value, axis) != axis:
                return False
    return True
