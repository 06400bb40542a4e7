"""Compiled nets for the blobs that a program wants, each for all input shapes that it meets."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..compilation import Options
from ..compiler.errors import CompileError, Loc
from ..compiler.ir import Constant, Graph, Node, Value
from ..compiler.rewrite import Writer, retype
from ..compiler.specialize import parse_dims, require_any_size, select_returns
from ..compiler.targets import targets
from ..compiler.types import Dim
from ..driver import Compilation, compile_graph
from ..frontends.caffe.register import registered_layers
from ..passes import SHAPE_FREE
from ..runtime import Net
from ..runtime.artifact import Artifact
from ..runtime.primitives import PackedWeights
from ..runtime.profile import profile

Shapes = Mapping[str, tuple[int, ...]]
Dims = Mapping[str, tuple[Dim, ...]]
COMPARED = 1 << 16  # numbers of a constant that is not a stored blob, up to which its data are compared


@dataclass(frozen=True)
class LayerTimes:
    """The average `seconds` of layers by number, and the seconds of whole runs.

    Layers that one kernel computes have one time, at the layer whose result it stores; `fused` has the others, each
    with that layer.
    """

    seconds: Mapping[int, float]
    fused: Mapping[int, int]
    runs: tuple[float, ...]


class WantedNet:
    """A compiled net that returns the wanted values of a blob graph.

    `read` gives the blob graph for the shapes of all inputs. The net takes `inputs`, those that the wanted values
    depend on, and compiles itself for shapes that it meets: see ProgramTable.
    """

    def __init__(
        self,
        read: Callable[[Dims], Graph],
        wanted: Sequence[str],
        shapes: Shapes,
        target: str,
        packed_weights: PackedWeights,
    ) -> None:
        self.read, self.wanted, self.shapes = read, wanted, shapes
        self.first = self.select(shapes)
        self.inputs = tuple(v.name for v in self.first.inputs)
        *others, quick = (t.name for t in targets(target))
        made = compile_graph(self.first, Options(target=quick))
        self.shape_free = made.stages.by_name[SHAPE_FREE[-1].__name__].graph
        self.net = Net.from_artifact(
            made.artifact, self.compile, registered_layers(), None, target if others else None, packed_weights
        )

    def select(self, shapes: Dims) -> Graph:
        """The part of the blob graph that the wanted values depend on. CompileError if a weight is missing there."""
        graph = select_values(self.read(shapes), self.wanted)
        if unbound := [c.name for c in graph.constants if not c.is_bound]:
            layer = min(unbound).rpartition(".")[0]
            sentence = f'layer "{layer}" of {graph.name} has no weights: no caffemodel has them, nor were they set'
            raise CompileError(sentence, advice="Give the caffemodel that belongs to this prototxt.")
        return graph

    def is_ready_for(self, shapes: Shapes) -> bool:
        """True if these shapes of all inputs need no compilation."""
        return self.net.table.is_ready_for({name: shapes[name] for name in self.inputs if name in shapes})

    def compile(
        self, source: str, shapes: Mapping[str, Sequence[int | str]], weights: Mapping[str, Tensor], target: str
    ) -> Artifact:
        """Compile for other shapes of `inputs`; what ProgramTable calls, which has a source, too. ValueError as there.

        Where only shapes differ, the passes that do not depend on shapes are not run again on the weights.
        """
        dims = {name: parse_dims(shape) for name, shape in shapes.items()}
        try:
            graph = self.select({**self.shapes, **dims})
            require_any_size(graph)
            graph = self.retype_shape_free(graph)
            made: Compilation = compile_graph(graph, Options(target=target))
        except CompileError as e:
            raise ValueError(str(e)) from None
        return made.artifact

    def time_layers(
        self, inputs: Mapping[str, Any], number: Mapping[Loc | None, int], repeat: int
    ) -> LayerTimes | None:
        """The times of layers, for `number` of layers by their places; None where a GPU computes."""
        if self.net.runner.reason_not_profiled:
            return None
        makers = {v: n for n in self.first.nodes for v in n.results}
        by_name = {v.name: v for v, n in makers.items() if n.loc in number}
        times = profile(self.net, {name: inputs[name] for name in self.inputs}, repeat)
        stored = {name for step in times.plan.steps for name in step.results}
        seconds, fused = dict[int, float](), dict[int, int]()
        for step, runs in zip(times.plan.steps, times.steps, strict=True):
            if step.results[0] in by_name:
                value = by_name[step.results[0]]
                layer = number[makers[value].loc]
                seconds[layer] = seconds.get(layer, 0.0) + sum(runs) / len(runs)
                inner = computed_with(value, makers, stored)
                fused |= {number[node.loc]: layer for node in inner if node.loc in number}
        others = {layer: last for layer, last in fused.items() if layer not in seconds}
        return LayerTimes(seconds, others, times.runs)

    def retype_shape_free(self, graph: Graph) -> Graph:
        """The first graph after the passes that do not depend on shapes, for other shapes.

        The given graph itself, if more than shapes differs between it and the first.
        """
        types = {v.name: v.type for v in graph.inputs}
        with suppress(ValueError):  # settings of its operators depend on the shapes
            if retype(self.first, types).structure == graph.structure:
                return retype(self.shape_free, types)
        return graph


def computed_with(value: Value, makers: Mapping[Value, Node], stored: Container[str]) -> set[Node]:
    """The nodes between a value and the values before it that steps store, or that no node makes."""
    found, waiting = set[Node](), [value]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node not in found:
            found.add(node)
            waiting += [v for v in node.inputs if v.name not in stored]
    return found


def select_values(graph: Graph, wanted: Sequence[str]) -> Graph:
    """The part of a graph that some of the values that it returns depend on, with the inputs that this reads."""
    values = dict(graph.returns)
    return select_returns(graph, [(name, values[name]) for name in wanted])


def share_constants(graph: Graph, known: dict[str, Constant]) -> Graph:
    """The same graph with the constants in `known` where they are equal; the others are entered there.

    A constant hashes its data once, and graphs are compared by constants.
    """
    writer = Writer(graph)
    for constant in graph.constants:
        if constant.name in known and is_same_constant(known[constant.name], constant):
            writer[constant] = known[constant.name]
        else:
            known[constant.name] = constant
    for node in graph.nodes:
        writer.copy(node)
    return writer.finish()


def is_same_constant(known: Constant, other: Constant) -> bool:
    """True if both have one type and the same memory; of small ones, the same bytes."""
    a, b = known.data, other.data
    if known.type != other.type or known.is_bound != other.is_bound:
        return False
    if not known.is_bound or a.data_ptr() == b.data_ptr():
        return True
    return a.numel() <= COMPARED and torch.equal(a.view(torch.uint8), b.view(torch.uint8))
