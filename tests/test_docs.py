"""Every example of README and docs runs, every table worked out from the code is current, every link leads on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cortado.cli import main
from cortado.cli.caffe_tools import command_name
from cortado.compat.pycaffe.__main__ import command as run_pycaffe
from cortado.docs.tables import PAGES as GENERATED
from cortado.docs.tables import update_parts

from .pages import FENCE, LANGUAGES, ROOT, blocks

FOLDERS = ("docs", "examples", "benchmarks")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
RUN = [p for p in PAGES if any(not b.why for b in blocks(p))]
NOT_RUN = 13  # blocks that need what a test does not have: a package index, a GPU, a published model
NEEDS_COMPILER = "<!-- needs a C compiler -->"  # on a page, whose examples are skipped where there is none
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", RUN, ids=name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "digits", tmp_path / "examples" / "digits")
    settings = os.environ | {"OMP_NUM_THREADS": "1", "CORTADO_CACHE": str(tmp_path / "cache")}
    if NEEDS_COMPILER in page.read_text("utf-8"):
        if not all(map(shutil.which, ("cc", "make"))):
            pytest.skip("there is no C compiler, or no make")
        del settings["CORTADO_CC"]
    script = [sys.executable, "-W", "error", str(ROOT / "tests" / "pages.py"), str(page)]
    done = subprocess.run(script, cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_blocks_say_what_they_are() -> None:
    """A fence without a language, or of one that nothing runs, would be an example that nobody checks."""
    assert [str(b) for p in PAGES for b in blocks(p) if b.language not in LANGUAGES] == []


def test_blocks_that_do_not_run_are_few_and_known() -> None:
    left_out = [b for p in PAGES for b in blocks(p) if b.why]
    assert all(len(b.why) > 10 for b in left_out)
    assert len(left_out) == NOT_RUN, "\n".join(f"{b}: {b.why}" for b in left_out)


def test_a_page_that_lies_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for text, right in (
        ("```sh\necho one two\n```\n\n```text\none ...\n```\n", True),
        ("```sh\necho one\n```\n\n```text\ntwo\n```\n", False),
        ("```python\nx = 1\n```\n\n```python\nprint(x + 1)\n```\n\n```text\n2\n```\n", True),
        ("```python\nraise ValueError\n```\n", False),
        ("```sh\nfalse\n```\n", False),
        ("```net\nnet n(x: f32[2]) {\n    return y\n}\n```\n", False),
        ("```text\nnothing ran\n```\n", False),
        ("<!-- not run: it is wrong -->\n```sh\nfalse\n```\n", True),
    ):
        page.write_text(text)
        script = [sys.executable, str(ROOT / "tests" / "pages.py"), str(page)]
        done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode == 0) is right, text + done.stderr


@pytest.mark.parametrize("page", GENERATED)
def test_tables_are_current(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert update_parts(text) == text, "make docs brings it up to date"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text("utf-8"))
    for target in LINK.findall(text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = page.parent / file if file else page
        assert found.exists(), f"{target}: there is no such file"
        assert not anchor or anchor in anchors(found), f"{target}: there is no such heading"


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent.name != "benchmarks"], ids=name)
def test_a_page_names_only_commands_and_options_that_exist(page: Path) -> None:
    """In prose: `cortado show` is a command, and `--after-all` an option of some command."""
    text = FENCE.sub("", page.read_text("utf-8"))
    known = {o for c in (*main.commands.values(), run_pycaffe) for p in c.params for o in (*p.opts, *p.secondary_opts)}
    assert {command_name(word) for word in re.findall(r"`cortado ([\w-]+)", text)} <= set(main.commands)
    options = {word.replace("_", "-") for word in re.findall(r"`(--\w[\w-]*)", text)}
    assert options <= known | {"--help"}
