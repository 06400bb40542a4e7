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

    def pointers(self, channel: str, row: str, image: str, first: int) -> list[str]:
        """Declare `extra`: the operands' places at this channel, row and image. They are in[first] and those after."""
        terms = []
        for k, e in enumerate(self.extras, first):
            moved = [f"in[{k}] + {channel}"]
            moved += [f"{row} * {e.row}L"] * (e.row != 0 and row != "0") + [f"{image} * {e.image}L"] * (
                e.image != 0 and image != "0"
            )
            terms.append(" + ".join(moved))
        return [f"const float *extra[] = {{{', '.join(terms) or '0'}}};"]

    def at(self, pixel: str) -> str:
        """The last arguments of `tile`: count, places at this pixel, floats between pixels, and the function."""
        places = ", ".join(f"extra[{k}]" + f" + {pixel} * {e.col}L" * (e.col != 0) for k, e in enumerate(self.extras))
        steps = ", ".join(str(e.col) for e in self.extras)
        return (
            f"{len(self.extras)}, (const float *[]){{{places or '0'}}}, (const long[]){{{steps or '0'}}}, {self.name}"
        )
