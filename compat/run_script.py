"""Runs a person's script or notebook in a process in which a door stands open: what both `python -m` commands share."""

from __future__ import annotations

import ast
import builtins
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import click

from . import python2
from .removed_names import add_removed_names

CONTEXT = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": ["-h", "--help"]}


class ScriptError(click.ClickException):
    """A script that cannot be run at all; the command ends with 2."""

    exit_code = 2


def script_command(program: str, help: str, prepare: Callable[[], None]) -> click.Command:
    """The command `program [--py2] SCRIPT [ARGS]...`; `prepare` opens the door, before the script is read."""

    @click.command(program, help=help, context_settings=CONTEXT)
    @click.option("--py2", is_flag=True, help="The script is written for Python 2: translate it (needs fissix).")
    @click.argument("script", type=click.Path(path_type=Path))
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(py2: bool, script: Path, arguments: tuple[str, ...]) -> None:
        prepare()
        run_script(script, arguments, py2)

    return command


def run_script(path: Path, arguments: tuple[str, ...] = (), py2: bool = False) -> None:
    """Run a Python file, or the code cells of an .ipynb, as `__main__`, with these command line arguments.

    ScriptError if it cannot be read or is no Python; what the script raises goes through.
    """
    parts = list(compile_parts(path, py2))
    main = ModuleType("__main__")
    names: dict[str, Any] = {"__file__": str(path), "__builtins__": builtins}
    main.__dict__.update(names)
    sys.modules["__main__"] = main
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    add_removed_names()
    if py2:
        python2.translate_imports(python2.absolute(path).parent)
        main.__dict__.update(python2.NAMES)
    for code in parts:
        try:
            exec(code, main.__dict__)
        except Exception as e:  # as Python prints it for a script, without this file's own frames
            traceback.print_exception(type(e), e, e.__traceback__ and e.__traceback__.tb_next)
            sys.exit(1)


def compile_parts(path: Path, py2: bool) -> Iterator[CodeType]:
    """The code of a script, or of each cell of a notebook. ScriptError if it cannot be read or compiled."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ScriptError(f"{path}: {e.strerror or e}") from None
    notebook = path.suffix == ".ipynb"
    sources = [(name, plain_python(text)) for name, text in cells(data, path)] if notebook else [(str(path), data)]
    futures = set[str]()  # that a notebook's earlier cells have imported hold in the later ones, too
    for name, source in sources:
        try:
            tree = python2.parse(source, name, futures) if py2 else ast.parse(source, name)
            futures |= python2.features_of(source)
            yield from compile_shown(tree, name) if notebook else [compile(tree, name, "exec", dont_inherit=True)]
        except (SyntaxError, ValueError) as e:
            raise syntax_error(e, name, py2) from None
        except ImportError as e:
            raise ScriptError(str(e)) from None


def syntax_error(error: SyntaxError | ValueError, name: str, py2: bool) -> ScriptError:
    """The one sentence about a file that is no Python."""
    line = getattr(error, "lineno", None)
    where, text = f"{name}:{line}" if line else name, (getattr(error, "text", None) or "").strip()
    advice = "" if py2 else "\nIf it is written for Python 2, put --py2 before its name."
    return ScriptError(f"{where}: {getattr(error, 'msg', error)}{f': {text}' if text else ''}{advice}")


def cells(data: bytes, path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and source of each code cell of a notebook, of format 3 or 4. ScriptError if it is none."""
    try:
        notebook = json.loads(data)
        found: list[Mapping[str, Any]] = [
            *notebook.get("cells", ()),
            *(cell for sheet in notebook.get("worksheets", ()) for cell in sheet["cells"]),
        ]
        code = [c.get("source", c.get("input", "")) for c in found if c["cell_type"] == "code"]
    except (ValueError, AttributeError, KeyError, TypeError):
        raise ScriptError(f"{path}: it is no Jupyter notebook") from None
    for number, source in enumerate(code, 1):
        yield f"{path}, code cell {number}", source if isinstance(source, str) else "".join(source)


def plain_python(source: str) -> str:
    """A cell without IPython's own commands: `%matplotlib inline`, `!ls`, `net?`; one that begins with %% is empty."""
    if source.lstrip().startswith("%%"):
        return ""
    return "\n".join(map(plain_line, source.split("\n")))


def plain_line(line: str) -> str:
    inner = line.strip()
    own = inner.startswith(("%", "!")) or (inner.endswith("?") and not inner.startswith("#"))
    return line[: len(line) - len(line.lstrip())] + "pass" if own else line


def compile_shown(tree: ast.Module, name: str) -> Iterator[CodeType]:
    """The code of a cell; a last line that is an expression shows its value, as a notebook does."""
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
        yield compile(tree, name, "exec", dont_inherit=True)
        yield compile(ast.Interactive([last]), name, "single", dont_inherit=True)
    else:
        yield compile(tree, name, "exec", dont_inherit=True)
