"""The syntax tree of a text: plain objects with tokens for source locations; names are not resolved yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from lark import Token

from ..types import TensorType


class Name(NamedTuple):
    text: str
    token: Token


class DimensionOf(NamedTuple):
    """`x[1]`: a dimension of a value."""

    of: Name
    axis: Any


class BinaryExpression(NamedTuple):
    """An arithmetic expression of two operands: `2 * channels`."""

    sign: Token
    left: Any
    right: Any


class SymbolicType(NamedTuple):
    """A type with sizes that have to be evaluated: `f32[out,x[1],3,3]`."""

    dtype: Token
    sizes: tuple[Any, ...]


class TypedName(NamedTuple):
    name: Name
    type: TensorType | SymbolicType | None
    layout: str | None


class WeightDeclaration(NamedTuple):
    typed: TypedName
    data: Any  # a handle as Token, the numbers themselves, or None: not bound yet


class CallSyntax(NamedTuple):
    """`target(operands, name=attribute)`. Operands are names and calls; of a function, also numbers."""

    target: Name
    operands: tuple[Any, ...]
    attributes: dict[str, Any]


class PlaceAt(NamedTuple):
    """`at 4096`."""

    start: int


class PlaceHalo(NamedTuple):
    """`halo 1:2 at 4096`; before offsets are assigned `halo 1:2`."""

    before: int
    after: int
    start: int | None = None


class PlaceOver(NamedTuple):
    """`over a`."""

    operand: Name


class PlaceIn(NamedTuple):
    """`in cat[64:128]`."""

    root: Name
    first: int
    stop: int


Place = PlaceAt | PlaceHalo | PlaceOver | PlaceIn


class Assignment(NamedTuple):
    targets: tuple[TypedName, ...]
    call: CallSyntax
    places: tuple[Place | None, ...]


class Rounds(NamedTuple):
    """The rounds of a `repeat`: `3`, `i from 1 to 3`, `c, s in [[64, 1], [128, 2]]`.

    `last` is None unless there is a `to`; `names` are none for a plain number.
    """

    names: tuple[Name, ...]
    given: Any
    last: Any = None


class Repeat(NamedTuple):
    token: Token
    rounds: Rounds
    body: Statements


Statements = tuple[WeightDeclaration | Assignment | Repeat, ...]


class ReturnedName(NamedTuple):
    name: Name
    value: Name


class FunctionParameter(NamedTuple):
    """A parameter of a function; required unless it has a default."""

    name: Name
    optional: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function, whose lines replace each call. `results` are names and calls."""

    name: Name
    parameters: tuple[FunctionParameter, ...]
    body: Statements
    results: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class GraphBlock:
    """A net, or a kernel."""

    kind: str
    name: Name
    inputs: tuple[TypedName, ...]
    arena: int | None
    body: Statements
    outputs: tuple[ReturnedName, ...]


@dataclass(frozen=True, slots=True)
class SourceFile:
    weights: str | None
    blocks: tuple[GraphBlock, ...]
    functions: tuple[Function, ...] = ()
