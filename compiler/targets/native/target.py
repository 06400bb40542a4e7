"""The CPU, by kernels in C.

A convolution or matrix product takes any chain of elementwise operators as its epilogue. Images lie in nhwc, with a
border of zeros where a window reads beyond them, so that no kernel has code for edges. What has no kernel runs as a
primitive on the host, between two calls into the library.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....runtime.native.source import FORMS, deconv_halo
from ...codegen.record import has_consistent_axes
from ...ir import Graph, Node
from ...op import Elementwise, Op
from ...ops.conv import Conv, Deconv
from ...ops.dense import Linear
from ...ops.indexing import Reorg
from ...ops.norm import L2Normalize, Lrn
from ...ops.pool import Pool
from ...ops.resize import Interp, Resize
from ...plan import NO_HALO, Halo, PlannedGraph
from ...target import LaunchCount, LoweredGraph, Target
from ...text import show
from ...text.show import kernel_body
from ...types import TensorType
from ..onednn import OneDnn
from .algorithms import form_that_pays
from .fallback import lower_graph

MAX_EXTRAS = 4  # operands of an epilogue, without that of the sum
MAX_NODES = 16
FALLBACK = OneDnn()


class Native(Target):
    """Convolutions, matrix products, poolings, LRN, softmax, normalizations, chains and relayouts have kernels."""

    runner = "native"
    subsamples = True

    def __init__(self, name: str = "native", winograd: bool = True) -> None:
        self.name = name
        self.winograd = winograd  # may a convolution be computed by Winograd's algorithm, where it pays?

    def accepts(self, kernel: Graph) -> str | None:
        anchor, *epilogue = kernel.nodes
        if not epilogue:
            return None
        if not all(isinstance(n.op, Elementwise) for n in epilogue):
            return "only elementwise operators can be an epilogue in C"
        if len(kernel.nodes) > MAX_NODES:
            return f"a kernel has {MAX_NODES} nodes at most"
        if not has_consistent_axes([n for n in kernel.nodes if isinstance(n.op, Elementwise)]):
            return "one operand would be spread along two different axes"
        if isinstance(anchor.op, Elementwise):
            return None if all(v.type.dtype == "f32" for v in kernel.inputs) else FALLBACK.accepts(kernel)
        if not isinstance(anchor.op, Conv | Deconv | Linear):
            return f"{anchor.op.name} has no epilogue in C"
        return reason_not_epilogue(kernel, anchor, epilogue)

    def layouts(self, op: Op) -> tuple[str, ...]:
        if isinstance(op, L2Normalize):
            return () if op.across else ("nhwc",)
        if isinstance(op, Reorg):
            return ("nchw",)
        is_image = not isinstance(op, Resize) or (op.axis, op.axes) == (2, 2)
        return ("nhwc",) if isinstance(op, Conv | Deconv | Pool | Lrn | Interp | Resize) and is_image else ()

    def reads_any_layout(self, op: Op, image: TensorType) -> bool:
        return False

    def writes_views(self, op: Op) -> bool:
        return not op.is_reinterpretation

    def reason_unfit(self, graph: Graph) -> str | None:
        dynamic = next((v for v in graph.inputs if not v.type.is_static), None)
        return f"the size of {dynamic.name} is known only when the net runs" if dynamic else None

    def halo(self, kernel: Graph, operand: int) -> Halo:
        """What the window of a convolution reads beyond its image."""
        anchor = kernel.nodes[0]
        x, y = anchor.inputs[0], anchor.results[0]
        if not isinstance(anchor.op, Conv | Deconv) or kernel.inputs[operand] is not x or x.type.rank != 4:
            return NO_HALO
        if isinstance(anchor.op, Deconv):
            return halo_of_deconv(anchor.op, x.type, anchor.inputs[1].type, y.type)
        (stride, _, dilation), (pad, _) = anchor.op.geometry(2), anchor.op.pads(2)
        form = FORMS.get(form_that_pays(anchor)) if self.winograd else None
        axes = zip(
            y.type.bounds[2:], x.type.bounds[2:], anchor.inputs[1].type.bounds[2:], stride, pad, dilation, strict=True
        )
        after = [
            form.halo_after(out, size, p) if form else (out - 1) * s + (k - 1) * d + 1 - p - size
            for out, size, k, s, p, d in axes
        ]
        return Halo(max(pad), max(*after, 0))

    def compile(self, planned: PlannedGraph) -> LoweredGraph:
        lowered = lower_graph(planned, self.winograd)
        steps = [step for part in lowered.nodes for step in part.steps]
        slots = {name: slot for part in lowered.nodes for name, slot in part.slots.items()}
        return LoweredGraph(steps, sources=self.sources(planned), slots=slots, scratch=lowered.scratch)

    def sources(self, planned: PlannedGraph) -> dict[str, str]:
        """The kernels of fused nodes, in cortado's language."""
        bodies = (kernel_body(n.op) for n in planned.graph.nodes)
        return {body.name: show(body, kind="kernel") for body in bodies if body is not None}

    def launches(self, planned: PlannedGraph) -> LaunchCount:
        parts = lower_graph(planned, self.winograd).nodes
        host = sum(bool(part.reason) for part in parts)
        kernels = sum(not part.reason and part.steps[0].kind != "native.alias" for part in parts)
        nodes = planned.graph.nodes
        return LaunchCount(kernels, host, {n.name: p.reason for n, p in zip(nodes, parts, strict=True) if p.reason})


def halo_of_deconv(op: Deconv, x: TensorType, weight: TensorType, y: TensorType) -> Halo:
    """What the phases of a transposed convolution read beyond its image; none if it has no kernel."""
    stride, pad, dilation = op.geometry(2)
    if op.groups != 1 or {*dilation} != {1}:
        return NO_HALO
    axes = zip(weight.bounds[2:], stride, pad, x.bounds[2:], y.bounds[2:], strict=True)
    found = [deconv_halo(*axis) for axis in axes]
    return Halo(max(before for before, _ in found), max(after for _, after in found))


def reason_not_epilogue(kernel: Graph, anchor: Node, epilogue: Sequence[Node]) -> str | None:
    """Why these elementwise nodes cannot be the epilogue of a convolution or matrix product; None if they can."""
    y = anchor.output
    if y.type.dtype != "f32" or not y.type.is_static or (isinstance(anchor.op, Conv | Deconv) and y.type.rank != 4):
        return f"{anchor.op.name} of {y.type} has no kernel in C"
    made = {y, *(n.output for n in epilogue)}
    extras = dict.fromkeys(v for n in epilogue for v in n.inputs if v not in made)
    if len(extras) > MAX_EXTRAS:
        return f"an epilogue has {MAX_EXTRAS} other operands at most"
    for n in epilogue:
        for v, axis in zip(n.inputs, n.op.operand_axes([v.type for v in n.inputs]), strict=True):  # type: ignore[attr-defined]
            if v in made:
                continue
            if v.type.dtype != "f32":
                return f"{n.op.name} reads {v.type.dtype}"
            vector = axis == 1 and v.type.rank == 1 and (y.type.rank == 2 or isinstance(anchor.op, Conv | Deconv))
            same = v.type.dims == y.type.dims and v.layout == y.layout
            if not (vector or same or v.type.numel == 1):
                return f"{n.op.name} reads {v.type}, which is neither an image of this size nor one number a channel"
    return None
