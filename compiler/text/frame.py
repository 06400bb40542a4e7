"""Name bindings during parsing: those of the net, or of one call of a function.

A name that is defined again in the rounds of a `repeat` refers to the latest value. Only the last value gets the plain
name; the others are numbered, as the values of a Caffe blob are: x.0, x.1, x.2, then x. Names inside a function are
prefixed by the name that the call defines: `res2a = block(x)` defines res2a.conv1, and its result is res2a.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .tree import Assignment, Name, Repeat, Statements, TypedName, WeightDeclaration


@dataclass(frozen=True, slots=True)
class ActiveCall:
    """A function call being expanded: the function, the name of the value it defines, and the line of the call."""

    function: str
    value_name: str
    line: int

    def __str__(self) -> str:
        return f'in {self.function}, called for "{self.value_name}" on line {self.line}'


@dataclass
class Frame:
    """The bindings of names to values or, for parameters and names of rounds, to numbers and words.

    `last_definitions`: the last definition of each name. `result_names`: the caller's names for returned values.
    `rounds`: the numbers of the rounds being expanded, outermost first. `is_final_round`: True if all of them are
    final. `counts`: how often each name was defined so far. `definition_rounds`: the rounds of its latest definition.
    """

    bindings: dict[str, Any] = field(default_factory=dict)
    prefix: str = ""
    last_definitions: Mapping[str, TypedName] = field(default_factory=dict)
    result_names: Mapping[str, str] = field(default_factory=dict)
    active_calls: tuple[ActiveCall, ...] = ()
    rounds: tuple[int, ...] = ()
    is_final_round: bool = True
    counts: dict[str, int] = field(default_factory=dict)
    definition_rounds: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def value_name_of(self, target: TypedName) -> str:
        """The name in the graph of the value that is defined here."""
        name = target.name.text
        if self.is_final_round and self.last_definitions.get(name, target) is target:
            return self.result_names.get(name, self.prefix + name)
        return f"{self.prefix}{name}.{self.next_number(name, 0)}"

    def weight_name_of(self, name: str) -> str:
        """The name in the graph of a weight; each round has separate weights."""
        return f"{self.prefix}{name}.{self.next_number(name, 1)}" if self.rounds else self.prefix + name

    def next_number(self, name: str, first: int) -> int:
        """The number of this definition of the name, counted from `first`."""
        self.counts[name] = number = self.counts.get(name, first - 1) + 1
        return number

    def can_define(self, name: str) -> bool:
        """True if the name may be defined here: it is new, or was defined in an earlier round."""
        before = self.definition_rounds.get(name)
        return before is None or (bool(self.rounds) and before[: len(self.rounds)] != self.rounds)

    @contextmanager
    def enter_round(self, number: int, last: bool, names: Sequence[Name], values: Sequence[Any]) -> Iterator[None]:
        """Bind `names` to `values` for one round."""
        before = {name.text: self.bindings[name.text] for name in names if name.text in self.bindings}
        rounds, final = self.rounds, self.is_final_round
        self.bindings.update((name.text, value) for name, value in zip(names, values, strict=True))
        self.rounds, self.is_final_round = (*rounds, number), final and last
        try:
            yield
        finally:
            self.rounds, self.is_final_round = rounds, final
            for name in names:
                self.bindings.pop(name.text, None)
            self.bindings.update(before)


def find_last_definitions(body: Statements) -> dict[str, TypedName]:
    """The last definition of each name in a body, in textual order."""
    found: dict[str, TypedName] = {}
    for part in body:
        if isinstance(part, Assignment):
            found.update((target.name.text, target) for target in part.targets)
        elif isinstance(part, Repeat):
            found.update(find_last_definitions(part.body))
        else:
            assert isinstance(part, WeightDeclaration)
    return found
