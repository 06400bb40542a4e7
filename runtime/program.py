"""A plan made ready: primitives prepared once, and instances with memory of their own that run it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter

import torch
from torch import Tensor

from .arena import allocate, can_hold, view
from .artifact import Artifact
from .plan import DTYPES, ArtifactError, Plan, Shape, Step
from .primitive_table import PRIMITIVE_TABLE
from .primitives import (
    IMPLEMENTATIONS,
    CallSite,
    LayerFunction,
    Operand,
    PackedWeights,
    Primitive,
    Run,
    make_user_primitive,
)

TARGET = "cpu"
INPUT_PLACEHOLDER = torch.empty(0)  # where an input will be


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """A step with its primitive and what that made of the weights.

    `has_dynamic_shape`: a shape in it is known only when the net runs."""

    step: Step
    primitive: Primitive
    call: CallSite
    run: Run
    has_dynamic_shape: bool


class Program:
    """A plan with packed weights. Shared by threads: each call takes an instance from the pool, or makes one."""

    def __init__(self, artifact: Artifact, packed_weights: PackedWeights, layers: Mapping[str, LayerFunction]) -> None:
        self.plan = artifact.plan
        if self.plan.target != TARGET:
            raise ArtifactError(
                f"net {self.plan.net!r} was compiled for {self.plan.target!r}, and this runs on {TARGET!r}"
            )
        self.weights = {name: artifact.weights[w.handle].reshape(w.shape) for name, w in self.plan.weights.items()}
        self.steps = [prepare_step(step, self.plan, self.weights, packed_weights, layers) for step in self.plan.steps]
        self.pool: deque[Instance] = deque()

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Fresh tensors in Caffe's axis order, by blob name. Inputs have the planned dtypes, shapes and layouts."""
        try:
            instance = self.pool.pop()
        except IndexError:
            instance = Instance(self)
        try:
            values = instance(inputs)
            return {
                blob: values[name].detach().clone(memory_format=torch.contiguous_format)
                for blob, name in self.plan.outputs
            }
        finally:
            instance.release_inputs()
            self.pool.append(instance)


def prepare_step(
    step: Step,
    plan: Plan,
    weights: Mapping[str, Tensor],
    packed_weights: PackedWeights,
    layers: Mapping[str, LayerFunction],
) -> PreparedStep:
    """Prove that the step's tensors fit together, then prepare it. ArtifactError if they do not."""

    def known(name: str) -> Operand:
        if name in weights:
            data = weights[name]
            return Operand(data.dtype, tuple(data.shape), data=data, handle=plan.weights[name].handle)
        slot = plan.slots[name]
        return Operand(DTYPES[slot.dtype], slot.bounds, slot.layout)

    operands, results = tuple(map(known, step.operands)), tuple(map(known, step.results))
    if step.primitive not in (*IMPLEMENTATIONS, "user"):
        raise ArtifactError(f"step {step.label!r} ({step.primitive}) is nothing that the {TARGET} does")
    primitive = make_user_primitive(layers) if step.primitive == "user" else IMPLEMENTATIONS[step.primitive]
    call = CallSite(PRIMITIVE_TABLE[step.primitive].complete(step.attributes), operands, results, packed_weights)
    try:
        if primitive.infer_shapes is not None:
            planned = [plan.slots[name].dims for name in step.results]
            made = primitive.infer_shapes(call.attributes, [o.shape for o in operands], planned)
            for name, dims, shape in zip(step.results, planned, made, strict=True):
                if len(dims) != len(shape) or any(
                    isinstance(d, int) and d != n for d, n in zip(dims, shape, strict=True)
                ):
                    raise ValueError(f"{name!r} is planned as {list(dims)}, and {list(shape)} comes out")
        run = primitive.prepare(call)
    except (ValueError, RuntimeError, TypeError, IndexError, ZeroDivisionError, OverflowError) as error:
        raise ArtifactError(f"step {step.label!r} ({step.primitive}): {error}") from error
    slots = [plan.slots[name] for name in (*step.operands, *step.results) if name in plan.slots]
    return PreparedStep(
        step, primitive, call, run, primitive.infer_shapes is None or not all(slot.is_static for slot in slots)
    )


class Instance:
    """Memory for one run at a time, with all views of it made."""

    def __init__(self, program: Program) -> None:
        self.plan = program.plan
        self.arena = allocate(self.plan.arena)
        self.values: dict[str, Tensor] = dict(program.weights)
        for name, slot in self.plan.slots.items():
            if slot.at is not None and slot.is_static:
                self.values[name] = view(self.arena, slot)
        self.input_uses: dict[str, list[tuple[list[Tensor], int]]] = {name: [] for name in self.plan.inputs}
        self.calls = [self.bind_dynamic(r) if r.has_dynamic_shape else self.bind(r) for r in program.steps]

    def __call__(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All values of this run, until the next. Inputs are used where they are, not copied."""
        self.set_inputs(inputs)
        with torch.inference_mode():
            for call in self.calls:
                call()
        return self.values

    def time_steps(self, inputs: Mapping[str, Tensor]) -> list[float]:
        """Run once, for the seconds that each step took, in plan order."""
        self.set_inputs(inputs)
        with torch.inference_mode():
            times = [perf_counter()]
            for call in self.calls:
                call()
                times.append(perf_counter())
        return [after - before for before, after in pairwise(times)]

    def observe_steps(self, inputs: Mapping[str, Tensor], seen: Callable[[str, Tensor], None]) -> None:
        """Run once, and show what each step makes before later steps write over it."""
        self.set_inputs(inputs)
        with torch.inference_mode():
            for step, call in zip(self.plan.steps, self.calls, strict=True):
                call()
                for name in step.results:
                    seen(name, self.values[name])

    def set_inputs(self, inputs: Mapping[str, Tensor]) -> None:
        """Put the caller's arrays where steps read them."""
        self.values.update(inputs)
        for name, places in self.input_uses.items():
            for operands, i in places:
                operands[i] = inputs[name]

    def release_inputs(self) -> None:
        """Let go of the caller's arrays."""
        for name, places in self.input_uses.items():
            self.values.pop(name, None)
            for operands, i in places:
                operands[i] = INPUT_PLACEHOLDER

    def bind(self, ready: PreparedStep) -> Callable[[], object]:
        """A step whose tensors stay the same; those that are inputs are put in at each run."""
        operands = [self.values.get(name, INPUT_PLACEHOLDER) for name in ready.step.operands]
        for i, name in enumerate(ready.step.operands):
            if name in self.input_uses:
                self.input_uses[name].append((operands, i))
        results, run = [self.values[name] for name in ready.step.results], ready.run
        return lambda: run(results, operands)

    def bind_dynamic(self, ready: PreparedStep) -> Callable[[], object]:
        """A step of which some shape is known only when it runs: it is prepared, and its views made, at each run."""
        step, primitive = ready.step, ready.primitive
        slots = [self.plan.slots[name] for name in step.results]

        def place(i: int, shape: Shape) -> Tensor:
            if not can_hold(slots[i], shape):
                due = f"planned for {list(slots[i].dims)}"
                raise ValueError(f"step {step.label!r}: {step.results[i]!r} came out as {list(shape)}, {due}")
            self.values[step.results[i]] = made = view(self.arena, slots[i], shape)
            return made

        def call() -> None:
            operands = [self.values[name] for name in step.operands]
            if primitive.infer_shapes is None:
                made = ready.run((), operands) or ()
                if len(made) != len(slots):
                    raise ValueError(f"step {step.label!r} returned {len(made)} results, not {len(slots)}")
                for i, tensor in enumerate(made):
                    place(i, tuple(tensor.shape)).copy_(tensor)
                return
            actual = [tuple(x.shape) for x in operands]
            try:
                found = primitive.infer_shapes(ready.call.attributes, actual, [slot.dims for slot in slots])
            except ValueError as error:
                raise ValueError(f"step {step.label!r}: {error}") from None
            results = [place(i, tuple(shape)) for i, shape in enumerate(found)]
            if any(result.numel() for result in results):
                primitive.prepare(with_shapes(ready.call, operands, results))(results, operands)

        return call


def with_shapes(call: CallSite, operands: Sequence[Tensor], results: Sequence[Tensor]) -> CallSite:
    """The call with the shapes of this run. Packed weights are found again, not made again."""
    return replace(
        call,
        operands=tuple(replace(o, shape=tuple(x.shape)) for o, x in zip(call.operands, operands, strict=True)),
        results=tuple(replace(o, shape=tuple(x.shape)) for o, x in zip(call.results, results, strict=True)),
    )
