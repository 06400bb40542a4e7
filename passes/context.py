"""The context of a compilation that passes receive: the target, and a list of notes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..compiler.ir import Graph, Node, Value
from ..compiler.target import Target


@dataclass(frozen=True, slots=True)
class Note:
    """What a pass did to one value (`done`), or why it declined, in one sentence."""

    rule: str
    value: str
    done: bool
    sentence: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.value}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Context:
    """Target and notes of a compilation, and the running pass (`rule`). Passes only append to `notes`."""

    target: Target = field(default_factory=Target)
    notes: list[Note] = field(default_factory=list)
    rule: str = ""

    def for_pass(self, rule: str) -> Context:
        """The same context, for the pass of that name."""
        return Context(self.target, self.notes, rule)

    def did(self, subject: Graph | Node | Value, sentence: str) -> None:
        """Note what the pass did to `subject`: a sentence without its subject."""
        self.notes.append(Note(self.rule, subject.name, True, sentence))

    def declined(self, subject: Node | Value, sentence: str) -> None:
        """Note why the pass left `subject` alone."""
        self.notes.append(Note(self.rule, subject.name, False, sentence))
