"""Lowering of a node to one primitive of the runtime's table: its name, attributes, and operands in order.

Targets for the CPU lower to these primitives, and other targets for the nodes that they leave to the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

from ...runtime.artifact import PRIMITIVE_TABLE, Step
from ..errors import Unsupported
from ..ir import Graph, Node, Value
from ..kernel import external_operands, kernel_graph
from ..op import Elementwise, Ints
from ..ops.conv import Conv, Deconv
from ..ops.dense import Linear
from ..ops.fused import Fused
from ..ops.pool import AvgPool, MaxPool
from ..ops.shape import Relayout, Reshape, Slice
from ..ops.user import User
from ..types import AtMost, TensorType
from .record import kernel_operand_axes, record


@dataclass(frozen=True, slots=True)
class PrimitiveCall:
    """A primitive, its attributes, and the indices of the kernel's inputs that it reads."""

    primitive: str
    attributes: dict[str, Any]
    operands: tuple[int, ...]


def make_host_step(node: Node, call: PrimitiveCall | None = None) -> Step:
    """The step of a node, by default as lowered by `lower_alone`. Unsupported if there is no primitive for it."""
    kernel = kernel_graph(node)
    call = call or lower_alone(kernel)
    outside = node.inputs if isinstance(node.op, Fused) else external_operands([node])
    reads = tuple(outside[i].name for i in call.operands)
    return Step(call.primitive, call.attributes, reads, tuple(v.name for v in node.results), kernel.name)


def lower_alone(kernel: Graph) -> PrimitiveCall:
    """The call that computes a kernel of one operator, or of elementwise operators. Unsupported if there is none."""
    anchor, *epilogue = kernel.nodes
    if isinstance(anchor.op, Elementwise):
        attributes = {"code": record(kernel), "axes": kernel_operand_axes(kernel)}
        return PrimitiveCall("expr", attributes, tuple(range(len(kernel.inputs))))
    if isinstance(anchor.op, Conv | Deconv | Linear) and not epilogue:
        return lower_packed(kernel)
    name, attributes = lower_single(anchor)
    if epilogue or name not in PRIMITIVE_TABLE:
        raise Unsupported(f"there is no primitive for {kernel.name}", anchor.loc)
    return PrimitiveCall(name, attributes, tuple(kernel.inputs.index(v) for v in anchor.inputs))


def lower_packed(
    kernel: Graph, activation: str = "", parameters: Mapping[str, float] | None = None, residual: Value | None = None
) -> PrimitiveCall:
    """The call for a convolution or matrix product, with an optional activation, and an optional add before it."""
    anchor = kernel.nodes[0]
    attributes: dict[str, Any] = {"bias": len(anchor.inputs) == 3, "activation": activation}
    attributes |= {name: plain_value(value) for name, value in (parameters or {}).items()}
    reads: list[Value] = list(anchor.inputs)
    match anchor.op:
        case Conv() | Deconv() as conv:
            stride, pad, dilation = map(list, conv.geometry(anchor.inputs[0].type.rank - 2))
            attributes |= {"stride": stride, "pad": pad, "dilation": dilation, "groups": conv.groups}
            primitive = "conv_packed" if isinstance(conv, Conv) else "deconv_packed"
            if isinstance(conv, Conv):
                attributes |= {"add": residual is not None}
            if residual is not None:
                reads.append(residual)
        case Linear() as linear:
            attributes |= {"axis": linear.axis, "transpose": linear.transpose}
            primitive = "linear_packed"
    return PrimitiveCall(primitive, attributes, tuple(kernel.inputs.index(v) for v in reads))


def lower_single(node: Node) -> tuple[str, dict[str, Any]]:
    """The primitive and attributes of a single node: those of the operator, unless an exception is listed here."""
    attributes = {name: plain_value(value) for name, value in node.op.all_attributes().items()}
    match node.op:
        case MaxPool() | AvgPool():
            attributes.pop("mask", None)
            rank = node.inputs[0].type.rank - 2
            for name in ("kernel", "stride", "pad"):
                attributes[name] = per_image_axis(getattr(node.op, name), rank)
        case Slice(points=points):
            attributes = {"axis": node.op.axis, "points": list(points) or None}
        case Reshape() | Relayout():
            attributes = {}
        case User(layer=layer):
            attributes = {"layer": layer, "attributes": node.op.parsed_settings}
    if node.op.is_reinterpretation:
        return "reshape", reshape_attributes(node.inputs[0].type, node.output.type)
    return node.op.name, attributes


def reshape_attributes(x: TensorType, y: TensorType) -> dict[str, Any]:
    """Which axes of `x` the dimensions of its reshape `y` are, where several are known only at run time.

    It is the axis in front of which there are as many elements.
    """
    if sum(isinstance(d, AtMost) for d in y.dims) < 2:
        return {}
    copied, axis = list[int](), 0
    for i, dim in enumerate(y.dims):
        before = prod(y.bounds[:i])
        same = (a for a in range(axis, x.rank) if x.dims[a] == dim and prod(x.bounds[:a]) == before)
        found = next(same, -1) if isinstance(dim, AtMost) else -1
        copied.append(found)
        axis = max(axis, found + 1)
    return {"copied": copied}


def per_image_axis(numbers: Ints | None, rank: int) -> list[int] | None:
    """One number for each image axis."""
    return None if numbers is None else list(numbers * rank if len(numbers) == 1 else numbers)


def plain_value(value: object) -> object:
    """The value for JSON: a list for a tuple, and "inf", "-inf" or "nan" for a number that is not finite."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
