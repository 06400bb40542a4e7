"""NVIDIA GPUs, by Triton: images lie with their channels innermost; what is elementwise rides on what made it."""

from __future__ import annotations

from ..codegen.for_triton import reason_not_fused
from ..codegen.gpu.convolution import MIN_UNFLATTENED_CHANNELS
from ..errors import CompileError
from ..ir import Graph, Node
from ..op import Op
from ..ops.conv import Conv
from ..ops.pool import Pool
from ..target import Target
from ..types import TensorType, upper_bound

MAX_KERNEL_NODES = 16  # nodes in one kernel: growing it node by node stays linear in the net, and files readable
CHANNEL_ALIGNMENT = 8  # channels: 16 bytes of f16, and what follows them lies as well in memory as they do
PRECISIONS = ("f32", "f32-strict", "f16")


class Cuda(Target):
    """`precision` is how numbers are multiplied and kept.

    f32: on tensor cores, each number as the sum of parts (tf32x3), with f32's own error. f32-strict: by f32
    multiply-adds alone. f16: numbers are kept as f16, products are summed in f32.
    """

    def __init__(self, precision: str = "f32") -> None:
        self.name = "cuda" if precision == "f32" else f"cuda-{precision}"
        self.dtype = "f16" if precision == "f16" else None

    def accepts(self, kernel: Graph) -> str | None:
        if len(kernel.nodes) == 1:
            return None
        if len(kernel.nodes) > MAX_KERNEL_NODES:
            return f"a kernel has {MAX_KERNEL_NODES} nodes at most"
        try:
            return reason_not_fused(kernel)
        except CompileError as e:
            return e.message

    def layouts(self, op: Op) -> tuple[str, ...]:
        return ("nhwc",) if isinstance(op, Conv) else ()

    def reads_any_layout(self, op: Op, image: TensorType) -> bool:
        return isinstance(op, Pool) or upper_bound(image.dims[1]) < MIN_UNFLATTENED_CHANNELS

    def merges(self, a: Node, b: Node) -> bool:
        """One launch for two, and the image read once; the pieces begin where a line of 16 bytes does."""
        return all(n.output.type.bounds[1] % CHANNEL_ALIGNMENT == 0 for n in (a, b))

    def writes_views(self, op: Op) -> bool:
        return not op.is_reinterpretation
