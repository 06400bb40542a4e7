"""A dynamic check of a memory plan: run it in a real arena with all dead bytes poisoned.

`verify_plan` proves a plan statically; this executes it, and shares only `storage` with the proof. Before each step all
bytes of the arena that hold no live value are filled with NaN, so that a plan that overwrites a live value, or reads
bytes that were never written, gives NaN or other wrong results.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from .ir import Value
from .plan import MemoryPlan, PlannedGraph
from .reference import bound_data
from .storage import Storage, live_ranges, resolve_storage
from .types import DTYPES


def run_poisoned(planned: PlannedGraph, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The outputs of a planned graph with static shapes, computed in an arena that is poisoned before each step."""
    graph, plan = planned
    assert plan.arena is not None, "plan_memory comes first"
    storages, live = resolve_storage(planned), live_ranges(graph)
    arena = torch.full((plan.arena,), 0xFF, dtype=torch.uint8)
    mask = torch.ones(plan.arena, dtype=torch.uint8)
    views = {v: arena_view(arena, v, storages[v], plan) for v in storages}
    live_masks = {v: arena_view(mask.reshape(-1), v, storages[v], plan, as_bytes=True) for v in storages}
    given = dict(zip(graph.inputs, inputs, strict=True))

    def read(value: Value) -> Tensor:
        if value in given:
            return given[value]
        return views[value] if value in views else bound_data(value)  # type: ignore[arg-type]

    for i, node in enumerate(graph.nodes):
        mask.fill_(1)
        for value, span in live.items():
            if span.first < i <= span.last:
                live_masks[value].zero_()
        arena[mask.bool()] = 0xFF
        results = node.op.compute([read(v).clone() for v in node.inputs])
        for value, result in zip(node.results, results, strict=True):
            views[value].copy_(result)
    return tuple(read(v).clone() for v in graph.outputs)


def arena_view(arena: Tensor, value: Value, storage: Storage, plan: MemoryPlan, as_bytes: bool = False) -> Tensor:
    """A view of the value in the arena (uint8), in its logical shape; with `as_bytes` a last axis of bytes is added."""
    root, dtype = storage.root, DTYPES[value.type.dtype]
    at, begin = plan.offset(root), storage.start(value)
    assert at is not None, root.name
    size, (before, after) = plan.stored_bytes(root), plan.halo(root)
    raw = arena[at : at + size] if begin is None else arena[at + begin : at + begin + value.type.nbytes]
    raw = raw.view(-1, dtype.itemsize) if as_bytes else raw.view(dtype)[:, None]
    own = storage.channels is None or begin is not None
    shape, last = value.type.shape if own else root.type.shape, raw.shape[1]
    if value.layout == "nhwc":
        n, c, h, w = shape
        whole = raw.reshape(n, before + h + after, before + w + after, c, last).permute(0, 3, 1, 2, 4)
    else:
        padded = (*shape[:2], *(size + before + after for size in shape[2:]))
        whole = raw[: prod(padded)].reshape(*padded, last)
    if before or after:
        whole = whole[:, :, before : before + shape[2], before : before + shape[3]]
    if (part := storage.channels) and begin is None:
        whole = whole.narrow(1, part.start, part.stop - part.start)
    return whole if as_bytes else whole[..., 0]
