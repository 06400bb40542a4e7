"""A memory plan: where the computed values of a graph lie, kept apart from the graph that says what they are.

    c = conv(x, w) at 0         an offset in the arena, in bytes
    y = relu(c) over c          an alias: written over an operand that dies at this node
    a = relu(x) in cat[0:64]    a subview: channels 0 to 63 of another value's storage

The last passes make the plan of a graph, `verify_plan` (memory.py) proves it, and the text prints it as on these lines.
A plan speaks of the values of one graph: a pass that writes another graph drops it, and it is made anew.
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
    """The value takes the bytes of `operand`, an operand of its node that dies there."""

    operand: Value


@dataclass(frozen=True, slots=True)
class Subview:
    """The value is channels [first, stop) of the storage of `root`, which may be computed later than its parts."""

    root: Value
    first: int
    stop: int


Placement = Offset | Alias | Subview


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Placements by value; `arena` is the size of the arena in bytes, once every value has its bytes.

    A value without a placement is not planned yet. Inputs and constants never have one.
    """

    placements: Mapping[Value, Placement] = field(default_factory=dict)
    arena: int | None = None

    def __bool__(self) -> bool:
        return bool(self.placements) or self.arena is not None

    def __contains__(self, value: Value) -> bool:
        return value in self.placements

    def offset(self, value: Value) -> int | None:
        """The byte of the arena at which a value begins, if it is placed by an offset."""
        placement = self.placements.get(value)
        return placement.start if isinstance(placement, Offset) else None

    def alias(self, value: Value) -> Value | None:
        """The operand over which a value is written, if it is."""
        placement = self.placements.get(value)
        return placement.operand if isinstance(placement, Alias) else None

    def subview(self, value: Value) -> Subview | None:
        """The channels of another value that a value is, if it is."""
        placement = self.placements.get(value)
        return placement if isinstance(placement, Subview) else None

    def base(self, value: Value) -> Value | None:
        """The value by whose storage this one is placed: the operand of an alias, the root of a subview."""
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
        """This plan with these placements too: the same plan if there are none."""
        return MemoryPlan({**self.placements, **more}) if more else self


UNPLANNED = MemoryPlan()


class PlannedGraph(NamedTuple):
    """A graph and what is planned of its memory: what every stage of the compiler hands to the next, and prints."""

    graph: Graph
    plan: MemoryPlan = UNPLANNED
