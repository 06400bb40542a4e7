"""The list of mutants, mutants.txt: a file, `- ` text that occurs once in it, `+ ` its replacement."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Mutant(NamedTuple):
    file: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}: {self.before.strip()} -> {self.after.strip() or 'nothing'}"


def parse_mutants(text: str) -> tuple[Mutant, ...]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    triples = zip(lines[::3], lines[1::3], lines[2::3], strict=True)
    return tuple(Mutant(file, before.removeprefix("- "), after[2:]) for file, before, after in triples)


MUTANTS = parse_mutants(Path(__file__).with_name("mutants.txt").read_text("utf-8"))
