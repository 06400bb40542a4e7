"""Renders a kernel spec as a Triton source file: the template verbatim, with its epilogue and compile metadata.

The file is self-contained: Triton compiles it as it is, its docstring is the kernel in cortado's language, and the
metadata below the kernel is all that compiling it needs.
"""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
from collections.abc import Iterable
from functools import cache
from math import isfinite
from pathlib import Path

from ...ir import Graph
from ...text import show
from .expr import to_expr
from .kernel_spec import KernelSpec
from .parameters import Constexpr, leaves

TEMPLATE_FOLDER = Path(__file__).with_name("templates")
EPILOGUE_PATTERN = re.compile(r"(@triton\.jit\ndef epilogue\([^\n]*\n)(.*?)\n\n\n", re.DOTALL)
IMPORT_PATTERN = re.compile(r"\nfrom \.(?:functions|tensor_cores) import ([^\n]*)\n")
SIGNATURE_PATTERN = re.compile(r"\ndef kernel\(.*?\):(?:  # fmt: skip)?\n", re.DOTALL)
OVERLAP_IMPORT = "from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait"
OVERLAP_LINES = """\
    gdc_wait()  # this launch may be ahead of the one before, whose results it reads and whose operands it overwrites
    gdc_launch_dependents()
"""
FUNCTION_FILES = ("functions.py", "tensor_cores.py")


def render_source(spec: KernelSpec, kernel: Graph) -> tuple[str, str]:
    """The kernel's name, which ends in a hash of the code below the docstring, and the text of its file."""
    about, code = read_template(spec.template)
    used = set(spec.epilogue.functions) if spec.epilogue else set[str]()
    if found := IMPORT_PATTERN.search(code):
        used |= {name.strip() for name in found.group(1).split(",")}
        code = IMPORT_PATTERN.sub("", code)
    if spec.epilogue:
        body = "".join(f"    {line}\n" for line in spec.epilogue.lines)
        code = EPILOGUE_PATTERN.sub(lambda m: m.group(1) + body + "\n\n", code)
    if used:
        code = code.replace("\n\n@triton.jit", f"\n\n{function_sources(used)}\n\n\n@triton.jit", 1)
    if spec.overlaps:
        code = code.replace("import triton.language as tl\n", f"import triton.language as tl\n{OVERLAP_IMPORT}\n", 1)
        code = SIGNATURE_PATTERN.sub(lambda m: m.group() + OVERLAP_LINES, code, count=1)
    code += "\n\n" + render_metadata(spec)
    digest = hashlib.sha256(code.encode()).hexdigest()[:12]
    name = f"{kernel.name.rpartition('_')[0]}_{digest}"
    code = code.replace("\ndef kernel(", f"\ndef {name}(")
    return name, f'"""{show(kernel, kind="kernel")}\n{about}"""\n\n{code}'


def render_metadata(spec: KernelSpec) -> str:
    """Signature and constants as triton.compiler.ASTSource takes them, parameters divisible by 16, and options."""
    flat = {".".join(map(str, path)): p for path, p in leaves(spec.parameters)}
    metadata = {
        "SIGNATURE": {name: p.signature for name, p in spec.parameters.items()},
        "CONSTANTS": {path: p.value for path, p in flat.items() if isinstance(p, Constexpr)},
        "ALIGNED": [path for path, p in flat.items() if p.is_aligned],
        "OPTIONS": {"num_warps": spec.warps, "num_stages": spec.stages, "enable_fp_fusion": True},
        "ARCHITECTURES": list(spec.architectures),
    }
    return "".join(wrap_line(f"{name} = {format_value(value)}") + "\n" for name, value in metadata.items())


def format_value(value: object) -> str:
    """A Python literal; numbers that have none, infinities and NaN, as `float("inf")`."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {format_value(item)}' for key, item in value.items())}}}"
    return str(to_expr(value)) if isinstance(value, float) and not isfinite(value) else repr(value)


def wrap_line(line: str) -> str:
    return "\n".join(textwrap.wrap(line, 118, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))


@cache
def read_template(name: str) -> tuple[str, str]:
    """A template's docstring, and the code below it."""
    text = (TEMPLATE_FOLDER / f"{name}.py").read_text("utf-8")
    about = ast.get_docstring(ast.parse(text), clean=False) or ""
    return about, text.split('"""\n', 2)[1].lstrip() if about.count("\n") == 0 else text.split('\n"""\n', 1)[1].lstrip()


def function_sources(used: Iterable[str]) -> str:
    """The source of the named functions and all that they call, in the order of their files."""
    known = read_functions()
    todo, found = list(used), set[str]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += known[name][1]
    return "\n\n\n".join(text for name, (text, _) in known.items() if name in found)


@cache
def read_functions() -> dict[str, tuple[str, list[str]]]:
    """By name, the source of each function that templates share, and the names of the others that it calls."""
    found = dict[str, tuple[str, list[str]]]()
    for file in FUNCTION_FILES:
        text = (TEMPLATE_FOLDER / file).read_text("utf-8")
        lines = text.splitlines()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                first = min(d.lineno for d in node.decorator_list)
                called = {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
                found[node.name] = ("\n".join(lines[first - 1 : node.end_lineno]), sorted(called))
    return {name: (text, [c for c in called if c in found]) for name, (text, called) in found.items()}
