"""Runs plans on the CPU by kernels in C, written from the plan and compiled on this machine into the user's cache."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from torch import Tensor

from ..plan import ArtifactError, Plan
from ..resources import Resources
from .build import find_compiler, find_library, is_forbidden
from .check import check_steps
from .machine import machine_here
from .program import NativeProgram as NativeProgram
from .source import write_source


class NativeRunner:
    """Runs on Linux, where there is a C compiler or a library of the net in the user's cache."""

    name = "native"
    payload = 1
    takes_gpu_arrays = False
    runs_bounded_sizes = False
    reason_not_profiled = ""

    def reason_unavailable(self, plan: Plan) -> str:
        if not sys.platform.startswith("linux"):
            return "native kernels run on Linux only"
        if is_forbidden():
            return "CORTADO_CC=none forbids native kernels"
        return "" if find_compiler() or self.is_built(plan) else "there is no C compiler (cc, gcc or clang)"

    def check(self, plan: Plan, binaries: Mapping[str, Tensor]) -> None:
        check_steps(plan)

    def is_built(self, plan: Plan) -> bool:
        machine = machine_here()
        try:
            return find_library(write_source(plan, machine).text, machine) is not None
        except ArtifactError:  # there is no cache that can be used
            return False

    def prepare(self, plan: Plan, resources: Resources) -> NativeProgram:
        return NativeProgram(plan, machine_here(), resources)


RUNNER = NativeRunner()
