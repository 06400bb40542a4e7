"""Generates a kernel's epilogue: the elementwise code between the anchor's accumulator and the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...float32 import with_float32_attributes
from ...ir import Graph, Node, Value
from ...op import Elementwise
from .expr import Expr, ExprBuilder
from .parameters import Group, Number, Parameter, Pointer
from .space import Space
from .view import View

Operand = tuple[Value, int | None]
"""A value, and the result axis at which its shape starts; None if it has the shape of the result."""


@dataclass(frozen=True, slots=True)
class Epilogue:
    """The body of `epilogue` in Triton, the parameters in its tuple `extra`, and the scalar functions it calls."""

    lines: tuple[str, ...]
    extra: Group
    functions: frozenset[str]


def reason_not_readable(nodes: Sequence[Node], space: Space, views: dict[Value, View]) -> str | None:
    """Why an epilogue over this space cannot read the operands of these nodes; None if it can."""
    computed = {v for n in nodes for v in n.results}
    for node in nodes:
        for value, start in operands_with_axes(node):
            if value not in computed and value in views and space.operand_strides(views[value], start) is None:
                return f"{node.op.name} reads {value.name} at other positions than the kernel writes"
    return None


def operands_with_axes(node: Node) -> list[Operand]:
    """The operands of an elementwise node, each with the result axis at which its shape starts."""
    assert isinstance(node.op, Elementwise), node.op.name
    return list(zip(node.inputs, node.op.operand_axes([v.type for v in node.inputs]), strict=True))


def make_epilogue(
    kernel: Graph,
    space: Space,
    views: dict[Value, View],
    anchor: Node | None = None,
    bias: Operand | None = None,
    slice_views: Sequence[View] = (),
) -> Epilogue:
    """The epilogue of a kernel over `space`. `views` are the views of the kernel's inputs.

    The template computes the result of `anchor` without the `bias`; a kernel without an anchor is elementwise. Operands
    are loaded before their first use and converted to f32. The template stores the returned value. If the last node is
    a slice, that is its first result; the epilogue stores the other results to `slice_views`.
    """
    lines, extra, calls = list[str](), list[tuple[str, Parameter]](), ExprBuilder()
    env: dict[Operand, Expr] = {}

    def read(value: Value, start: int | None) -> Expr:
        if (value, None) in env and value not in views:
            return env[value, None]
        if (value, start) not in env:
            env[value, start] = Expr(name := value.name if (value, None) not in env else f"{value.name}{start}")
            steps = space.operand_strides(views[value], start)
            assert steps is not None, f"{kernel.name} cannot read {value.name}"
            location = address(name, Pointer(("operand", kernel.inputs.index(value)), views[value]), steps)
            masks = dict.fromkeys(space.masks[coordinate] for coordinate in steps)
            mask = f", mask={' & '.join(masks)}" if masks else ""
            cast = "" if views[value].dtype == "f32" else ".to(tl.float32)"
            lines.append(f"{name} = tl.load({location}{mask}){cast}")
        return env[value, start]

    def address(name: str, pointer: Pointer, steps: Mapping[str, int], first: int = 0) -> str:
        """The address of an element, in the coordinates; adds the pointer and its strides to `extra`."""
        extra.append((name, pointer))
        terms = [name]
        for coordinate, stride in steps.items():
            factor = "" if stride == 1 else f" * {name}_{coordinate}"
            index = f"({coordinate} - {first})" if coordinate == "channel" and first else coordinate
            terms += [index + factor] if stride else []
            if stride not in (0, 1):
                dtype = "i64" if coordinate == next(iter(space.axes)) else "i32"
                extra.append((f"{name}_{coordinate}", Number(stride, dtype)))
        return " + ".join(terms)

    if anchor is not None:
        name = anchor.results[0].name
        lines.append(f"{name} = {Expr('acc') + read(*bias) if bias else 'acc'}")
        env[anchor.results[0], None] = Expr(name)
    *others, last = kernel.nodes
    for node in (*others, *(() if last.slice_ranges else (last,)))[anchor is not None :]:
        assert isinstance(node.op, Elementwise)
        operands = [read(v, s) for v, s in operands_with_axes(node)]
        lines.append(f"{node.output.name} = {with_float32_attributes(node.op).scalar(calls, *operands)}")
        env[node.output, None] = Expr(node.output.name)
    for i, (value, part) in enumerate(list(last.slice_ranges.items())[1:], 1):
        steps = space.operand_strides(slice_views[i - 1], None)
        assert steps is not None, f"{kernel.name} cannot write {value.name}"
        location = address(value.name, Pointer(("result", i), slice_views[i - 1]), steps, part.start)
        lines.append(f"mine = channels & (channel >= {part.start}) & (channel < {part.stop})")
        rows = next(mask for mask in space.masks.values() if mask != "channels")
        lines.append(f"tl.store({location}, {last.inputs[0].name}, mask={rows} & mine)")
    lines.append(f"return {(last.inputs if last.slice_ranges else last.results)[0].name}")
    if extra:
        names = ", ".join(name for name, _ in extra)
        lines.insert(0, f"({names},) = extra" if len(extra) == 1 else f"{names} = extra")
    return Epilogue(tuple(lines), Group(tuple(p for _, p in extra)), frozenset(calls.used_functions))
