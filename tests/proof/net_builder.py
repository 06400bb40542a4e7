"""Builds a random net and computes every value, to reject nodes that are refused, overflow or depend on rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cortado.compiler.ir import Constant, Node, Value, declare_weight
from cortado.compiler.op import Op
from cortado.compiler.types import AtMost, Dim, TensorType

from .dice import Dice
from .numbers import make_data, runtime_shape
from .perturbation import max_magnitude, perturb, relative_difference

MAX_NUMEL = 4096  # elements of a value
MAX_MAGNITUDE = 300.0  # of an element, so that products do not overflow in f16
MAX_ROUNDING_ERROR = 1e-4  # relative to the largest element; beyond that, results cannot be compared

Predicate = Callable[[Value], bool]


class Unfit(Exception):
    """A random choice is not possible; another one is tried."""


class NetBuilder:
    """Inputs and nodes so far, and the data of all values, exact and perturbed."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self.numbers: dict[Value, tuple[Tensor, Tensor]] = {}
        self.name_count = 0

    @property
    def constants(self) -> list[Constant]:
        return [v for v in self.numbers if isinstance(v, Constant)]

    def new_name(self, kind: str) -> str:
        self.name_count += 1
        return f"{kind}{self.name_count}"

    def new_input(self, kind: str, *dims: Dim) -> Value:
        """A new input; it becomes part of the net when a node reads it."""
        number = kind[-1:].isdigit()
        return Value(self.new_name(f"{kind}_" if number else kind), TensorType("f32", dims))

    def weight(self, kind: str, *dims: int) -> Constant:
        """A weight: an existing one, one with the same data as an existing one, or a new one."""
        type = TensorType("f32", dims)
        known = [c for c in self.constants if c.type == type and c.name.startswith(kind)]
        if known and self.dice.chance(0.35):
            shared = self.dice.pick(known)
            if self.dice.chance(0.6):
                return shared
            return declare_weight(self.new_name(f"{shared.name.partition('_again')[0]}_again"), type)
        late = kind == "w" and self.dice.chance(0.04)
        return declare_weight(self.new_name("late" if late else kind), type)

    def value(self, fits: Predicate = lambda v: True) -> Value:
        """One of the values so far, recent ones with a higher probability. Unfit if none fits."""
        found = [v for v in self.numbers if not isinstance(v, Constant) and fits(v)]
        if not found:
            raise Unfit
        return found[self.dice.pick_weighted_index([1.15**i for i in range(len(found))])]

    def image(self, *ranks: int) -> Value:
        """A value [n, c, ...] with a known number of channels."""
        return self.value(lambda v: v.type.rank in (ranks or (3, 4, 5)) and has_known_channels(v) and v.type.numel > 0)

    def value_like(self, x: Value, constant: float = 0.1) -> Value:
        """A value of the type of x, possibly x itself or a weight."""
        if x.type.is_static and self.dice.chance(constant):
            return self.weight("w", *x.type.shape)
        return self.value(lambda v: v.type == x.type)

    def add(self, op: Op, *operands: Value) -> Value:
        """Add a node. Returns its first result. Unfit if the operator refuses the operands."""
        return self.add_all(op, *operands)[0]

    def add_all(self, op: Op, *operands: Value) -> tuple[Value, ...]:
        try:
            types = op.infer_types([v.type for v in operands])
        except ValueError:
            raise Unfit from None
        if not types or any(t.numel > MAX_NUMEL for t in types):
            raise Unfit
        pairs = [self.numbers_of(v) for v in operands]
        made = self.compute(op, [a for a, _ in pairs], types)
        again = self.compute(op, [b for _, b in pairs], types)
        if any(
            max_magnitude(a) > MAX_MAGNITUDE or relative_difference(a, b) > MAX_ROUNDING_ERROR
            for a, b in zip(made, again, strict=True)
        ):
            raise Unfit
        results = tuple(Value(self.new_name("y"), t) for t in types)
        for value, pair in zip(operands, pairs, strict=True):
            if value not in self.numbers and not isinstance(value, Constant):
                self.inputs.append(value)
            self.numbers[value] = pair
        self.numbers.update((value, (a, perturb(b))) for value, a, b in zip(results, made, again, strict=True))
        self.nodes.append(Node(op, operands, results))
        return results

    def numbers_of(self, value: Value) -> tuple[Tensor, Tensor]:
        if value in self.numbers:
            return self.numbers[value]
        exact = make_data(value.name, runtime_shape(value.type))
        return exact, perturb(exact)

    def compute(self, op: Op, operands: Sequence[Tensor], types: Sequence[TensorType]) -> tuple[Tensor, ...]:
        """The results. Unfit if the operator refuses the data, or a result is NaN or infinite."""
        try:
            results = op.compute(operands)
        except (ValueError, RuntimeError, IndexError):
            raise Unfit from None
        for result, type in zip(results, types, strict=True):
            if not torch.isfinite(result).all() or not matches_type(result, type):
                raise Unfit
        return results


def has_static_dims(value: Value, start: int = 0) -> bool:
    """True if all dimensions from this axis on are static."""
    return all(isinstance(d, int) for d in value.type.dims[start:])


def has_known_channels(value: Value) -> bool:
    return isinstance(value.type.dims[1], int)


def matches_type(result: Tensor, type: TensorType) -> bool:
    sizes = zip(result.shape, type.dims, strict=True) if result.ndim == type.rank else []
    same = all(n <= d.bound if isinstance(d, AtMost) else n == d for n, d in sizes)
    return same and result.ndim == type.rank
