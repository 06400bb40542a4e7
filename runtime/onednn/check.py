"""Checks that the steps of a plan are calls of the runtime's primitives with valid attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..check import require
from ..extents import check_aliases
from ..plan import DTYPES, ArtifactError, Plan, Step
from ..primitive_table import PRIMITIVE_TABLE
from ..primitives import IMPLEMENTATIONS

USER = "user"  # the one primitive that the caller implements


def check_steps(plan: Plan) -> None:
    """ArtifactError if a step is not a valid call of a primitive for the host."""
    for step in plan.steps:
        require_known(step)
        check_call(step, plan)


def require_known(step: Step) -> None:
    """ArtifactError if a step is no primitive of this runtime's."""
    if step.kind not in IMPLEMENTATIONS and step.kind != USER:
        raise ArtifactError(
            f"step {step.label!r} ({step.kind}): there is no such primitive here; "
            "compile the net again with this cortado"
        )


def check_call(step: Step, plan: Plan) -> None:
    """ArtifactError unless counts of operands and results, attributes and places in memory fit the primitive."""
    what, schema = f"step {step.label!r} ({step.kind})", PRIMITIVE_TABLE[step.kind]
    fits = schema.operand_count[0] <= len(step.operands) <= schema.operand_count[1]
    require(fits, f"{what} has {len(step.operands)} operands; it takes {schema.description}")
    fits = schema.result_count[0] <= len(step.results) <= schema.result_count[1]
    require(fits, f"{what} has {len(step.results)} results")
    try:
        attributes = schema.complete(step.payload)
        if step.kind == "expr":
            check_code(attributes["code"], attributes["axes"], len(step.operands))
    except ValueError as error:
        raise ArtifactError(f"{what}: {error}") from None
    if step.kind in IMPLEMENTATIONS:
        check_aliases(step, plan)
        check_dtypes(step, plan)


def check_dtypes(step: Step, plan: Plan) -> None:
    """ArtifactError if floating operands and results of a step differ in dtype, unless the primitive may mix them."""
    names = (*step.operands, *step.results)
    dtypes = {(plan.slots.get(name) or plan.weights[name]).dtype for name in names}
    floating = sorted(dtype for dtype in dtypes if DTYPES[dtype].is_floating_point)
    fits = len(floating) <= 1 or PRIMITIVE_TABLE[step.kind].mixes_dtypes
    require(fits, f"step {step.label!r} ({step.kind}) mixes {' and '.join(floating)}")


def check_code(code: Sequence[Sequence[Any]], axes: Sequence[int | None], operands: int) -> None:
    """ValueError unless the arguments of an `expr` refer to operands and earlier lines only."""
    if len(axes) != operands:
        raise ValueError(f"{len(axes)} axes for {operands} operands")
    for place, (function, *arguments) in enumerate(code, start=operands):
        if wrong := [a for a in arguments if isinstance(a, int) and a >= place]:
            raise ValueError(f"line {place} ({function}) reads line {wrong[0]}, which is not before it")
