"""All trials of one net: the whole pipeline for each target, each pass alone, and random orders of passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from cortado.compiler.plan import PlannedGraph

from .dice import Dice
from .generator import net
from .trial import PIPELINE_NAMES, REQUIRED_NAMES, TARGET_NAMES, Failure, NetUnderTrial, Trial

NATIVE_SHARE = 16
GPU_RUNS = ("cuda", "cuda-f32-strict")  # f16 rounds too much to detect mistakes
ORDERS = 2  # random orders of all passes per net
SPECIAL = 0.5  # fraction of the nets that also get NaN and infinities
PLANNING_PASS = "plan_memory"  # required for building
ROUNDING_PASS = (
    "assign_precision"  # folding passes have to run before it rounds to f16, or the results could not be compared
)


def check(number: int, runs: Sequence[str] = ()) -> list[Failure]:
    """The failures of the net with this number, one of each category.

    The net runs on the CPU and on the targets `runs`; every 16th net also on the native target, since C compilers are
    slow.
    """
    return check_graph(
        net(number), Dice(0, number), {*runs, "onednn", *(["native"] if number % NATIVE_SHARE == 0 else [])}
    )


def check_graph(planned: PlannedGraph, dice: Dice, runs: Set[str] = frozenset({"onednn"})) -> list[Failure]:
    found: dict[tuple[str, str, str], Failure] = {}
    subject = NetUnderTrial(planned)
    for trial in trials(dice, runs):
        if (failure := subject.find_failure(trial)) is not None:
            found.setdefault(failure.category, failure)
    return list(found.values())


def trials(dice: Dice, runs: Set[str]) -> Iterator[Trial]:
    twice = {"onednn", dice.pick(TARGET_NAMES)}
    for target in TARGET_NAMES:
        yield Trial(target, PIPELINE_NAMES, run=target in runs, again=target in twice)
    cut = dice.between(1, len(PIPELINE_NAMES))
    yield Trial("onednn", PIPELINE_NAMES[:cut] + PIPELINE_NAMES, run=True)  # resumed from the printed text
    yield Trial("onednn", REQUIRED_NAMES, run=True)
    if dice.chance(SPECIAL):
        yield Trial("onednn", PIPELINE_NAMES, run=True, special=True)
        yield Trial("onednn", REQUIRED_NAMES, run=True, special=True)
        yield Trial("cuda", PIPELINE_NAMES, special=True)
    for name in PIPELINE_NAMES:
        yield Trial(dice.pick(TARGET_NAMES), (name,), again=True)
    for target in ["onednn", *(dice.pick(TARGET_NAMES) for _ in range(ORDERS - 1))]:
        yield Trial(target, random_order(dice, target), run=target == "onednn")


def random_order(dice: Dice, target: str) -> tuple[str, ...]:
    """All passes in random order, with planning last."""
    parts = [PIPELINE_NAMES]
    if target.endswith("f16"):
        at = PIPELINE_NAMES.index(ROUNDING_PASS)
        parts = [PIPELINE_NAMES[:at], (ROUNDING_PASS,), PIPELINE_NAMES[at + 1 :]]
    return (*(name for part in parts for name in dice.shuffle(part)), PLANNING_PASS)
