"""Pieces of C that several kernels share: indentation, and the epilogue with its operands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from .epilogue import Code, write_epilogue
from .site import Extra


def indent(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]


def loop_of(head: str, body: list[str]) -> list[str]:
    """A for loop, with braces if its body is more than one statement."""
    single = not any(line.startswith(("const ", "float ", "struct ")) for line in body)
    return [f"for ({head}){'' if single else ' {'}", *indent(body), *([] if single else ["}"])]


@dataclass(frozen=True)
class Epilogue:
    """What follows a kernel's sum: code lines of value 0, the sum, and 1, 2, ..., the other operands."""

    code: Code
    extras: tuple[Extra, ...]

    @cached_property
    def name(self) -> str:
        words = "_".join(line[0] for line in self.code[:3]) or "identity"
        return f"{words}_{hashlib.sha256(repr((self.code, len(self.extras))).encode()).hexdigest()[:6]}"

    @property
    def text(self) -> str:
        """The function."""
        return write_epilogue(self.name, self.code, len(self.extras))

    @property
    def doc(self) -> str:
        return ", " + ", ".join(str(line[0]) for line in self.code) if self.code else ""

    def pointers(self, channel: str, row: str, image: str, first: int, pixel: str = "0") -> list[str]:
        """Declare `extra`: the operands' places at this channel, row, image and pixel. They are in[first] and after."""
        terms = []
        for k, e in enumerate(self.extras, first):
            moves = [(row, e.row), (image, e.image), (pixel, e.col)]
            moved = [f"{index} * {by}L" for index, by in moves if by != 0 and index != "0"]
            terms.append(" + ".join([f"in[{k}] + {channel}", *moved]))
        return [f"const float *extra[] = {{{', '.join(terms) or '0'}}};"]
