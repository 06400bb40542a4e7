"""A kernel of elementwise nodes as one list of calls, and the axes at which its operands are broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..float32 import with_float32_attributes
from ..ir import Graph, Value
from ..op import Elementwise
from ..recorder import RecordedValue, Recorder


def record(kernel: Graph) -> list[list[Any]]:
    """Record a kernel of elementwise nodes; the last call gives its result."""
    recorder = Recorder(len(kernel.inputs))
    env: dict[Value, RecordedValue] = {v: recorder.operand(i) for i, v in enumerate(kernel.inputs)}
    for node in kernel.nodes:
        assert isinstance(node.op, Elementwise), node.op.name
        env[node.output] = with_float32_attributes(node.op).scalar(recorder, *(env[v] for v in node.inputs))
    recorder.end_with(env[kernel.outputs[0]])
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
