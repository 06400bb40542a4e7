"""Checks that the kernels of a native plan, which may be untrusted, read and write inside the arena.

Every address is derived from the slots, which `check_plan` has found inside the arena, and each writer refuses sizes
that do not belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..extents import check_aliases
from ..onednn.check import check_call, check_code, require_known
from ..plan import ArtifactError, Plan, Step
from .kinds import KINDS
from .machine import MACHINES
from .site import NotNative
from .source import write_source


def check_references(step: Step, attributes: Mapping[str, Any]) -> None:
    """ValueError if a line of an epilogue reads what is not before it."""
    if not attributes.get("code"):
        return
    operands = len(step.operands)
    if step.kind in ("native.conv", "native.deconv", "native.linear"):
        operands -= 1 + attributes["bias"]  # the sum stands for image, weight and bias
    check_code(attributes["code"], [None] * operands, operands)


def check_steps(plan: Plan) -> None:
    """ArtifactError if a step is neither a native kernel nor a primitive, or its sizes do not fit together."""
    for step in plan.steps:
        what = f"step {step.label!r} ({step.kind})"
        if step.kind not in KINDS:
            require_known(step)
            check_call(step, plan)
            continue
        schema, _ = KINDS[step.kind]
        for found, (least, most), noun in (
            (len(step.operands), schema.operand_count, "operands"),
            (len(step.results), schema.result_count, "results"),
        ):
            if not least <= found <= most:
                raise ArtifactError(f"{what} has {found} {noun}; it takes {schema.description}")
        if step.kind != "native.alias":
            check_aliases(step, plan)
        try:
            check_references(step, schema.complete(step.payload))
        except ValueError as error:
            raise ArtifactError(f"{what}: {error}") from None
    try:
        write_source(plan, MACHINES["avx512"])
    except NotNative as error:
        raise ArtifactError(str(error)) from None
