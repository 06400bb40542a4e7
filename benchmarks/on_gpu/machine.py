"""The machine that is measured: a GPU or, in a dry run, this machine's CPU."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cortado.runtime.artifact import DTYPES, Artifact

from .steps import CpuStepRunner, GpuStepRunner, StepRunner, Work


class CpuMachine:
    """The dry run's machine. Its numbers mean nothing."""

    device = "cpu"

    def target(self, dtype: str) -> str:
        return "onednn"

    def describe(self) -> dict[str, Any]:
        return {"device": platform.processor() or platform.machine(), "torch": torch.__version__, "dry": True}

    def make_steps(self, artifact: Artifact) -> StepRunner:
        return CpuStepRunner(artifact)

    def measure_milliseconds(self, work: Work, repeats: int) -> list[float]:
        work()
        found = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            found.append((time.perf_counter() - start) * 1e3)
        return found

    def capture(self, work: Work) -> Work:
        return work

    def bind(self, net: Any, inputs: Mapping[str, Tensor]) -> Work:
        return lambda: net(dict(inputs))


class GpuMachine:
    """The first GPU that torch sees."""

    device = "cuda"

    def target(self, dtype: str) -> str:
        """The compiler's name for this GPU in a precision."""
        return "cuda" if dtype == "f32" else f"cuda-{dtype}"

    def describe(self) -> dict[str, Any]:
        import triton

        from cortado.runtime.cuda.device import device

        properties = torch.cuda.get_device_properties(0)
        return {
            "device": str(device()),
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "l2_mib": round(properties.L2_cache_size / 2**20, 1),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "triton": triton.__version__,
            "python": platform.python_version(),
            "dry": False,
        }

    def make_steps(self, artifact: Artifact) -> StepRunner:
        return GpuStepRunner(artifact)

    def measure_milliseconds(self, work: Work, repeats: int) -> list[float]:
        """`repeats` times by CUDA events, after a warm-up; each is the mean of several runs if the work is short."""
        for _ in range(5):
            work()
        torch.cuda.synchronize()
        inner = max(1, min(100, int(0.5 / max(self.time_once(work, 3), 1e-3))))
        return [self.time_once(work, inner) for _ in range(repeats)]

    def time_once(self, work: Work, inner: int) -> float:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        for _ in range(inner):
            work()
        last.record()
        last.synchronize()
        elapsed: float = first.elapsed_time(last)
        return elapsed / inner

    def capture(self, work: Work) -> Work:
        """The work as a CUDA graph recorded by torch."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay

    def bind(self, net: Any, inputs: Mapping[str, Tensor]) -> Work:
        """A compiled net bound to inputs on the GPU, in the layouts that it reads."""
        run: Work = net.bind({name: to_slot_layout(net, name, tensor) for name, tensor in inputs.items()})
        return run


def to_slot_layout(net: Any, name: str, tensor: Tensor) -> Tensor:
    slot = net.plan.slots[name]
    nhwc = torch.channels_last if slot.layout == "nhwc" else torch.contiguous_format
    return tensor.to(DTYPES[slot.dtype]).contiguous(memory_format=nhwc)


def summarize_times(times: list[float]) -> dict[str, float]:
    """Median, minimum, and 10th and 90th percentile, in microseconds."""
    tenths = statistics.quantiles(times, n=10) if len(times) > 1 else times * 9
    numbers = {"median_us": statistics.median(times), "best_us": min(times), "p10_us": tenths[0], "p90_us": tenths[8]}
    return {name: round(value * 1e3, 2) for name, value in numbers.items()}


def select_machine(dry: bool) -> CpuMachine | GpuMachine:
    return CpuMachine() if dry else GpuMachine()
