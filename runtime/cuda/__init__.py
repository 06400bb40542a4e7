"""The runner for NVIDIA GPUs, which needs only CUDA's driver: no Triton, no toolkit, no compiler.

Nothing here is imported before a plan names this runner, and the driver is opened when a plan is made ready.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..plan import ArtifactError, Plan
from ..resources import Resources
from .check import check_steps
from .device import device
from .program import CudaProgram as CudaProgram


class CudaRunner:
    """The runner "cuda", which is available where there is an NVIDIA driver and a GPU."""

    name = "cuda"
    payload = 1
    takes_gpu_arrays = True
    runs_bounded_sizes = False
    reason_not_profiled = (
        "its steps can be timed on the GPU only, where they run as one CUDA graph; "
        "`nsys profile --cuda-graph-trace=node` tells them apart"
    )

    def reason_unavailable(self, plan: Plan) -> str:
        try:
            device()
        except ArtifactError as error:
            return str(error)
        return ""

    def check(self, plan: Plan, binaries: Mapping[str, Tensor]) -> None:
        check_steps(plan, binaries)

    def is_built(self, plan: Plan) -> bool:
        return True

    def prepare(self, plan: Plan, resources: Resources) -> CudaProgram:
        return CudaProgram(plan, resources)


RUNNER = CudaRunner()
