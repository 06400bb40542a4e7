"""The reference interpreter: evaluate a graph with each operator's `reference`, in order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .errors import CompileError
from .ir import Constant, Graph, Node, Value


def evaluate(graph: Graph, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The outputs, computed in the dtypes of the given inputs and of the weights."""
    env = run_nodes(graph, dict(zip(graph.inputs, inputs, strict=True)))
    return tuple(read_value(env, v) for v in graph.outputs)


def evaluate_blobs(graph: Graph, inputs: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Every computed value by name, and every output by the name it is returned under.

    With `dtype` (torch.float64, to judge other precisions) floating inputs and weights are converted first.
    """

    def convert(t: Tensor) -> Tensor:
        return t.to(dtype) if dtype and t.is_floating_point() else t

    given = {v: convert(inputs[v.name]) for v in graph.inputs}
    env = run_nodes(graph, given | {c: convert(bound_data(c)) for c in graph.constants})
    found = {v.name: t for v, t in env.items() if not isinstance(v, Constant)}
    return found | {name: read_value(env, v) for name, v in graph.returns}


def run_nodes(graph: Graph, env: dict[Value, Tensor]) -> dict[Value, Tensor]:
    """Evaluate all nodes. Returns `env`, with their results added."""
    for node in graph.nodes:
        env.update(zip(node.results, run_node(node, [read_value(env, v) for v in node.inputs]), strict=True))
    return env


def run_node(node: Node, operands: list[Tensor]) -> tuple[Tensor, ...]:
    return node.op.compute(operands)


def read_value(env: Mapping[Value, Tensor], value: Value) -> Tensor:
    if value in env:
        return env[value]
    assert isinstance(value, Constant), value.name
    return bound_data(value)


def bound_data(constant: Constant) -> Tensor:
    """The data of a weight. CompileError if it is not bound to any."""
    if not constant.is_bound:
        raise CompileError(f"the weight {constant.name} has no data", advice="Give the net its weights.")
    return constant.data
