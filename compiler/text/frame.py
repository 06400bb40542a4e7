"""What names stand for while a text is read: in the net itself, or in one call of a function.

A name that rounds of `repeat` make again stands for the latest. Only the last value keeps the plain name, the others
are numbered, as the values of a Caffe blob are: x.0, x.1, x.2, then x. Inside a function names go on from the one that
the call makes: `res2a = block(x)` makes res2a.conv1, and what it returns is res2a.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .tree import Line, Name, Repeat, Statements, Typed, Weight


@dataclass(frozen=True, slots=True)
class Visit:
    """A function at work: what it is called, for which value, and where that call is."""

    function: str
    makes: str
    line: int

    def __str__(self) -> str:
        return f'in {self.function}, called for "{self.makes}" on line {self.line}'


@dataclass
class Frame:
    """Names and what they stand for: values, or the numbers that parameters and rounds are.

    `last` is where each name is made for the last time, `finals` how the caller calls what is returned, `rounds` the
    number of each round that we are in, and `final` whether all of them are the last of their kind. `counts` are how
    often names were made so far, and `made` in which rounds they were made last.
    """

    known: dict[str, Any] = field(default_factory=dict)
    prefix: str = ""
    last: Mapping[str, Typed] = field(default_factory=dict)
    finals: Mapping[str, str] = field(default_factory=dict)
    visits: tuple[Visit, ...] = ()
    rounds: tuple[int, ...] = ()
    final: bool = True
    counts: dict[str, int] = field(default_factory=dict)
    made: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def called(self, target: Typed) -> str:
        """What the graph calls the value that is made here."""
        name = target.name.text
        if self.final and self.last.get(name, target) is target:
            return self.finals.get(name, self.prefix + name)
        return f"{self.prefix}{name}.{self.next(name, 0)}"

    def weight(self, name: str) -> str:
        """What the graph calls a weight: each round has its own."""
        return f"{self.prefix}{name}.{self.next(name, 1)}" if self.rounds else self.prefix + name

    def next(self, name: str, first: int) -> int:
        """How often the name was made before, from `first` on."""
        self.counts[name] = number = self.counts.get(name, first - 1) + 1
        return number

    def again(self, name: str) -> bool:
        """May the name be made here, as far as it was made before? Only a later round may make it anew."""
        before = self.made.get(name)
        return before is None or (bool(self.rounds) and before[: len(self.rounds)] != self.rounds)

    @contextmanager
    def round(self, number: int, last: bool, names: Sequence[Name], values: Sequence[Any]) -> Iterator[None]:
        """One round: `names` stand for `values` while it lasts."""
        before = {name.text: self.known[name.text] for name in names if name.text in self.known}
        rounds, final = self.rounds, self.final
        self.known.update((name.text, value) for name, value in zip(names, values, strict=True))
        self.rounds, self.final = (*rounds, number), final and last
        try:
            yield
        finally:
            self.rounds, self.final = rounds, final
            for name in names:
                self.known.pop(name.text, None)
            self.known.update(before)


def last_made(body: Statements) -> dict[str, Typed]:
    """Where each name of a body is made for the last time, as far as the text goes."""
    found: dict[str, Typed] = {}
    for part in body:
        if isinstance(part, Line):
            found.update((target.name.text, target) for target in part.targets)
        elif isinstance(part, Repeat):
            found.update(last_made(part.body))
        else:
            assert isinstance(part, Weight)
    return found
