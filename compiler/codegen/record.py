"""A kernel of elementwise nodes as one list of calls, and the axes at which its operands are broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir import Graph, Value
from ..op import Elementwise
from ..recorder import RecordedValue, Recorder


def record(kernel: Graph) -> list[list[Any]]:
    """The calls of a kernel of elementwise nodes; the last line is its result."""
    recorder = Recorder(len(kernel.inputs))
    env: dict[Value, RecordedValue] = {v: recorder.operand(i) for i, v in enumerate(kernel.inputs)}
    for node in kernel.nodes:
        assert isinstance(node.op, Elementwise), node.op.name
        env[node.output] = node.op.scalar(recorder, *(env[v] for v in node.inputs))
    recorder.end_with(env[kernel.outputs[0]])
    return recorder.code


def kernel_operand_axes(kernel: Graph) -> list[int | None]:
    """For each operand of such a kernel the axis at which its shape starts in the result's; None for all of it.

    An operand that two nodes read at different axes cannot be one operand: the target refuses such a kernel.
    """
    found: dict[Value, int | None] = {}
    for node in kernel.nodes:
        assert isinstance(node.op, Elementwise), node.op.name
        for value, axis in zip(node.inputs, node.op.operand_axes([v.type for v in node.inputs]), strict=True):
            found.setdefault(value, axis)
    return [found[v] for v in kernel.inputs]


def has_consistent_axes(nodes: Sequence[Any]) -> bool:
    """True if every operand is read at one axis by all nodes."""
    found: dict[Value, int | None] = {}
    for node in nodes:
        for value, axis in zip(node.inputs, node.op.operand_axes([v.type for v in node.inputs]), strict=True):
            if found.setdefault(value, axis) != axis:
                return False
    return True
