"""A target: what a machine can do, as answers to the questions that passes ask, and how a graph becomes its steps.

No pass knows a target by name, and nothing outside a target's folder knows how it lowers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from ..runtime.artifact import Slot, Step, Weight
from .errors import Unsupported
from .ir import Graph, Node
from .op import Op
from .plan import NO_HALO, Halo, PlannedGraph
from .types import TensorType


class LaunchCount(NamedTuple):
    """How often a target starts something in one run: its own kernels, and steps that run on the host.

    `reasons` says by node why a step runs on the host.
    """

    kernels: int
    host: int = 0
    reasons: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class LoweredGraph:
    """What a target makes of a planned graph.

    `steps` in order; `weights` beside the graph's own (packed forms, say) with their `tensors` by handle; `sources` are
    the kernels by name for people to read; `binaries` is what the runner needs beside weights, u8 tensors by name.
    `slots` are of values that the graph does not have, in `scratch` bytes behind its arena.
    """

    steps: Sequence[Step]
    weights: Mapping[str, Weight] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    binaries: Mapping[str, Tensor] = field(default_factory=dict)
    slots: Mapping[str, Slot] = field(default_factory=dict)
    scratch: int = 0


class Target:
    """Base of all targets. Its answers describe a machine that runs each operator alone, in Caffe's layout.

    `runner` is what runs the steps, by its name in the runtime's registry, and `payload` the version of steps that it
    has to read.
    """

    name = "plain"
    runner = ""
    payload = 1
    dtype: str | None = None  # what real numbers are kept as; None: as they come
    subsamples = False  # would it rather copy every second pixel of a value than keep it for several strided readers?

    def accepts(self, kernel: Graph) -> str | None:
        """Why these nodes cannot be one kernel; None if they can. Kernels grow node by node while this is None."""
        return None if len(kernel.nodes) == 1 else f"{self.name} runs each operator alone"

    def layouts(self, op: Op) -> tuple[str, ...]:
        """The layouts of images that the operator is good at, the best first; empty if it follows its operand."""
        return ()

    def reads_any_layout(self, op: Op, image: TensorType) -> bool:
        """May an operator that can (`op.reads_any_layout`) read its first image in any layout, at little cost?"""
        return False

    def writes_views(self, op: Op) -> bool:
        """May the operator write its result into some channels of another value's storage, at no cost?"""
        return False

    def merges(self, a: Node, b: Node) -> bool:
        """Does it pay to run these two convolutions, which read one value and differ in their channels only, as one?"""
        return False

    def halo(self, kernel: Graph, operand: int) -> Halo:
        """The border of zeros that the kernel wants around an operand, by its number among the node's operands."""
        return NO_HALO

    def scratch(self, kernel: Graph) -> int:
        """Bytes of the arena that a kernel needs for itself while it runs."""
        return 0

    def compile(self, planned: PlannedGraph) -> LoweredGraph:
        """The steps of a graph whose memory is planned. CompileError if there is nothing for a node."""
        raise Unsupported(f"the {self.name} target has no steps: passes alone run for it")

    def sources(self, planned: PlannedGraph) -> Mapping[str, str]:
        """For people to read: the kernels of a graph by name. Nothing is compiled."""
        return {}

    def launches(self, planned: PlannedGraph) -> LaunchCount:
        """What a planned graph costs in launches; what stands in its place already costs none. Nothing is compiled."""
        return LaunchCount(len(planned.graph.nodes))
