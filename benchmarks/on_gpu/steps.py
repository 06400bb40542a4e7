"""Runs the steps of a compiled net one by one; values are tensors on the machine that can be written and poisoned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from cortado.runtime.arena import view
from cortado.runtime.artifact import Artifact
from cortado.runtime.cuda import CudaProgram
from cortado.runtime.cuda.device import Buffer
from cortado.runtime.cuda.launch import Launch
from cortado.runtime.onednn.program import Instance, OneDnnProgram
from cortado.runtime.plan import Plan, Step
from cortado.runtime.resources import Resources

Work = Callable[[], object]


class StepRunner(Protocol):
    """The steps in order, and the plan's values by name; all sizes are static."""

    plan: Plan

    def steps(self) -> list[tuple[Step, Work]]: ...

    def arena(self) -> Tensor:
        """The memory of all values but inputs and weights, u8, without what kernels use beside them."""

    def write(self, name: str, value: Tensor) -> None: ...

    def read(self, name: str) -> Tensor:
        """A copy, on the machine."""

    def poison(self) -> None:
        """Fill the arena with NaN (bytes 255)."""

    def synchronize(self) -> None:
        """Wait for all work, which need not be in order otherwise: steps, and reading and writing of values."""


def bytes_of_values(plan: Plan) -> int:
    """The end of the last value in the arena."""
    return max((slot.at + slot.nbytes for slot in plan.slots.values() if slot.at is not None), default=0)


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

    def arena(self) -> Tensor:
        return self.instance.arena[: bytes_of_values(self.plan)]

    def write(self, name: str, value: Tensor) -> None:
        if name in self.inputs:
            slot = self.plan.slots[name]
            memory = torch.channels_last if slot.layout == "nhwc" and value.ndim == 4 else torch.contiguous_format
            self.inputs[name] = value.contiguous(memory_format=memory)
        else:
            self.instance.values[name].copy_(value)

    def read(self, name: str) -> Tensor:
        return (self.inputs[name] if name in self.inputs else self.instance.values[name]).clone()

    def poison(self) -> None:
        self.instance.arena.fill_(0xFF)

    def synchronize(self) -> None:
        """Every step has ended when it returns."""


class GpuStepRunner:
    """The launches of an instance on a GPU. `tensor_over` gives a tensor over a buffer's memory."""

    def __init__(self, artifact: Artifact, tensor_over: Callable[[Buffer], Tensor]) -> None:
        self.plan = artifact.plan
        self.program = CudaProgram(artifact.plan, Resources(artifact.weights, artifact.binaries))
        self.instance = self.program.pool[0]
        self.instance.device.set_current()
        self.stream = self.instance.stream.handle
        self.memory = tensor_over(self.instance.arena)
        buffers = {n: v.buffer for n, v in self.instance.device_values.items() if n in self.plan.inputs}
        self.inputs = {name: tensor_over(buffer) for name, buffer in buffers.items() if buffer is not None}

    def steps(self) -> list[tuple[Step, Work]]:
        return [(step, self.make_call(work)) for step, work in self.instance.steps]

    def launches(self) -> list[tuple[Step, Launch]]:
        """The step and the launch of each kernel."""
        return [(step, work) for step, work in self.instance.steps if isinstance(work, Launch)]

    def make_call(self, work: Any) -> Work:
        if work is None:  # an alias: nothing to do
            return lambda: None
        arguments: tuple[Any, ...] = () if isinstance(work, Launch) else ({},)
        return lambda: work(self.stream, *arguments)

    def arena(self) -> Tensor:
        return self.memory[: bytes_of_values(self.plan)]

    def tensor(self, name: str) -> Tensor:
        """A value as a tensor over its memory."""
        if name in self.inputs:
            return view(self.inputs[name], self.instance.device_values[name].slot_at_zero)
        return view(self.memory, self.plan.slots[name])

    def write(self, name: str, value: Tensor) -> None:
        self.tensor(name).copy_(value)

    def read(self, name: str) -> Tensor:
        return self.tensor(name).clone()

    def poison(self) -> None:
        self.instance.poison()

    def synchronize(self) -> None:
        """Wait for the launches, and for torch's work, which is on another stream."""
        self.instance.device.driver.cuStreamSynchronize(self.stream)
        if self.memory.is_cuda:
            torch.cuda.current_stream().synchronize()


def equal_bits(found: Sequence[Tensor], again: Sequence[Tensor]) -> bool:
    """True if the tensors are equal bit by bit, so that NaN equals NaN."""
    pairs = zip(found, again, strict=True)
    return all(torch.equal(as_row(a).view(torch.uint8), as_row(b).view(torch.uint8)) for a, b in pairs)


def as_row(x: Tensor) -> Tensor:
    return x.contiguous().reshape(-1)
