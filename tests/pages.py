"""Runs the examples of a page of documentation in order, in one process, in the working directory.

    python tests/pages.py docs/embedding.md

Fenced blocks of `python` are executed, `sh` is run by bash, `net` and `prototxt` are parsed; with `file=NAME` after the
language, a block is written to that file instead, as one of `c` always is. A `text` block is the expected output of the
block before it, where `...` matches anything. `<!-- not run: WHY -->` above a block skips it. At the first block that
fails, the program prints its location and exits with code 1.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / ".src"
LANGUAGES = ("python", "sh", "net", "prototxt", "c", "text")
FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*) *(?P<rest>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.M | re.S)
SKIP_COMMENT = re.compile(r"<!-- not run: ([^>]+?) -->\s*\Z")


@dataclass(frozen=True, slots=True)
class PageBlock:
    """One fenced block; `line` is the line of its fence, `why` the reason for not running it."""

    page: str
    line: int
    language: str
    file: str
    text: str
    why: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> Iterator[PageBlock]:
    """The blocks of a page in order."""
    text = path.read_text("utf-8")
    for found in FENCE.finditer(text):
        before = SKIP_COMMENT.search(text[: found.start()])
        name = re.fullmatch(r"file=(\S+)", found["rest"].strip())
        line = text.count("\n", 0, found.start()) + 1
        why, file = before[1] if before else "", name[1] if name else ""
        yield PageBlock(str(path), line, found["language"], file, found["text"], why)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        write_command(Path(folder))
        os.environ["PATH"] = os.pathsep.join((folder, os.environ["PATH"]))
        os.environ["PYTHONPATH"] = str(SOURCES)
        sys.path.insert(0, str(SOURCES))
        return run_page(list(blocks(Path(sys.argv[1]))))


def write_command(folder: Path) -> None:
    """Write a command `cortado` that runs this checkout."""
    (folder / "cortado").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cortado "$@"\n')
    (folder / "cortado").chmod(0o755)


def run_page(page: list[PageBlock]) -> int:
    names: dict[str, Any] = {"__name__": "__page__"}
    printed: str | None = None
    for block in page:
        if block.why:
            printed = None
            continue
        try:
            if block.language == "text":
                compare(block, printed)
                printed = None
            else:
                printed = run_block(block, names)
        except BaseException as e:
            traceback.print_exception(e)
            print(f"{block}: this block fails or prints something else", file=sys.stderr)
            return 1
    return 0


def run_block(block: PageBlock, names: dict[str, Any]) -> str:
    """Run a block. Returns its output."""
    if block.file:
        Path(block.file).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file).write_text(block.text, "utf-8")
        return ""
    match block.language:
        case "python":
            with redirect_stdout(io.StringIO()) as out:  # leading newlines give tracebacks the line numbers of the page
                exec(compile("\n" * block.line + block.text, block.page, "exec", dont_inherit=True), names)
            return out.getvalue()
        case "sh":
            call = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.text],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert call.returncode == 0, f"exit code {call.returncode}\n{call.stdout}"
            return call.stdout
        case "net":
            from cortado.compiler.text import parse, show

            return show(parse(block.text, block.page))
        case "prototxt":
            from cortado.frontends.files.prototxt import parse as parse_prototxt

            parse_prototxt(block.text, block.page)
            return ""
    raise ValueError(f"a block of {block.language or 'no language'}: it is one of {', '.join(LANGUAGES)}")


def compare(expected: PageBlock, printed: str | None) -> None:
    assert printed is not None, "there is no block that ran before this text"
    pattern = ".*?".join(map(re.escape, trim_lines(expected.text).split("...")))
    assert re.fullmatch(pattern, trim_lines(printed), re.S), f"the block before printed\n{printed}"


def trim_lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


if __name__ == "__main__":
    sys.exit(main())
