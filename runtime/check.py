"""Proves of a plan, which may come from a stranger, that it can be run without touching memory that is not its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .plan import DTYPES, ArtifactError, Dim, Plan, Slot, Step
from .primitive_table import PRIMITIVE_TABLE

MAX_SIZE = 1 << 48
CUBIN_NAME = re.compile(r"\w+\.sm_\d+")


def check(plan: Plan) -> None:
    """Every name resolves, every slot lies in the arena, every step is one that we have. ArtifactError if not."""
    require(0 <= plan.arena < MAX_SIZE, f"the arena cannot be {plan.arena} bytes")
    require(len(set(plan.inputs)) == len(plan.inputs), "an input is named twice")
    for name in plan.inputs:
        require(name in plan.slots and plan.slots[name].at is None, f"input {name!r} needs a slot without a place")
    for name, slot in plan.slots.items():
        check_slot(name, slot, plan)
    for name, weight in plan.weights.items():
        require(name not in plan.slots, f"{name!r} is both a weight and a value")
        require(weight.dtype in DTYPES, f"weight {name!r} has the unknown dtype {weight.dtype!r}")
        require(all(0 <= d < MAX_SIZE for d in weight.shape), f"weight {name!r} has a dimension below 0")
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
    if slot.at is None:
        require(name in plan.inputs and slot.channels is None, f"{name!r} is computed and has no place")
    else:
        require(slot.at >= 0 and slot.at % DTYPES[slot.dtype].itemsize == 0, f"{name!r} cannot lie at {slot.at}")
        require(slot.at + slot.nbytes <= plan.arena, f"{name!r} at {slot.at} does not lie inside the arena")


def check_step(step: Step, plan: Plan, known: set[str]) -> None:
    what = f"step {step.label!r} ({step.primitive})"
    signature = PRIMITIVE_TABLE.get(step.primitive)
    if signature is None:
        raise ArtifactError(f"{what}: there is no such primitive here; compile the net again with this cortado")
    for name in step.operands:
        require(name in known, f"{what} reads {name!r}, which nothing has computed before")
    for name in step.results:
        require(name in plan.slots and name not in known, f"{what} cannot write {name!r}")
    require(len(set(step.results)) == len(step.results), f"{what} writes one value twice")
    fits = signature.operand_count[0] <= len(step.operands) <= signature.operand_count[1]
    require(fits, f"{what} has {len(step.operands)} operands; it takes {signature.description}")
    require(
        signature.result_count[0] <= len(step.results) <= signature.result_count[1],
        f"{what} has {len(step.results)} results",
    )
    try:
        attributes = signature.complete(step.attributes)
        if step.primitive == "expr":
            check_code(attributes["code"], attributes["axes"], len(step.operands))
        if step.primitive == "launch":
            for arguments in (attributes, *attributes["variants"].values()):
                check_arguments(arguments.get("arguments", ()), len(step.operands), len(step.results))
    except ValueError as error:
        raise ArtifactError(f"{what}: {error}") from None


def check_code(code: Sequence[Sequence[Any]], axes: Sequence[int | None], operands: int) -> None:
    """Arguments of an `expr` name operands and earlier lines only. ValueError if not."""
    if len(axes) != operands:
        raise ValueError(f"{len(axes)} axes for {operands} operands")
    for place, (function, *arguments) in enumerate(code, start=operands):
        if wrong := [a for a in arguments if isinstance(a, int) and a >= place]:
            raise ValueError(f"line {place} ({function}) reads line {wrong[0]}, which is not before it")


def check_arguments(arguments: Sequence[Mapping[str, Any]], operands: int, results: int) -> None:
    """A kernel's parameters name operands and results that are there. ValueError if not."""
    for argument in arguments:
        named = argument["descriptor"]["of"] if "descriptor" in argument else argument
        for kind, count in (("operand", operands), ("result", results)):
            if named.get(kind, 0) >= max(count, 1) or (kind in named and not count):
                raise ValueError(f"an argument is {kind} {named[kind]}, and there are {count}")


def check_cubins(plan: Plan, cubins: Mapping[str, Tensor]) -> None:
    """Every kernel that is launched is there for some architecture, as bytes. ArtifactError if not."""
    for name, cubin in cubins.items():
        require(CUBIN_NAME.fullmatch(name) is not None, f"a cubin is called {name!r}, not KERNEL.sm_NUMBER")
        require(cubin.dtype == torch.uint8 and cubin.ndim == 1, f"cubin {name!r} is no row of bytes")
    there = {name.rpartition(".")[0] for name in cubins}
    for step in plan.steps:
        if step.primitive == "launch":
            for variant in (step.attributes, *step.attributes.get("variants", {}).values()):
                kernel = variant.get("kernel", step.attributes["kernel"])
                require(kernel in there, f"step {step.label!r} launches {kernel!r}, of which there is no cubin")


def is_valid_dim(dim: Dim) -> bool:
    if isinstance(dim, str):
        return dim.startswith("?") and dim[1:].isascii() and dim[1:].isdecimal() and len(dim) < 16
    return 0 <= dim < MAX_SIZE


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ArtifactError(sentence)
