"""The primitive `expr`: a chain of elementwise functions given as data, interpreted with torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Dim, Shape
from .chunks import chunk, chunks
from .primitive import CallSite, Primitive, Run, require

TORCH_FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    **{
        name: getattr(torch, name)
        for name in ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "neg", "exp", "log")
    },
    **{
        name: getattr(torch, name)
        for name in ("log1p", "expm1", "sqrt", "rsqrt", "abs", "tanh", "sigmoid", "floor", "ceil")
    },
    **{name: getattr(torch, name) for name in ("round", "sign", "erf", "gt", "ge", "lt", "le", "eq")},
    "where": lambda *arguments, **out: select(*arguments, **out),
}
BIT_DTYPES = {torch.float32: torch.int32, torch.float64: torch.int64}
COMPARISONS = ("gt", "ge", "lt", "le", "eq")
Arg = int | Tensor | float


@dataclass(frozen=True, slots=True)
class ExprLine:
    """One call: arguments are indices into the list of values (operands, then results of earlier lines), or constants.

    `into`: index of a temporary whose live range ends here, and whose memory the result reuses; None: new memory.
    """

    function: Callable[..., Tensor]
    arguments: tuple[Arg, ...]
    into: int | None


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    axes = attributes["axes"]
    whole = [shape for shape, axis in zip(operands, axes, strict=True) if axis is None]
    made = whole[0] if whole else tuple(d for d in planned[0] if isinstance(d, int))
    require(len(made) == len(planned[0]), "no operand determines the shape of the result")
    for shape, axis in zip(operands, axes, strict=True):
        if axis is None:
            require(shape == made, f"an operand is {list(shape)}, the result {list(made)}")
        else:
            start = axis % len(made) if made else 0
            along = made[start : start + len(shape)]
            fits = len(along) == len(shape) and all(d in (1, n) for d, n in zip(shape, along, strict=True))
            require(
                fits and (not made or -len(made) <= axis < len(made)),
                f"an operand {list(shape)} at axis {axis} does not fit {list(made)}",
            )
    return [made]


def prepare(call: CallSite) -> Run:
    """Interpret the chain line by line, in chunks.

    The result may alias any operand of its shape: only the last line writes it, and that line is elementwise.
    """
    code, axes = call.attributes["code"], call.attributes["axes"]
    if native := match_relu(code, axes, [len(o.shape) for o in call.operands]):
        return native
    rank = len(call.results[0].shape)
    aligned = [
        None if axis is None else aligned_shape(o.shape, axis, rank)
        for o, axis in zip(call.operands, axes, strict=True)
    ]
    lines, whole = lower_code(call)
    *body, last = lines

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        result = results[0]
        values = [o if shape is None else o.reshape(shape) for o, shape in zip(operands, aligned, strict=True)]
        if not body:
            compute(result, values)
            return
        for part in chunks(result, channels=rank < 3):  # the channels of an image may be innermost: keep them together
            compute(chunk(result, *part), [chunk(value, *part) for value in values])

    def compute(result: Tensor, values: list[Tensor]) -> None:
        for line in body:
            arguments = [values[a] if type(a) is int else a for a in line.arguments]
            into = {} if line.into is None else {"out": values[line.into]}
            values.append(line.function(*arguments, **into))
        arguments = [values[a] if type(a) is int else a for a in last.arguments]
        if whole:
            last.function(*arguments, out=result)
        else:
            result.copy_(last.function(*arguments))

    return run


def aligned_shape(shape: Shape, axis: int, rank: int) -> Shape:
    """The shape padded with ones to `rank`, so that it broadcasts with the result from `axis` on."""
    before = axis % rank if rank else 0
    return (*[1] * before, *shape, *[1] * (rank - before - len(shape)))


def lower_code(call: CallSite) -> tuple[list[ExprLine], bool]:
    """The lines as calls of torch, and whether the last has the result's shape and dtype, so that it can write there.

    Comparisons stay bool for `where` and are converted to numbers for other functions. If all operands have one dtype,
    a line reuses the memory of a temporary whose last use it is.
    """
    code, axes, dtype = call.attributes["code"], call.attributes["axes"], call.results[0].dtype
    uniform = dtype.is_floating_point and all(o.dtype == dtype for o in call.operands)
    number = dtype if dtype in (torch.float64, torch.int32, torch.int64) else torch.float32
    count = len(axes)
    last_use = {a: count + i for i, (_, *arguments) in enumerate(code) for a in arguments if isinstance(a, int)}
    whole = [axis is None for axis in axes]
    truth = [False] * count
    lines = list[ExprLine]()
    for i, (name, *arguments) in enumerate(code):
        read = [a for a in arguments if isinstance(a, int)]
        dying = [a for a in read if a >= count and last_use[a] == count + i and whole[a] and not truth[a]]
        into = dying[0] if dying and uniform and name not in COMPARISONS else None
        truths = tuple(position for position, a in enumerate(arguments) if isinstance(a, int) and truth[a])
        made = tuple(
            constant_argument(a["c"], number, name, position) if isinstance(a, dict) else a
            for position, a in enumerate(arguments)
        )
        lines.append(ExprLine(wrap_with_casts(name, truths, dtype), made, into))
        whole.append(any(whole[a] for a in read))
        truth.append(name in COMPARISONS)
    return lines, whole[-1] and uniform


def select(condition: Tensor, x: Tensor, y: Tensor, *, out: Tensor | None = None) -> Tensor:
    """torch.where by bitwise arithmetic, with identical results: torch's branches per element, slow for mixed signs."""
    if x.dtype not in BIT_DTYPES or x.dtype != y.dtype or (out is not None and out.dtype != x.dtype):
        return torch.where(condition, x, y) if out is None else out.copy_(torch.where(condition, x, y))
    bits = BIT_DTYPES[x.dtype]
    mask = condition.to(bits).neg_() & (x.view(bits) ^ y.view(bits))
    if out is None:
        return (y.view(bits) ^ mask).view(x.dtype)
    torch.bitwise_xor(y.view(bits), mask, out=out.view(bits))
    return out


def wrap_with_casts(name: str, truths: tuple[int, ...], dtype: torch.dtype) -> Callable[..., Tensor]:
    """The function with its arguments cast: bool for the condition of `where`, numbers elsewhere.

    `truths` are the positions of the arguments that are bool.
    """
    function = TORCH_FUNCTIONS[name]
    if truths == ((0,) if name == "where" else ()):
        return function

    def call(*arguments: Any, **out: Tensor) -> Tensor:
        made = [a.to(dtype) if position in truths else a for position, a in enumerate(arguments)]
        if name == "where":
            made[0] = arguments[0] != 0
        return function(*made, **out)

    return call


def constant_argument(given: Any, dtype: torch.dtype, name: str, position: int) -> Arg:
    """A constant as a tensor of rank 0; the exponent of `pow` stays a float, because torch then has fast squares.

    But not that of a root, for which torch has its square root: C's power of -inf is an infinity or 0 there, not NaN.
    """
    value = float(given)
    if name == "pow" and position == 1 and abs(value) != 0.5:
        return value
    if not dtype.is_floating_point and not value.is_integer():
        dtype = torch.float32
    return torch.tensor(value, dtype=dtype)


def match_relu(code: Sequence[Sequence[Any]], axes: Sequence[int | None], ranks: Sequence[int]) -> Run | None:
    """torch's single-pass ReLU, leaky ReLU or PReLU if the code is exactly that; else None."""
    slope: float
    match [list(line) for line in code], list(axes):
        case [["maximum", 0, {"c": 0 | 0.0}]], [None]:
            return lambda results, operands: discard(torch.clamp(operands[0], min=0, out=results[0]))
        case [["gt", 0, {"c": 0 | 0.0}], ["mul", 0, {"c": int() | float() as slope}], ["where", 1, 0, 2]], [None]:
            leaky = torch._C._nn.leaky_relu
            return lambda results, operands: discard(leaky(operands[0], slope, out=results[0]))
        case [["gt", 0, {"c": 0 | 0.0}], ["mul", 0, 1], ["where", 2, 0, 3]], [None, 1] if ranks[1] < 2:
            return lambda results, operands: discard(results[0].copy_(F.prelu(operands[0], operands[1])))
    return None


def discard(_: Tensor) -> None:
    """None, as a run returns that has written its results."""


EXPR = Primitive(prepare, infer_shapes)
