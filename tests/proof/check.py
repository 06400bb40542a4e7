"""All trials of one net: the whole pipeline for each target, each pass alone, random orders; the CPU runs them."""

from __future__ import annotations

from collections.abc import Iterator

from cortado.compiler.plan import PlannedGraph

from .dice import Dice
from .generator import net
from .trial import NAMES, NEEDED, WHOLE, Failure, Subject, Trial

ORDERS = 2  # random orders of all passes, for each net
PLAN = "plan_memory"  # what a net cannot be built without
ROUND = "assign_precision"  # where it rounds to f16, what folds comes before: nobody could tell the numbers otherwise


def check(number: int, gpu: bool = False) -> list[Failure]:
    """What goes wrong with the net of that number; one failure of each sort. With `gpu`, that runs it too."""
    return failures(net(number), Dice(0, number), gpu)


def failures(planned: PlannedGraph, dice: Dice, gpu: bool = False) -> list[Failure]:
    found: dict[tuple[str, str, str], Failure] = {}
    subject = Subject(planned)
    for trial in trials(dice, gpu):
        if (failure := subject.fails(trial)) is not None:
            found.setdefault(failure.sort, failure)
    return list(found.values())


def trials(dice: Dice, gpu: bool = False) -> Iterator[Trial]:
    runs = ("cpu", "cuda", "cuda-f32-strict") if gpu else ("cpu",)  # f16 rounds too much to be told from a mistake
    twice = {"cpu", dice.pick(NAMES)}
    for target in NAMES:
        yield Trial(target, WHOLE, run=target in runs, again=target in twice)
    cut = dice.between(1, len(WHOLE))
    yield Trial("cpu", WHOLE[:cut] + WHOLE, run=True)  # begun, printed, and compiled from there
    yield Trial("cpu", NEEDED, run=True)
    for name in WHOLE:
        yield Trial(dice.pick(NAMES), (name,), again=True)
    for target in ["cpu", *(dice.pick(NAMES) for _ in range(ORDERS - 1))]:
        yield Trial(target, order(dice, target), run=target == "cpu")


def order(dice: Dice, target: str) -> tuple[str, ...]:
    """All passes, shuffled, and a plan at the end."""
    parts = [WHOLE]
    if target.endswith("f16"):
        at = WHOLE.index(ROUND)
        parts = [WHOLE[:at], (ROUND,), WHOLE[at + 1 :]]
    return (*(name for part in parts for name in dice.shuffled(part)), PLAN)
