"""The GPU's memory for one run at a time, and the run itself: graphs of launches, cut where the host has to compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from torch import Tensor

from ..arena import view
from ..plan import ArtifactError, Plan, Shape, Slot, Step
from ..program import Ready
from .device import Buffer, Device, Event, Stream
from .graph import Recording
from .host import HostStep, follow
from .interop import tensor_over
from .launch import Launch, launch
from .modules import Kernel
from .places import Place, corner

Work = Launch | HostStep | None


class Shared(Protocol):
    """What all instances of a program share, by step or by name; nothing of it changes."""

    plan: Plan
    device: Device
    constants: dict[str, Tensor]
    weights: dict[str, Buffer]
    kernels: dict[int, tuple[Kernel, Mapping[str, Any]]]
    ready: dict[int, Ready]


class Instance:
    """One arena, a buffer for each input, and the plan's steps over them, recorded. Only one thread may use it.

    Inputs named in `bound` are read at those addresses instead, at each run.
    """

    def __init__(self, program: Shared, bound: Mapping[str, int] | None = None) -> None:
        self.device, self.plan = program.device, program.plan
        self.arena = self.device.allocate(self.plan.arena, "its values")
        self.bound = dict(bound or {})
        self.places = {name: self.place(name, slot) for name, slot in self.plan.slots.items()}
        self.stream, self.done = Stream(self.device), Event(self.device)
        self.steps = [(step, self.work(program, number)) for number, step in enumerate(self.plan.steps)]
        self.parts = self.recorded()
        self.memory: Tensor | None = None

    def place(self, name: str, slot: Slot) -> Place:
        calls = self.device.driver
        if slot.at is not None:
            return Place(calls, self.arena, self.arena.address + slot.at, slot)
        if name in self.bound:
            return Place(calls, None, self.bound[name], slot)
        buffer = self.device.allocate(slot.nbytes, f"input {name!r}")
        return Place(calls, buffer, buffer.address, slot)

    def work(self, program: Shared, number: int) -> Work:
        """What a step does on a stream; None for one that only gives bytes another name."""
        step = self.plan.steps[number]
        if step.primitive == "view":
            return None
        if step.primitive != "launch":
            return HostStep(self.device, program.ready[number], self.places, program.constants)
        kernel, attributes = program.kernels[number]
        weights = program.weights

        def address(name: str) -> int:
            return weights[name].address if name in weights else self.places[name].address

        try:
            operands, results = list(map(address, step.operands)), list(map(address, step.results))
            return launch(self.device.driver, kernel, attributes, operands, results)
        except ValueError as error:
            raise ArtifactError(f"step {step.label!r} ({step.primitive}): {error}") from None

    def recorded(self) -> list[HostStep | Segment]:
        """The steps with each longest run that needs no host as one graph."""
        parts: list[HostStep | Segment] = []
        for on_host, group in groupby(self.steps, lambda pair: isinstance(pair[1], HostStep)):
            pairs = list(group)
            if on_host:
                parts += [work for _, work in pairs if isinstance(work, HostStep)]
            else:
                parts.append(Segment(self, pairs))
        return parts

    def run(self, stream: int, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """All steps, behind what the stream holds. Returns the sizes of values that are known only now.

        `shapes` are those of the inputs.
        """
        found = {name: shape for name, shape in shapes.items() if not self.plan.slots[name].known}
        for part in self.parts:
            part(stream, found)
        return found

    def poison(self) -> None:
        """Fill the arena with bytes 255, NaN: a check that whatever a run reads has been written by it."""
        calls, stream = self.device.driver, self.stream.handle
        with self.device.current():
            if self.arena.nbytes:
                calls.cuMemsetD8Async(self.arena.address, 0xFF, self.arena.nbytes, stream)
            calls.cuStreamSynchronize(stream)

    def to_host(self, name: str, stream: int, shapes: Mapping[str, Shape]) -> Tensor:
        """A value of the last run, as a new tensor in Caffe's axis order. It is there when the stream has done it."""
        place = self.places[name]
        memory = place.host()
        place.fetch(memory, stream)
        self.device.driver.cuStreamSynchronize(stream)
        return place.seen(memory, shapes.get(name)).contiguous()

    def seen(self, name: str, shapes: Mapping[str, Shape]) -> Tensor:
        """A value of the last run where it lies on the GPU, as torch sees it: the next run overwrites it."""
        if self.memory is None:
            self.memory = tensor_over(self.arena, self.device)
        whole = view(self.memory, self.plan.slots[name])
        return corner(whole, shapes[name]) if name in shapes else whole


class Segment:
    """Steps that the GPU does by itself: one graph, and how sizes that are known only then pass through it."""

    def __init__(self, instance: Instance, pairs: Sequence[tuple[Step, Work]]) -> None:
        self.slots = instance.plan.slots
        launches = [work for _, work in pairs if isinstance(work, Launch)]
        self.graph = Recording(instance.device, instance.stream, launches) if launches else None
        self.loose = [step for step, _ in pairs if not all(self.slots[name].known for name in step.results)]

    def __call__(self, stream: int, shapes: dict[str, Shape]) -> None:
        if self.graph is not None:
            self.graph(stream)
        for step in self.loose:
            follow(step, self.slots, shapes)
