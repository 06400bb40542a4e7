"""Change the input shapes, the outputs or the beginning of a net, before the passes run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .errors import CompileError
from .ir import Graph, Value
from .limits import require_size
from .op import Trait
from .plan import PlannedGraph
from .rewrite import UniqueNames, live_nodes, retype
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


def start_at(graph: Graph, names: Sequence[str]) -> Graph:
    """The rest of a net behind these values: they become inputs, and what only they need is dropped.

    CompileError if there is no value of such a name, one is an input already, or no output depends on it.
    """
    advice = "Name a value of the net: `cortado show` prints them."
    if unknown := [name for name in names if name not in graph.values]:
        sentence = f'there is no value "{unknown[0]}" to start at{did_you_mean(unknown[0], graph.values)}'
        raise CompileError(f"{graph.name}: {sentence}", advice=advice)
    old = [graph.values[name] for name in dict.fromkeys(names)]
    if given := [v.name for v in old if v not in graph.producer]:
        raise CompileError(
            f'{graph.name}: the net cannot start at "{given[0]}", which no layer computes', advice=advice
        )
    new = {v: replace(v) for v in old}
    fresh = UniqueNames(graph)
    nodes = [
        replace(
            node,
            inputs=tuple(new.get(v, v) for v in node.inputs),
            results=tuple(replace(v, name=fresh.fresh(f"{v.name}.computed")) if v in new else v for v in node.results),
        )
        for node in graph.nodes
    ]
    returns = tuple((name, new.get(v, v)) for name, v in graph.returns)
    whole = replace(graph, inputs=(*new.values(), *graph.inputs), nodes=tuple(nodes))
    rest = select_returns(whole, returns)
    if unread := [v.name for v, made in new.items() if made not in rest.inputs]:
        outputs = ", ".join(name for name, _ in returns)
        raise CompileError(f'{graph.name}: no output depends on "{unread[0]}"', advice=f"The outputs are {outputs}.")
    return rest


def select_returns(graph: Graph, returns: Sequence[tuple[str, Value]]) -> Graph:
    """The part of a graph that these outputs depend on, with the inputs that it reads."""
    nodes = live_nodes([*graph.nodes], [v for _, v in returns])
    read = {v for n in nodes for v in n.inputs} | {v for _, v in returns}
    return replace(graph, inputs=tuple(v for v in graph.inputs if v in read), nodes=nodes, returns=tuple(returns))


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


def require_any_size(graph: Graph) -> None:
    """CompileError if an input has a bound, and an operator of a value with a bound has to know its size.

    What such an operator infers of a bound may not hold for each size below it: a squeezed dimension may be 1. Sizes
    that depend on the data, as of a list of proposals, are what their operators take.
    """
    if all(v.type.is_static for v in graph.inputs):
        return
    for node in graph.nodes:
        if Trait.ANY_SIZE not in node.op.traits and not all(v.type.is_static for v in node.inputs):
            raise CompileError(f"{node.name} = {node.op.name}: it has to know its sizes", node.loc)


def describe_shapes(shapes: Mapping[str, Sequence[Dim]]) -> str:
    return ", ".join(f"{name} [{','.join(map(str, sizes))}]" for name, sizes in shapes.items())


def parse_dims(shape: Sequence[int | str]) -> tuple[Dim, ...]:
    """Dimensions from numbers, or "?8" for one that is known only at run time, at most 8."""
    return tuple(AtMost(int(d.lstrip("?"))) if isinstance(d, str) and d.startswith("?") else int(d) for d in shape)
