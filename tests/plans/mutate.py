"""Seeded mutations of a plan: of its slots, weights, steps and their attributes, and of a size wherever it occurs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cortado.runtime.native.kinds import KINDS
from cortado.runtime.plan import DTYPES, Plan, Slot, Step, Weight

Change = Callable[[Plan, random.Random], Plan]
HUGE = (255, 1 << 15, (1 << 16) + 1, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 32) + 1, (1 << 40) - 1, 1 << 47, 1 << 63)
WORDS = (
    *("", "F2", "F4", "F25", "corner", "center_size", "corner_size", "across", "within", "linear", "nearest"),
    *(
        "edges",
        "centers",
        "corners",
        "onnx",
        "torch",
        "deviation",
        "variance",
        "nhwc",
        "nchw",
        "up",
        "down",
        "inf",
        "nan",
    ),
)


def vary_number(n: int, rng: random.Random) -> int:
    """Mostly near it; sometimes huge or below 0."""
    if rng.random() < 0.12:
        return rng.choice((*HUGE, *(-h for h in HUGE[:4])))
    return rng.choice((n + 1, n - 1, n + 2, n * 2, n // 2, 0, 1, -1, -n, n + rng.randrange(20), rng.randrange(1, 24)))


def vary(value: Any, rng: random.Random) -> Any:
    """Another value that JSON can hold: of the same type mostly, one of its parts varied, or two of them swapped."""
    match value:
        case bool():
            return not value
        case int():
            return vary_number(value, rng)
        case float():
            return rng.choice((0.0, -value, value * 2, 1e38, 1e300, 10**400, "nan", "inf", 1))
        case str():
            return rng.choice(WORDS)
        case list() if value:
            return vary_list(value, rng)
        case dict() if value:
            key = rng.choice(sorted(value))
            if rng.random() < 0.1:
                return {k: v for k, v in value.items() if k != key}
            return value | {key: vary(value[key], rng)}
    return rng.choice(([], {}, None, 0, 1, True, [1], [0, 0], [1, 1, 1, 1], "", 0.5))


def vary_list(values: list[Any], rng: random.Random) -> list[Any]:
    made, at = list(values), rng.randrange(len(values))
    match rng.randrange(8):
        case 0:
            del made[at]
        case 1:
            made.insert(at, made[at])
        case 2:
            other = rng.randrange(len(made))
            made[at], made[other] = made[other], made[at]
        case _:
            made[at] = vary(made[at], rng)
    return made


def vary_dims(dims: Sequence[Any], rng: random.Random) -> tuple[Any, ...]:
    made, at = list(dims), rng.randrange(max(len(dims), 1))
    match rng.randrange(10):
        case 0:
            made.insert(at, rng.choice((1, 1, 2, 0)))
        case 1 if made:
            del made[at]
        case 2:
            made.reverse()
        case 3 if made and isinstance(made[at], int):
            made[at] = f"?{made[at]}"
        case 4 if len(made) > 1:
            other = rng.randrange(len(made))
            made[at], made[other] = made[other], made[at]
        case _ if made:
            number = int(str(made[at]).removeprefix("?"))
            made[at] = vary_number(number, rng) if isinstance(made[at], int) else f"?{abs(vary_number(number, rng))}"
    return tuple(made)


def pick_slot(plan: Plan, rng: random.Random) -> tuple[str, Slot]:
    name = rng.choice(list(plan.slots))
    return name, plan.slots[name]


def with_slot(plan: Plan, name: str, slot: Slot) -> Plan:
    return replace(plan, slots={**plan.slots, name: slot})


def change_slot(plan: Plan, rng: random.Random) -> Plan:
    name, slot = pick_slot(plan, rng)
    other = pick_slot(plan, rng)[1]
    match rng.randrange(9):
        case 0 | 1 | 2:
            slot = replace(slot, dims=vary_dims(slot.dims, rng))
        case 3:
            slot = replace(slot, layout=rng.choice(("nchw", "nhwc", other.layout)))
        case 4:
            total = slot.channels or (0, slot.bounds[1] if len(slot.dims) > 1 else 1)
            pairs = (
                None,
                (total[0], total[1] + 3),
                (total[0] + 1, total[1] + 1),
                (total[0] + 5, total[1]),
                other.channels,
            )
            slot = replace(slot, channels=rng.choice(pairs))
        case 5:
            before, after = slot.halo or (0, 0)
            sizes = (
                None,
                (before + 1, after),
                (before, after + 1),
                (before - 1, after),
                (after, before),
                (0, 0),
                (2, 3),
            )
            slot = replace(slot, halo=rng.choice((*sizes, (vary_number(before, rng), after))))
        case 6:
            slot = replace(slot, dtype=rng.choice((*DTYPES, "f32")))
        case 7:
            slot = replace(other, at=slot.at)
        case _:
            slot = move(slot, other, plan, rng)
    return with_slot(plan, name, slot)


def move(slot: Slot, other: Slot, plan: Plan, rng: random.Random) -> Slot:
    """To another place: near this one, another value's, the start or the end of the arena."""
    at = slot.at or 0
    end = max(plan.arena - slot.nbytes, 0)
    return replace(
        slot, at=rng.choice((at + 4, at - 4, at + 64, at - 64, 0, end, end + 4, other.at, other.at or 0, at + 2))
    )


def change_size_everywhere(plan: Plan, rng: random.Random) -> Plan:
    """One number becomes another in all slots and weights, and sometimes in the attributes."""
    numbers = [d for slot in plan.slots.values() for d in slot.dims if isinstance(d, int)]
    old = rng.choice(numbers or [1])
    new = rng.choice((old + 1, old - 1, old * 2, old // 2, 1, 0, 2, 3, 17, 33, rng.randrange(1, 40)))

    def swap(n: Any) -> Any:
        return new if type(n) is int and n == old else n

    def swap_in(value: Any) -> Any:
        if isinstance(value, list):
            return [swap_in(v) for v in value]
        return {k: swap_in(v) for k, v in value.items()} if isinstance(value, dict) else swap(value)

    axis = rng.choice((None, None, 0, 1, 2, 3))
    slots = {
        name: replace(slot, dims=tuple(swap(d) if axis in (None, i) else d for i, d in enumerate(slot.dims)))
        for name, slot in plan.slots.items()
    }
    weights = {n: replace(w, shape=tuple(map(swap, w.shape))) for n, w in plan.weights.items()}
    steps = plan.steps
    if rng.random() < 0.5:
        steps = tuple(replace(step, payload=swap_in(step.payload)) for step in steps)
    return replace(plan, slots=slots, weights=weights if axis in (None, 1) else plan.weights, steps=steps)


def change_weight(plan: Plan, rng: random.Random) -> Plan:
    if not plan.weights:
        return change_slot(plan, rng)
    name = rng.choice(list(plan.weights))
    weight = plan.weights[name]
    if rng.random() < 0.1:
        weight = replace(weight, dtype=rng.choice(list(DTYPES)))
    else:
        weight = replace(weight, shape=tuple(d for d in vary_dims(weight.shape, rng) if isinstance(d, int)))
    return replace(plan, weights={**plan.weights, name: weight})


def change_arena(plan: Plan, rng: random.Random) -> Plan:
    return replace(
        plan, arena=rng.choice((plan.arena + 4, plan.arena - 4, plan.arena // 2, plan.arena * 2, 0, 1 << 47))
    )


def with_step(plan: Plan, at: int, step: Step) -> Plan:
    return replace(plan, steps=(*plan.steps[:at], step, *plan.steps[at + 1 :]))


def change_attribute(plan: Plan, rng: random.Random) -> Plan:
    """One attribute of a step: varied, lost, given, or another step's."""
    at = rng.randrange(len(plan.steps))
    step, other = plan.steps[at], rng.choice(plan.steps)
    schema = KINDS[step.kind][0] if step.kind in KINDS else None
    payload = dict(step.payload)
    known = sorted({*payload, *(schema.attributes if schema else ())})
    if not known:
        return change_operands(plan, rng)
    key = rng.choice(known)
    if key not in payload and schema:
        payload[key] = schema.attributes[key].default
    match rng.randrange(12):
        case 0:
            payload.pop(key)
        case 1 if key in other.payload:
            payload[key] = other.payload[key]
        case 2:
            payload[key] = rng.choice(([1], [2, 2], [0, 0], [1, 1, 1, 1], [3, 1], 1, 0, 2, True, False, "", None))
        case _:
            value = payload[key]
            payload[key] = vary(list(value) if isinstance(value, tuple) else value, rng)
    return with_step(plan, at, replace(step, payload=payload))


def change_operands(plan: Plan, rng: random.Random) -> Plan:
    """The names that a step reads or writes: another one, one lost, one twice, two swapped, results as operands."""
    at = rng.randrange(len(plan.steps))
    step = plan.steps[at]
    field = rng.choice(("operands", "operands", "operands", "results"))
    names, any_name = list(getattr(step, field)), rng.choice([*plan.slots, *plan.weights])
    k = rng.randrange(max(len(names), 1))
    match rng.randrange(6):
        case 0 if names:
            del names[k]
        case 1 if names:
            names.insert(k, names[k])
        case 2:
            names.append(any_name)
        case 3:
            rng.shuffle(names)
        case _ if names:
            names[k] = any_name
    made = tuple(names)
    return with_step(plan, at, replace(step, operands=made) if field == "operands" else replace(step, results=made))


def share_place(plan: Plan, rng: random.Random) -> Plan:
    """A result over an operand, or over a part of it."""
    step = rng.choice(plan.steps)
    reads = [plan.slots[n] for n in step.operands if n in plan.slots and plan.slots[n].at is not None]
    if not reads or not step.results or step.results[0] not in plan.slots:
        return change_slot(plan, rng)
    name, other = step.results[0], rng.choice(reads)
    assert other.at is not None
    slot = replace(plan.slots[name], at=other.at + rng.choice((0, 0, 4, 64, max(other.nbytes - 4, 0))))
    return with_slot(plan, name, slot)


def change_order(plan: Plan, rng: random.Random) -> Plan:
    """Steps lost, twice, in another order, or of another kind."""
    steps = list(plan.steps)
    at, other = rng.randrange(len(steps)), rng.randrange(len(steps))
    match rng.randrange(5):
        case 0:
            del steps[at]
        case 1:
            steps.insert(other, steps[at])
        case 2:
            steps[at], steps[other] = steps[other], steps[at]
        case 3:
            steps[at] = replace(steps[at], kind=rng.choice([*KINDS, "copy", "concat", "conv_packed"]))
        case _:
            kind = steps[other].kind
            steps[at] = replace(steps[at], kind=kind, payload=dict(steps[other].payload))
    return replace(plan, steps=tuple(steps))


def repack(plan: Plan) -> Plan:
    """All storages one behind the other, each as large as its largest value, and no arena behind them."""
    room = dict[int, int]()
    for slot in plan.slots.values():
        if slot.at is not None and slot.dtype in DTYPES and min((0, *slot.bounds)) >= 0:
            room[slot.at] = max(room.get(slot.at, 0), slot.nbytes)
    starts, end = dict[int, int](), 0
    for at, size in sorted(room.items()):
        starts[at] = end
        end += -(-size // 8) * 8
    slots = {
        name: slot if slot.at is None else replace(slot, at=starts.get(slot.at, slot.at))
        for name, slot in plan.slots.items()
    }
    return replace(plan, slots=slots, arena=end)


CHANGES: tuple[Change, ...] = (
    *(change_slot, change_slot, change_slot, change_size_everywhere, change_size_everywhere, change_weight),
    *(change_attribute, change_attribute, change_attribute, change_operands, change_order, share_place, change_arena),
)


def mutate(plan: Plan, rng: random.Random) -> Plan:
    """One to four changes, and sometimes places that fit the new sizes."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if plan.steps and plan.slots:
            plan = attempt(rng.choice(CHANGES), plan, rng)
    return attempt(lambda plan, _: repack(plan), plan, rng) if rng.random() < 0.5 else plan


def attempt(change: Change, plan: Plan, rng: random.Random) -> Plan:
    """The changed plan, or the same one where an earlier change has left a value without a size."""
    try:
        return change(plan, rng)
    except (ValueError, TypeError, IndexError):
        return plan


def resized(weight: Weight) -> str:
    """The handle of a tensor that has exactly this dtype and shape."""
    return f"{weight.dtype}:{','.join(map(str, weight.shape))}"
