"""Runs plans on the CPU by kernels in C, written from the plan and compiled on this machine into the user's cache."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from torch import Tensor

from ..plan import Plan
from ..resources import Resources
from .build import find_compiler
from .check import check_steps
from .machine import machine_here
from .program import NativeProgram as NativeProgram


class NativeRunner:
    """Runs where there is a C compiler, on Linux."""

    name = "native"
    payload = 1
    takes_gpu_arrays = False
    reason_not_profiled = ""

    def reason_unavailable(self) -> str:
        if not sys.platform.startswith("linux"):
            return "native kernels run on Linux only"
        return "" if find_compiler() else "there is no C compiler (cc, gcc or clang)"

    def check(self, plan: Plan, binaries: Mapping[str, Tensor]) -> None:
        check_steps(plan)

    def prepare(self, plan: Plan, resources: Resources) -> NativeProgram:
        return NativeProgram(plan, machine_here(), resources)


RUNNER = NativeRunner()
