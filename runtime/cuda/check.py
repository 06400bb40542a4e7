"""Checks that the steps of a plan for a GPU launch kernels of the artifact with valid arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..check import require
from ..onednn.check import USER, check_call
from ..plan import ArtifactError, Plan, Step
from ..primitives import IMPLEMENTATIONS

LAUNCH, VIEW = "launch", "view"
CUBIN_NAME = re.compile(r"\w+\.sm_\d+")


def check_steps(plan: Plan, cubins: Mapping[str, Tensor]) -> None:
    """ArtifactError if a step is neither a launch, nor a view, nor a primitive that the host computes."""
    for step in plan.steps:
        if step.kind not in (LAUNCH, VIEW, USER) and step.kind not in IMPLEMENTATIONS:
            raise ArtifactError(
                f"step {step.label!r} ({step.kind}): there is no such primitive here; "
                "compile the net again with this cortado"
            )
        check_call(step, plan)
        if step.kind == LAUNCH:
            check_launch(step)
    check_cubins(plan, cubins)


def check_launch(step: Step) -> None:
    try:
        for arguments in (step.payload, *step.payload.get("variants", {}).values()):
            check_arguments(arguments.get("arguments", ()), len(step.operands), len(step.results))
    except ValueError as error:
        raise ArtifactError(f"step {step.label!r} ({step.kind}): {error}") from None


def check_arguments(arguments: Sequence[Mapping[str, Any]], operands: int, results: int) -> None:
    """ValueError unless a kernel's arguments refer to operands and results of its step."""
    for argument in arguments:
        named = argument["descriptor"]["of"] if "descriptor" in argument else argument
        for kind, count in (("operand", operands), ("result", results)):
            if named.get(kind, 0) >= max(count, 1) or (kind in named and not count):
                raise ValueError(f"an argument is {kind} {named[kind]}, and there are {count}")


def check_cubins(plan: Plan, cubins: Mapping[str, Tensor]) -> None:
    """ArtifactError unless the artifact has every launched kernel as bytes, for some architecture."""
    for name, cubin in cubins.items():
        require(CUBIN_NAME.fullmatch(name) is not None, f"a cubin is called {name!r}, not KERNEL.sm_NUMBER")
        require(cubin.dtype == torch.uint8 and cubin.ndim == 1, f"cubin {name!r} is no row of bytes")
    there = {name.rpartition(".")[0] for name in cubins}
    for step in plan.steps:
        if step.kind == LAUNCH:
            for variant in (step.payload, *step.payload.get("variants", {}).values()):
                kernel = variant.get("kernel", step.payload["kernel"])
                require(kernel in there, f"step {step.label!r} launches {kernel!r}, of which there is no cubin")
