"""Generates the parts of the documentation that follow from the code and from committed results.

    make docs       writes them (python docs/tables.py)

A part is between `<!-- generated: NAME -->` and `<!-- end -->`; the rest of a page is not changed.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / ".src"))

from cortado import passes  # noqa: E402
from cortado.benchmarks.on_gpu.tables import means as gpu_means  # noqa: E402
from cortado.benchmarks.table import table as nets_table  # noqa: E402
from cortado.compiler.op import REGISTRY  # noqa: E402
from cortado.frontends.caffe import data_layers, layers  # noqa: E402
from cortado.frontends.caffe.layer import LAYERS, MANY, LayerType  # noqa: E402
from cortado.runtime.preprocessing import Preprocessing, show_settings  # noqa: E402
from cortado.runtime.presets import PRESETS  # noqa: E402
from cortado.tests.edges.cases import EDGES  # noqa: E402
from cortado.tests.edges.table import rows as edge_rows  # noqa: E402

PAGES = (
    "README.md",
    "docs/layers.md",
    "docs/passes.md",
    "docs/pictures.md",
    "docs/edge_values.md",
    "docs/kernels_and_precision.md",
    "benchmarks/README.md",
)
PART_PATTERN = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
BENCHMARKS, DOCS = ROOT / "benchmarks", ROOT / "docs"
LOSSY = 4  # of 255: what the rounding of a JPEG may be off by
TEMPLATES = ROOT / "compiler" / "targets" / "cuda" / "templates"


def main() -> None:
    for page in PAGES:
        path = ROOT / page
        path.write_text(update_parts(path.read_text("utf-8")), "utf-8")


def update_parts(text: str) -> str:
    """A page with its parts generated again."""
    return PART_PATTERN.sub(lambda m: f"{m[1]}\n{PARTS[m[2]]().strip()}\n\n{m[3]}", text)


def layer_families() -> str:
    """The supported layers, a row for each file."""
    found: dict[str, list[str]] = defaultdict(list)
    for type, kind in sorted(LAYERS.items()):
        found[kind.meanings[0].function.__module__].append(type)
    rows = [(first_sentence(sys.modules[m].__doc__), ", ".join(types)) for m, types in found.items()]
    rows.append(("Data layers: declared inputs.", ", ".join(sorted({"Input", *data_layers.DATA_LAYERS}))))
    return (
        f"{markdown_table(('family', 'layers'), rows)}\n\n{len(LAYERS)} layers, in files of `frontends/caffe/layers`."
    )


def layer_table() -> str:
    """Every layer with its counts of bottoms and tops, its settings, and its function's docstring."""
    assert layers.__all__
    rows = [
        (
            f"`{type}`" + f" ({kind.dialect})" * bool(kind.dialect),
            format_count_range(kind.bottoms),
            format_count_range(kind.tops),
            f"`{kind.param}`" if kind.param else "",
            layer_description(kind),
        )
        for type, known in sorted(LAYERS.items())
        for kind in known.meanings
    ]
    return markdown_table(("layer", "bottoms", "tops", "settings", "meaning"), rows)


def layer_description(kind: LayerType) -> str:
    """The docstring of a layer's function or, if it has none, those of the operators that it calls."""
    if kind.function.__doc__:
        return first_paragraph(kind.function.__doc__)
    called = {n.id for n in ast.walk(ast.parse(inspect.getsource(kind.function))) if isinstance(n, ast.Name)}
    return " ".join(first_paragraph(op.__doc__).split("\n")[0] for op in REGISTRY.values() if op.__name__ in called)


def preset_table() -> str:
    """Every preset as the options that it stands for."""
    plain, rows = show_settings(Preprocessing()), list[tuple[str, str]]()
    for name, form in PRESETS.items():
        given = {field: value for field, value in show_settings(form).items() if value != plain[field]}
        order = "--bgr" if form.bgr else "--rgb"
        words = [f"--{field.replace('_', '-')} {value}" for field, value in given.items() if field != "bgr"]
        rows.append((f"`{name}`", f"`{' '.join([*words, order])}`"))
    return markdown_table(("preset", "stands for"), rows)


def operator_table() -> str:
    rows = [
        (f"`{name}`", f"`{op.__module__.split('.')[-1]}.py`", first_sentence(op.__doc__))
        for name, op in sorted(REGISTRY.items())
    ]
    return markdown_table(("operator", "in compiler/ops", "meaning"), rows)


def pass_pages() -> str:
    """Every pass in order: the reason for its position, and its docstring."""
    reasons = dict(re.findall(r"^    (\w+),(?:  # (.*))?$", inspect.getsource(passes), re.M))
    parts = []
    for number, p in enumerate(passes.PIPELINE, 1):
        about = inspect.getdoc(sys.modules[p.__module__]) or ""
        why = f"> {reasons[p.__name__]}\n\n" if reasons[p.__name__] else ""
        parts.append(f"### {number}. {p.__name__}\n\n{why}{about}\n")
    return "\n".join(parts)


def template_table() -> str:
    files = sorted(p for p in TEMPLATES.glob("*.py") if "def kernel(" in p.read_text("utf-8"))
    rows = [(f"`{p.name}`", first_sentence(ast.get_docstring(ast.parse(p.read_text("utf-8"))))) for p in files]
    return markdown_table(("template", "kernel"), rows)


def measured_results() -> str:
    """Each committed result, with its file and the command that writes it."""
    parts = list(accuracy_summaries())
    for file, render in RESULT_RENDERERS.items():
        if (path := BENCHMARKS / file).exists():
            command = RESULT_COMMANDS.get(file, f"python benchmarks/{path.stem}.py")
            shown = render(json.loads(path.read_text("utf-8")))
            parts.append(f"{shown}\n\nFrom `benchmarks/{file}`, written by `{command}`.")
    parts += kernel_tables()
    return "\n\n".join(parts) or "No result is committed yet."


def accuracy_summaries() -> Iterator[str]:
    """The summaries of the pages that compare with real Caffe; benchmarks write these pages."""
    layers, nets = DOCS / "opencv_layers.md", DOCS / "zoo.md"
    if layers.exists() and (line := re.search(r"^cortado: .*", layers.read_text("utf-8"), re.MULTILINE)):
        about = "**Layer cases with BVLC Caffe's outputs**, to 1e-5 of the largest output, beside OpenCV's importer:"
        yield f"{about}\n\n> {line[0]}\n\nFrom [docs/opencv_layers.md](docs/opencv_layers.md), a row for each case."
    if nets.exists() and (rows := re.search(r"^\| \| numbers by .*?\n\n", nets.read_text("utf-8"), re.M | re.S)):
        about = "**Published prototxts**; those with unsupported layers of forks count as refused:"
        yield f"{about}\n\n{rows[0].strip()}\n\nFrom [docs/zoo.md](docs/zoo.md), a row for each file."


def compile_time(found: Mapping[str, Any]) -> str:
    ratio, machine = found["compile / import torch"], found["machine"]
    rows = [(name, f"{value:.2f} s") for name, value in found["seconds"].items()]
    where = f"{machine['cores']} cores, {machine['processor']}, torch {found['torch']}"
    where = f"{found['net']}; {where}; medians of {found['runs']} fresh processes"
    times = f"{ratio['median']} times as long as importing torch in the same process; at most {ratio['largest']}"
    shown = markdown_table(("", "time"), rows)
    text = f"**Compiling SqueezeNet v1.1 for the CPU** ({where}):\n\n{shown}\n\nCompiling took {times}."
    if big := found.get("largest published nets"):
        text += f"\n\n{largest_nets(big)}"
    return text


def largest_nets(found: list[Any]) -> str:
    rows = []
    for one in found:
        clocks = [f"{s['median']:.1f} s, at most {s['longest']:.1f}" for s in one["seconds"].values()]
        rows.append((one["net"].rpartition("__")[2], f"{one['layers']:,}", one["steps"], *clocks))
    about = "**Compiling the published nets with the most layers**, from the prototxt, with weights in memory"
    head = ("net", "layers", "steps", *(f"seconds, {clock}" for clock in found[0]["seconds"]))
    how = f"medians of {found[0]['runs']} interleaved fresh processes; one thread"
    return f"{about} ({how}):\n\n{markdown_table(head, rows)}"


def pass_growth(found: Mapping[str, Any]) -> str:
    *_, largest = map(str, found["sizes"])
    rows = []
    for net, stages in found["nets"].items():
        slowest = max(stages, key=lambda s: stages[s]["seconds"][largest])
        total = sum(s["seconds"][largest] for s in stages.values())
        seconds, exponent = stages[slowest]["seconds"][largest], stages[slowest]["exponent"]
        rows.append((net, f"{total:.1f} s", slowest, f"{seconds:.1f} s", exponent))
    head = ("kind of net", "all stages", "slowest stage", "its time", "its exponent of growth")
    about = f"**Reading, all passes and building, on generated nets of {int(largest):,} nodes**"
    return f"{about} (one thread; an exponent of 1 is linear):\n\n{markdown_table(head, rows)}"


def kernel_tables() -> Iterator[str]:
    """The kernels of the benchmark nets as machine code, by each version of Triton that has a table."""
    paths = (BENCHMARKS / "kernel_tables").glob("*.json")
    tables = [json.loads(path.read_text("utf-8")) for path in sorted(paths, key=by_version)]
    if not tables:
        return
    rows = []
    for net, made in tables[-1]["nets"].items():
        kernels = [list(table["nets"][net]["kernels"].values()) for table in tables if net in table["nets"]]
        numbers = (
            [max(k["registers"] for k in ks) for ks in kernels],
            [sum(k["spilled"] for k in ks) for ks in kernels],
            [sum(k["wgmma"] > 0 for k in ks) for ks in kernels],
        )
        cells = (" / ".join(map(str, dict.fromkeys(found))) for found in numbers)
        moved, modelled = f"{made['bytes'] / 1e6:,.0f}", f"{made['modelled_us']:,.0f}"
        rows.append((net, made["launches"], moved, modelled, len(kernels[-1]), *cells))
    resources = ("max. registers", "bytes spilled", "kernels with wgmma")
    head = ("net, batch and target", "launches", "MB moved", "µs by the model", "kernels", *resources)
    versions = " / ".join(table["triton"] for table in tables)
    about = f"**Kernels as machine code** ({tables[-1]['architecture']}, Triton {versions}; compiled, not run)"
    where = "From `benchmarks/kernel_tables`, written by `python benchmarks/kernel_table.py`"
    yield f"{about}:\n\n{markdown_table(head, rows)}\n\n{where}."


def gpu_speed(found: Mapping[str, Any]) -> str:
    """The geometric means of the peers' times by ours on a GPU; benchmarks/GPU_RESULTS.md has all of them."""
    gpu = next((row["device"] for row in found["results"] if row["key"] == "machine"), "a GPU")
    about = (
        f"**Nets on {gpu}**, peers' times by ours, in turn in one process ([all results](benchmarks/GPU_RESULTS.md))"
    )
    return f"{about}:\n\n{gpu_means(found['peers'])}"


def by_version(path: Path) -> tuple[int, ...]:
    return tuple(map(int, path.stem.split(".")))


def random_nets(found: Mapping[str, Any]) -> str:
    """The result of running random nets through all passes."""
    failed = f"{len(found['failed'])} with a mismatch" if found["failed"] else "no mismatch"
    nodes = f"{found['nodes']:,} nodes of {len(found['operators'])} operators"
    minutes = f"{found['seconds'] / 60:.0f} minutes"
    how = "each through every pass alone, all passes in order and in random orders, for every target"
    return f"**Random nets**, {how}: {found['nets']:,} nets, {nodes}, {failed} ({minutes}, torch {found['torch']})."


def cpu_speed(found: Mapping[str, Any]) -> str:
    """Each target's speed beside OpenVINO, net by net."""
    return turns_table(found, "Nets on a CPU, batch 1 in f32", ("net",))


def batch_speed(found: Mapping[str, Any]) -> str:
    """The same for batches."""
    return turns_table(found, "The same in batches of 16", ("net",))


def busy_speed(found: Mapping[str, Any]) -> str:
    """The same with busy loops beside, for the targets as they are."""
    return turns_table(found, "The same beside busy processes", ("net", "busy"))


def door_speed(found: Mapping[str, Any]) -> str:
    """Loops of scripts for cv2.dnn, by OpenCV and by the stand-in for it."""
    rows = [
        (
            row["loop"],
            f"{row['ratio']:.2f}",
            *(f"{row['ms'][name]:.1f} ms" for name in row["ms"]),
            *(f"{row['first_frame_s'][name]:.2f} s" for name in row["ms"]),
            *(f"{row['peak_mib'][name]} MiB" for name in row["ms"]),
        )
        for row in found["rows"]
    ]
    names = list(found["rows"][0]["ms"])
    head = (
        "loop",
        "OpenCV's time / ours",
        *names,
        *(f"first frame, {n}" for n in names),
        *(f"memory, {n}" for n in names),
    )
    about = f"**Loops of scripts for cv2.dnn**, by OpenCV 4.14 and by `cortado.compat.opencv` ({found['cores']} cores"
    return f"{about}; medians of frames in turns):\n\n{markdown_table(head, rows)}"


def first_answers(found: Mapping[str, Any]) -> str:
    """Milliseconds of a fresh process to its first answer, in parts, and its memory."""
    parts = ("python", "numpy", "runtime", "load", "answer", "total")
    rows = [
        (row["net"], how, *(f"{row[how][part]:.0f} ms" for part in parts), f"{row[how]['MB']:.0f} MB")
        for row in found["nets"]
        for how in ("open_library", "load")
    ]
    about = "**A fresh process to its first answer**: a shared library by numpy, a compiled file by torch (medians)"
    return f"{about}:\n\n{markdown_table(('net', 'opened by', *parts, 'memory'), rows)}"


def turns_table(found: Mapping[str, Any], title: str, keys: tuple[str, ...]) -> str:
    """Ratios of engines that took turns, with milliseconds."""
    engines = [name for name in found["rows"][0]["ratio"] if name in ("openvino", "native", "native-strict", "onednn")]
    rows = [
        (*(str(row[key]) for key in keys), *(f"{row['ratio'][e]:.2f} ({row['ms'][e]:.1f} ms)" for e in engines))
        for row in found["rows"]
    ]
    heads = {"busy": "busy loops"}
    about = f"**{title}**: speed, OpenVINO's being 1 ({found['cores']} cores; medians of calls in turns)"
    return f"{about}:\n\n{markdown_table((*(heads.get(key, key) for key in keys), *engines), rows)}"


def nets() -> str:
    """The table of benchmarks/table.py."""
    return nets_table(json.loads((BENCHMARKS / "results" / "nets.json").read_text("utf-8")))


def stage_times() -> str:
    """Seconds of every stage on the largest nets of benchmarks/passes.py, with exponents of growth from 0.1 s on."""
    found = json.loads((BENCHMARKS / "results" / "passes.json").read_text("utf-8"))
    largest, kinds = str(max(found["sizes"])), found["nets"]

    def cell(stage: Mapping[str, Any] | None) -> str:
        if stage is None:
            return ""
        seconds = stage["seconds"][largest]
        return f"{seconds:.2f} s" + (f" ({stage['exponent']})" if seconds > 0.1 else "")

    names = list(dict.fromkeys(name for kind in kinds.values() for name in kind))
    return markdown_table(
        ("stage", *kinds), [(name, *(cell(kind.get(name)) for kind in kinds.values())) for name in names]
    )


def edge_table() -> str:
    """What Caffe and cortado make of NaN, infinities and their like, from the cases of the tests."""
    return markdown_table(("layer", *EDGES), list(edge_rows()))


RESULT_RENDERERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "results/cpu.json": cpu_speed,
    "results/cpu_batch16.json": batch_speed,
    "results/busy.json": busy_speed,
    "results/doors.json": door_speed,
    "results/first_answer.json": first_answers,
    "results/compile_time.json": compile_time,
    "results/passes.json": pass_growth,
    "results/random_nets.json": random_nets,
    "results/gpu.json": gpu_speed,
}
RESULT_COMMANDS = {
    "results/cpu_batch16.json": "python benchmarks/cpu.py --batch 16",
    "results/doors.json": "python benchmarks/doors.py --opencv FOLDER --models FOLDER",
    "results/random_nets.json": "python -m tests.proof 0:20000 --jobs 2 --record FILE",
    "results/gpu.json": "python benchmarks/gpu_report.py FOLDER",
}


def pictures() -> str:
    """What three readers make of each kind of picture file: benchmarks/results/pictures.json."""
    measured = json.loads((BENCHMARKS / "results" / "pictures.json").read_text("utf-8"))
    readers = ("opencv", "pycaffe", "cortado")
    rows = [(row["kind"], *(describe_reading(row[reader]) for reader in readers)) for row in measured["files"]]
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    head = ("file", "OpenCV's imread", "pycaffe's load_image", "cortado")
    return f"{markdown_table(head, rows)}\n\nMeasured with {versions}."


def describe_reading(ways: Mapping[str, Any]) -> str:
    """In colour and, where that is another answer, in grey."""
    words = {way: describe_difference(apart) for way, apart in ways.items()}
    return words["colour"] if words["grey"] in (words["colour"], "") else f"{words['colour']}; grey {words['grey']}"


def describe_difference(apart: Any) -> str:
    if apart is None or isinstance(apart, str):
        return {None: "refused", "read": "read"}.get(apart, f"[{apart}]")
    return "exact" if apart == 0 else f"within {apart:.3g}" if apart <= LOSSY else f"off by {apart:,.0f}"


PARTS: Mapping[str, Callable[[], str]] = {
    "presets": preset_table,
    "families": layer_families,
    "layers": layer_table,
    "operators": operator_table,
    "pipeline": pass_pages,
    "edges": edge_table,
    "templates": template_table,
    "pictures": pictures,
    "measured": measured_results,
    "nets": nets,
    "stages": stage_times,
}


def markdown_table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def format_count_range(pair: tuple[int, int]) -> str:
    least, most = pair
    return str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


def first_sentence(text: str | None) -> str:
    return re.split(r"(?<!\bal\.)(?<=\.) (?=[A-Z])", first_paragraph(text), maxsplit=1)[0]


if __name__ == "__main__":
    main()
