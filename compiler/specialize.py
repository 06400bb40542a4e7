"""Change the input shapes or the outputs of a net, before the passes run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .errors import CompileError
from .ir import Graph
from .limits import require_size
from .plan import PlannedGraph
from .rewrite import live_nodes, retype
from .suggestion import did_you_mean
from .types import AtMost, Dim, TensorType

Shapes = Mapping[str, Sequence[int | str]]


def specialize(planned: PlannedGraph, shapes: Shapes, outputs: Sequence[str]) -> PlannedGraph:
    """The net for these input shapes and with these outputs; its memory plan is dropped if the net changes."""
    graph = planned.graph
    graph = with_outputs(graph, outputs) if outputs else graph
    graph = reshape_inputs(graph, {name: parse_dims(shape) for name, shape in shapes.items()}) if shapes else graph
    return planned if graph is planned.graph else PlannedGraph(graph)


def with_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """The same net with these values as outputs. CompileError if there is no value of such a name."""
    if unknown := [name for name in names if name not in graph.values]:
        sentence = f'there is no value "{unknown[0]}" to return{did_you_mean(unknown[0], graph.values)}'
        raise CompileError(f"{graph.name}: {sentence}", advice="Name a value of the net: `cortado show` prints them.")
    returns = tuple((name, graph.values[name]) for name in names)
    return replace(graph, nodes=live_nodes(list(graph.nodes), [v for _, v in returns]), returns=returns)


def reshape_inputs(graph: Graph, shapes: Mapping[str, Sequence[Dim]]) -> Graph:
    """The same net for other input shapes. CompileError for an unknown input, or if an operator refuses the shapes."""
    types = {v.name: TensorType(v.type.dtype, tuple(shapes[v.name])) for v in graph.inputs if v.name in shapes}
    if unknown := [name for name in shapes if name not in types]:
        known = ", ".join(v.name for v in graph.inputs)
        advice = f"The inputs are {known}."
        raise CompileError(f'a shape is given for "{unknown[0]}", which is not an input', advice=advice)
    try:
        for type in types.values():
            require_size(type)
        return retype(graph, types)
    except ValueError as e:
        raise CompileError(f"{graph.name} cannot take {describe_shapes(shapes)}: {e}") from None


def describe_shapes(shapes: Mapping[str, Sequence[Dim]]) -> str:
    return ", ".join(f"{name} [{','.join(map(str, sizes))}]" for name, sizes in shapes.items())


def parse_dims(shape: Sequence[int | str]) -> tuple[Dim, ...]:
    """Dimensions from numbers, or "?8" for one that is known only at run time, at most 8."""
    return tuple(AtMost(int(d.lstrip("?"))) if isinstance(d, str) and d.startswith("?") else int(d) for d in shape)
