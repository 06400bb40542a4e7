"""The operator of a node that stands for a fused kernel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..attributes import ATTRIBUTE_TYPES, AttributeType
from ..ir import Graph, Value
from ..op import Op, op
from ..reference import evaluate
from ..types import TensorType
from .image import plural


def require_graph(value: object) -> Graph:
    if not isinstance(value, Graph):
        raise TypeError
    return value


ATTRIBUTE_TYPES["Graph"] = AttributeType("a graph", require_graph)


@op("fused", operands=(0, None))
class Fused(Op):
    """A graph as an operator: its first node is the anchor, the others are the epilogue.

    Two fused operators are equal if their graphs are equal up to the names of values.
    """

    body: Graph

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fused) and (self.body is other.body or self.body.structure == other.body.structure)

    def __hash__(self) -> int:
        return hash(self.body.structure)

    @property
    def reads_any_layout(self) -> bool:
        """True if the anchor reads any layout; its first operand is the kernel's first operand."""
        return self.body.nodes[0].op.reads_any_layout

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return sum(
            node.op.flops([v.type for v in node.inputs], [v.type for v in node.results]) for node in self.body.nodes
        )

    def pointwise_in(self, operand: int) -> bool:
        """True if every path from that operand to a result is pointwise."""
        reached: set[Value] = {self.body.inputs[operand]}
        for node in self.body.nodes:
            places = [i for i, v in enumerate(node.inputs) if v in reached]
            if places:
                if not all(node.op.pointwise_in(i) for i in places):
                    return False
                reached.update(node.results)
        return True

    def infer_types(self, operands: object) -> tuple[TensorType, ...]:
        given, wanted = list(operands), [v.type for v in self.body.inputs]  # type: ignore[call-overload]
        if len(given) != len(wanted):
            raise ValueError(f"takes {plural(len(wanted), 'operand')}, not {len(given)}")
        for i, (has, want) in enumerate(zip(given, wanted, strict=True)):
            if has != want:
                raise ValueError(f"operand {i + 1} is {has}, the kernel takes {want}")
        return tuple(v.type for v in self.body.outputs)

    def reference(self, *args: Tensor) -> tuple[Tensor, ...]:
        return evaluate(self.body, *args)
