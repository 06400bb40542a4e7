"""What a pass is told, and what it may say: the target, and a place for notes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..compiler.ir import Graph, Node, Value
from ..compiler.target import Target


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence of a pass on one value: what it did, or why it did not."""

    rule: str
    value: str
    done: bool
    sentence: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.value}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Context:
    """The circumstances of a compilation. Nothing in it changes but the list of notes, which only grows."""

    target: Target = field(default_factory=Target)
    notes: list[Note] = field(default_factory=list)
    rule: str = ""

    def for_pass(self, rule: str) -> Context:
        """The same circumstances, for the pass of that name."""
        return Context(self.target, self.notes, rule)

    def did(self, subject: Graph | Node | Value, sentence: str) -> None:
        self.notes.append(Note(self.rule, subject.name, True, sentence))

    def declined(self, subject: Node | Value, sentence: str) -> None:
        self.notes.append(Note(self.rule, subject.name, False, sentence))
