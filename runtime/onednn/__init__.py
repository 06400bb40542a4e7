"""Runs plans on the CPU, by the runtime's primitives: torch's own functions and oneDNN's packed ones."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..plan import Plan
from ..resources import Resources
from .check import check_steps
from .program import OneDnnProgram as OneDnnProgram


class OneDnnRunner:
    """Runs everywhere where torch does."""

    name = "onednn"
    payload = 1
    takes_gpu_arrays = False
    reason_not_profiled = ""

    def reason_unavailable(self) -> str:
        return ""

    def check(self, plan: Plan, binaries: Mapping[str, Tensor]) -> None:
        check_steps(plan)

    def prepare(self, plan: Plan, resources: Resources) -> OneDnnProgram:
        return OneDnnProgram(plan, resources)


RUNNER = OneDnnRunner()
