"""Graph to text. What is printed can be read back, and printing that gives the same text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor

from ..ir import Constant, Graph, Node, Value
from ..op import Op
from ..plan import UNPLANNED, Alias, MemoryPlan, Offset, Placement, Subview
from ..types import DTYPES

SMALL = 8  # weights up to this many numbers are printed whole; the others by handle
PLAIN = re.compile(r"[A-Za-z_][\w.]*")
KEYWORDS = frozenset(
    (
        "net",
        "kernel",
        "function",
        "repeat",
        "weight",
        "weights",
        "arena",
        "return",
        "at",
        "over",
        "in",
        "true",
        "false",
        "none",
        "_",
        "inf",
        "nan",
    )
)


def show(graph: Graph, plan: MemoryPlan = UNPLANNED, *, kind: str = "net", weights: str | None = None) -> str:
    """The text of a graph and its memory plan, its kernels first.

    `weights` names the file that holds the numbers behind the handles.
    """
    bodies = {b.name: b for n in graph.nodes if (b := kernel_of(n.op)) is not None}
    parts = [f"weights {quoted(weights)}\n"] if weights else []
    parts += [show(b, kind="kernel") for b in bodies.values()]
    answer = ", ".join(n(v.name) if name == v.name else f"{n(name)} = {n(v.name)}" for name, v in graph.returns)
    lines = [*map(weight, graph.constants), *(line(n, plan) for n in graph.nodes), f"return {answer}".rstrip()]
    arena = "" if plan.arena is None else f" arena {plan.arena}"
    head = f"{kind} {n(graph.name)}({', '.join(map(typed, graph.inputs))}){arena} {{\n"
    return "\n".join([*parts, head + "".join(f"    {l}\n" for l in lines) + "}\n"])


def kernel_of(op: Op) -> Graph | None:
    """The body of a fused operator. Asked by attribute: `ops.fused` stands on this file, through kernel names."""
    body = getattr(op, "body", None)
    return body if isinstance(body, Graph) else None


def line(node: Node, plan: MemoryPlan = UNPLANNED) -> str:
    places = [place(plan.placements.get(v)) for v in node.results]
    tail = " " + ", ".join(p or "_" for p in places) if any(places) else ""
    return f"{', '.join(map(typed, node.results))} = {call(node)}{tail}"


def place(placement: Placement | None) -> str:
    match placement:
        case Offset(start):
            return f"at {start}"
        case Alias(operand):
            return f"over {n(operand.name)}"
        case Subview(root, first, stop):
            return f"in {n(root.name)}[{first}:{stop}]"
    return ""


def call(node: Node) -> str:
    if (body := kernel_of(node.op)) is not None:
        return f"{n(body.name)}({names(node.inputs)})"
    attributes = [f"{name}={literal(value)}" for name, value in node.op.attributes().items()]
    return f"{node.op.name}({', '.join([n(v.name) for v in node.inputs] + attributes)})"


def weight(constant: Constant) -> str:
    if not constant.is_bound:
        return f"weight {typed(constant)}"
    if constant.type.numel <= SMALL:
        return f"weight {typed(constant)} = [{', '.join(map(exact, constant.data.flatten()))}]"
    return f"weight {typed(constant)} = @{constant.handle}"


def exact(number: Tensor) -> str:
    """The shortest decimal that reads back as this very number."""
    if not number.is_floating_point():
        return str(number.item())
    value = float(number.item())
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return literal(value)
    return shortest(value, number.dtype)


@lru_cache(1 << 16)
def shortest(value: float, dtype: torch.dtype) -> str:
    digits = (f"{value:.{n}g}" for n in range(1, 18))
    return next(d for d in digits if torch.tensor(float(d), dtype=dtype).item() == value)


def literal(value: object) -> str:
    match value:
        case None | True | False:
            return str(value).lower()
        case (one,):
            return literal(one)
        case tuple():
            return f"[{', '.join(map(literal, value))}]"
        case str():
            return quoted(value)
        case float() if value.is_integer() and abs(value) < 1e15:
            return f"{value:.0f}"  # minus zero keeps its sign
        case _:
            return str(value)


def typed(value: Value) -> str:
    assert value.type.dtype in DTYPES
    return f"{n(value.name)}: {value.type}" + (f":{value.layout}" if value.layout else "")


def names(values: Iterable[Value]) -> str:
    return ", ".join(n(v.name) for v in values)


def n(name: str) -> str:
    """A name as it is written: quoted if it is no identifier, or a word of the language."""
    return name if PLAIN.fullmatch(name) and name not in KEYWORDS else quoted(name)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
