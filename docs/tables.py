"""The parts of these pages that are worked out from the code and from committed results.

    python docs/tables.py       writes them

A part stands between `<!-- worked out: NAME -->` and `<!-- end -->`; whatever else is in a page is left as it is.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / ".src"))

from cortado import passes  # noqa: E402
from cortado.compiler.op import REGISTRY  # noqa: E402
from cortado.frontends.caffe import data, layers  # noqa: E402
from cortado.frontends.caffe.layer import LAYERS, MANY, Kind  # noqa: E402

PAGES = ("README.md", "docs/layers.md", "docs/passes.md", "docs/kernels_and_precision.md")
PART = re.compile(r"(<!-- worked out: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
RESULTS = ROOT / "benchmarks" / "results"
TEMPLATES = ROOT / "compiler" / "codegen" / "templates"


def main() -> None:
    for page in PAGES:
        path = ROOT / page
        path.write_text(current(path.read_text("utf-8")), "utf-8")


def current(text: str) -> str:
    """A page with its parts brought up to date."""
    return PART.sub(lambda m: f"{m[1]}\n{PARTS[m[2]]().strip()}\n\n{m[3]}", text)


def families() -> str:
    """The layers that are computed, a row for each file that knows some."""
    found: dict[str, list[str]] = defaultdict(list)
    for type, kind in sorted(LAYERS.items()):
        found[kind.function.__module__].append(type)
    rows = [(first_sentence(sys.modules[m].__doc__), ", ".join(types)) for m, types in found.items()]
    rows.append(("Data layers: declared inputs.", ", ".join(sorted({"Input", *data.KINDS}))))
    return f"{table(('family', 'layers'), rows)}\n\n{len(LAYERS)} layers, in files of `frontends/caffe/layers`."


def each_layer() -> str:
    """Every layer with its counts, its settings and what its function says about itself."""
    assert layers.__all__
    rows = [
        (f"`{type}`", count(kind.bottoms), count(kind.tops), f"`{kind.param}`" if kind.param else "", meaning(kind))
        for type, kind in sorted(LAYERS.items())
    ]
    return table(("layer", "bottoms", "tops", "settings", "what it means here"), rows)


def meaning(kind: Kind) -> str:
    """A layer's own words or, where the operator says it all, the operator's."""
    if kind.function.__doc__:
        return flowing(kind.function.__doc__)
    called = {n.id for n in ast.walk(ast.parse(inspect.getsource(kind.function))) if isinstance(n, ast.Name)}
    return " ".join(flowing(op.__doc__).split("\n")[0] for op in REGISTRY.values() if op.__name__ in called)


def operators() -> str:
    rows = [
        (f"`{name}`", f"`{op.__module__.split('.')[-1]}.py`", first_sentence(op.__doc__))
        for name, op in sorted(REGISTRY.items())
    ]
    return table(("operator", "in compiler/ops", "what it means"), rows)


def pipeline() -> str:
    """Every pass in its order: why it stands there, and its own page."""
    reasons = dict(re.findall(r"^    (\w+),(?:  # (.*))?$", inspect.getsource(passes), re.M))
    parts = []
    for number, p in enumerate(passes.PIPELINE, 1):
        about = inspect.getdoc(sys.modules[p.__module__]) or ""
        why = f"> {reasons[p.__name__]}\n\n" if reasons[p.__name__] else ""
        parts.append(f"### {number}. {p.__name__}\n\n{why}{about}\n")
    return "\n".join(parts)


def templates() -> str:
    files = sorted(p for p in TEMPLATES.glob("*.py") if "def kernel(" in p.read_text("utf-8"))
    rows = [
        (f"`{p.name}`", first_sentence(ast.get_docstring(ast.parse(p.read_text("utf-8"))))) for p in files
    ]
    return table(("template", "what it is"), rows)


def measured() -> str:
    """A line for each committed result, with its file and the command that makes it."""
    parts = [line(json.loads((RESULTS / file).read_text("utf-8"))) + f" `benchmarks/results/{file}`, from `{command}`."
             for file, (command, line) in MEASURED.items() if (RESULTS / file).exists()]  # fmt: skip
    return "\n\n".join(parts) or "No result is committed yet."


def compile_time(found: Mapping[str, Any]) -> str:
    seconds, ratio, machine = found["seconds"], found["compile / import torch"], found["machine"]
    rows = [(name, f"{value:.3f} s") for name, value in seconds.items()]
    about = f"**Compiling SqueezeNet v1.1 for the CPU** ({found['net']}; {machine['cores']} cores, {machine['processor']},"
    about += f" torch {found['torch']}; medians of {found['runs']} fresh processes), beside importing torch there:"
    after = f"Compiling takes {ratio['median']} of the time of `import torch` (at most {ratio['largest']} in a run)."
    return f"{about}\n\n{table(('', 'time'), rows)}\n\n{after}"


def pass_growth(found: Mapping[str, Any]) -> str:
    smallest, *_, largest = found["sizes"]
    worst = {
        net: max(stages, key=lambda s: stages[s]["seconds"][str(largest)]) for net, stages in found["nets"].items()
    }
    rows = []
    for net, stages in found["nets"].items():
        slowest = stages[worst[net]]
        total = sum(s["seconds"][str(largest)] for s in stages.values())
        rows.append((net, f"{total:.2f} s", worst[net], f"{slowest['seconds'][str(largest)]:.2f} s", slowest["exponent"]))
    head = ("net", f"all stages at {largest:,} nodes", "the slowest", "takes", "grows with nodes to the")
    about = f"**Passes on generated nets** of {smallest:,} to {largest:,} nodes, one thread, seconds of the processor:"
    return f"{about}\n\n{table(head, rows)}\n"


MEASURED: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "compile_time.json": ("python benchmarks/compile_time.py", compile_time),
    "passes.json": ("python benchmarks/passes.py", pass_growth),
}
PARTS: Mapping[str, Callable[[], str]] = {
    "families": families,
    "layers": each_layer,
    "operators": operators,
    "pipeline": pipeline,
    "templates": templates,
    "measured": measured,
}


def table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def count(pair: tuple[int, int]) -> str:
    least, most = pair
    return str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"


def flowing(text: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


def first_sentence(text: str | None) -> str:
    return re.split(r"(?<!\bal\.)(?<=\.) (?=[A-Z])", flowing(text), maxsplit=1)[0]


if __name__ == "__main__":
    main()
