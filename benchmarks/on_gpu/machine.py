"""The machine that is measured: a GPU, or in a dry run this computer's processor in its place."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from cortado.runtime.artifact import Artifact
from cortado.runtime.plan import Step
from cortado.runtime.primitives import Packings
from cortado.runtime.program import Instance, Program

Work = Callable[[], object]


class Steps:
    """A compiled net whose steps can be run one by one, over values that can be written, poisoned and read."""

    def __init__(self, artifact: Artifact) -> None:
        self.plan = artifact.plan

    def steps(self) -> list[tuple[Step, Work]]: ...
    def write(self, name: str, value: Tensor) -> None: ...
    def poison(self, name: str) -> None: ...
    def read(self, name: str) -> Tensor: ...


class Cpu:
    """The dry run's machine. Its numbers mean nothing."""

    target, device = "cpu", "cpu"

    def about(self) -> dict[str, Any]:
        return {"device": platform.processor() or platform.machine(), "torch": torch.__version__, "dry": True}

    def steps(self, artifact: Artifact) -> Steps:
        return CpuSteps(artifact)

    def milliseconds(self, work: Work, repeats: int) -> list[float]:
        work()
        found = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            found.append((time.perf_counter() - start) * 1e3)
        return found

    def recorded(self, work: Work) -> Work:
        return work

    def bound(self, net: Any, inputs: Mapping[str, Tensor]) -> Work:
        return lambda: net(dict(inputs))


class CpuSteps(Steps):
    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact)
        program = Program(artifact, Packings(), {})
        self.instance = Instance(program)
        self.inputs = {name: torch.zeros(program.plan.slots[name].bounds) for name in program.plan.inputs}

    def steps(self) -> list[tuple[Step, Work]]:
        return [(step, self.with_inputs(call)) for step, call in zip(self.plan.steps, self.instance.calls, strict=True)]

    def with_inputs(self, call: Work) -> Work:
        def run() -> None:
            for name, places in self.instance.places.items():
                for operands, i in places:
                    operands[i] = self.inputs[name]
            with torch.inference_mode():
                call()

        return run

    def write(self, name: str, value: Tensor) -> None:
        if name in self.inputs:
            slot = self.plan.slots[name]
            memory = torch.channels_last if slot.layout == "nhwc" and value.ndim == 4 else torch.contiguous_format
            self.inputs[name] = value.contiguous(memory_format=memory)
        else:
            self.instance.values[name].copy_(value)

    def poison(self, name: str) -> None:
        self.instance.values[name].fill_(float("nan"))

    def read(self, name: str) -> Tensor:
        return self.instance.values[name].clone()


class Gpu:
    """The first GPU that torch sees."""

    target, device = "cuda", "cuda"

    def about(self) -> dict[str, Any]:
        import triton

        from cortado.runtime.cuda.device import device

        properties = torch.cuda.get_device_properties(0)
        driver = torch.empty(0)
        del driver
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

    def steps(self, artifact: Artifact) -> Steps:
        return GpuSteps(artifact)

    def milliseconds(self, work: Work, repeats: int) -> list[float]:
        """Each of `repeats` times by events, after a warm-up; work too short for an event's grain is repeated in it."""
        for _ in range(5):
            work()
        torch.cuda.synchronize()
        inner = max(1, min(100, int(0.5 / max(self.once(work, 3), 1e-3))))
        return [self.once(work, inner) for _ in range(repeats)]

    def once(self, work: Work, inner: int) -> float:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        for _ in range(inner):
            work()
        last.record()
        last.synchronize()
        elapsed: float = first.elapsed_time(last)
        return elapsed / inner

    def recorded(self, work: Work) -> Work:
        """The work as a CUDA graph, as torch records it."""
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

    def bound(self, net: Any, inputs: Mapping[str, Tensor]) -> Work:
        """A net of ours over inputs on the GPU, in the layouts that it reads."""
        run: Work = net.bind({name: laid(net, name, tensor) for name, tensor in inputs.items()})
        return run


def laid(net: Any, name: str, tensor: Tensor) -> Tensor:
    nhwc = net.plan.slots[name].layout == "nhwc"
    return tensor.contiguous(memory_format=torch.channels_last if nhwc else torch.contiguous_format)


class GpuSteps(Steps):
    def __init__(self, artifact: Artifact) -> None:
        from cortado.runtime.cuda import CudaProgram

        super().__init__(artifact)
        self.instance = CudaProgram(artifact, Packings(), {}).pool[0]
        self.stream = self.instance.stream.handle

    def steps(self) -> list[tuple[Step, Work]]:
        return [(step, self.call(work)) for step, work in self.instance.steps]

    def call(self, work: Any) -> Work:
        if work is None:
            return lambda: None
        return lambda: work(self.stream)

    def write(self, name: str, value: Tensor) -> None:
        self.instance.write(name, value, self.stream)

    def poison(self, name: str) -> None:
        self.instance.places[name].poison(self.stream)

    def read(self, name: str) -> Tensor:
        return self.instance.to_host(name, self.stream, {})


def summary(times: list[float]) -> dict[str, float]:
    """Median, best and spread (a tenth and nine tenths of the way), in microseconds."""
    tenths = statistics.quantiles(times, n=10) if len(times) > 1 else times * 9
    numbers = {"median_us": statistics.median(times), "best_us": min(times), "p10_us": tenths[0], "p90_us": tenths[8]}
    return {name: round(value * 1e3, 2) for name, value in numbers.items()}


def machine(dry: bool) -> Cpu | Gpu:
    return Cpu() if dry else Gpu()
