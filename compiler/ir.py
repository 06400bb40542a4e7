"""The intermediate representation: an SSA graph of values and nodes in topological order.

All classes are immutable. A pass reads one graph and builds another, so a graph can be kept, compared or printed at any
time, and what is derived from it (users, producers) stays valid.
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
HANDLE = 12  # hex digits of a weight's handle


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor, defined once. Compared by identity; the name is unique in its graph."""

    name: str
    type: TensorType
    layout: str | None = None  # "nchw" or "nhwc" once assigned; None: row-major in Caffe's axis order

    @property
    def physical_axes(self) -> list[int]:
        """The axes in memory order, outermost first, without axes of size 1."""
        axes = (0, 2, 3, 1) if self.layout == "nhwc" else range(self.type.rank)
        return [a for a in axes if self.type.bounds[a] != 1]


@dataclass(frozen=True, eq=False)
class Constant(Value):
    """A value known at compile time: a weight. Data on torch's meta device means that it is not bound to data yet."""

    data: torch.Tensor = field(kw_only=True, repr=False)

    @property
    def is_bound(self) -> bool:
        return not self.data.is_meta

    @cached_property
    def digest(self) -> str:
        """The hash of type and data. Computed once, without a copy."""
        return digest(self.type, self.data)

    @property
    def handle(self) -> str:
        """The first 12 hex digits of the digest: equal weights have equal handles."""
        return self.digest[:HANDLE]


def digest(type: TensorType, data: torch.Tensor) -> str:
    """SHA-256, in hex, of a type and the data in row-major order, little endian; artifacts store the same."""
    made = hashlib.sha256(str(type).encode())
    made.update(data.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return made.hexdigest()


def handle(type: TensorType, data: torch.Tensor) -> str:
    """The first 12 hex digits of the digest."""
    return digest(type, data)[:HANDLE]


@dataclass(frozen=True, eq=False)
class Node:
    """One application of an operator to values: one line of text."""

    op: Op
    inputs: tuple[Value, ...]
    results: tuple[Value, ...]
    loc: Loc | None = None

    @property
    def output(self) -> Value:
        """The only result. ValueError if the node has several."""
        (value,) = self.results
        return value

    @property
    def name(self) -> str:
        """The name of the first result, which messages use for the node."""
        return self.results[0].name

    @cached_property
    def inferred_types(self) -> tuple[TensorType, ...]:
        """The result types that the operator infers for these operands. ValueError if it refuses them."""
        return self.op.infer_types([v.type for v in self.inputs])

    @cached_property
    def can_alias_operand(self) -> bool:
        """True if the result has the bytes of the first operand in the same order, so that it may be an alias.

        This holds for a row-major reshape, and for a transpose that matches the physical order of the axes.
        """
        order = self.op.axis_permutation(self.results[0].type.rank)
        if not self.op.is_reinterpretation and not order:
            return False
        x, y = self.inputs[0].physical_axes, self.output.physical_axes
        return x == [order[a] for a in y] if order else x == sorted(x) and y == sorted(y)

    @cached_property
    def concat_ranges(self) -> dict[Value, list[range]]:
        """For a concat, the channel ranges of the result that each operand fills; else {}."""
        found: dict[Value, list[range]] = {}
        for value, part in zip(self.inputs, self.op.concat_ranges([v.type for v in self.inputs]), strict=False):
            found.setdefault(value, []).append(part)
        return found

    @cached_property
    def slice_ranges(self) -> dict[Value, range]:
        """For a slice, the channel range of the first operand that each result copies; else {}."""
        return dict(zip(self.results, self.op.slice_ranges([v.type for v in self.inputs]), strict=False))


@dataclass(frozen=True, eq=False)
class Graph:
    """A net, or the body of a kernel: nodes in topological order. `verify` states the invariants."""

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    returns: tuple[tuple[str, Value], ...]  # the outputs and their names (Caffe blobs)

    @property
    def outputs(self) -> tuple[Value, ...]:
        return tuple(v for _, v in self.returns)

    @cached_property
    def output_set(self) -> frozenset[Value]:
        """The outputs as a set."""
        return frozenset(self.outputs)

    @cached_property
    def constants(self) -> tuple[Constant, ...]:
        """The constants that nodes read or the net returns, in order of first use."""
        read = [v for n in self.nodes for v in n.inputs]
        return tuple(dict.fromkeys(v for v in (*read, *self.outputs) if isinstance(v, Constant)))

    @cached_property
    def users(self) -> dict[Value, list[Node]]:
        """The consumers of every value, in order, each once."""
        users: dict[Value, list[Node]] = {v: [] for v in (*self.inputs, *self.constants)}
        for node in self.nodes:
            users.update((v, []) for v in node.results)
            for value in dict.fromkeys(node.inputs):
                users[value].append(node)
        return users

    @cached_property
    def producer(self) -> dict[Value, Node]:
        """The node that computes each value. Inputs and constants have none."""
        return {v: n for n in self.nodes for v in n.results}

    @cached_property
    def values(self) -> dict[str, Value]:
        """Every value by its name."""
        made = [v for n in self.nodes for v in n.results]
        return {v.name: v for v in (*self.inputs, *self.constants, *made)}

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """The graph without names: equal for graphs that compute the same on operands of the same types and layouts."""
        values = (*self.inputs, *self.constants, *(v for n in self.nodes for v in n.results))
        number: dict[Value, object] = {v: i for i, v in enumerate(values)} | {c: c for c in self.constants}
        types = tuple((v.type, v.layout) for v in values)
        nodes = tuple((n.op, *(number[v] for v in n.inputs)) for n in self.nodes)
        return len(self.inputs), types, nodes, tuple(number[v] for v in self.outputs)

    def is_only_used_by(self, value: Value, node: Node) -> bool:
        """True if `node` is the only consumer of `value`, and `value` is not an output."""
        return self.users[value] == [node] and value not in self.output_set


def declare_weight(name: str, type: TensorType) -> Constant:
    """A weight with name and type, not bound to data yet."""
    return Constant(name, type, data=torch.empty(type.shape, dtype=DTYPES[type.dtype], device="meta"))
