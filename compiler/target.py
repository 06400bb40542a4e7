"""What a machine can do, as answers to the questions that passes ask. No pass knows a target by name."""

from __future__ import annotations

from .ir import Graph, Node
from .op import Op
from .types import TensorType


class Target:
    """The questions. These answers describe a machine that runs each operator alone, in Caffe's layout."""

    name = "plain"
    dtype: str | None = None  # what real numbers are kept as; None: as they come
    subsamples = False  # would it rather copy every second pixel of a value than keep it for several strided readers?

    def accepts(self, kernel: Graph) -> str | None:
        """Why these nodes cannot be one kernel; None if they can. Kernels grow node by node while this is None."""
        return None if len(kernel.nodes) == 1 else f"{self.name} runs each operator alone"

    def layouts(self, op: Op) -> tuple[str, ...]:
        """The layouts of images that the operator is good at, the best first; empty if it follows its operand."""
        return ()

    def reads_any_layout(self, op: Op, image: TensorType) -> bool:
        """May an operator that can (`op.gathers`) read its first image in whatever layout it lies, at little cost?"""
        return False

    def writes_views(self, op: Op) -> bool:
        """May the operator write its result into some channels of another value's storage, at no cost?"""
        return False

    def merges(self, a: Node, b: Node) -> bool:
        """Does it pay to run these two convolutions, which read one value and differ in their channels only, as one?"""
        return False

    def scratch(self, kernel: Graph) -> int:
        """Bytes of the arena that a kernel needs for itself while it runs."""
        return 0
