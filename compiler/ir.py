"""The graph: values that exist once, nodes that make them, in an order that can run.

Nothing here is ever changed in place. A pass reads one graph and writes another, so a graph may be
kept, compared or printed at any time, and what is derived from it (users, producers) never goes stale.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import torch

from .errors import Loc
from .op import Op
from .types import DTYPES, TensorType

LAYOUTS = ("nchw", "nhwc")
HANDLE = 12  # hex digits of a weight's hash


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor, made once. Compared by identity; the name is for people, and unique in its graph."""

    name: str
    type: TensorType
    layout: str | None = None  # "nchw" or "nhwc", once a pass has chosen; None: row-major, in Caffe's axis order

    @property
    def physical_axes(self) -> list[int]:
        """The axes as they lie, the outermost first, without those along which there is only one index."""
        axes = (0, 2, 3, 1) if self.layout == "nhwc" else range(self.type.rank)
        return [a for a in axes if self.type.bounds[a] != 1]


@dataclass(frozen=True, eq=False)
class Constant(Value):
    """A value known while compiling. On torch's meta device: declared, and not bound to data yet."""

    data: torch.Tensor = field(kw_only=True, repr=False)

    @property
    def is_bound(self) -> bool:
        return not self.data.is_meta

    @cached_property
    def digest(self) -> str:
        """The hash of type and content. Computed once, without a copy."""
        return digest(self.type, self.data)

    @property
    def handle(self) -> str:
        """The beginning of the hash: equal weights, one handle."""
        return self.digest[:HANDLE]


def digest(type: TensorType, data: torch.Tensor) -> str:
    """The SHA-256, in hex, of a type and the numbers in logical order, little endian; an artifact states the same."""
    made = hashlib.sha256(str(type).encode())
    made.update(data.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return made.hexdigest()


def handle(type: TensorType, data: torch.Tensor) -> str:
    """The first 12 digits of that."""
    return digest(type, data)[:HANDLE]


@dataclass(frozen=True, eq=False)
class Node:
    """One application of an operator; one line of text."""

    op: Op
    inputs: tuple[Value, ...]
    results: tuple[Value, ...]
    loc: Loc | None = None

    @property
    def output(self) -> Value:
        """The result of a node that has one."""
        (value,) = self.results
        return value

    @property
    def name(self) -> str:
        """What people call this node: the name of what it makes."""
        return self.results[0].name

    @cached_property
    def inferred_types(self) -> tuple[TensorType, ...]:
        """The types that the operator makes of these operands, worked out once. ValueError if it cannot."""
        return self.op.infer_types([v.type for v in self.inputs])

    @cached_property
    def can_alias_operand(self) -> bool:
        """True if the result is the operand's bytes in the operand's order: written over it, nothing is moved.

        A reshape is, of what lies in Caffe's order; and a transpose that tells the axes in the order in which they lie.
        """
        order = self.op.axis_permutation(self.results[0].type.rank)
        if not self.op.is_reinterpretation and not order:
            return False
        x, y = self.inputs[0].physical_axes, self.output.physical_axes
        return x == [order[a] for a in y] if order else x == sorted(x) and y == sorted(y)

    @cached_property
    def concat_ranges(self) -> dict[Value, list[range]]:
        """The channels of the result at which operands stand unchanged (concat)."""
        found: dict[Value, list[range]] = {}
        for value, part in zip(self.inputs, self.op.concat_ranges([v.type for v in self.inputs]), strict=False):
            found.setdefault(value, []).append(part)
        return found

    @cached_property
    def slice_ranges(self) -> dict[Value, range]:
        """The channels of the first operand that results are, unchanged (slice)."""
        return dict(zip(self.results, self.op.slice_ranges([v.type for v in self.inputs]), strict=False))


@dataclass(frozen=True, eq=False)
class Graph:
    """A net: nodes in topological order between inputs and outputs. `verify` states the invariants."""

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    returns: tuple[tuple[str, Value], ...]  # what the net answers, and under which name (a Caffe blob)

    @property
    def outputs(self) -> tuple[Value, ...]:
        return tuple(v for _, v in self.returns)

    @cached_property
    def output_set(self) -> frozenset[Value]:
        """The outputs, to ask quickly."""
        return frozenset(self.outputs)

    @cached_property
    def constants(self) -> tuple[Constant, ...]:
        read = [v for n in self.nodes for v in n.inputs]
        return tuple(dict.fromkeys(v for v in (*read, *self.outputs) if isinstance(v, Constant)))

    @cached_property
    def users(self) -> dict[Value, list[Node]]:
        users: dict[Value, list[Node]] = {v: [] for v in (*self.inputs, *self.constants)}
        for node in self.nodes:
            users.update((v, []) for v in node.results)
            for value in dict.fromkeys(node.inputs):
                users[value].append(node)
        return users

    @cached_property
    def producer(self) -> dict[Value, Node]:
        return {v: n for n in self.nodes for v in n.results}

    @cached_property
    def values(self) -> dict[str, Value]:
        """Every value by its name."""
        made = [v for n in self.nodes for v in n.results]
        return {v.name: v for v in (*self.inputs, *self.constants, *made)}

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """All but the names: equal forms, the same work on operands that lie alike."""
        values = (*self.inputs, *self.constants, *(v for n in self.nodes for v in n.results))
        number: dict[Value, object] = {v: i for i, v in enumerate(values)} | {c: c for c in self.constants}
        kinds = tuple((v.type, v.layout) for v in values)
        nodes = tuple((n.op, *(number[v] for v in n.inputs)) for n in self.nodes)
        return len(self.inputs), kinds, nodes, tuple(number[v] for v in self.outputs)

    def is_only_used_by(self, value: Value, node: Node) -> bool:
        """True if nobody but `node` can see `value`."""
        return self.users[value] == [node] and value not in self.output_set


def declare_weight(name: str, type: TensorType) -> Constant:
    """A weight that is known by name and type, and has no numbers yet."""
    return Constant(name, type, data=torch.empty(type.shape, dtype=DTYPES[type.dtype], device="meta"))
