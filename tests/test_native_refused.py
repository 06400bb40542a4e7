"""Native plans whose kernels would leave their memory, never end, or crash: each is refused in one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cortado.runtime.artifact import ArtifactError, Plan, Weight
from cortado.runtime.native.machine import MACHINES
from cortado.runtime.native.source import write_source

from .plans.mutate import repack
from .test_native import Change, compile_text, one_line, weight, with_payload, with_slot

pytestmark = pytest.mark.usefixtures("c_compiler")


def with_dims(**dims: tuple[int | str, ...]) -> Change:
    """Values of other dimensions, and memory that they fit into."""

    def change(plan: Plan) -> Plan:
        slots = {name: replace(slot, dims=dims.get(name, slot.dims)) for name, slot in plan.slots.items()}
        return repack(replace(plan, slots=slots))

    return change


def everywhere(dims: tuple[int, ...]) -> Change:
    """All values of these dimensions."""
    return lambda plan: with_dims(**dict.fromkeys(plan.slots, dims))(plan)


def with_weight(name: str, *shape: int) -> Change:
    return lambda plan: replace(plan, weights={**plan.weights, name: Weight("f32", shape, plan.weights[name].handle)})


def with_operands(kind: str, *names: str) -> Change:
    def change(plan: Plan) -> Plan:
        return replace(plan, steps=tuple(replace(s, operands=names) if s.kind == kind else s for s in plan.steps))

    return change


def over(name: str, other: str, by: int = 0) -> Change:
    """A value `by` bytes behind where another one begins."""

    def change(plan: Plan) -> Plan:
        return replace(with_slot(name, at=(plan.slots[other].at or 0) + by)(plan), arena=plan.arena + (1 << 16))

    return change


SUM = """net n(x: f32[2,3,5,4]) {
    weight w: f32[3,3,1,1]
    a = exp(x)
    y = add(conv(a, w), a)
    return y
}
"""
SPREAD = "net n(x: f32[2,6,9,8], g: f32[2,6]) {\n    y = scale(x, g, axis=0)\n    return y\n}\n"
DEPTHWISE = one_line("conv(exp(x), w, groups=3)", "2,3,5,4", weight("w", "3,1,1,1"))
UP = one_line("deconv(exp(x), w, groups=3)", "2,3,1,1", weight("w", "3,1,1,1"))
PARTS = """net n(x: f32[2,6,9,8]) {
    weight w: f32[6,6,1,1]
    a = conv(x, w)
    b, c = slice(a, axis=1, points=[3])
    d = flip(b, axes=[2])
    return c, d
}
"""
FLAT = "net n(x: f32[2,6,3,2]) {\n    y = flatten(exp(x))\n    return y\n}\n"

MISTAKES: dict[str, tuple[str, Change, str]] = {
    "too many operands": (
        SUM,
        lambda p: with_operands("native.conv", *p.steps[-1].operands[:2], *"aaaaa")(p),
        "its epilogue has 5 other operands",
    ),
    "an operand that is smaller": (SPREAD, with_dims(g=(2, 3)), "has other sizes than the result from axis 0 on"),
    "a negative axis": (
        SPREAD,
        with_payload("native.map", axes=[None, -4]),
        "has other sizes than the result from axis -4 on",
    ),
    "squares beyond the stack": (
        one_line("lrn(exp(x), size=3)"),
        everywhere((1, 1 << 15, 1, 1)),
        "it has 32768 channels",
    ),
    "a stride that is 0 as an int": (
        UP,
        with_payload("native.deconv", stride=[1 << 32, 1 << 32]),
        "more than a kernel counts",
    ),
    "more parts than the pool counts": (DEPTHWISE, everywhere((1 << 20, 3, 1, 1)), "it has 1048576 parts"),
    "more numbers than an int counts": (
        one_line("exp(x)", "2,3"),
        everywhere((1 << 16, 1 << 15)),
        "more numbers than a kernel counts",
    ),
    "an operand without numbers": (
        one_line("avg_pool(exp(x))"),
        lambda p: with_dims(**{p.steps[-1].operands[0]: (2, 20, 0, 7)})(p),
        "has no numbers",
    ),
    "an input without end": (one_line("exp(x)", "2,3"), with_slot("x", dims=(1 << 40, 0, 1 << 40)), "cannot be of"),
    "a weight without end": (DEPTHWISE, with_weight("w", 0, 1 << 40, 1 << 40), "cannot be of"),
    "resized in place": (
        one_line("interp(conv(x, w), times=2)", weights=weight("w", "3,20,1,1")),
        lambda p: over("y", p.steps[-1].operands[0], 0)(p),
        "over a part of",
    ),
    "over a part of an operand": (
        one_line("exp(conv(x, w, stride=2))", weights=weight("w", "3,20,3,3")),
        lambda p: over("y", p.steps[-1].operands[0], 4)(p),
        "over a part of",
    ),
    "a table without end": (
        one_line("interp(x, times=2)"),
        lambda p: with_dims(y=(2, 20, 1 << 18, 1))(p),
        "is longer than 65536",
    ),
    "an alias elsewhere": (
        FLAT,
        lambda p: over("y", p.steps[-1].operands[0], 4096)(p),
        "is not where its operands are",
    ),
    "an alias of no size": (FLAT, with_slot("y", dims=("?2", 36)), "known only when the net runs"),
    "a number without end": (one_line("lrn(x)"), with_payload("native.lrn", alpha=10**400), "should be a number"),
    "another layout": (one_line("standardize(exp(x))"), with_slot("y", layout="nhwc"), "another layout"),
    "another layout of one storage": (
        PARTS,
        lambda p: with_slot("d", at=p.slots["b"].at, layout="nchw", channels=(3, 6))(p),
        "over a part of",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_plans_that_would_go_wrong_are_refused(name: str) -> None:
    text, change, reason = MISTAKES[name]
    artifact = compile_text(text, "native-strict").artifact
    artifact.check()
    with pytest.raises(ArtifactError, match=reason) as caught:
        replace(artifact, plans=(change(artifact.plan),)).check()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_step_whose_result_has_no_numbers_does_nothing() -> None:
    artifact = compile_text(one_line("softmax(exp(x))", "2,3,5,4")).artifact
    plan = with_dims(**dict.fromkeys(artifact.plan.slots, (2, 0, 5, 4)))(artifact.plan)
    replace(artifact, plans=(plan,)).check()
    assert write_source(plan, MACHINES["plain"]).nothing == {*range(len(plan.steps))}
