"""What a text says, as plain objects with the places where it says so; nothing is resolved yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from lark import Token

from ..types import TensorType


class Name(NamedTuple):
    text: str
    token: Token


class Size(NamedTuple):
    """`x[1]`: a dimension of a value."""

    of: Name
    axis: Any


class Sum(NamedTuple):
    """Two numbers and the sign between them: `2 * channels`."""

    sign: Token
    left: Any
    right: Any


class Shaped(NamedTuple):
    """A type with sizes that have to be worked out: `f32[out,x[1],3,3]`."""

    dtype: Token
    sizes: tuple[Any, ...]


class Typed(NamedTuple):
    name: Name
    type: TensorType | Shaped | None
    layout: str | None


class Weight(NamedTuple):
    typed: Typed
    given: Any  # a handle as Token, the numbers themselves, or None: not bound yet


class Call(NamedTuple):
    """`target(operands, name=attribute)`. Operands are names and calls; of a function, numbers too."""

    target: Name
    operands: tuple[Any, ...]
    attributes: dict[str, Any]


class PlaceAt(NamedTuple):
    """`at 4096`."""

    start: int


class PlaceOver(NamedTuple):
    """`over a`."""

    operand: Name


class PlaceIn(NamedTuple):
    """`in cat[64:128]`."""

    root: Name
    first: int
    stop: int


Place = PlaceAt | PlaceOver | PlaceIn


class Line(NamedTuple):
    targets: tuple[Typed, ...]
    call: Call
    places: tuple[Place | None, ...]


class Rounds(NamedTuple):
    """How often, and what names stand for in each round: `3`, `i from 1 to 3`, `c, s in [[64, 1], [128, 2]]`.

    `last` is None unless there is a `to`; `names` are none for a plain number.
    """

    names: tuple[Name, ...]
    given: Any
    last: Any = None


class Repeat(NamedTuple):
    token: Token
    rounds: Rounds
    body: Statements


Statements = tuple[Weight | Line | Repeat, ...]


class Output(NamedTuple):
    name: Name
    value: Name


class Parameter(NamedTuple):
    """What a function is given. Without a default it has to be."""

    name: Name
    optional: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class Function:
    """Lines to put in the place of a call. `results` are names and calls."""

    name: Name
    parameters: tuple[Parameter, ...]
    body: Statements
    results: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A net, or a kernel."""

    kind: str
    name: Name
    inputs: tuple[Typed, ...]
    arena: int | None
    body: Statements
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class File:
    weights: str | None
    blocks: tuple[Block, ...]
    functions: tuple[Function, ...] = ()
