"""A step that the host computes by a primitive: prepared once per net, and run by whichever runner has it.

A step with a dynamic shape is prepared again for each run, by all runners in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from .arena import can_hold
from .plan import DTYPES, ArtifactError, Plan, Shape, Slot, Step
from .primitive_table import PRIMITIVE_TABLE
from .primitives import IMPLEMENTATIONS, CallSite, Operand, Primitive, Run, make_user_primitive
from .resources import Resources


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """A step with its primitive, prepared with its weights.

    `has_dynamic_shape`: one of its shapes is known only at run time.
    """

    step: Step
    primitive: Primitive
    call: CallSite
    run: Run
    has_dynamic_shape: bool


def prepare_step(step: Step, plan: Plan, constants: Mapping[str, Tensor], resources: Resources) -> PreparedStep:
    """Prove that the step's tensors fit together, then prepare it. ArtifactError if they do not.

    `constants` are the plan's weights by name.
    """

    def operand_of(name: str) -> Operand:
        if name in constants:
            data = constants[name]
            return Operand(data.dtype, tuple(data.shape), data=data, handle=plan.weights[name].handle)
        slot = plan.slots[name]
        return Operand(DTYPES[slot.dtype], slot.bounds, slot.layout)

    operands, results = tuple(map(operand_of, step.operands)), tuple(map(operand_of, step.results))
    primitive = make_user_primitive(resources.layers) if step.kind == "user" else IMPLEMENTATIONS[step.kind]
    call = CallSite(PRIMITIVE_TABLE[step.kind].complete(step.payload), operands, results, resources.packed_weights)
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
        raise ArtifactError(f"step {step.label!r} ({step.kind}): {error}") from error
    slots = [plan.slots[name] for name in (*step.operands, *step.results) if name in plan.slots]
    return PreparedStep(
        step, primitive, call, run, primitive.infer_shapes is None or not all(slot.is_static for slot in slots)
    )


def run_dynamic(
    ready: PreparedStep,
    operands: Sequence[Tensor],
    slots: Mapping[str, Slot],
    place: Callable[[str, Shape], Tensor],
) -> None:
    """Run a step whose results have the shapes that these operands give.

    `place(name, shape)` gives the memory of a result. ArtifactError if a shape is none that was planned for; a
    ValueError if the layer that returned it is the user's.
    """
    step = ready.step
    if ready.primitive.infer_shapes is None:
        made = ready.run((), operands) or ()
        if len(made) != len(step.results):
            raise fault_of(step)(f"step {step.label!r} returned {len(made)} results, not {len(step.results)}")
        for name, tensor in zip(step.results, made, strict=True):
            require_planned(step, name, tuple(tensor.shape), slots[name])
            place(name, tuple(tensor.shape)).copy_(tensor)
        return
    results, run = specialize_step(ready, [tuple(x.shape) for x in operands], slots, place)
    run(results, operands)


def specialize_step(
    ready: PreparedStep,
    operands: Sequence[Shape],
    slots: Mapping[str, Slot],
    place: Callable[[str, Shape], Tensor],
) -> tuple[list[Tensor], Run]:
    """The results of a step for these shapes of its operands, and what writes them. Errors as in `run_dynamic`."""
    shapes = result_shapes(ready, operands, slots)
    results = [place(name, shape) for name, shape in zip(ready.step.results, shapes, strict=True)]
    if not any(result.numel() for result in results):
        return results, do_nothing
    return results, ready.primitive.prepare(with_shapes(ready.call, operands, shapes))


def result_shapes(ready: PreparedStep, operands: Sequence[Shape], slots: Mapping[str, Slot]) -> list[Shape]:
    """The shapes of a step's results by those of its operands. Errors as in `run_dynamic`."""
    step, primitive = ready.step, ready.primitive
    assert primitive.infer_shapes is not None
    planned = [slots[name].dims for name in step.results]
    try:
        found = [tuple(s) for s in primitive.infer_shapes(ready.call.attributes, operands, planned)]
    except ValueError as error:
        raise fault_of(step)(f"step {step.label!r}: {error}") from None
    for name, shape in zip(step.results, found, strict=True):
        require_planned(step, name, shape, slots[name])
    return found


def require_planned(step: Step, name: str, shape: Shape, slot: Slot) -> None:
    """ArtifactError if the result `name` of a step has no room for this shape; see `fault_of`."""
    if not can_hold(slot, shape):
        raise fault_of(step)(f"step {step.label!r}: {name!r} came out as {list(shape)}, planned for {list(slot.dims)}")


def fault_of(step: Step) -> type[ValueError]:
    """What a wrong shape of a step is: the user's own if the layer is."""
    return ValueError if step.kind == "user" else ArtifactError


def do_nothing(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
    """A step whose results are empty."""


def with_shapes(call: CallSite, operands: Sequence[Shape], results: Sequence[Shape]) -> CallSite:
    """The call with the shapes of this run. Packed weights are found again, not made again."""
    return replace(
        call,
        operands=tuple(map(Operand.with_shape, call.operands, operands)),
        results=tuple(map(Operand.with_shape, call.results, results)),
    )
