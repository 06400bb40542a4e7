"""The house rules that a machine can hold us to: who imports whom, how long a file gets, what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cli", "compat", "compiler", "exporters", "frontends", "passes", "runtime")
MAY_IMPORT = {
    "api": {"api", "compat", "compiler", "exporters", "frontends", "passes", "runtime"},
    "compat": {"compat", "compilation", "driver", "plugins", "compiler", "frontends", "passes", "runtime"},
    "exporters": {"exporters", "compilation", "driver", "version", "compiler", "frontends", "passes", "runtime"},
    "passes": {"passes", "compiler", "runtime.output"},
    "frontends": {"frontends", "compiler", "runtime.elf", "runtime.output"},
    "compiler": {"compiler", "runtime.artifact", "runtime.native.source", "runtime.output"},
    "runtime": {"runtime"},
}
MAX_LINES = 300  # lines: three screens
MODULES = {
    ".".join(("cortado", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in [*ROOT.glob("*.py"), *(p for floor in PACKAGES for p in (ROOT / floor).rglob("*.py"))]
}


def imports(source: str, module: str, package: bool) -> Iterator[str]:
    """What a module imports, at its top or anywhere inside, as dotted names: the most precise module there is."""
    home = module if package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = home.split(".")[: len(home.split(".")) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{whole}.{alias.name}" if f"{whole}.{alias.name}" in MODULES else whole


def package_of(module: str) -> str:
    """Where a module of ours lives; the modules at the root and the command line are the face."""
    first = module.split(".")[1:2]
    return first[0] if first and first[0] in PACKAGES[1:] else "api"


def is_allowed(importer: str, imported: str) -> bool:
    inside = imported.removeprefix("cortado.")
    return any(
        package_of(imported) == way or inside == way or inside.startswith(f"{way}.")
        for way in MAY_IMPORT[package_of(importer)]
    )


def own_imports(module: str) -> list[str]:
    path = MODULES[module]
    found = imports(path.read_text("utf-8"), module, path.name == "__init__.py")
    return [name for name in found if name.split(".")[0] == "cortado"]


@pytest.mark.parametrize("module", MODULES)
def test_imports_respect_the_package_order(module: str) -> None:
    assert [name for name in own_imports(module) if not is_allowed(module, name)] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_relative(module: str) -> None:
    """An absolute `import cortado.x` would find an installed cortado in place of this one."""
    absolute = [n for n in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))) if is_absolute_import(n)]
    assert [n.lineno for n in absolute] == []  # type: ignore[attr-defined]


def is_absolute_import(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in ("cortado", *PACKAGES) for alias in node.names)
    return (
        isinstance(node, ast.ImportFrom)
        and not node.level
        and (node.module or "").split(".")[0] in ("cortado", *PACKAGES)
    )


def test_no_imports_go_in_a_circle() -> None:
    """Imports inside functions count too: they would hide a circle, not undo it."""
    graph = {module: {name for name in own_imports(module) if name != module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        pytest.fail(" <- ".join(e.args[1]))


def test_no_packages_import_each_other() -> None:
    """Inside each package its subpackages and its single files are the nodes: none may import its way back."""
    for package in {module.rpartition(".")[0] for module in MODULES}:
        inside = [module for module in MODULES if module.startswith(f"{package}.")]
        graph: dict[str, set[str]] = {}
        for module in inside:
            child = module.removeprefix(f"{package}.").split(".")[0]
            found = {n.removeprefix(f"{package}.").split(".")[0] for n in own_imports(module) if n in inside}
            graph.setdefault(child, set()).update(found - {child})
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as e:
            pytest.fail(f"in {package}: {' <- '.join(e.args[1])}")


@pytest.mark.parametrize(
    ("importer", "written", "caught"),
    [
        ("passes.fuse", "from ..frontends import prototxt", True),
        ("passes.fuse", "def f():\n    from .. import driver", True),
        ("passes.fuse", "from cortado import runtime", True),
        ("passes.fuse", "import cortado.passes.context", False),
        ("frontends.caffe.net", "from ...passes import run", True),
        ("exporters.caffe", "from ..passes.fold_batchnorm import fold_batchnorm", False),
        ("exporters.caffe", "from ..compat.live_net import LiveNet", True),
        ("passes.fuse", "from ..exporters import exporter", True),
        ("frontends.caffe.net", "from ...compiler.ir import Graph", False),
        ("compiler.build", "from ..runtime.artifact import Plan", False),
        ("compiler.build", "from ..runtime import load", True),
        ("compiler.build", "from ..runtime.plan import Plan", True),
        ("runtime.net", "from ..compiler.types import DTYPES", True),
        ("runtime.net", "from .. import compile", True),
        ("runtime.net", "from .plan import Plan", False),
        ("cli.run", "from ..runtime import load", False),
    ],
)
def test_a_wrong_import_would_be_caught(importer: str, written: str, caught: bool) -> None:
    found = list(imports(written, f"cortado.{importer}", package=False))
    assert found and any(not is_allowed(f"cortado.{importer}", name) for name in found) is caught


@pytest.mark.parametrize("name", ["compiler", "frontends", "passes", "runtime"])
def test_lint_refuses_an_import_from_the_root(name: str) -> None:
    """`import compiler` works where the checkout is the working directory, and nowhere else."""
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", "tests/x.py", "-"]
    done = subprocess.run(ruff, input=f"import {name}\n", cwd=ROOT, capture_output=True, text=True)
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed")
    assert "TID251" in done.stdout and done.returncode == 1


@pytest.mark.parametrize("module", MODULES)
def test_a_file_is_short_and_says_what_it_is(module: str) -> None:
    text = MODULES[module].read_text("utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "no docstring: say in a sentence what this file is for"


def loaded_modules(statement: str) -> set[str]:
    """The modules that a fresh Python has after a statement, beyond those that it always has."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / ".src", capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def unwanted_modules(modules: set[str], *unwanted: str) -> list[str]:
    return sorted(m for m in modules if any(m == name or m.startswith(f"{name}.") for name in unwanted))


def test_importing_cortado_imports_nothing() -> None:
    heavy = ("torch", "numpy", "click", "lark", "google", "networkx", "importlib.metadata", "pathlib")
    found = loaded_modules("import cortado")
    assert {m for m in found if m.startswith("cortado")} == {"cortado", "cortado.installation", "cortado.version"}
    assert unwanted_modules(found, *heavy) == []


def test_the_command_line_starts_without_the_compiler() -> None:
    heavy = ("torch", "numpy", "lark", "google", "networkx", "rich", "PIL")
    started = loaded_modules("import cortado.__main__")
    assert "click" in started
    assert (
        unwanted_modules(started, *heavy, "cortado.driver", "cortado.compiler", "cortado.runtime", "cortado.passes")
        == []
    )


def test_the_runtime_stands_alone() -> None:
    upstairs = [f"cortado.{name}" for name in ("compiler", "passes", "frontends", "driver", "cli")]
    found = loaded_modules("import cortado.runtime; cortado.runtime.load")
    assert "cortado.runtime.net" in found
    assert (
        unwanted_modules(found, *upstairs, "lark", "google.protobuf", "networkx", "triton", "click", "rich", "PIL")
        == []
    )


def test_opening_a_library_needs_numpy_alone() -> None:
    assert {m for m in loaded_modules("import cortado.runtime") if "." in m and "cortado" in m} == {
        "cortado.installation", "cortado.runtime", "cortado.version",
    }  # fmt: skip
    found = loaded_modules("import cortado.runtime; cortado.runtime.open_library")
    assert "numpy" in found and unwanted_modules(found, "torch", "safetensors", "PIL", "cortado.runtime.plan") == []


def test_the_public_api_finds_its_names() -> None:
    names = "import cortado; [getattr(cortado, name) for name in cortado.__all__]; assert 'compile' in dir(cortado)"
    assert "cortado.driver" in loaded_modules(names)


WRITERS = {"write_text", "write_bytes", "mkstemp", "save_file", "savez", "savez_compressed", "rename"}
SCRATCH = {  # what is written for a process of our own, in a folder that goes with it
    "cortado.compiler.targets.cuda.aot": {"write_text"},
}


def file_writes(source: str) -> Iterator[str]:
    """The calls in a module that make or change a file: by functions of that name, or `open` for writing."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        modes = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        opened = name in ("open", "fdopen") and any(isinstance(m, str) and set(m) & set("wax+") for m in modes)
        if name in WRITERS or (opened and getattr(getattr(node.func, "value", None), "id", "") != "archive"):
            yield name


@pytest.mark.parametrize("module", MODULES)
def test_files_are_written_in_one_place(module: str) -> None:
    """By `runtime/output.py`, which loses nothing."""
    found = set(file_writes(MODULES[module].read_text("utf-8")))
    assert module == "cortado.runtime.output" or found <= SCRATCH.get(module, set())


@pytest.mark.parametrize(
    ("written", "caught"),
    [
        ("Path(x).write_text(t)", True),
        ("with path.open('wb') as f: pass", True),
        ("open(path, mode='a')", True),
        ("open(path)", False),
        ("path.open('rb')", False),
        ("text.replace('a', 'b')", False),
    ],
)
def test_another_writer_would_be_caught(written: str, caught: bool) -> None:
    assert bool(list(file_writes(written))) is caught
