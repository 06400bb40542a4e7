"""Mutated native plans are refused, or run inside their memory (tests/plans).

150 plans here, of which some run; `make plans PLANS=100000` takes more. One that fails is named by its number:
`python -m tests.plans --only 4711` prints what it is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cortado.runtime.native.kinds import KINDS

from .c_programs import require_sanitizer
from .plans.bases import bases
from .plans.examine import Examined, examine
from .plans.run import Runner

PLANS, RUN, LONG = 150, 6, 2000


def test_what_is_mutated_is_accepted_and_has_all_kinds_of_steps() -> None:
    for _, artifact in bases():
        artifact.check()
    assert {step.kind for _, artifact in bases() for step in artifact.plan.steps} >= KINDS.keys()


def test_mutated_plans_are_refused_or_written() -> None:
    found = [examine(number) for number in range(PLANS)]
    assert [f"{e.number}, {e.base}: {e.fault}" for e in found if e.fault] == []
    assert 0 < sum(bool(e.job) for e in found) < PLANS, "some are refused, and some are not"


@pytest.fixture
def runner(tmp_path: Path, c_compiler: None) -> Runner:
    require_sanitizer(tmp_path, "address,undefined")
    return Runner(tmp_path / "plans", 1)


def test_what_is_accepted_runs_inside_its_memory(runner: Runner) -> None:
    """A handful, the shortest of those that are accepted; one also as the runtime compiles it."""
    accepted = sorted((e for e in map(examine, range(PLANS)) if e.job), key=lambda e: len(e.functions or ()))
    assert runner.run([*accepted[1:RUN], examine(accepted[0].number, whole=True)]) == {}


WRONG = {
    "reads another value": ("out[0] = in[0][24];", "use-after-poison"),
    "reads before its operand": ("out[0] = in[0][-1];", "heap-buffer-overflow"),
    "writes over its operand": ("out[-4] = 1;", "wrote byte 0, which is not in its result"),
    "writes behind its result": ("out[4] = 1;", "wrote byte 32, which is not in its result"),
    "writes far behind it": ("out[30] = 1;", "use-after-poison"),
    "leaves the arena": ("out[125] = 1;", "heap-buffer-overflow"),
    "reads another step's weights": ("out[0] = in[1][40];", "use-after-poison"),
    "divides by zero": ("out[0] = 1 / task;", "division by zero"),
    "is no C": ("out[0] = ;", "the compiler refuses f_8: "),
    "is right": ("memcpy(out, in[0], 16), out[3] = in[1][15];", ""),
}


def test_the_driver_finds_what_is_wrong(runner: Runner) -> None:
    """A step reads 4 numbers where the arena begins, and 16 of the weights, and writes the 4 numbers behind."""
    head = "void {}(const float *const *in, float *out, int task)"
    batch = [
        Examined(
            i,
            name,
            job=f"job {i} 256 64 0 0 1\nf_{i} 1 2 0 0 1 0 4 -1 0 16 1 0 16 1 16 32\n",
            functions={f"f_{i}": (f"{head.format(f'f_{i}')} {{ {body} }}\n", ())},
            vector=4,
        )
        for i, (name, (body, _)) in enumerate(WRONG.items())
    ]
    found = runner.run(batch)
    for i, (name, (_, report)) in enumerate(WRONG.items()):
        assert report in found.get(i, "") and bool(report) == (i in found), f"{name}: {found.get(i)}"


@pytest.mark.long
def test_more_of_what_is_accepted_runs_inside_its_memory(runner: Runner) -> None:
    found = [examine(number, whole=number % 200 == 0) for number in range(LONG)]
    assert [e.fault for e in found if e.fault] == []
    assert runner.run([e for e in found if e.job]) == {}
