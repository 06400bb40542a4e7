"""The targets for NVIDIA GPUs, by Triton: images are nhwc, and elementwise nodes are fused into their producer."""

from __future__ import annotations

from ...cost import traffic
from ...errors import Unsupported
from ...ir import Graph, Node
from ...op import Op
from ...ops.conv import Conv, Deconv, Im2col
from ...ops.pool import Pool
from ...plan import PlannedGraph
from ...slots import slots_and_weights
from ...storage import resolve_storage
from ...target import LaunchCount, LoweredGraph, Target
from ...types import TensorType, upper_bound
from .arithmetic import ceil_div
from .convolution import MIN_UNFLATTENED_CHANNELS
from .generate import reason_not_fused
from .kernel_spec import KernelSettings
from .lowering import HostNode, LoweredNode, compile_kernels, generate_sources, lower_node
from .matmul_model import predict_launch

MAX_KERNEL_NODES = 16  # nodes in one kernel: bounds the time of growing it node by node, and keeps files readable
CHANNEL_ALIGNMENT = 8  # channels: 16 bytes of f16, so that both results of a merged kernel are aligned
MIN_UNFOLDED_PIXELS = 1 << 17  # of a convolution's result: eight tiles of 128 for each multiprocessor
PRECISIONS = ("f32", "f32-strict", "f16")


class Cuda(Target):
    """A target for NVIDIA GPUs with a `precision`. `overlaps`: kernels start before those they wait for have ended.

    f32: products on tensor cores, each factor split into a sum of tf32 numbers (tf32x3), with the error of f32.
    f32-strict: f32 multiply-adds only. f16: values are stored as f16, and products are accumulated in f32.
    """

    runner = "cuda"

    def __init__(self, precision: str = "f32", overlaps: bool = False) -> None:
        self.name = "-".join(["cuda", *[precision] * (precision != "f32"), *["pdl"] * overlaps])
        self.dtype = "f16" if precision == "f16" else None
        self.settings = KernelSettings(strict=precision == "f32-strict", overlaps=overlaps)

    def accepts(self, kernel: Graph) -> str | None:
        if len(kernel.nodes) == 1:
            return None
        if len(kernel.nodes) > MAX_KERNEL_NODES:
            return f"a kernel has {MAX_KERNEL_NODES} nodes at most"
        try:
            return reason_not_fused(kernel)
        except Unsupported as e:
            return e.message

    def layouts(self, op: Op) -> tuple[str, ...]:
        return ("nhwc",) if isinstance(op, Conv | Deconv | Im2col) else ()

    def reads_any_layout(self, op: Op, image: TensorType) -> bool:
        return isinstance(op, Pool | Im2col) or upper_bound(image.dims[1]) < MIN_UNFLATTENED_CHANNELS

    def merges(self, a: Node, b: Node) -> bool:
        """True if both results start at a multiple of 16 bytes in the merged one; merging saves a launch and a read."""
        return all(n.output.type.bounds[1] % CHANNEL_ALIGNMENT == 0 for n in (a, b))

    def unfolded_channels(self, node: Node) -> int:
        """As many as TMA can read, where there are pixels enough to make up for a launch more."""
        x, weight, y = node.inputs[0].type, node.inputs[1].type, node.output.type
        made = x.bounds[1] * weight.bounds[3]
        pixels = y.numel // max(y.bounds[1], 1)
        few = x.bounds[1] < MIN_UNFLATTENED_CHANNELS <= 2 * made
        if self.settings.strict or not few or pixels < MIN_UNFOLDED_PIXELS:
            return 0
        return max(ceil_div(made, CHANNEL_ALIGNMENT) * CHANNEL_ALIGNMENT, MIN_UNFLATTENED_CHANNELS)

    def writes_views(self, op: Op) -> bool:
        return not op.is_reinterpretation

    def compile(self, planned: PlannedGraph) -> LoweredGraph:
        slots, weights = slots_and_weights(planned)
        made = compile_kernels(planned.graph, {**slots, **weights}, self.settings)
        return LoweredGraph(made.steps, made.weights, made.tensors, made.sources, made.cubins)

    def sources(self, planned: PlannedGraph) -> dict[str, str]:
        """The Triton sources of the kernels, as they are compiled."""
        slots, weights = slots_and_weights(planned)
        return generate_sources(planned.graph, {**slots, **weights}, self.settings)

    def launches(self, planned: PlannedGraph) -> LaunchCount:
        slots, weights = slots_and_weights(planned)
        storages = resolve_storage(planned)
        found = {node: lower_node(node, {**slots, **weights}, self.settings) for node in planned.graph.nodes}
        reasons = {node.name: one.reason for node, one in found.items() if isinstance(one, HostNode)}
        launched = {n: one.kernels[0] for n, one in found.items() if isinstance(one, LoweredNode) and one.kernels}
        times = (predict_launch(kernel.spec, traffic(n, planned, storages)) for n, kernel in launched.items())
        return LaunchCount(len(launched), len(reasons), reasons, round(sum(times), 1))
