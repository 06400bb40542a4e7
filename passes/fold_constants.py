"""Constant folding: evaluate nodes that do not depend on the inputs.

    p = prior_box(f, data, min_size=30)        weight r: f32[1,2,600] = @...
    q = prior_box(g, data, min_size=60)   =>   return r
    r = concat(p, q, axis=2)
    return r

Foldable are nodes whose operands are all constant, and shape-only operators (`prior_box`). Left alone: weights without
data, and nodes that would add more than LARGEST bytes to the file.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiler.ir import Constant, Graph, Node
from ..compiler.rewrite import Writer, make_constant
from ..compiler.types import DTYPES
from .context import Context

LARGEST = 1 << 24  # bytes: more would cost more to load than to compute


def fold_constants(graph: Graph, context: Context) -> Graph:
    writer = Writer(graph)
    for node in graph.nodes:
        operands = known_operands(node, writer)
        if operands is None:
            writer.copy(node)
        elif not node.op.shape_only and (size := growth(node)) > LARGEST:
            context.declined(node, f"is not folded: it would add {size} bytes of constants")
            writer.copy(node)
        else:
            for value, data in zip(node.results, node.op.compute(operands), strict=True):
                writer[value] = make_constant(value.name, data)
            context.did(node, f"{node.op.name} is evaluated: it does not depend on the inputs")
    return writer.finish() if len(writer.nodes) < len(graph.nodes) else graph


def known_operands(node: Node, writer: Writer) -> list[Tensor] | None:
    """A node's operands as tensors, or None if one is not constant. Meta tensors if the operator is shape-only."""
    if node.op.shape_only:
        return [torch.empty(v.type.bounds, dtype=DTYPES[v.type.dtype], device="meta") for v in node.inputs]
    found = [writer[v] for v in node.inputs]
    numbers = [v.data for v in found if isinstance(v, Constant) and v.is_bound]
    return numbers if len(numbers) == len(found) else None


def growth(node: Node) -> int:
    """Bytes of the results, less those of the operands."""
    return sum(v.type.nbytes for v in node.results) - sum(v.type.nbytes for v in node.inputs)
