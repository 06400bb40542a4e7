"""The schema of primitives: types of attributes, counts of operands and results, scalar functions, activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf, nan
from sys import float_info
from typing import Any

from .arguments import is_parameter

EXPR_FUNCTIONS: Mapping[str, int] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "pow", "maximum", "minimum", "gt", "ge", "lt", "le", "eq"), 2),
    **dict.fromkeys(("neg", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "abs", "tanh", "sigmoid"), 1),
    **dict.fromkeys(("floor", "ceil", "round", "sign", "erf"), 1),
    "where": 3,
}
"""The scalar functions that an `expr` may call, with their numbers of arguments.

Comparisons give 1 or 0, and the condition of `where`. pow of a negative number to a fraction is NaN; maximum and
minimum are NaN if either operand is; round rounds halves to even.
"""


@dataclass(frozen=True, slots=True)
class Activation:
    """A function that oneDNN applies to a convolution's or linear's result before it is stored.

    `parameters` are the attributes that it reads. `after_add`: True if it may also follow an added operand, where it
    costs a separate loop over the result.
    """

    parameters: tuple[str, ...] = ()
    after_add: bool = False


ACTIVATIONS: Mapping[str, Activation] = {
    "": Activation(after_add=True),
    "relu": Activation(after_add=True),
    "leaky_relu": Activation(("slope",)),
    "sigmoid": Activation(),
    "tanh": Activation(),
    "clip": Activation(("low", "high")),
}
"""Activations whose error against torch's is at most 1e-6 (measured: 2e-7); torch does not expose oneDNN's elu."""

REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Attribute:
    """A JSON type, one of ATTRIBUTE_TYPES, and the default, if the attribute is optional."""

    type: str
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class PrimitiveSchema:
    """A description of operands and result in words; the least and greatest counts of both; the attributes.

    Operands and results are of one floating dtype, but for `indices`, numbers of operands or, as -1 - number, of
    results; of any dtype, the same for all, if `moves`; of any dtypes if `converts`.
    """

    description: str
    operand_count: tuple[int, int]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    result_count: tuple[int, int] = (1, 1)
    version: int = 1
    indices: tuple[int, ...] = ()
    moves: bool = False
    converts: bool = False

    def complete(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes with their defaults. ValueError if one is unknown, missing or of a wrong type."""
        if unknown := [name for name in attributes if name not in self.attributes]:
            raise ValueError(f"it has no attribute {unknown[0]!r}, only {', '.join(self.attributes) or 'none'}")
        made = {}
        for name, attribute in self.attributes.items():
            value = attributes.get(name, attribute.default)
            if value is REQUIRED:
                raise ValueError(f"its attribute {name!r} is missing")
            if not ATTRIBUTE_TYPES[attribute.type](value):
                raise ValueError(f"its attribute {name!r} should be {attribute.type}, not {str(value)[:80]!r}")
            made[name] = NON_FINITE[value] if attribute.type == "a number" and value in NON_FINITE else value
        return made


MANY = 1 << 16


def is_whole_number(value: Any) -> bool:
    return type(value) is int and abs(value) < 1 << 40


LARGEST = float_info.max  # whole numbers beyond it are no numbers of a plan
NON_FINITE: Mapping[Any, float] = {"inf": inf, "-inf": -inf, "nan": nan}
"""How a plan spells what JSON has no numbers for."""


def is_number(value: Any) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return -LARGEST <= value <= LARGEST
    return isinstance(value, str) and value in NON_FINITE


def list_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(test, value))


def is_argument(value: Any) -> bool:
    """An index, or {"c": a constant}."""
    if isinstance(value, dict):
        return set(value) == {"c"} and is_number(value["c"])
    return is_whole_number(value) and value >= 0


def is_line(value: Any) -> bool:
    known = isinstance(value, list | tuple) and bool(value) and isinstance(value[0], str) and value[0] in EXPR_FUNCTIONS
    return known and len(value) == 1 + EXPR_FUNCTIONS[value[0]] and all(map(is_argument, value[1:]))


def is_box(value: Any) -> bool:
    """A box of a copy: see runtime/native/movement.py."""
    if not isinstance(value, dict) or not {"from", "write", "loops"} <= set(value) <= BOX_FIELDS:
        return False
    number, loops, is_list = value["from"], value["loops"], list_of(is_whole_number)
    has_source = is_number(value.get("value")) if number is None else is_whole_number(number) and number >= 0
    places = (value[name] for name in ("read", "write", "from_dims", "to_dims") if name in value)
    return (
        has_source
        and (number is None or "read" in value)
        and all(map(is_list, places))
        and list_of(lambda loop: isinstance(loop, list | tuple) and len(loop) == 3)(loops)
        and all(is_whole_number(count) and is_list(read) and is_list(write) for count, read, write in loops)
    )


BOX_FIELDS = {"from", "value", "read", "write", "loops", "from_dims", "to_dims"}

LAUNCH_ATTRIBUTES: Mapping[str, Attribute] = {
    "kernel": Attribute("a text"),
    "warps": Attribute("a number of warps"),
    "shared": Attribute("bytes of shared memory", 0),
    "grid": Attribute("a grid of three numbers"),
    "arguments": Attribute("a kernel's parameters"),
    "cuda": Attribute("a whole number", 0),
    "overlaps": Attribute("a truth value", False),
}
"""The attributes of a kernel launch on a GPU.

`cuda`: the CUDA release whose assembler made the machine code, 1000 × major + 10 × minor as cuDriverGetVersion counts;
0 if the file does not say.
"""


def is_variants(value: Any) -> bool:
    """True for a dict from architecture ("sm_80") to the attributes of `launch` that differ there."""
    tests = {name: ATTRIBUTE_TYPES[attribute.type] for name, attribute in LAUNCH_ATTRIBUTES.items()}
    return isinstance(value, dict) and all(
        isinstance(one, dict) and all(name in tests and tests[name](v) for name, v in one.items())
        for one in value.values()
    )


ATTRIBUTE_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "a truth value": lambda value: type(value) is bool,
    "a whole number": is_whole_number,
    "a number": is_number,
    "a text": lambda value: isinstance(value, str),
    "an activation": lambda value: isinstance(value, str) and value in ACTIVATIONS,
    "nchw or nhwc": lambda value: value in ("nchw", "nhwc"),
    "up or down": lambda value: value in ("up", "down"),
    "max or avg": lambda value: value in ("max", "avg"),
    "across or within": lambda value: value in ("across", "within"),
    "sum, asum, sumsq or mean": lambda value: value in ("sum", "asum", "sumsq", "mean"),
    "deviation or variance": lambda value: value in ("deviation", "variance"),
    "all, valid, batch or none": lambda value: value in ("all", "valid", "batch", "none"),
    "a whole number or null": lambda value: value is None or is_whole_number(value),
    "a list of numbers": list_of(is_number),
    "a list of whole numbers": list_of(is_whole_number),
    "a list of whole numbers or null": lambda value: value is None or list_of(is_whole_number)(value),
    "a list of axes or nulls": list_of(lambda axis: axis is None or is_whole_number(axis)),
    "lines of [function, argument, ...]": lambda value: list_of(is_line)(value) and len(value) > 0,
    "an epilogue": list_of(is_line),
    "a list of boxes": list_of(is_box),
    "a kernel's parameters": list_of(is_parameter),
    "a grid of three numbers": lambda value: (
        list_of(is_whole_number)(value) and len(value) == 3 and all(n > 0 for n in value)
    ),
    "a number of warps": lambda value: value in (1, 2, 4, 8, 16, 32),
    "bytes of shared memory": lambda value: is_whole_number(value) and 0 <= value <= 232_448,
    "attributes by architecture": is_variants,
    "anything": lambda value: True,
}


FLAG, INTS = Attribute("a truth value", False), Attribute("a list of whole numbers")
AXIS = {"axis": Attribute("a whole number", 1)}


def number_or(default: float) -> Attribute:
    return Attribute("a number", default)
