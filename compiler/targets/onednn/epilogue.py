"""Epilogues that oneDNN computes within a convolution or matrix product: an add, then an activation."""

from __future__ import annotations

from math import inf

from ....runtime.artifact import ACTIVATIONS
from ...ir import Graph, Node, Value
from ...op import Op
from ...ops.activation import Clip, Relu, Sigmoid, TanH
from ...ops.arithmetic import Add
from ...ops.conv import Conv


def reason_not_fused(kernel: Graph, anchor: Node, epilogue: list[Node]) -> str | None:
    """The reason why these nodes cannot be the epilogue of a convolution or matrix product; None if they can."""
    add, activation = split_epilogue(anchor, epilogue)
    if len(epilogue) != (add is not None) + (activation is not None):
        return f"{epilogue[-1].op.name} cannot be an epilogue of {anchor.op.name} in oneDNN"
    if add and not isinstance(anchor.op, Conv):
        return f"oneDNN has no add as the epilogue of {anchor.op.name}"
    if add and anchor.inputs[0].layout != anchor.output.layout:
        return "oneDNN adds only images of one layout"
    if add and residual(anchor, add) in anchor.inputs:
        return "the convolution also reads the value that is added"
    if add and activation and not ACTIVATIONS[activation_of(activation.op)[0]].after_add:
        return f"oneDNN computes {activation.op.name} after an add in a separate loop"
    return None


def split_epilogue(anchor: Node, epilogue: list[Node]) -> tuple[Node | None, Node | None]:
    """The add and the activation of an epilogue; None for one that is missing or not in this order."""
    rest = list(epilogue)
    add = rest.pop(0) if rest and rest[0].op == Add() and len(set(rest[0].inputs)) == 2 else None
    activation = rest.pop(0) if rest and activation_of(rest[0].op)[0] else None
    return add, activation


def residual(anchor: Node, add: Node) -> Value:
    """The value that is added to the anchor's result."""
    return next(v for v in add.inputs if v is not anchor.output)


def activation_of(op: Op) -> tuple[str, dict[str, float]]:
    """oneDNN's name and parameters for an operator; "" if it has none."""
    match op:
        case Relu(slope=0.0):
            return "relu", {}
        case Relu(slope=slope) if -inf < slope < inf:
            return "leaky_relu", {"slope": slope}
        case Sigmoid():
            return "sigmoid", {}
        case TanH():
            return "tanh", {}
        case Clip(low=low, high=high) if -inf < low <= high < inf:
            return "clip", {"low": low, "high": high}
    return "", {}
