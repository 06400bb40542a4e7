"""The interface of targets: the questions that passes ask about a machine, and the lowering of a graph to steps.

No pass knows a target by name, and nothing outside of a target's folder depends on how it lowers.
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
    """The number of kernel launches in one run, and of steps that run on the host, with the reasons by node.

    `microseconds`: the time of all launches by the target's model, None if it has none.
    """

    kernels: int
    host: int = 0
    reasons: Mapping[str, str] = {}
    microseconds: float | None = None


@dataclass(frozen=True, slots=True)
class LoweredGraph:
    """The result of lowering a planned graph.

    `steps` in order; `weights` in addition to the graph's, such as packed forms, with their `tensors` by handle;
    `sources` of the kernels by name, for people to read; `binaries` for the runner, such as machine code, as u8 tensors
    by name. `slots` are those of values that the graph does not have, in `scratch` bytes after its arena.
    """

    steps: Sequence[Step]
    weights: Mapping[str, Weight] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    binaries: Mapping[str, Tensor] = field(default_factory=dict)
    slots: Mapping[str, Slot] = field(default_factory=dict)
    scratch: int = 0


class Target:
    """Base class of targets. The defaults describe a machine that runs each operator alone, in Caffe's layout.

    `runner` names the runner of the steps in the runtime's registry, and `payload` is the version of the steps' format.
    """

    name = "plain"
    runner = ""
    payload = 1
    dtype: str | None = None  # the dtype in which floating-point values are stored; None: as in the net
    subsamples = False  # True if copying every second pixel of a value pays when several strided operators read it

    def accepts(self, kernel: Graph) -> str | None:
        """The reason why these nodes cannot be one kernel; None if they can. Fusion adds nodes while it is None."""
        return None if len(kernel.nodes) == 1 else f"{self.name} runs each operator alone"

    def layouts(self, op: Op) -> tuple[str, ...]:
        """The preferred image layouts of an operator, the best first; () if it takes its operand's layout."""
        return ()

    def reads_any_layout(self, op: Op, image: TensorType) -> bool:
        """True if an operator with the trait `reads_any_layout` can do so for this image at little cost."""
        return False

    def writes_views(self, op: Op) -> bool:
        """True if the operator can write its result to a channel range of another value's storage at no cost."""
        return False

    def merges(self, a: Node, b: Node) -> bool:
        """True if merging these two convolutions pays; they read one value and differ in output channels only."""
        return False

    def unfolded_channels(self, node: Node) -> int:
        """Channels into which the rows of windows are unfolded, some perhaps zeros; 0 if the image is read as it is."""
        return 0

    def reason_unfit(self, graph: Graph) -> str | None:
        """The reason why another target of a group should have this graph alone; None if this one is fit for it."""
        return None

    def halo(self, kernel: Graph, operand: int) -> Halo:
        """The border of zeros that the kernel wants around an operand, by its number among the node's operands."""
        return NO_HALO

    def scratch(self, kernel: Graph) -> int:
        """Bytes of the arena that a kernel needs temporarily while it runs."""
        return 0

    def compile(self, planned: PlannedGraph) -> LoweredGraph:
        """Lower a graph whose memory is planned. CompileError if a node cannot be lowered."""
        raise Unsupported(f"the target {self.name} cannot lower a net: it is for passes only")

    def sources(self, planned: PlannedGraph) -> Mapping[str, str]:
        """The sources of a graph's kernels by name, for people to read. Nothing is compiled."""
        return {}

    def launches(self, planned: PlannedGraph) -> LaunchCount:
        """The launches of a planned graph; nodes whose results are in place need none. Nothing is compiled."""
        return LaunchCount(len(planned.graph.nodes))
