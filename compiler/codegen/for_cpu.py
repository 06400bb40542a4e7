"""A kernel as one primitive of the runtime: its name, its attributes, its operands in the primitive's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...runtime.artifact import PRIMITIVE_TABLE
from ..errors import CompileError
from ..ir import Graph, Node, Value
from ..op import Elementwise, Ints
from ..ops.conv import Conv, Deconv
from ..ops.dense import Linear
from ..ops.pool import AvgPool, MaxPool
from ..ops.shape import Relayout, Reshape, Slice
from ..ops.user import User
from ..targets.cpu import activation_of, residual, split_epilogue
from .record import kernel_operand_axes, record


@dataclass(frozen=True, slots=True)
class PrimitiveCall:
    """A primitive, and which of the kernel's inputs it reads, by number."""

    primitive: str
    attributes: dict[str, Any]
    operands: tuple[int, ...]


def lower(kernel: Graph) -> PrimitiveCall:
    """The call that computes a kernel. CompileError if the CPU has none."""
    anchor, *epilogue = kernel.nodes
    if isinstance(anchor.op, Conv | Deconv | Linear):
        return lower_packed(kernel, anchor, epilogue)
    if isinstance(anchor.op, Elementwise):
        return PrimitiveCall(
            "expr", {"code": record(kernel), "axes": kernel_operand_axes(kernel)}, tuple(range(len(kernel.inputs)))
        )
    name, attributes = lower_single(anchor)
    if epilogue or name not in PRIMITIVE_TABLE:
        raise CompileError(f"the cpu target has no primitive for {kernel.name}", anchor.loc)
    return PrimitiveCall(name, attributes, tuple(kernel.inputs.index(v) for v in anchor.inputs))


def lower_packed(kernel: Graph, anchor: Node, epilogue: list[Node]) -> PrimitiveCall:
    """A convolution or matrix product with what rides on it."""
    add, activation = split_epilogue(anchor, epilogue)
    attributes: dict[str, Any] = {"bias": len(anchor.inputs) == 3}
    name, parameters = activation_of(activation.op) if activation else ("", {})
    attributes |= {"activation": name, **parameters}
    reads: list[Value] = list(anchor.inputs)
    match anchor.op:
        case Conv() | Deconv() as conv:
            stride, pad, dilation = map(list, conv.geometry(anchor.inputs[0].type.rank - 2))
            attributes |= {"stride": stride, "pad": pad, "dilation": dilation, "groups": conv.groups}
            primitive = "conv_packed" if isinstance(conv, Conv) else "deconv_packed"
            if isinstance(conv, Conv):
                attributes |= {"add": add is not None}
            if add:
                other = residual(anchor, add)
                assert isinstance(other, Value)
                reads.append(other)
        case Linear() as linear:
            attributes |= {"axis": linear.axis, "transpose": linear.transpose}
            primitive = "linear_packed"
    return PrimitiveCall(primitive, attributes, tuple(kernel.inputs.index(v) for v in reads))


def lower_single(node: Node) -> tuple[str, dict[str, Any]]:
    """Most operators are a primitive of the same name and attributes; here is what is spelled another way."""
    attributes = {name: tuple_to_list(value) for name, value in node.op.all_attributes().items()}
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
        return "reshape", {}
    return node.op.name, attributes


def per_image_axis(numbers: Ints | None, rank: int) -> list[int] | None:
    """One number for each image axis."""
    return None if numbers is None else list(numbers * rank if len(numbers) == 1 else numbers)


def tuple_to_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
