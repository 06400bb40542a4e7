"""Errors in the user's files: message, source location with an excerpt, and advice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loc:
    """A source location: file, line and column, both counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class CompileError(Exception):
    """An error in a net or in a command's arguments: what is wrong, where, and what to do.

        lenet.prototxt:12:3: layer "conv1": the weights take 3 channels, "data" has 1
            layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
            ^
        Give the input 3 channels, or take the weights of this net.

    `text` is the whole text of the file of `loc`, or "" if it is not at hand; `advice` is one sentence.
    """

    def __init__(self, message: str, loc: Loc | None = None, text: str = "", advice: str = "") -> None:
        self.message, self.loc, self.text, self.advice = message, loc, text, advice
        super().__init__(message)

    def __str__(self) -> str:
        lines = [f"{self.loc}: {self.message}" if self.loc else self.message]
        lines += self.excerpt()
        if self.advice:
            lines.append(self.advice)
        return "\n".join(lines)

    def excerpt(self) -> list[str]:
        """The line of `loc`, cut to 110 columns, and a line with a caret under its column; [] without a text."""
        lines = self.text.split("\n")
        if self.loc is None or not self.text or not 1 <= self.loc.line <= len(lines):
            return []
        line, column = lines[self.loc.line - 1].rstrip("\r"), self.loc.column - 1
        start = max(0, column - 60) if len(line) > 110 else 0
        shown = "".join(c if c.isprintable() else " " for c in line[start : start + 110])
        return [f"    {shown}", f"    {' ' * min(column - start, len(shown))}^"]


class Unsupported(CompileError):
    """A target has no kernel for a node. The node runs on the host if it can, and the reason is reported."""


class CompileErrors(CompileError):
    """Several errors in one text, reported together. `message` and `loc` are those of the first."""

    def __init__(self, errors: Iterable[CompileError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.message, first.loc, first.text, first.advice)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.errors))


def sort_by_location(errors: Iterable[CompileError]) -> list[CompileError]:
    """Sort errors by line and column; those without a location come last."""
    return sorted(errors, key=lambda e: (e.loc.line, e.loc.column) if e.loc else (1 << 31, 0))


def raise_all(errors: Iterable[CompileError]) -> None:
    """Raise the only error, or all of them as CompileErrors; nothing if there are none."""
    found = list(errors)
    if len(found) == 1:
        raise found[0]
    if found:
        raise CompileErrors(found)
