"""A prepared plan for the CPU: primitives that are prepared once, and instances with separate memory that run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from time import perf_counter

import torch
from torch import Tensor

from ..arena import allocate, view
from ..host_step import PreparedStep, prepare_step, result_shapes, run_dynamic, specialize_step
from ..plan import Plan, Shape
from ..pooled_program import PooledProgram, static_views
from ..primitives import Run
from ..resources import Resources

MAX_SHAPES = 64  # of a step's operands, for which its preparation is kept
INPUT_PLACEHOLDER = torch.empty(0)  # where an input will be


class OneDnnProgram(PooledProgram["Instance"]):
    """A plan with packed weights."""

    def __init__(self, plan: Plan, resources: Resources) -> None:
        super().__init__(plan)
        self.weights = resources.constants(plan)
        self.steps = [prepare_step(step, plan, self.weights, resources) for step in plan.steps]

    def make_instance(self) -> Instance:
        return Instance(self)

    def check_shapes(self, inputs: Mapping[str, Shape]) -> None:
        """ArtifactError if a step refuses what these input shapes, within the plan's bounds, give it."""
        shapes = {name: tuple(data.shape) for name, data in self.weights.items()} | dict(inputs)
        for ready in self.steps:
            operands = ready.step.operands
            if ready.primitive.infer_shapes is not None and all(name in shapes for name in operands):
                made = result_shapes(ready, [shapes[name] for name in operands], self.plan.slots)
                shapes |= dict(zip(ready.step.results, made, strict=True))


class Instance:
    """Memory for one run at a time, with views of all values."""

    def __init__(self, program: OneDnnProgram) -> None:
        self.plan = program.plan
        self.arena = allocate(self.plan.arena)
        self.values: dict[str, Tensor] = program.weights | static_views(self.plan, self.arena)
        self.input_uses: dict[str, list[tuple[list[Tensor], int]]] = {name: [] for name in self.plan.inputs}
        self.calls = [self.bind_dynamic(r) if r.has_dynamic_shape else self.bind(r) for r in program.steps]

    def __call__(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run once. Returns views of all values, valid until the next run. Inputs are not copied."""
        self.set_inputs(inputs)
        with torch.inference_mode():
            for call in self.calls:
                call()
        return self.values

    def time_steps(self, inputs: Mapping[str, Tensor]) -> list[float]:
        """Run once. Returns the seconds of each step, in plan order."""
        self.set_inputs(inputs)
        with torch.inference_mode():
            times = [perf_counter()]
            for call in self.calls:
                call()
                times.append(perf_counter())
        return [after - before for before, after in pairwise(times)]

    def observe_steps(self, inputs: Mapping[str, Tensor], seen: Callable[[str, Tensor], None]) -> None:
        """Run once, and pass the results of each step to a function before later steps overwrite them."""
        self.set_inputs(inputs)
        with torch.inference_mode():
            for step, call in zip(self.plan.steps, self.calls, strict=True):
                call()
                for name in step.results:
                    seen(name, self.values[name])

    def set_inputs(self, inputs: Mapping[str, Tensor]) -> None:
        """Set the caller's arrays as operands of the steps that read them."""
        self.values.update(inputs)
        for name, places in self.input_uses.items():
            for operands, i in places:
                operands[i] = inputs[name]

    def release_inputs(self) -> None:
        """Drop the references to the caller's arrays."""
        for name, places in self.input_uses.items():
            self.values.pop(name, None)
            for operands, i in places:
                operands[i] = INPUT_PLACEHOLDER

    def bind(self, ready: PreparedStep) -> Callable[[], object]:
        """A step with fixed tensors; those that are inputs are set at each run."""
        operands = [self.values.get(name, INPUT_PLACEHOLDER) for name in ready.step.operands]
        for i, name in enumerate(ready.step.operands):
            if name in self.input_uses:
                self.input_uses[name].append((operands, i))
        results, run = [self.values[name] for name in ready.step.results], ready.run
        return lambda: run(results, operands)

    def bind_dynamic(self, ready: PreparedStep) -> Callable[[], object]:
        """A step with a dynamic shape: it is prepared, with its views, for each shape of its operands."""
        names, results, slots, values = ready.step.operands, ready.step.results, self.plan.slots, self.values
        known = dict[tuple[Shape, ...], tuple[list[Tensor], Run]]()

        def place(name: str, shape: Shape) -> Tensor:
            values[name] = made = view(self.arena, slots[name], shape)
            return made

        def call() -> None:
            operands = [values[name] for name in names]
            shapes = tuple(tuple(x.shape) for x in operands)
            if shapes not in known:
                if len(known) >= MAX_SHAPES:
                    known.clear()
                known[shapes] = specialize_step(ready, shapes, slots, place)
            made, run = known[shapes]
            values.update(zip(results, made, strict=True))
            run(made, operands)

        def call_by_data() -> None:
            run_dynamic(ready, [values[name] for name in names], slots, place)

        return call_by_data if ready.primitive.infer_shapes is None else call
