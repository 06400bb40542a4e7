"""Random weights and inputs, reproducible by seed."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from ..compiler.ir import Constant, Graph, Value
from ..compiler.rewrite import Writer
from ..runtime import Net
from ..runtime.preprocess import Array

POSITIVE_OPERANDS = {"batch_norm": (2,), "scale": (1,)}  # operands by number: a variance, a gain


def with_random_weights(graph: Graph, seed: int = 0) -> Graph:
    """The net with random numbers for each weight that has none.

    Their variance keeps the magnitude of activations through the net (He et al. 2015), which avoids slow subnormal
    numbers and overflow. Variances and gains are between 0.5 and 1.5.
    """
    random = torch.Generator().manual_seed(seed)
    positive = {n.inputs[i] for n in graph.nodes for i in POSITIVE_OPERANDS.get(n.op.name, ()) if i < len(n.inputs)}
    writer = Writer(graph)
    for constant in graph.constants:
        if not constant.is_bound:
            data = draw_weight(constant, constant in positive, random)
            writer[constant] = Constant(constant.name, constant.type, data=data)
    for node in graph.nodes:
        writer.copy(node)
    return writer.finish()


def draw_weight(value: Value, positive: bool, random: torch.Generator) -> torch.Tensor:
    shape = value.type.shape
    numbers = torch.randn(shape, generator=random)
    if positive:
        return 0.5 + numbers.sigmoid()
    return numbers * ((2 / max(prod(shape[1:]), 1)) ** 0.5 if len(shape) > 1 else 0.1)


def random_inputs(net: Net, seed: int = 0) -> dict[str, Array]:
    """An f32 array for each input, of its largest shape, with numbers in 0..1: pixels, or labels of class 0."""
    random = np.random.default_rng(seed)
    slots = {name: net.plan.slots[name] for name in net.plan.inputs}
    return {name: random.random(slot.bounds, dtype=np.float32) for name, slot in slots.items()}
