"""Verifies a plan, which may be untrusted: its values are inside the arena, and its names resolve.

What the steps mean is for the plan's runner to prove: `Runner.check`.
"""

from __future__ import annotations

from math import prod

from .plan import DTYPES, ArtifactError, Dim, Plan, Slot, Step

MAX_SIZE = 1 << 48
MAX_HALO = 1 << 16  # pixels


def check_plan(plan: Plan) -> None:
    """Every name resolves, is written once, before it is read; every slot is in the arena. ArtifactError if not."""
    require(0 <= plan.arena < MAX_SIZE, f"the arena cannot be {plan.arena} bytes")
    require(len(set(plan.inputs)) == len(plan.inputs), "an input is named twice")
    for name in plan.inputs:
        require(name in plan.slots and plan.slots[name].at is None, f"input {name!r} needs a slot without a place")
    for name, slot in plan.slots.items():
        check_slot(name, slot, plan)
    for name, weight in plan.weights.items():
        require(name not in plan.slots, f"{name!r} is both a weight and a value")
        require(weight.dtype in DTYPES, f"weight {name!r} has the unknown dtype {weight.dtype!r}")
        fits = min(weight.shape, default=0) >= 0 and prod(max(n, 1) for n in weight.shape) < MAX_SIZE
        require(fits, f"weight {name!r} cannot be of {list(weight.shape)}")
    known = {*plan.inputs, *plan.weights}
    for step in plan.steps:
        check_step(step, plan, known)
        known.update(step.results)
    for blob, name in plan.outputs:
        require(name in known, f"output {blob!r} is {name!r}, which nothing computes")
    require(len({blob for blob, _ in plan.outputs}) == len(plan.outputs), "an output is named twice")


def check_slot(name: str, slot: Slot, plan: Plan) -> None:
    require(slot.dtype in DTYPES, f"{name!r} has the unknown dtype {slot.dtype!r}")
    require(all(map(is_valid_dim, slot.dims)), f"{name!r} has dimensions that cannot be: {list(slot.dims)}")
    require(slot.layout in ("nchw", "nhwc"), f"{name!r} has the unknown layout {slot.layout!r}")
    require(slot.layout == "nchw" or len(slot.dims) >= 3, f"{name!r} has too few dimensions for nhwc")
    if slot.channels is not None:
        first, total = slot.channels
        fits = len(slot.dims) >= 2 and isinstance(slot.dims[1], int) and 0 <= first <= total - slot.dims[1]
        require(fits, f"{name!r} cannot be channels {first} and on of {total}")
    if slot.halo is not None:
        innermost = slot.layout == "nhwc" or (len(slot.dims) > 1 and slot.stored_shape[1] == 1)
        fits = slot.is_static and len(slot.dims) == 4 and innermost and min(slot.halo) >= 0
        require(fits and max(slot.halo) < MAX_HALO, f"{name!r} cannot have a border of {list(slot.halo)} pixels")
    room = prod(max(n, 1) for n in slot.stored_shape) * DTYPES[slot.dtype].itemsize
    require(room < MAX_SIZE, f"{name!r} cannot be of {list(slot.dims)}")
    if slot.at is None:
        whole = slot.channels is None and slot.halo is None
        require(name in plan.inputs and whole, f"{name!r} is computed and has no place")
    else:
        require(slot.at >= 0 and slot.at % DTYPES[slot.dtype].itemsize == 0, f"{name!r} cannot be at {slot.at}")
        require(slot.at + slot.nbytes <= plan.arena, f"{name!r} at {slot.at} is not inside the arena")


def check_step(step: Step, plan: Plan, known: set[str]) -> None:
    what = f"step {step.label!r} ({step.kind})"
    for name in step.operands:
        require(name in known, f"{what} reads {name!r}, which nothing has computed before")
    for name in step.results:
        require(name in plan.slots and name not in known, f"{what} cannot write {name!r}")
    require(len(set(step.results)) == len(step.results), f"{what} writes one value twice")


def is_valid_dim(dim: Dim) -> bool:
    if isinstance(dim, str):
        return dim.startswith("?") and dim[1:].isascii() and dim[1:].isdecimal() and len(dim) < 16
    return 0 <= dim < MAX_SIZE


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ArtifactError(sentence)
