"""The runner for CPUs, by the runtime's primitives: torch's functions, and oneDNN's on packed weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..plan import Plan
from ..resources import Resources
from .check import check_steps
from .program import OneDnnProgram as OneDnnProgram


class OneDnnRunner:
    """The runner "onednn", which is available wherever torch is."""

    name = "onednn"
    payload = 1
    takes_gpu_arrays = False
    runs_bounded_sizes = True
    reason_not_profiled = ""

    def reason_unavailable(self, plan: Plan) -> str:
        return ""

    def check(self, plan: Plan, binaries: Mapping[str, Tensor]) -> None:
        check_steps(plan)

    def is_built(self, plan: Plan) -> bool:
        return True

    def prepare(self, plan: Plan, resources: Resources) -> OneDnnProgram:
        return OneDnnProgram(plan, resources)


RUNNER = OneDnnRunner()
