"""The tests see mistakes: mutants of passes, invariants and code generation are killed (tests/proof/mutants.py).

A few here, all of them in `make mutants`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cortado.passes import PIPELINE

from .proof.mutants import MUTANTS, Mutant
from .proof.mutate import ROOT, find_failing_suite

SAMPLE = ("passes/fold_batchnorm.py", "compiler/memory.py", "compiler/codegen/host_steps.py")


def test_there_are_enough_and_no_two_are_one() -> None:
    assert len(set(MUTANTS)) == len(MUTANTS) >= 40
    assert {Path(m.file).parts[0] for m in MUTANTS} == {"compiler", "passes"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_applies(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.before) == 1
    assert mutant.before != mutant.after


@pytest.mark.parametrize("file", SAMPLE)
def test_a_mutant_is_killed(file: str) -> None:
    assert find_failing_suite(next(m for m in MUTANTS if m.file == file))


def test_every_pass_has_mutants() -> None:
    assert {f"passes/{p.__name__}.py" for p in PIPELINE} <= {m.file for m in MUTANTS}
