"""Python 2 as Python 3: a script is translated by fissix, and keeps its division, `round` and strings of bytes."""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import warnings
from collections.abc import Set
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from math import isfinite
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

FUTURE = re.compile(r"^from __future__ import +\(?([\w, ]+)", re.M)
CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")  # PEP 263
TRANSPARENT = "surrogateescape"  # decoding that keeps bytes which are no text
WHOLE_DOUBLES = 2.0**52  # from here on every float64 is a whole number


def parse(source: str | bytes, name: str, futures: Set[str] = frozenset()) -> ast.Module:
    """The syntax tree, in Python 3, of a text in Python 2, or in Python 3 if it is none in Python 2.

    `futures` are features that hold besides those that it imports from `__future__`. SyntaxError if it is neither;
    ImportError without fissix.
    """
    text = (source if isinstance(source, str) else decode(source)).expandtabs(8).replace("\r\n", "\n")
    try:
        translated = translate(text + "\n", name, "print_function" in futures)
    except SyntaxError:
        with suppress(SyntaxError):
            return ast.parse(source, name)
        raise
    tree = OldStrings().visit(ast.parse(translated, name))
    if "division" not in futures | features_of(text):
        tree = OldDivision().visit(tree)
    made: ast.Module = ast.fix_missing_locations(tree)
    return made


def decode(source: bytes) -> str:
    """The text of a source: in the encoding that its first two lines name, else UTF-8, else Latin-1."""
    named = CODING.search(b"\n".join(source.split(b"\n")[:2]))
    try:
        return source.decode(named[1].decode() if named else "utf-8-sig")
    except (LookupError, UnicodeDecodeError):
        return source.decode("latin-1")


def features_of(text: str | bytes) -> set[str]:
    """What a text imports from `__future__`."""
    found = FUTURE.findall(text if isinstance(text, str) else decode(text))
    return {name.strip() for names in found for name in names.split(",")}


def translate(text: str, name: str, has_print_function: bool = False) -> str:
    """The text in Python 3's syntax and names. ImportError, saying what to install, without fissix."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fissix.pgen2.parse import ParseError
            from fissix.refactor import RefactoringTool, get_fixers_from_package
    except ImportError:
        raise ImportError("translating Python 2 needs fissix: pip install cortado-caffe[pycaffe]") from None
    as_function, faults = {"print_function": True}, list[SyntaxError]()
    for options in (as_function,) if has_print_function else ({}, as_function):  # a file may call print(..., file=f)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tool = RefactoringTool(get_fixers_from_package("fissix.fixes"), options)
                return str(tool.refactor_string(text, name))
        except ParseError as e:
            line, column = e.context[1]
            faults.append(SyntaxError(e.msg, (name, line, column, text.split("\n")[line - 1])))
    raise faults[0]


class OldStrings(ast.NodeTransformer):
    """Puts Python 2's StringIO in the place of `io.StringIO`, which fissix has put there."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == "StringIO" and isinstance(node.value, ast.Name) and node.value.id == "io":
            return ast.copy_location(ast.Name("__StringIO__", node.ctx), node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.AST]:
        found = [alias for alias in node.names if node.module == "io" and alias.name == "StringIO"]
        node.names = [alias for alias in node.names if alias not in found]
        given = [
            ast.copy_location(
                ast.Assign([ast.Name(alias.asname or alias.name, ast.Store())], ast.Name("__StringIO__", ast.Load())),
                node,
            )
            for alias in found
        ]
        return [*([node] if node.names else []), *given]


class OldDivision(ast.NodeTransformer):
    """Rewrites `a / b` so that it is Python 2's: of two integers, or arrays of integers, the floor."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        return ast.copy_location(ast.Call(ast.Name("__divide__", ast.Load()), [node.left, node.right], []), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Div):
            node.value = ast.Call(ast.Name("__divisor__", ast.Load()), [node.value], [])
        return node


def divide(left: Any, right: Any) -> Any:
    """Python 2's `left / right`."""
    return left // right if is_whole(left) and is_whole(right) else left / right


def is_whole(value: Any) -> bool:
    """True for integers and arrays of integers."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "iub"
    return isinstance(value, int)


class OldStringIO(io.BytesIO):
    """Python 2's StringIO, where text was bytes: it gives back text, or bytes if what it holds is none."""

    def __init__(self, content: str | bytes | bytearray = "") -> None:
        self.is_text = True
        super().__init__(self.as_bytes(content))

    def as_bytes(self, content: Any) -> bytes:
        """The bytes of what is put in; text may hold bytes, as `open_transparently` reads them."""
        data = content.encode("utf-8", TRANSPARENT) if isinstance(content, str) else bytes(content)
        self.is_text = self.is_text and isinstance(content, str) and content.encode("utf-8", "ignore") == data
        return data

    def as_given(self, data: bytes) -> Any:
        return data.decode() if self.is_text else data

    def write(self, content: Any) -> int:
        """Append text or bytes."""
        return super().write(self.as_bytes(content))

    def read(self, size: int | None = -1) -> Any:
        """The next text or bytes."""
        return self.as_given(super().read(size))

    def readline(self, size: int | None = -1) -> Any:
        """The next line."""
        return self.as_given(super().readline(size))

    def getvalue(self) -> Any:
        """All of it."""
        return self.as_given(super().getvalue())


def open_transparently(file: Any, mode: str = "r", *settings: Any, **named: Any) -> Any:
    """Python 2's `open`: text is not decoded, so that mode "r" reads any bytes, and "w" writes them again."""
    if "b" in mode or settings or named:
        return open(file, mode.replace("U", ""), *settings, **named)
    return open(file, mode.replace("U", ""), encoding="utf-8", errors=TRANSPARENT, newline="\n")


class Divisor:
    """The right side of Python 2's `/=`: an array on the left is changed in place, as `/=` does."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        """What an array calls for `array /= divisor`."""
        return self.__rtruediv__(inputs[0])

    def __rtruediv__(self, left: Any) -> Any:
        if is_whole(left) and is_whole(self.value):
            left //= self.value
        else:
            left /= self.value
        return left


def round_half_away(number: Any, digits: int = 0) -> float:
    """Python 2's `round`: a float, with halves away from zero."""
    value = float(number)
    if not isfinite(value) or abs(value) >= WHOLE_DOUBLES:
        return value
    return float(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def compare(left: Any, right: Any) -> int:
    """Python 2's `cmp`."""
    return int(left > right) - int(left < right)


NAMES = {
    "__divide__": divide,
    "__divisor__": Divisor,
    "__StringIO__": OldStringIO,
    "round": round_half_away,
    "cmp": compare,
    "open": open_transparently,
}


class OldLoader(SourceFileLoader):
    """Loads a module of Python 2; nothing is cached, since other programs may load the same file as it is."""

    def get_code(self, fullname: str) -> CodeType:
        """The translated code. SyntaxError if it is neither Python 2 nor 3."""
        path = self.get_filename(fullname)
        return compile(parse(self.get_data(path), path), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, with the names that it finds in Python 2."""
        vars(module).update(NAMES)
        super().exec_module(module)


def absolute(path: str | Path) -> Path:
    """The whole path, with links as they are: where a package is found decides, and not where it lies."""
    return Path(os.path.abspath(path))


def translate_imports(folder: Path) -> None:
    """Translate, from now on, the modules that lie in a script's folder, or where the script adds to `sys.path`."""
    known = {absolute(path) for path in sys.path} - {folder}

    def find_in(path: str) -> FileFinder:
        above = [home for home in (folder, *known) if absolute(path).is_relative_to(home)]
        if max(above, key=lambda home: len(home.parts), default=folder) != folder:
            raise ImportError(path)
        return FileFinder(path, (OldLoader, [".py"]), (ExtensionFileLoader, EXTENSION_SUFFIXES))

    sys.path_hooks.insert(0, find_in)
    sys.path_importer_cache.clear()
