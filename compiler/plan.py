"""The memory plan of a graph: the placement of each computed value, kept beside the graph.

    c = conv(x, w) at 0         an offset in the arena, in bytes
    y = relu(c) over c          an alias: the bytes of an operand whose live range ends at this node
    a = relu(x) in cat[0:64]    a subview: channels 0 to 63 of another value's storage
    p = relu(x) halo 1:2 at 64  the storage has a border of zeros: 1 pixel before, 2 after the image on each axis

The last passes build the plan of a graph, `verify_plan` (memory.py) proves it, and the text prints it as above. A plan
belongs to one graph: a pass that writes another graph drops the plan, and it is built again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from .ir import Graph, Node, Value
from .types import TensorType


@dataclass(frozen=True, slots=True)
class Offset:
    """The value begins at byte `start` of the arena."""

    start: int


@dataclass(frozen=True, slots=True)
class Alias:
    """The value takes the bytes of `operand`, an operand of its node whose live range ends there."""

    operand: Value


@dataclass(frozen=True, slots=True)
class Subview:
    """The value is channels [first, stop) of the storage of `root`, whose node may run after the value's."""

    root: Value
    first: int
    stop: int


Placement = Offset | Alias | Subview


class Halo(NamedTuple):
    """A border of zeros around the images of a root: pixels `before` and `after` them, on both image axes.

    The channels are innermost: the root is in nhwc, or has one channel. A target's kernels read the zeros where a
    window leaves the image; whoever runs the plan clears them.
    """

    before: int = 0
    after: int = 0

    def join(self, other: Halo) -> Halo:
        """The smallest border that holds both."""
        return Halo(max(self.before, other.before), max(self.after, other.after))

    def stored_bytes(self, type: TensorType) -> int:
        """Bytes of a value of that type with this border."""
        if not any(self):
            return type.nbytes
        n, c, *sizes = type.bounds
        return prod((n, c, *(size + self.before + self.after for size in sizes))) * type.nbytes // max(type.numel, 1)


NO_HALO = Halo()


def can_have_halo(root: Value) -> bool:
    """True if a root is images of known size with the channels innermost."""
    type = root.type
    return type.is_static and type.rank == 4 and (root.layout == "nhwc" or type.bounds[1] == 1)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Placements by value. `arena` is the size of the arena in bytes, None until offsets are assigned.

    A value without a placement is not placed yet. Inputs and constants are never placed. `halos` are the borders of
    those roots that have one.
    """

    placements: Mapping[Value, Placement] = field(default_factory=dict)
    arena: int | None = None
    halos: Mapping[Value, Halo] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.placements) or bool(self.halos) or self.arena is not None

    def __contains__(self, value: Value) -> bool:
        return value in self.placements

    def offset(self, value: Value) -> int | None:
        """The offset of a value in the arena in bytes; None unless it is placed by an offset."""
        placement = self.placements.get(value)
        return placement.start if isinstance(placement, Offset) else None

    def alias(self, value: Value) -> Value | None:
        """The operand that a value aliases; None if it is not an alias."""
        placement = self.placements.get(value)
        return placement.operand if isinstance(placement, Alias) else None

    def subview(self, value: Value) -> Subview | None:
        """The subview that places a value; None if it is not a subview."""
        placement = self.placements.get(value)
        return placement if isinstance(placement, Subview) else None

    def halo(self, root: Value) -> Halo:
        """The border of a root."""
        return self.halos.get(root, NO_HALO)

    def stored_bytes(self, root: Value) -> int:
        """Bytes of a root, its border included."""
        return self.halo(root).stored_bytes(root.type)

    def base(self, value: Value) -> Value | None:
        """The value whose storage this one uses: the operand of an alias, the root of a subview, else None."""
        match self.placements.get(value):
            case Alias(operand):
                return operand
            case Subview(root):
                return root
        return None

    def places_any_of(self, node: Node) -> bool:
        """True if some result of a node has a placement."""
        return any(v in self.placements or v in self.halos for v in node.results)

    def extend(self, more: Mapping[Value, Placement]) -> MemoryPlan:
        """The plan with more placements; the same object if there are none."""
        return MemoryPlan({**self.placements, **more}, halos=self.halos) if more else self


UNPLANNED = MemoryPlan()


class PlannedGraph(NamedTuple):
    """A graph with its memory plan, as compiler stages pass it on and print it."""

    graph: Graph
    plan: MemoryPlan = UNPLANNED
