"""Lowers a node to a native step: its attributes, its operands, and its epilogue as code lines."""

from __future__ import annotations

from typing import Any

from ....runtime.artifact import Step
from ....runtime.native.source import FINDS_ROWS
from ...codegen.host_steps import lower_single
from ...codegen.record import kernel_operand_axes, record
from ...ir import Graph, Node, Value
from ...kernel import external_operands, kernel_graph
from ...op import Elementwise
from ...ops.conv import Conv, Deconv
from ...ops.dense import Linear
from ...ops.fused import Fused
from ...recorder import RecordedValue, Recorder

# Operators whose native step has the primitive's name and attributes.
SINGLE = (
    *("softmax", "l2_normalize", "standardize", "lrn", "max_pool", "avg_pool", "interp", "resize"),
    *("relayout", "detection_output"),
)


def lower_native(node: Node, algorithm: str = "") -> Step | None:
    """The native step of a node; None if there is no kernel for its operators. Sizes are not checked here.

    `algorithm` is a convolution's: a form of Winograd's, or "" for the direct one.
    """
    kernel = kernel_graph(node)
    anchor = kernel.nodes[0]
    outside = dict(
        zip(kernel.inputs, node.inputs if isinstance(node.op, Fused) else external_operands([node]), strict=True)
    )
    reads, attributes, name = list(anchor.inputs), dict[str, Any](), ""
    match anchor.op:
        case Conv() as conv:
            stride, pad, dilation = map(list, conv.geometry(anchor.inputs[0].type.rank - 2))
            name, attributes = "conv", {"stride": stride, "pad": pad, "dilation": dilation, "groups": conv.groups}
            attributes |= {"algorithm": algorithm} if algorithm else {}
        case Deconv() as deconv:
            stride, pad, dilation = map(list, deconv.geometry(anchor.inputs[0].type.rank - 2))
            name, attributes = "deconv", {"stride": stride, "pad": pad, "dilation": dilation, "groups": deconv.groups}
        case Linear() as linear:
            name, attributes = "linear", {"axis": linear.axis, "transpose": linear.transpose}
        case Elementwise():
            reads = list(kernel.inputs)
            attributes = {"code": record(kernel), "axes": kernel_operand_axes(kernel)}
            return make_step("map", attributes, reads, outside, node, kernel)
        case _ if anchor.op.name in SINGLE and not anchor.op.is_reinterpretation:
            name, attributes = lower_single(anchor)
    if not name:
        return None
    if isinstance(anchor.op, Conv | Deconv | Linear):
        code, extras = record_epilogue(kernel)
        attributes |= {"bias": len(anchor.inputs) == 3, "code": code}
        reads += extras
    return make_step(name, attributes, reads, outside, node, kernel)


def make_step(
    name: str, attributes: dict[str, Any], reads: list[Value], outside: dict[Value, Value], node: Node, kernel: Graph
) -> Step:
    operands = tuple(outside[v].name for v in reads)
    results = (*(v.name for v in node.results), *([count_name(node)] if name in FINDS_ROWS else []))
    return Step(f"native.{name}", attributes, operands, results, kernel.name)


def count_name(node: Node) -> str:
    """The name of the number of rows that a node finds."""
    return f"{node.output.name}.count"


def alias_step(node: Node) -> Step:
    """The step of a node whose results are in place already."""
    operands = tuple(v.name for v in dict.fromkeys(node.inputs))
    return Step("native.alias", {}, operands, tuple(v.name for v in node.results), kernel_graph(node).name)


def record_epilogue(kernel: Graph) -> tuple[list[list[Any]], list[Value]]:
    """The epilogue as code lines: value 0 is the anchor's result, 1 and on are the other operands."""
    anchor, *epilogue = kernel.nodes
    if not epilogue:
        return [], []
    made = {anchor.output, *(n.output for n in epilogue)}
    extras = list(dict.fromkeys(v for n in epilogue for v in n.inputs if v not in made))
    recorder = Recorder(1 + len(extras))
    env: dict[Value, RecordedValue] = {v: recorder.operand(i) for i, v in enumerate((anchor.output, *extras))}
    for n in epilogue:
        assert isinstance(n.op, Elementwise), n.op.name
        env[n.output] = n.op.scalar(recorder, *(env[v] for v in n.inputs))
    recorder.end_with(env[kernel.outputs[0]])
    return recorder.code, extras
