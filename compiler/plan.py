"""The memory plan of a graph: the placement of each computed value, kept beside the graph.

    c = conv(x, w) at 0         an offset in the arena, in bytes
    y = relu(c) over c          an alias: the bytes of an operand whose live range ends at this node
    a = relu(x) in cat[0:64]    a subview: channels 0 to 63 of another value's storage

The last passes build the plan of a graph, `verify_plan` (memory.py) proves it, and the text prints it as above. A plan
belongs to one graph: a pass that writes another graph drops the plan, and it is built again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .ir import Graph, Node, Value


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


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Placements by value. `arena` is the size of the arena in bytes, None until offsets are assigned.

    A value without a placement is not placed yet. Inputs and constants are never placed.
    """

    placements: Mapping[Value, Placement] = field(default_factory=dict)
    arena: int | None = None

    def __bool__(self) -> bool:
        return bool(self.placements) or self.arena is not None

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
        return any(v in self.placements for v in node.results)

    def extend(self, more: Mapping[Value, Placement]) -> MemoryPlan:
        """The plan with more placements; the same object if there are none."""
        return MemoryPlan({**self.placements, **more}) if more else self


UNPLANNED = MemoryPlan()


class PlannedGraph(NamedTuple):
    """A graph with its memory plan, as compiler stages pass it on and print it."""

    graph: Graph
    plan: MemoryPlan = UNPLANNED
