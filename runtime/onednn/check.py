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
    """ArtifactError if operands and results are not of the dtypes that the primitive takes together."""
    schema = PRIMITIVE_TABLE[step.kind]
    if schema.converts or step.kind not in IMPLEMENTATIONS:
        return
    numbered = [*enumerate(step.operands), *((-1 - i, name) for i, name in enumerate(step.results))]
    dtypes = sorted({dtype_of(name, plan) for i, name in numbered if i not in schema.indices})
    fits = len(dtypes) <= 1 and (schema.moves or all(DTYPES[dtype].is_floating_point for dtype in dtypes))
    require(fits, f"step {step.label!r} ({step.kind}) cannot be of {' and '.join(dtypes)}")


def dtype_of(name: str, plan: Plan) -> str:
    return plan.slots[name].dtype if name in plan.slots else plan.weights[name].dtype


def check_code(code: Sequence[Sequence[Any]], axes: Sequence[int | None], operands: int) -> None:
    """ValueError unless the arguments of an `expr` refer to operands and earlier lines only."""
    if len(axes) != operands:
        raise ValueError(f"{len(axes)} axes for {operands} operands")
    for place, (function, *arguments) in enumerate(code, start=operands):
        if wrong := [a for a in arguments if isinstance(a, int) and a >= place]:
            raise ValueError(f"line {place} ({function}) reads line {wrong[0]}, which is not before it")
