"""A draft as a file: the template word for word with its own epilogue, and what it is compiled with.

The file stands alone: Triton compiles it as it is, its docstring says in our language what it computes, and what stands
below the kernel is all that a launcher has to know.
"""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ...ir import Graph
from ...text import show
from .draft import Draft
from .parameters import Constant, leaves

TEMPLATES = Path(__file__).parents[1] / "templates"
EPILOGUE = re.compile(r"(@triton\.jit\ndef epilogue\([^\n]*\n)(.*?)\n\n\n", re.DOTALL)
IMPORT = re.compile(r"\nfrom \.functions import ([^\n]*)\n")


def write(draft: Draft, kernel: Graph) -> tuple[str, str]:
    """The kernel's name, from what it does and a hash of its code, and its file."""
    about, code = template(draft.template)
    used = set(draft.epilogue.functions) if draft.epilogue else set[str]()
    if found := IMPORT.search(code):
        used |= {name.strip() for name in found.group(1).split(",")}
        code = IMPORT.sub("", code)
    if draft.epilogue:
        body = "".join(f"    {line}\n" for line in draft.epilogue.lines)
        code = EPILOGUE.sub(lambda m: m.group(1) + body + "\n\n", code)
    if used:
        code = code.replace("\n\n@triton.jit", f"\n\n{functions(used)}\n\n\n@triton.jit", 1)
    code += "\n\n" + facts(draft)
    digest = hashlib.sha256(code.encode()).hexdigest()[:12]
    name = f"{kernel.name.rpartition('_')[0]}_{digest}"
    code = code.replace("\ndef kernel(", f"\ndef {name}(")
    return name, f'"""{show(kernel, kind="kernel")}\n{about}"""\n\n{code}'


def facts(draft: Draft) -> str:
    """Signature and constants as triton.compiler.ASTSource takes them, what is a multiple of 16, and options."""
    flat = {".".join(map(str, path)): p for path, p in leaves(draft.parameters)}
    stated = {
        "SIGNATURE": {name: p.signature for name, p in draft.parameters.items()},
        "CONSTANTS": {path: p.value for path, p in flat.items() if isinstance(p, Constant)},
        "ALIGNED": [path for path, p in flat.items() if p.aligned],
        "OPTIONS": {"num_warps": draft.warps, "num_stages": draft.stages, "enable_fp_fusion": True},
        "ARCHITECTURES": list(draft.architectures),
    }
    return "".join(wrapped(f"{name} = {value!r}") + "\n" for name, value in stated.items())


def wrapped(line: str) -> str:
    return "\n".join(textwrap.wrap(line, 118, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))


@cache
def template(name: str) -> tuple[str, str]:
    """What a template says about itself, and the code below."""
    text = (TEMPLATES / f"{name}.py").read_text("utf-8")
    about = ast.get_docstring(ast.parse(text), clean=False) or ""
    return about, text.split('"""\n', 2)[1].lstrip() if about.count("\n") == 0 else text.split('\n"""\n', 1)[1].lstrip()


def functions(used: Iterable[str]) -> str:
    """The scalar functions of these names and those that they call, word for word and in the file's order."""
    known = library()
    todo, found = list(used), set[str]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += known[name][1]
    return "\n\n\n".join(text for name, (text, _) in known.items() if name in found)


@cache
def library() -> dict[str, tuple[str, list[str]]]:
    """By name the text of each scalar function, and the other ones that it calls."""
    text = (TEMPLATES / "functions.py").read_text("utf-8")
    lines, found = text.splitlines(), dict[str, tuple[str, list[str]]]()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            first = min(d.lineno for d in node.decorator_list)
            called = {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
            found[node.name] = ("\n".join(lines[first - 1 : node.end_lineno]), sorted(called))
    return {name: (text, [c for c in called if c in found]) for name, (text, called) in found.items()}
