"""The locations of a planned graph's values for the runtime: slots in the arena, and weights by handle."""

from __future__ import annotations

from collections.abc import Mapping

from ..runtime.artifact import Slot, Weight
from .errors import CompileError
from .ir import Value
from .plan import MemoryPlan, PlannedGraph
from .storage import Storages, resolve_storage, root_channels
from .types import AtMost, TensorType

SlotsAndWeights = Mapping[str, Slot | Weight]


def slots_and_weights(planned: PlannedGraph) -> tuple[dict[str, Slot], dict[str, Weight]]:
    """The slots of all inputs and computed values, and the types and handles of all weights, by name."""
    graph, plan = planned
    storages = resolve_storage(planned)
    slots = {v.name: Slot(v.type.dtype, plan_dims(v.type), v.layout or "nchw") for v in graph.inputs}
    slots |= {v.name: slot_of(v, storages, plan) for v in storages}
    return slots, {c.name: Weight(c.type.dtype, c.type.shape, c.handle if c.is_bound else "") for c in graph.constants}


def slot_of(value: Value, storages: Storages, plan: MemoryPlan) -> Slot:
    """The slot of a value: the bytes of its root, and its channels. CompileError without a memory plan."""
    storage = storages[value]
    root, at = storage.root, plan.offset(storage.root)
    if at is None:
        raise CompileError(f"{value.name} has no offset in the arena: run plan_memory before build")
    part = None
    if (begin := storage.start(value)) is not None:
        at += begin
    elif storage.channels is not None:
        start = root_channels(value, storages).start
        part = (start, root.type.bounds[1])
    halo = (plan.halos[root].before, plan.halos[root].after) if root in plan.halos else None
    return Slot(value.type.dtype, plan_dims(value.type), value.layout or "nchw", at, part, halo)


def plan_dims(type: TensorType) -> tuple[int | str, ...]:
    return tuple(str(d) if isinstance(d, AtMost) else d for d in type.dims)
