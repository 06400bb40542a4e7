"""Random weights and inputs, reproducible by seed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch

from ..compiler.ir import Constant, Graph
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
            data = draw_weight(constant.type.shape, constant in positive, random)
            writer[constant] = Constant(constant.name, constant.type, data=data)
    for node in graph.nodes:
        writer.copy(node)
    return writer.finish()


def draw_weight(shape: Sequence[int], positive: bool, random: torch.Generator) -> torch.Tensor:
    numbers = torch.randn(shape, generator=random)
    if positive:
        return 0.5 + numbers.sigmoid()
    return numbers * ((2 / max(prod(shape[1:]), 1)) ** 0.5 if len(shape) > 1 else 0.1)


class RandomBlobs:
    """Random blobs for a Caffe net, as `with_random_weights` draws them; kept by layer and index."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.drawn: dict[tuple[str, int], Array] = {}

    def __call__(self, layer: str, type: str, index: int, shape: tuple[int, ...]) -> Array:
        if (type, index) == ("BatchNorm", 2):
            numbers = torch.ones(shape)  # the factor of its statistics
        else:
            positive = (type, index) in (("BatchNorm", 1), ("BN", 0), ("BN", 3), ("Scale", 0))
            numbers = draw_weight(shape, positive, self.random)
        self.drawn[layer, index] = numbers.numpy()
        return self.drawn[layer, index]


def random_inputs(net: Net, seed: int = 0) -> dict[str, Array]:
    """An f32 array for each input, of its largest shape, with numbers in 0..1: pixels, or labels of class 0."""
    random = np.random.default_rng(seed)
    slots = {name: net.plan.slots[name] for name in net.plan.inputs}
    return {name: random.random(slot.bounds, dtype=np.float32) for name, slot in slots.items()}
