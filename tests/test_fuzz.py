"""Nothing crashes, hangs, or writes what it was not asked to: seeds, findings of the fuzzer, and mutated inputs.

10,000 mutated inputs go through the readers in this process, 200 through commands; `make long` runs all of them, and
the suite one in ten. `make fuzz` searches for others.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from .fuzz.readers import READERS as FUNCTIONS
from .fuzz.readers import REFUSALS, attempt, category
from .fuzz.replay import MAX_SECONDS, replay, run_command
from .fuzz.start import FINDINGS, READERS, seeds
from .time_limit import limit_time

IN_PROCESS, IN_COMMANDS = 10_000, 200
FOUND = [path for reader in READERS for path in sorted((FINDINGS / reader).glob("*"))]


def attempt_in_time(reader: str, data: bytes) -> BaseException | None:
    with limit_time(MAX_SECONDS):
        return attempt(reader, data)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_the_fuzzer_found_is_mended(path: Path) -> None:
    error = attempt_in_time(path.parent.name, path.read_bytes())
    assert error is None, category(error)


@pytest.mark.parametrize("reader", READERS)
def test_some_seeds_are_good_files(reader: str) -> None:
    """Some of what is mutated was accepted before: else only the first check would ever be tested."""
    accepted = 0
    for data in seeds(reader)[:20]:
        with suppress(*REFUSALS):
            FUNCTIONS[reader](data)
            accepted += 1
    assert accepted, "after a change of the format: python -m tests.fuzz.start"


@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("reader", READERS)
def test_mutated_inputs_are_read_or_refused(reader: str, part: int) -> None:
    each = IN_PROCESS // len(READERS) // 100
    assert replay(reader, range(part * each, (part + 1) * each), attempt_in_time) == []


@pytest.mark.long
@pytest.mark.parametrize("part", range(10, 100))
@pytest.mark.parametrize("reader", READERS)
def test_more_mutated_inputs_are_read_or_refused(reader: str, part: int) -> None:
    test_mutated_inputs_are_read_or_refused(reader, part)


@pytest.mark.parametrize("number", range(IN_COMMANDS // 10))
def test_commands_survive_mutated_files(number: int, tmp_path: Path) -> None:
    """Exit code 0, 1 or 2; no traceback; in bounded time; no file changed but the one that was asked for."""
    assert run_command(READERS[number % len(READERS)], number, tmp_path / "work").fault == ""


@pytest.mark.long
@pytest.mark.parametrize("number", range(IN_COMMANDS // 10, IN_COMMANDS))
def test_more_commands_survive_mutated_files(number: int, tmp_path: Path) -> None:
    test_commands_survive_mutated_files(number, tmp_path)
