"""An elementwise meaning, written down as a list of calls: the same `scalar` that computes on tensors runs on names.

>>> from cortado.compiler.ops.activation import Relu
>>> recorder = Recorder(operands=1)
>>> Relu(slope=0.5).scalar(recorder, recorder.operand(0))
Line(index=3)
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
class Line:
    """A result, by its number: operands first, then the lines in order. Arithmetic on it writes more lines."""

    index: int
    recorder: Recorder = field(repr=False)

    def __add__(self, other: Any) -> Line:
        return self.recorder.call("add", self, other)

    def __radd__(self, other: Any) -> Line:
        return self.recorder.call("add", other, self)

    def __sub__(self, other: Any) -> Line:
        return self.recorder.call("sub", self, other)

    def __rsub__(self, other: Any) -> Line:
        return self.recorder.call("sub", other, self)

    def __mul__(self, other: Any) -> Line:
        return self.recorder.call("mul", self, other)

    def __rmul__(self, other: Any) -> Line:
        return self.recorder.call("mul", other, self)

    def __truediv__(self, other: Any) -> Line:
        return self.recorder.call("div", self, other)

    def __rtruediv__(self, other: Any) -> Line:
        return self.recorder.call("div", other, self)

    def __neg__(self) -> Line:
        return self.recorder.call("neg", self)

    def __gt__(self, other: Any) -> Line:
        return self.recorder.call("gt", self, other)

    def __ge__(self, other: Any) -> Line:
        return self.recorder.call("ge", self, other)

    def __lt__(self, other: Any) -> Line:
        return self.recorder.call("lt", self, other)

    def __le__(self, other: Any) -> Line:
        return self.recorder.call("le", self, other)

    def __eq__(self, other: object) -> Line:  # type: ignore[override]
        return self.recorder.call("eq", self, other)

    __hash__ = None  # type: ignore[assignment]


class Recorder:
    """Stands for `m`: every call becomes a line of `code`, [function, argument, ...]."""

    def __init__(self, operands: int) -> None:
        self.operands = operands
        self.code: list[list[Any]] = []

    def operand(self, i: int) -> Line:
        return Line(i, self)

    def call(self, function: str, *arguments: Any) -> Line:
        self.code.append([function, *map(argument, arguments)])
        return Line(self.operands + len(self.code) - 1, self)

    def __getattr__(self, name: str) -> Callable[..., Line]:
        if name not in FUNCTIONS:
            raise AttributeError(f"no scalar function is called {name}")
        return lambda *arguments: self.call(name, *arguments)


def argument(value: Any) -> Any:
    if isinstance(value, Line):
        return value.index
    return {"c": value if math.isfinite(value) else str(float(value))}


def record(kernel: Graph) -> list[list[Any]]:
    """The calls of a kernel of elementwise nodes; the last line is its result."""
    recorder = Recorder(len(kernel.inputs))
    env: dict[Value, Line] = {v: recorder.operand(i) for i, v in enumerate(kernel.inputs)}
    for node in kernel.nodes:
        assert isinstance(node.op, Elementwise), node.op.name
        env[node.output] = node.op.scalar(recorder, *(env[v] for v in node.inputs))
    last = env[kernel.outputs[0]].index
    if last != recorder.operands + len(recorder.code) - 1:  # the result is an operand as it came
        recorder.call("mul", env[kernel.outputs[0]], 1)
    return recorder.code


def axes(kernel: Graph) -> list[int | None]:
    """For each operand of such a kernel the axis at which its shape starts in the result's; None for all of it.

    An operand that two nodes read at different axes cannot be one operand: the target refuses such a kernel.
    """
    found: dict[Value, int | None] = {}
    for node in kernel.nodes:
        assert isinstance(node.op, Elementwise), node.op.name
        for value, axis in zip(node.inputs, node.op.operand_axes([v.type for v in node.inputs]), strict=True):
            found.setdefault(value, axis)
    return [found[v] for v in kernel.inputs]


def aligned(nodes: Sequence[Any]) -> bool:
    """True if every operand is read at one axis by all nodes."""
    found: dict[Value, int | None] = {}
    for node in nodes:
        for value, axis in zip(node.inputs, node.op.operand_axes([v.type for v in node.inputs]), strict=True):
            if found.setdefault(value, axis) != axis:
                return False
    return True
