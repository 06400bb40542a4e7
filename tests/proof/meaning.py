"""What a net means, in float64, and how closely anybody can be held to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cortado.compiler.ir import Constant, Graph, Value
from cortado.compiler.reference import bound_data, read_value, run_node

from .numbers import filled
from .shaken import largest, moved, shaken

CLOSE = 1e-5  # of a result's largest number, as Caffe's own numbers are held to
PER_SHAKE = 10.0  # and this often what rounding by a millionth everywhere moves it by
BLIND = 1e-3  # a result that moves by more than this says nothing

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Meaning:
    """The outputs in order, and for each by how much of its largest number another run may differ."""

    results: tuple[Tensor, ...]
    slack: tuple[float, ...]

    def differs(self, found: Sequence[Tensor], names: Sequence[str]) -> str:
        """Which result is another, and by how much; "" if none is."""
        if len(found) != len(self.results):
            return f"{len(found)} results, not {len(self.results)}"
        for name, result, expected, slack in zip(names, found, self.results, self.slack, strict=True):
            if result.shape != expected.shape:
                return f"{name} is {list(result.shape)}, not {list(expected.shape)}"
            by = moved(expected, result.double())
            if slack < BLIND and by > slack:
                return f"{name} differs by {by:.2g} of its largest, {largest(expected):.3g} (may be {slack:.2g})"
        return ""


def meaning(graph: Graph, inputs: Inputs, by: Callable[[Tensor], Tensor] = shaken) -> Meaning:
    """The outputs of the graph, its late weights filled in."""
    graph = filled(graph, late=True)
    exact, again = evaluated(graph, inputs), evaluated(graph, inputs, by)
    return Meaning(exact, tuple(CLOSE + PER_SHAKE * moved(a, b) for a, b in zip(exact, again, strict=True)))


def evaluated(graph: Graph, inputs: Inputs, by: Callable[[Tensor], Tensor] = lambda x: x) -> tuple[Tensor, ...]:
    """The outputs in float64, every value passed through `by`."""
    env: dict[Value, Tensor] = {v: by(inputs[v.name].double()) for v in graph.inputs}
    env.update((c, by(wide(bound_data(c)))) for c in graph.constants if isinstance(c, Constant))
    for node in graph.nodes:
        made = run_node(node, [read_value(env, v) for v in node.inputs])
        env.update((v, by(x)) for v, x in zip(node.results, made, strict=True))
    return tuple(read_value(env, v) for v in graph.outputs)


def wide(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def roughly(x: Tensor) -> Tensor:
    """Rounded as f16 rounds."""
    return x.to(torch.float16).to(x.dtype) if x.is_floating_point() else x
