"""Runs the steps of a compiled net one by one; values can be written, poisoned and read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from cortado.runtime.artifact import Artifact
from cortado.runtime.cuda import CudaProgram
from cortado.runtime.cuda.launch import Launch
from cortado.runtime.onednn.program import Instance, OneDnnProgram
from cortado.runtime.plan import Step
from cortado.runtime.resources import Resources

Work = Callable[[], object]


class StepRunner(Protocol):
    """The steps in order, and access to the plan's values by name; all sizes are static."""

    def steps(self) -> list[tuple[Step, Work]]: ...

    def write(self, name: str, value: Tensor) -> None: ...

    def poison(self, name: str) -> None:
        """Fill the bytes of a value with NaN."""

    def read(self, name: str) -> Tensor:
        """A copy, on the host."""


class CpuStepRunner:
    def __init__(self, artifact: Artifact) -> None:
        self.plan = artifact.plan
        program = OneDnnProgram(artifact.plan, Resources(artifact.weights))
        self.instance = Instance(program)
        self.inputs = {name: torch.zeros(program.plan.slots[name].bounds) for name in program.plan.inputs}

    def steps(self) -> list[tuple[Step, Work]]:
        return [(step, self.with_inputs(call)) for step, call in zip(self.plan.steps, self.instance.calls, strict=True)]

    def with_inputs(self, call: Work) -> Work:
        def run() -> None:
            for name, places in self.instance.input_uses.items():
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


class GpuStepRunner:
    def __init__(self, artifact: Artifact) -> None:
        self.program = CudaProgram(artifact.plan, Resources(artifact.weights, artifact.binaries))
        self.instance = self.program.pool[0]
        self.instance.device.set_current()
        self.stream = self.instance.stream.handle

    def steps(self) -> list[tuple[Step, Work]]:
        return [(step, self.make_call(work)) for step, work in self.instance.steps]

    def make_call(self, work: Any) -> Work:
        if work is None:  # an alias: nothing to do
            return lambda: None
        arguments: tuple[Any, ...] = () if isinstance(work, Launch) else ({},)
        return lambda: work(self.stream, *arguments)

    def write(self, name: str, value: Tensor) -> None:
        place = self.instance.device_values[name]
        memory = place.allocate_host()
        place.copy_to_host(memory, self.stream)
        self.synchronize()
        place.view_in(memory).copy_(value)
        place.copy_from_host(memory, self.stream)
        self.synchronize()

    def poison(self, name: str) -> None:
        self.instance.device_values[name].poison(self.stream)

    def read(self, name: str) -> Tensor:
        return self.instance.to_host(name, self.stream, {})

    def synchronize(self) -> None:
        self.instance.device.driver.cuStreamSynchronize(self.stream)
