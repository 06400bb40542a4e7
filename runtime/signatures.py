"""The closed table of what a plan may ask for: every primitive, its attributes, operands and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

FUNCTIONS: Mapping[str, int] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "pow", "maximum", "minimum", "gt", "ge", "lt", "le", "eq"), 2),
    **dict.fromkeys(("neg", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "abs", "tanh", "sigmoid"), 1),
    **dict.fromkeys(("floor", "ceil", "round", "sign", "erf"), 1),
    "where": 3,
}
"""What an `expr` may call, and with how many arguments. Comparisons give 1 or 0, and the condition of `where`."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A function that oneDNN applies to a convolution's or linear's result before it is stored.

    `parameters` are the attributes that it reads. `after_add`: it is also fused behind an added operand; the others
    then cost one more pass over the result.
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
"""Those that differ from torch's own by 1e-6 at most (measured: 2e-7); oneDNN's elu is not reachable from torch."""

REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Attribute:
    """A JSON type, one of KINDS, and what is meant where the attribute is left out."""

    kind: str
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class Signature:
    """`operands` and `results` say in words what they are; the pairs how many there may be, least and most."""

    operands: str
    count: tuple[int, int]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    results: tuple[int, int] = (1, 1)
    version: int = 1

    def complete(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes with their defaults. ValueError if one is unknown, missing or of a wrong type."""
        if unknown := [name for name in attributes if name not in self.attributes]:
            raise ValueError(f"it has no attribute {unknown[0]!r}, only {', '.join(self.attributes) or 'none'}")
        made = {}
        for name, attribute in self.attributes.items():
            made[name] = value = attributes.get(name, attribute.default)
            if value is REQUIRED:
                raise ValueError(f"its attribute {name!r} is missing")
            if not KINDS[attribute.kind](value):
                raise ValueError(f"its attribute {name!r} should be {attribute.kind}, not {str(value)[:80]!r}")
        return made


MANY = 1 << 16


def whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 1 << 40


def number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)


def list_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(test, value))


def argument(value: Any) -> bool:
    """An index, or {"c": a constant}; JSON has no infinities, so these three are spelled."""
    if isinstance(value, dict):
        return set(value) == {"c"} and (number(value["c"]) or value["c"] in ("inf", "-inf", "nan"))
    return whole(value) and value >= 0


def line(value: Any) -> bool:
    known = isinstance(value, list | tuple) and bool(value) and isinstance(value[0], str) and value[0] in FUNCTIONS
    return known and len(value) == 1 + FUNCTIONS[value[0]] and all(map(argument, value[1:]))


KINDS: Mapping[str, Callable[[Any], bool]] = {
    "a truth value": lambda value: type(value) is bool,
    "a whole number": whole,
    "a number": number,
    "a text": lambda value: isinstance(value, str),
    "an activation": lambda value: isinstance(value, str) and value in ACTIVATIONS,
    "nchw or nhwc": lambda value: value in ("nchw", "nhwc"),
    "up or down": lambda value: value in ("up", "down"),
    "across or within": lambda value: value in ("across", "within"),
    "a list of whole numbers": list_of(whole),
    "a list of whole numbers or null": lambda value: value is None or list_of(whole)(value),
    "a list of axes or nulls": list_of(lambda axis: axis is None or whole(axis)),
    "lines of [function, argument, ...]": lambda value: list_of(line)(value) and len(value) > 0,
    "anything": lambda value: True,
}

flag, ints = Attribute("a truth value", False), Attribute("a list of whole numbers")


def number_or(default: float) -> Attribute:
    return Attribute("a number", default)


FUSED = {
    "activation": Attribute("an activation", ""),
    "slope": number_or(0.0),
    "low": number_or(0.0),
    "high": number_or(0.0),
}
WINDOW = {
    "kernel": Attribute("a list of whole numbers or null", None),
    "stride": Attribute("a list of whole numbers or null", None),
    "pad": Attribute("a list of whole numbers or null", None),
    "round": Attribute("up or down", "up"),
}
AXIS = {"axis": Attribute("a whole number", 1)}

PRIMITIVES: Mapping[str, Signature] = {
    "conv_packed": Signature(
        "x [N,C,*S], w [O,C/groups,*K], b [O] if `bias`, r [N,O,*T] if `add`: y = activation(conv(x, w) + b + r)",
        (2, 4),
        {
            "stride": ints,
            "pad": ints,
            "dilation": ints,
            "groups": Attribute("a whole number", 1),
            "bias": flag,
            "add": flag,
            **FUSED,
        },
    ),
    "linear_packed": Signature(
        "x, flattened from `axis` to [M,K]; w [N,K], or [K,N] if `transpose`; b [N] if `bias`: y = activation(x w + b)",
        (2, 3),
        {**AXIS, "transpose": flag, "bias": flag, **FUSED},
    ),
    "max_pool": Signature(
        "x [N,C,*S]; a second result is the mask: where in its plane each maximum was",
        (1, 1),
        {**WINDOW, "mask": flag},
        (1, 2),
    ),
    "avg_pool": Signature(
        "x [N,C,*S]; the divisor is the window clipped to the padded image, or to the image if `include_pad` is false",
        (1, 1),
        {**WINDOW, "include_pad": Attribute("a truth value", True)},
    ),
    "expr": Signature(
        "tensors of the result's shape, or with an axis in `axes`: dims that line up with the result's from there on",
        (0, MANY),
        {"code": Attribute("lines of [function, argument, ...]"), "axes": Attribute("a list of axes or nulls")},
    ),
    "lrn": Signature(
        "x [N,C,*S]",
        (1, 1),
        {
            "size": Attribute("a whole number", 5),
            "alpha": number_or(1.0),
            "beta": number_or(0.75),
            "k": number_or(1.0),
            "region": Attribute("across or within", "across"),
        },
    ),
    "softmax": Signature("x", (1, 1), AXIS),
    "concat": Signature(
        "tensors that are equal but for `axis`; one that already lies in its place is not copied", (1, MANY), AXIS
    ),
    "slice": Signature(
        "x, cut along `axis` at `points`, or without them into equal parts, as many as there are results",
        (1, 1),
        {**AXIS, "points": Attribute("a list of whole numbers or null", None), "parts": Attribute("a whole number", 0)},
        (1, MANY),
    ),
    "reshape": Signature("x; the result has its elements in Caffe's order", (1, 1)),
    "relayout": Signature("x; the result differs in layout only", (1, 1), {"to": Attribute("nchw or nhwc", "nhwc")}),
    "copy": Signature("x", (1, 1)),
    "user": Signature(
        "anything; the caller's function, given to load(layers=...), gets the attributes and the operands",
        (0, MANY),
        {"layer": Attribute("a text"), "attributes": Attribute("anything", None)},
        (1, MANY),
    ),
}
