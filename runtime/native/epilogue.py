"""The epilogue of a kernel as a C function on vectors, written from the same code lines as the primitive `expr`."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

Code = Sequence[Sequence[Any]]
SPECIAL = {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN"}


def format_float(value: float | str) -> str:
    """A C float literal that is exactly this float32 number."""
    with np.errstate(over="ignore"):
        number = float(np.float32(value))
    return f"{number!r}f" if isfinite(number) else SPECIAL[str(number)]


def write_expression(code: Code, operands: Sequence[str]) -> list[str]:
    """Lines of C that compute `code` on these vectors; the last one returns the result."""
    names, lines = list(operands), list[str]()

    def argument(given: Any) -> str:
        return f"splat({format_float(given['c'])})" if isinstance(given, dict) else names[given]

    for i, (function, *arguments) in enumerate(code):
        call = f"v_{function}({', '.join(map(argument, arguments))})"
        names.append(f"t{i}")
        lines.append(f"return {call};" if i == len(code) - 1 else f"vec t{i} = {call};")
    return lines


def write_epilogue(name: str, code: Code, extras: int) -> str:
    """The function `name` of the value so far, `a`, and the places of `extras` other operands."""
    lines = write_expression(code, ["a", *(f"LOAD(e[{i}])" for i in range(extras))]) if code else ["return a;"]
    body = "\n".join(f"    {line}" for line in lines)
    return f"INLINE vec {name}(vec a, const float *const *e)\n{{\n    (void)e;\n{body}\n}}\n"
