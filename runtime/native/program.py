"""A prepared native plan: its library, its packed weights, and instances with separate memory that run it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby, pairwise
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from ..arena import allocate, can_hold, view
from ..host_step import PreparedStep, prepare_step, run_dynamic
from ..plan import ArtifactError, Plan, Shape
from ..pooled_program import PooledProgram, static_views
from ..resources import Resources
from .build import build_library, open_built_library
from .call import NetCall, make_calls
from .kinds import KINDS, finds_rows
from .machine import Machine
from .source import NativeSource, write_source

SLACK = 256  # bytes after the arena and after inputs, which kernels that load whole vectors may read and never use
PAGE = 1 << 21  # huge pages: weights are read in order, and small pages cost TLB misses
PLACEHOLDER = torch.empty(0)


class NativeProgram(PooledProgram["NativeInstance"]):
    """A plan with its library and packed weights."""

    def __init__(self, plan: Plan, machine: Machine, resources: Resources) -> None:
        super().__init__(plan)
        self.machine = machine
        self.source: NativeSource = write_source(plan, machine)
        self.weights = resources.constants(plan)
        self.library = open_built_library(build_library(self.source.text, machine))
        self.block = pack(self.source, {name: w for name, w in self.weights.items() if w.dtype == torch.float32})
        self.host_steps: dict[int, PreparedStep] = {
            i: prepare_step(step, plan, self.weights, resources)
            for i, step in enumerate(plan.steps)
            if step.kind not in KINDS
        }

    def make_instance(self) -> NativeInstance:
        return NativeInstance(self)


class NativeInstance:
    """Memory for one run at a time. A run is calls into the library, and between them the steps that the host has."""

    def __init__(self, program: NativeProgram) -> None:
        self.plan, self.program = program.plan, program
        source = program.source
        self.arena = allocate(self.plan.arena + SLACK)
        self.values: dict[str, Tensor] = program.weights | static_views(self.plan, self.arena)
        self.staged = {name: padded_input(self.plan, name) for name in source.padded}
        regions = native_regions(source.numbers, source.nothing)
        spans = [region for region in regions if isinstance(region, tuple)]
        block = program.block.ctypes.data
        calls, self.addresses = make_calls(
            self.arena.data_ptr(), block, [0] * len(self.plan.inputs), spans, torch.get_num_threads()
        )
        by_span = dict(zip(spans, calls, strict=True))
        self.native_calls = calls
        self.calls: list[Callable[[], object]] = []
        for region in regions:
            if isinstance(region, tuple):
                self.calls += self.bind_range(by_span[region])
            else:
                self.calls += self.bind_host(region)

    def __call__(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All values of this run, until the next. Inputs are used where they are, or copied if read past their end."""
        self.set_inputs(inputs)
        with torch.inference_mode():
            for call in self.calls:
                call()
        return self.values

    def set_inputs(self, inputs: Mapping[str, Tensor]) -> None:
        """Put the caller's arrays where steps read them."""
        self.values.update(inputs)
        threads = torch.get_num_threads()
        for call in self.native_calls:
            call.threads = threads
        for i, name in enumerate(self.plan.inputs):
            data = inputs[name]
            if name in self.staged:
                data = self.staged[name].copy_(data)
            self.addresses[i] = data.data_ptr()

    def release_inputs(self) -> None:
        """Let go of the caller's arrays."""
        for name in self.plan.inputs:
            self.values.pop(name, None)

    def bind_host(self, number: int) -> list[Callable[[], object]]:
        """The calls of one step of the host: clear the borders that it is the first to write to, then run it."""
        ready, step = self.program.host_steps[number], self.plan.steps[number]
        calls: list[Callable[[], object]] = []
        for slot in self.program.source.clears.get(number, ()):
            assert slot.at is not None
            calls.append(self.arena[slot.at : slot.at + slot.nbytes].zero_)

        def place(name: str, shape: Shape) -> Tensor:
            self.values[name] = made = view(self.arena, self.plan.slots[name], shape)
            return made

        def run() -> None:
            operands = [self.values[name] for name in step.operands]
            if ready.has_dynamic_shape:
                run_dynamic(ready, operands, self.plan.slots, place)
            else:
                ready.run([self.values[name] for name in step.results], operands)

        return [*calls, run]

    def bind_range(self, call: NetCall) -> list[Callable[[], object]]:
        """The call of a range of C steps, and those that then take results at the sizes that these have found."""
        numbers = self.program.source.numbers
        members = [
            step
            for step, n in zip(self.plan.steps, numbers, strict=True)
            if n is not None and call.first <= n < call.stop
        ]
        found = [partial(self.take_found, *step.results) for step in members if finds_rows(step)]
        return [bind_native(self.program.library.net_run, call), *found]

    def take_found(self, name: str, count: str) -> None:
        slot, size = self.plan.slots[name], int(self.values[count])
        shape = tuple(size if isinstance(dim, str) else dim for dim in slot.dims)
        if not can_hold(slot, shape):  # where a step of an untrusted plan has written over the number
            raise ArtifactError(f"{name} was found to be {list(shape)}, planned for {list(slot.dims)}")
        self.values[name] = view(self.arena, slot, shape)

    def time_steps(self, inputs: Mapping[str, Tensor]) -> list[float]:
        """Run once, for the seconds that each step of the plan took; what has nothing to do takes none."""
        self.set_inputs(inputs)
        source = self.program.source
        times = (ctypes.c_double * max(len(self.plan.steps), 1))()
        seconds = [0.0] * len(self.plan.steps)
        for call in self.native_calls:
            call.times = ctypes.cast(times, ctypes.POINTER(ctypes.c_double))
        with torch.inference_mode():
            for region in native_regions(source.numbers, source.nothing):
                if isinstance(region, tuple):
                    call = next(c for c in self.native_calls if (c.first, c.stop) == region)
                    for each in self.bind_range(call):
                        each()
                    continue
                start = perf_counter()
                for host in self.bind_host(region):
                    host()
                seconds[region] = perf_counter() - start
        for call in self.native_calls:
            call.times = None
        for i, number in enumerate(source.numbers):
            if number is not None:
                seconds[i] = times[number] * 1e-9
        return seconds

    def observe_steps(self, inputs: Mapping[str, Tensor], seen: Callable[[str, Tensor], None]) -> None:
        """Run once, step by step, and show what each makes before later steps write over it."""
        self.set_inputs(inputs)
        source = self.program.source
        with torch.inference_mode():
            for i, step in enumerate(self.plan.steps):
                if (number := source.numbers[i]) is not None:
                    template = self.native_calls[0]
                    call = type(template).from_buffer_copy(template)
                    call.first, call.stop = number, number + 1
                    for each in self.bind_range(call):
                        each()
                elif i not in source.nothing:
                    for host in self.bind_host(i):
                        host()
                for name in step.results:
                    seen(name, self.values[name])


def bind_native(run: Callable[[object], int], call: ctypes.Structure) -> Callable[[], object]:
    """The call of a range of steps. It raises MemoryError if a thread's own memory cannot be had."""
    reference = ctypes.byref(call)

    def start() -> None:
        if not run(reference):
            raise MemoryError("there is not enough memory for the net's kernels")

    return start


def native_regions(numbers: tuple[int | None, ...], nothing: frozenset[int]) -> list[tuple[int, int] | int]:
    """The run in order: ranges of C steps, and the numbers of plan steps that the host has."""
    steps = [i for i in range(len(numbers)) if i not in nothing]
    regions: list[tuple[int, int] | int] = []
    for is_native, group in groupby(steps, lambda i: numbers[i] is not None):
        members = list(group)
        if is_native:
            found = [n for i in members if (n := numbers[i]) is not None]
            assert all(b == a + 1 for a, b in pairwise(found))
            regions.append((found[0], found[-1] + 1))
        else:
            regions += members
    return regions


def padded_input(plan: Plan, name: str) -> Tensor:
    """Memory for an input, followed by slack."""
    slot = plan.slots[name]
    return view(allocate(slot.nbytes + SLACK), type(slot)(slot.dtype, slot.dims, slot.layout, 0))


def pack(source: NativeSource, weights: Mapping[str, Tensor]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The block of packed weights, f32, at the start of a huge page."""
    count = source.blocks.size + SLACK // 4
    raw = np.zeros(count * 4 + PAGE, np.uint8)
    start = -raw.ctypes.data % PAGE
    block = raw[start : start + count * 4].view(np.float32)
    source.blocks.fill(block, {name: w.numpy() for name, w in weights.items()})
    return block
