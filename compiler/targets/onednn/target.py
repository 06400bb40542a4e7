"""The target for CPUs, by oneDNN's packed primitives.

A convolution or matrix product computes an add and an activation that follow it as oneDNN's post-operations; chains of
other elementwise operators run as one `expr`.
"""

from __future__ import annotations

from ....runtime.artifact import Step
from ...codegen.host_steps import PrimitiveCall, lower_alone, lower_packed, make_host_step
from ...codegen.record import has_consistent_axes
from ...cost import is_free
from ...ir import Graph, Node
from ...kernel import kernel_graph
from ...op import Elementwise, Op
from ...ops.conv import Conv, Deconv
from ...ops.dense import Linear
from ...ops.pool import Pool
from ...plan import PlannedGraph
from ...storage import resolve_storage
from ...target import LaunchCount, LoweredGraph, Target
from ...text import show
from ...text.show import kernel_body
from ...types import TensorType, upper_bound
from .epilogue import activation_of, reason_not_fused, residual, split_epilogue

MAX_EXPR_NODES = 16  # nodes in one expr: bounds the time of growing a kernel node by node, and keeps files readable
MAX_PICTURE_CHANNELS = 3


class OneDnn(Target):
    """The target "onednn"."""

    name = "onednn"
    runner = "onednn"
    subsamples = True

    def accepts(self, kernel: Graph) -> str | None:
        anchor, *epilogue = kernel.nodes
        if not epilogue:
            return None
        if isinstance(anchor.op, Conv | Deconv | Linear):
            return reason_not_fused(kernel, anchor, epilogue)
        if not all(isinstance(n.op, Elementwise) for n in kernel.nodes):
            return f"{epilogue[-1].op.name} cannot be an epilogue of {anchor.op.name} on this target"
        if len(kernel.nodes) > MAX_EXPR_NODES:
            return f"an expr has {MAX_EXPR_NODES} nodes at most"
        return None if has_consistent_axes(kernel.nodes) else "one operand would be broadcast along two different axes"

    def layouts(self, op: Op) -> tuple[str, ...]:
        return ("nhwc",) if isinstance(op, Conv | Deconv) else ()

    def reads_any_layout(self, op: Op, image: TensorType) -> bool:
        """True for pictures, which oneDNN convolves as fast in nchw, and for poolings, which copy their result."""
        return isinstance(op, Pool) or (
            isinstance(op, Conv) and op.groups == 1 and upper_bound(image.dims[1]) <= MAX_PICTURE_CHANNELS
        )

    def writes_views(self, op: Op) -> bool:
        return not op.is_reinterpretation

    def compile(self, planned: PlannedGraph) -> LoweredGraph:
        return LoweredGraph([lower_node(n) for n in planned.graph.nodes], sources=self.sources(planned))

    def sources(self, planned: PlannedGraph) -> dict[str, str]:
        """The kernels of fused nodes, in cortado's language."""
        bodies = (kernel_body(n.op) for n in planned.graph.nodes)
        return {body.name: show(body, kind="kernel") for body in bodies if body is not None}

    def launches(self, planned: PlannedGraph) -> LaunchCount:
        storages = resolve_storage(planned)
        return LaunchCount(sum(not is_free(node, planned, storages) for node in planned.graph.nodes))


def lower_node(node: Node) -> Step:
    """The step of a node. Unsupported if there is no primitive for it."""
    return make_host_step(node, lower(kernel_graph(node)))


def lower(kernel: Graph) -> PrimitiveCall:
    """The primitive that computes a kernel, with its epilogue as oneDNN's post-operations."""
    anchor, *epilogue = kernel.nodes
    if not isinstance(anchor.op, Conv | Deconv | Linear):
        return lower_alone(kernel)
    add, activation = split_epilogue(anchor, epilogue)
    name, parameters = activation_of(activation.op) if activation else ("", {})
    return lower_packed(kernel, name, parameters, residual(anchor, add) if add else None)
