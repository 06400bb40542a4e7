"""The reference results of a net in float64, and the tolerance for comparing with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cortado.compiler.ir import Constant, Graph, Value
from cortado.compiler.ops.reduce import Standardize
from cortado.compiler.reference import bound_data, read_value, run_node

from .numbers import fill_weights
from .perturbation import max_magnitude, perturb, perturb_by_place, relative_difference

BASE_TOLERANCE = 1e-5  # relative to a result's largest element, as in comparisons with Caffe
ROUNDING_FACTOR = 10.0  # times the effect of a perturbation by a millionth, added to it
LARGEST = 1e30  # bound of an element, so that products stay within float32
MAX_TOLERANCE = 1e-3  # results with a larger tolerance are not compared

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class ReferenceResults:
    """The outputs in order, and for each the tolerance relative to its largest element."""

    results: tuple[Tensor, ...]
    tolerances: tuple[float, ...]

    def describe_difference(self, found: Sequence[Tensor], names: Sequence[str]) -> str:
        """A sentence on the first result that differs, and by how much; "" if none does."""
        if len(found) != len(self.results):
            return f"{len(found)} results, not {len(self.results)}"
        for name, result, expected, slack in zip(names, found, self.results, self.tolerances, strict=True):
            if result.shape != expected.shape:
                return f"{name} is {list(result.shape)}, not {list(expected.shape)}"
            by = relative_difference(expected, result.double())
            if slack < MAX_TOLERANCE and by > slack:
                return f"{name} differs by {by:.2g} of its largest, {max_magnitude(expected):.3g} (may be {slack:.2g})"
        return ""


def compute_reference(graph: Graph, inputs: Inputs, by: Callable[[Tensor], Tensor] = perturb) -> ReferenceResults:
    """The outputs of the graph, with data for its late weights, and their tolerances."""
    graph = fill_weights(graph, late=True)
    exact, again = evaluate(graph, inputs), evaluate(graph, inputs, by)
    return ReferenceResults(
        exact,
        tuple(BASE_TOLERANCE + ROUNDING_FACTOR * relative_difference(a, b) for a, b in zip(exact, again, strict=True)),
    )


def evaluate(graph: Graph, inputs: Inputs, by: Callable[[Tensor], Tensor] = lambda x: x) -> tuple[Tensor, ...]:
    """The outputs in float64, with `by` applied to every value; where a mean is subtracted, also by place."""
    env: dict[Value, Tensor] = {v: by(inputs[v.name].double()) for v in graph.inputs}
    env.update((c, by(to_float64(bound_data(c)))) for c in graph.constants if isinstance(c, Constant))
    for node in graph.nodes:
        operands = [read_value(env, v) for v in node.inputs]
        if by is perturb and isinstance(node.op, Standardize):
            operands = list(map(perturb_by_place, operands))
        made = run_node(node, operands)
        env.update((v, by(x)) for v, x in zip(node.results, made, strict=True))
    return tuple(read_value(env, v) for v in graph.outputs)


def require_float32(x: Tensor) -> Tensor:
    """The same. OverflowError if its numbers come near to what float32 can hold, as -FLT_MAX from an empty maximum."""
    if x.is_floating_point() and max_magnitude(x) > LARGEST:
        raise OverflowError
    return x


def to_float64(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def round_to_f16(x: Tensor) -> Tensor:
    """Round to f16, and convert back."""
    return x.to(torch.float16).to(x.dtype) if x.is_floating_point() else x
