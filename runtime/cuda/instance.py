"""One instance of a net on a GPU: its memory, and its steps as CUDA graphs, interrupted by steps on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from torch import Tensor

from ..arena import view
from ..host_step import PreparedStep
from ..plan import ArtifactError, Plan, Shape, Slot, Step
from .device import Buffer, Device, Event, Stream
from .device_values import DeviceValue, leading_slice
from .graph import CudaGraph
from .host import HostStep, propagate_shapes
from .interop import tensor_over
from .launch import Launch, make_launch, working_memory
from .modules import Kernel

StepWork = Launch | HostStep | None


class SharedState(Protocol):
    """The immutable state that all instances of a program share, by step number or by name."""

    plan: Plan
    device: Device
    constants: dict[str, Tensor]
    weights: dict[str, Buffer]
    kernels: dict[int, tuple[Kernel, Mapping[str, Any]]]
    host_steps: dict[int, PreparedStep]


class CudaInstance:
    """An arena, input buffers, and the plan's steps captured over them. For one thread at a time.

    `bound`: GPU addresses of inputs that are read in value, by name.
    """

    def __init__(self, program: SharedState, bound: Mapping[str, int] | None = None) -> None:
        self.device, self.plan = program.device, program.plan
        self.arena = self.device.allocate(self.plan.arena, "its values")
        self.bound_addresses = dict(bound or {})
        self.device_values = {name: self.make_device_value(name, slot) for name, slot in self.plan.slots.items()}
        self.stream, self.done = Stream(self.device), Event(self.device)
        self.working_memory = self.allocate_working_memory(program)
        self.steps = [(step, self.build_step(program, number)) for number, step in enumerate(self.plan.steps)]
        self.parts = self.capture_graphs()
        self.arena_tensor: Tensor | None = None

    def make_device_value(self, name: str, slot: Slot) -> DeviceValue:
        calls = self.device.driver
        if slot.at is not None:
            return DeviceValue(calls, self.arena, self.arena.address + slot.at, slot)
        if name in self.bound_addresses:
            return DeviceValue(calls, None, self.bound_addresses[name], slot)
        buffer = self.device.allocate(slot.nbytes, f"input {name!r}")
        return DeviceValue(calls, buffer, buffer.address, slot)

    def allocate_working_memory(self, program: SharedState) -> dict[str, Buffer]:
        """What launches write beside their results, shared by all of them; 0 at first, which counters have to be."""
        sizes = working_memory(attributes for _, attributes in program.kernels.values())
        made = {kind: self.device.allocate(nbytes, f"its {kind}") for kind, nbytes in sizes.items() if nbytes}
        for buffer in made.values():
            self.device.driver.cuMemsetD8Async(buffer.address, 0, buffer.nbytes, self.stream.handle)
        return made

    def build_step(self, program: SharedState, number: int) -> StepWork:
        """A step as a launch or a host step; None for a view, which only aliases its operand."""
        step = self.plan.steps[number]
        if step.kind == "view":
            return None
        if step.kind != "launch":
            return HostStep(self.device, program.host_steps[number], self.device_values, program.constants)
        kernel, attributes = program.kernels[number]
        weights = program.weights

        def address(name: str) -> int:
            return weights[name].address if name in weights else self.device_values[name].address

        try:
            addresses = {"operand": list(map(address, step.operands)), "result": list(map(address, step.results))}
            addresses |= {kind: [buffer.address] for kind, buffer in self.working_memory.items()}
            return make_launch(self.device.driver, kernel, attributes, addresses)
        except ValueError as error:
            raise ArtifactError(f"step {step.label!r} ({step.kind}): {error}") from None

    def capture_graphs(self) -> list[HostStep | Segment]:
        """The steps in order, with each maximal sequence of GPU steps as one segment."""
        parts: list[HostStep | Segment] = []
        for on_host, group in groupby(self.steps, lambda pair: isinstance(pair[1], HostStep)):
            pairs = list(group)
            if on_host:
                parts += [work for _, work in pairs if isinstance(work, HostStep)]
            else:
                parts.append(Segment(self, pairs))
        return parts

    def run(self, stream: int, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """Enqueue all steps on the stream. Returns the actual shapes of values of dynamic shape.

        `shapes`: the actual shapes of the inputs.
        """
        found = {name: shape for name, shape in shapes.items() if not self.plan.slots[name].is_static}
        for part in self.parts:
            part(stream, found)
        return found

    def poison(self) -> None:
        """Fill the arena with NaN (bytes 255): a later run that reads what it has not written then shows NaN."""
        calls, stream = self.device.driver, self.stream.handle
        with self.device.make_current():
            if self.arena.nbytes:
                calls.cuMemsetD8Async(self.arena.address, 0xFF, self.arena.nbytes, stream)
            calls.cuStreamSynchronize(stream)

    def to_host(self, name: str, stream: int, shapes: Mapping[str, Shape]) -> Tensor:
        """A value of the last run, as a new contiguous tensor on the host. Waits for the stream."""
        value = self.device_values[name]
        memory = value.allocate_host()
        value.copy_to_host(memory, stream)
        self.device.driver.cuStreamSynchronize(stream)
        return value.view_in(memory, shapes.get(name)).contiguous()

    def view_of(self, name: str, shapes: Mapping[str, Shape]) -> Tensor:
        """A value of the last run as a torch tensor over the arena on the GPU; the next run overwrites it."""
        if self.arena_tensor is None:
            self.arena_tensor = tensor_over(self.arena, self.device)
        whole = view(self.arena_tensor, self.plan.slots[name])
        return leading_slice(whole, shapes[name]) if name in shapes else whole


class Segment:
    """A sequence of GPU steps: one CUDA graph, and the propagation of dynamic shapes through it."""

    def __init__(self, instance: CudaInstance, pairs: Sequence[tuple[Step, StepWork]]) -> None:
        self.slots = instance.plan.slots
        launches = [work for _, work in pairs if isinstance(work, Launch)]
        self.graph = CudaGraph(instance.device, instance.stream, launches) if launches else None
        self.dynamic_steps = [step for step, _ in pairs if not all(self.slots[name].is_static for name in step.results)]

    def __call__(self, stream: int, shapes: dict[str, Shape]) -> None:
        if self.graph is not None:
            self.graph(stream)
        for step in self.dynamic_steps:
            propagate_shapes(step, self.slots, shapes)
