"""The machine that is measured: a GPU or, in a dry run, this machine's CPU and a stand-in for CUDA's driver."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cortado.runtime.artifact import DTYPES, Artifact
from cortado.runtime.cuda.device import Buffer, device
from cortado.runtime.cuda.driver import LIBRARY_VARIABLE
from cortado.runtime.cuda.interop import tensor_over

from .steps import CpuStepRunner, GpuStepRunner, StepRunner, Work

WARM_SECONDS = 0.3  # an idle GPU needs as long to raise its clocks
SAMPLE_SECONDS = 1e-3  # one sample runs shorter work several times
STAND_IN = Path(__file__).resolve().parents[2] / "tests" / "fakecuda" / "libcuda.c"


class Machine:
    """What the stages need of a machine; this one is the dry run's, whose numbers mean nothing."""

    device = "cpu"
    seconds_of_kernel = 60.0  # after which a kernel counts as hanging
    has_newest_architecture = False  # of those that kernels are compiled for; without CUDA, which forks do not survive

    def target(self, dtype: str) -> str:
        """The compiler's name for this machine in a precision."""
        return "onednn"

    def describe(self) -> dict[str, Any]:
        return {"device": platform.processor() or platform.machine(), "torch": torch.__version__, "dry": True}

    def make_steps(self, artifact: Artifact) -> StepRunner:
        return CpuStepRunner(artifact)

    def capture(self, work: Work) -> Work:
        """The work as a graph that is replayed."""
        return work

    def bind(self, net: Any, inputs: Mapping[str, Tensor]) -> Work:
        """A compiled net bound to inputs that are on the machine."""
        return lambda: net(dict(inputs))

    def synchronize(self) -> None:
        """Wait until all work is done."""

    def time_once(self, work: Callable[[], object], inner: int, stream: int | None = None) -> float:
        """The mean milliseconds of `inner` runs. `stream`: where the work goes, if that is not torch's current one."""
        start = time.perf_counter()
        for _ in range(inner):
            work()
        return (time.perf_counter() - start) * 1e3 / inner

    def alternate(
        self, works: Sequence[Work], rounds: int, warm: float = WARM_SECONDS, stream: int | None = None
    ) -> list[list[float]]:
        """Milliseconds of each work, `rounds` samples of it, taken in turn after all have run for `warm` seconds.

        So clocks and temperature are the same for all. A sample is the mean of several runs if the work is short.
        """
        end = time.perf_counter() + warm
        while time.perf_counter() < end:
            for work in works:
                work()
            self.synchronize()
        inner = [max(1, min(200, int(SAMPLE_SECONDS * 1e3 / max(self.time_once(w, 3, stream), 1e-4)))) for w in works]
        samples: list[list[float]] = [[] for _ in works]
        for _ in range(rounds):
            for number, work in enumerate(works):
                samples[number].append(self.time_once(work, inner[number], stream))
        return samples


class GpuMachine(Machine):
    """The first GPU that torch sees."""

    device = "cuda"
    seconds_of_kernel = 5.0

    @property
    def has_newest_architecture(self) -> bool:  # type: ignore[override]
        if (tool := shutil.which("nvidia-smi")) is None:
            return False
        command = [tool, "--query-gpu=compute_cap", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.startswith("9.")

    def target(self, dtype: str) -> str:
        return "cuda" if dtype == "f32" else f"cuda-{dtype}"

    def describe(self) -> dict[str, Any]:
        import triton

        properties = torch.cuda.get_device_properties(0)
        return {
            "device": str(device()),
            "driver": device().cuda,
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
        return GpuStepRunner(artifact, self.tensor_over)

    def tensor_over(self, buffer: Buffer) -> Tensor:
        """A tensor, u8 [nbytes], that shares the memory of a buffer of the runtime."""
        return tensor_over(buffer, device())

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def time_once(self, work: Callable[[], object], inner: int, stream: int | None = None) -> float:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        queue = torch.cuda.current_stream() if stream is None else torch.cuda.ExternalStream(stream)
        first.record(queue)
        for _ in range(inner):
            work()
        last.record(queue)
        last.synchronize()
        elapsed: float = first.elapsed_time(last)
        return elapsed / inner

    def capture(self, work: Work) -> Work:
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
        run: Work = net.bind({name: to_slot_layout(net, name, tensor) for name, tensor in inputs.items()})
        return run


class StandInMachine(GpuMachine):
    """The stand-in for CUDA's driver that tests use: it takes all calls, on the host's memory, and computes nothing."""

    device = "cpu"
    has_newest_architecture = True

    def __init__(self, folder: Path) -> None:
        library = folder / "libcuda-stand-in.so"
        if not library.exists():
            compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
            if compiler is None:
                raise RuntimeError("a dry run of launches needs a C compiler, for the stand-in for CUDA's driver")
            part = folder / f"libcuda-stand-in.{os.getpid()}"
            subprocess.run(
                [compiler, "-shared", "-fPIC", "-O1", "-o", str(part), str(STAND_IN), "-lpthread"], check=True
            )
            part.rename(library)
        os.environ[LIBRARY_VARIABLE] = str(library)
        os.environ["FAKECUDA_MEMORY"] = str(64 << 30)

    def describe(self) -> dict[str, Any]:
        return {**Machine().describe(), "driver": device().cuda, "stand_in": str(device())}

    def tensor_over(self, buffer: Buffer) -> Tensor:
        memory = (ctypes.c_ubyte * max(buffer.nbytes, 1)).from_address(buffer.address)
        memory.kept = buffer  # type: ignore[attr-defined]
        return torch.frombuffer(memory, dtype=torch.uint8)[: buffer.nbytes]

    def synchronize(self) -> None:
        """Nothing runs in the background here."""

    def time_once(self, work: Callable[[], object], inner: int, stream: int | None = None) -> float:
        return Machine.time_once(self, work, inner)

    def capture(self, work: Work) -> Work:
        return work


def to_slot_layout(net: Any, name: str, tensor: Tensor) -> Tensor:
    slot = net.plan.slots[name]
    nhwc = torch.channels_last if slot.layout == "nhwc" else torch.contiguous_format
    return tensor.to(DTYPES[slot.dtype]).contiguous(memory_format=nhwc)


def summarize_times(times: Sequence[float]) -> dict[str, float]:
    """Median, minimum, and 10th and 90th percentile, in microseconds, of times in milliseconds."""
    tenths = statistics.quantiles(times, n=10) if len(times) > 1 else list(times) * 9
    numbers = {"median_us": statistics.median(times), "best_us": min(times), "p10_us": tenths[0], "p90_us": tenths[8]}
    return {name: round(value * 1e3, 2) for name, value in numbers.items()}


def select_machine(dry: bool, launches: bool, folder: Path) -> Machine:
    """The machine of a stage; in a dry run, that of a stage that `launches` is the stand-in."""
    if not dry:
        return GpuMachine()
    return StandInMachine(folder) if launches else Machine()
