"""The printer: a graph and its memory plan as text. Parsing and printing the text again gives the same text."""

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

MAX_INLINE_NUMBERS = 8  # weights of up to this many elements are printed in full, others by handle
IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*")
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
        "halo",
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

    `weights` is the path of the file with the tensors that are named by handle.
    """
    bodies = {b.name: b for n in graph.nodes if (b := kernel_body(n.op)) is not None}
    parts = [f"weights {quote(weights)}\n"] if weights else []
    parts += [show(b, kind="kernel") for b in bodies.values()]
    answer = ", ".join(
        format_name(v.name) if name == v.name else f"{format_name(name)} = {format_name(v.name)}"
        for name, v in graph.returns
    )
    lines = [
        *map(format_weight, graph.constants),
        *(format_node(n, plan) for n in graph.nodes),
        f"return {answer}".rstrip(),
    ]
    arena = "" if plan.arena is None else f" arena {plan.arena}"
    head = f"{kind} {format_name(graph.name)}({', '.join(map(format_value, graph.inputs))}){arena} {{\n"
    return "\n".join([*parts, head + "".join(f"    {l}\n" for l in lines) + "}\n"])


def kernel_body(op: Op) -> Graph | None:
    """The body of a fused operator, else None. `ops.fused` cannot be imported here: that would be a cycle."""
    body = getattr(op, "body", None)
    return body if isinstance(body, Graph) else None


def format_node(node: Node, plan: MemoryPlan = UNPLANNED) -> str:
    places = [
        " ".join(filter(None, (format_halo(v, plan), format_place(plan.placements.get(v))))) for v in node.results
    ]
    tail = " " + ", ".join(p or "_" for p in places) if any(places) else ""
    return f"{', '.join(map(format_value, node.results))} = {format_call(node)}{tail}"


def format_halo(value: Value, plan: MemoryPlan) -> str:
    return f"halo {plan.halos[value].before}:{plan.halos[value].after}" if value in plan.halos else ""


def format_place(placement: Placement | None) -> str:
    match placement:
        case Offset(start):
            return f"at {start}"
        case Alias(operand):
            return f"over {format_name(operand.name)}"
        case Subview(root, first, stop):
            return f"in {format_name(root.name)}[{first}:{stop}]"
    return ""


def format_call(node: Node) -> str:
    if (body := kernel_body(node.op)) is not None:
        return f"{format_name(body.name)}({format_names(node.inputs)})"
    attributes = [f"{name}={format_literal(value)}" for name, value in node.op.attributes().items()]
    return f"{node.op.name}({', '.join([format_name(v.name) for v in node.inputs] + attributes)})"


def format_weight(constant: Constant) -> str:
    if not constant.is_bound:
        return f"weight {format_value(constant)}"
    if constant.type.numel <= MAX_INLINE_NUMBERS:
        return f"weight {format_value(constant)} = [{', '.join(map(format_number, constant.data.flatten()))}]"
    return f"weight {format_value(constant)} = @{constant.handle}"


def format_number(number: Tensor) -> str:
    """The shortest decimal that parses to exactly this number."""
    if not number.is_floating_point():
        return str(number.item())
    value = float(number.item())
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return format_literal(value)
    return shortest_decimal(value, number.dtype)


@lru_cache(1 << 16)
def shortest_decimal(value: float, dtype: torch.dtype) -> str:
    digits = (f"{value:.{n}g}" for n in range(1, 18))
    return next(d for d in digits if torch.tensor(float(d), dtype=dtype).item() == value)


def format_literal(value: object) -> str:
    match value:
        case None | True | False:
            return str(value).lower()
        case (one,):
            return format_literal(one)
        case tuple():
            return f"[{', '.join(map(format_literal, value))}]"
        case str():
            return quote(value)
        case float() if value.is_integer() and abs(value) < 1e15:
            return f"{value:.0f}"  # minus zero keeps its sign
        case _:
            return str(value)


def format_value(value: Value) -> str:
    assert value.type.dtype in DTYPES
    return f"{format_name(value.name)}: {value.type}" + (f":{value.layout}" if value.layout else "")


def format_names(values: Iterable[Value]) -> str:
    return ", ".join(format_name(v.name) for v in values)


def format_name(name: str) -> str:
    """A name as it is printed: quoted unless it is an identifier and not a keyword."""
    is_word = name in KEYWORDS or name.lower() in ("inf", "nan")
    return name if IDENTIFIER.fullmatch(name) and not is_word else quote(name)


def quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
