"""The views of `cortado show`, `cortado opt`, and what is left behind when a pass fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cortado import driver, passes
from cortado.cli import main
from cortado.compilation import run_passes
from cortado.compiler.cost import cost, flops, traffic
from cortado.compiler.ir import Graph
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.storage import resolve_storage
from cortado.compiler.targets import target
from cortado.compiler.text import parse, parse_planned, show
from cortado.passes import PIPELINE, SHAPE_FREE, SHAPED, Context, PassFailed
from cortado.runtime.artifact import read

from .shared import ROOT

DIGITS = ROOT / "examples" / "digits"
NET, WEIGHTS = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
STAGES = ["read", *(p.__name__ for p in PIPELINE)]


def cortado(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def run_json(*words: object) -> Any:
    done = cortado(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_difference_is_that_of_the_texts_around_the_pass() -> None:
    found = run_json("show", NET, WEIGHTS, "--diff", "fold_batchnorm")
    assert found["before"] == run_json("show", NET, WEIGHTS, "--before", "fold_batchnorm")["text"]
    assert found["after"] == run_json("show", NET, WEIGHTS, "--after", "fold_batchnorm")["text"]
    assert found["diff"].startswith("--- before fold_batchnorm\n+++ after fold_batchnorm\n@@ ")
    assert "\n-    conv1_bn" not in found["diff"] and "= batch_norm(" in found["diff"]
    assert all(line[0] != "+" or "batch_norm(" not in line for line in found["diff"].split("\n") if line)
    nothing = cortado("show", NET, WEIGHTS, "--diff", "subsample")
    assert nothing.output == "subsample changed nothing in this net.\n"
    assert cortado("show", NET, "--diff", "fold").exit_code == 2


def test_views_as_json(tmp_path: Path) -> None:
    net = run_json("show", NET, WEIGHTS)
    assert (net["net"], net["stage"], net["inputs"]) == ("digits", "read", {"data": "f32[1,1,8,8]"})
    assert show(parse(cortado("show", NET).stdout)) == run_json("show", NET)["text"]
    kernels = run_json("show", NET, WEIGHTS, "--kernels")
    assert all(text.startswith(f"kernel {name}(") for name, text in kernels.items()) and len(kernels) == 5
    reasons = run_json("show", NET, WEIGHTS, "--why")
    assert {"rule", "value", "done", "sentence"} == set(reasons[0]) and {r["rule"] for r in reasons} <= set(STAGES)
    assert all(r["sentence"] for r in reasons) and any(r["done"] for r in reasons)
    files = run_json("show", NET, WEIGHTS, "--after-all", tmp_path)
    assert [Path(f).name for f in files] == [f"{i:02}_{name}.net" for i, name in enumerate(STAGES)]


def test_statistics() -> None:
    found = run_json("show", NET, WEIGHTS, "--stats", "--target", "onednn")
    stages = {s["name"]: s for s in found["stages"]}
    assert list(stages) == STAGES
    first, last = stages["read"], stages["plan_memory"]
    steps = len(driver.compile(NET, WEIGHTS, "onednn").plan.steps)
    assert first["operators"] == 25 and last["operators"] == steps
    assert last["bytes"] < first["bytes"] and last["flops"] < first["flops"] and last["in_place"] >= 2
    assert found["arena"] == found["bound"] == 12288
    assert found["launches"]["onednn"]["kernels"] == steps - 1, "the concat finds both its parts in their places"
    assert set(found["launches"]) == {"onednn", "cpu", "cuda"}


COSTS = {  # a line, and by hand: operations, bytes
    "y = conv(x, w)": (2 * 6 * 3 * 3 * 4 * 2 * 2, (4 * 16 + 6 * 4 * 4 + 6 * 9) * 4),
    "y = conv(x, w, b)": (2 * 6 * 3 * 3 * 4 * 2 * 2 + 6 * 9, (4 * 16 + 6 * 4 * 4 + 6 + 6 * 9) * 4),
    "y = relu(x)": (64, 2 * 64 * 4),
    "y = add(x, x)": (64, 2 * 64 * 4),
    "y = max_pool(x, kernel=2, stride=2)": (4 * 4 * 4, (64 + 16) * 4),
    "y = linear(x, v)": (2 * 5 * 64, (64 + 5 * 64 + 5) * 4),
    "y = deconv(x, d)": (2 * 64 * 3 * 4, (64 + 4 * 3 * 4 + 3 * 25) * 4),
    "y = flatten(x)": (0, 2 * 64 * 4),
    "y = concat(x, x)": (0, 2 * 128 * 4),
    "t = abs(x)\n    y = flatten(t) over t": (64, 2 * 64 * 4),
}


@pytest.mark.parametrize("line", COSTS)
def test_costs_by_hand(line: str) -> None:
    weights = {"w": "f32[6,4,2,2]", "b": "f32[6]", "v": "f32[5,64]", "d": "f32[4,3,2,2]"}
    declared = "".join(f"    weight {name}: {type}\n" for name, type in weights.items())
    planned = parse_planned(f"net n(x: f32[1,4,4,4]) {{\n{declared}    {line}\n    return y\n}}\n")
    graph, storages = planned.graph, resolve_storage(planned)
    assert (sum(map(flops, graph.nodes)), sum(traffic(n, planned, storages) for n in graph.nodes)) == COSTS[line]
    assert cost(planned).parameters == sum(c.type.numel for c in graph.constants)


def test_what_stands_in_its_place_costs_nothing() -> None:
    text = (
        "net n(x: f32[1,4,2,2]) arena 512 {{\n    a: f32[1,4,2,2] = abs(x) {}\n    b: f32[1,4,2,2] = tanh(x) {}\n"
        "    z: f32[1,8,2,2] = concat(a, b) at 0\n    return z\n}}\n"
    )
    copied = parse_planned(text.format("at 128", "at 256"))
    placed = parse_planned(text.format("in z[0:4]", "in z[4:8]"))
    half = parse_planned(text.format("in z[0:4]", "at 256"))
    moved = [sum(traffic(n, p, resolve_storage(p)) for n in p.graph.nodes) - 4 * 16 * 4 for p in (copied, half, placed)]
    assert moved == [2 * 32 * 4, 2 * 16 * 4, 0]
    assert [target("onednn").launches(g).kernels for g in (copied, half, placed)] == [3, 3, 2]


def test_any_passes_on_any_dump(tmp_path: Path) -> None:
    cortado("show", NET, WEIGHTS, "--after-all", tmp_path)
    stage = tmp_path / f"{STAGES.index('remove_dropout'):02}_remove_dropout.net"
    folded = cortado("opt", stage, "-p", "fold_batchnorm")
    after = cortado("show", NET, WEIGHTS, "--before", "fold_batchnorm").stdout
    assert folded.exit_code == 0 and folded.stdout == cortado("opt", stage, "-p", " fold_batchnorm ,").stdout
    assert "batch_norm(" in after and "batch_norm(" not in folded.stdout
    assert cortado("opt", stage).stdout == cortado("show", NET, WEIGHTS, "--after", STAGES[-1]).stdout
    assert cortado("opt", stage, "-p", "").stdout == show(parse(stage.read_text(), str(stage)))
    (tmp_path / "out").mkdir()
    written = cortado("opt", stage, "-p", "fold_batchnorm,fuse", "-o", tmp_path / "out" / "made.net")
    assert written.exit_code == 0 and (tmp_path / "out" / "made.safetensors").exists()
    again = cortado("opt", tmp_path / "out" / "made.net", "-p", "fuse")
    assert again.exit_code == 0 and "kernel conv_relu_" in again.stdout
    assert cortado("opt", stage, "-p", "fold_batchnorm,fuze").exit_code == 2
    text = cortado("show", NET).stdout
    piped = CliRunner().invoke(main, ["opt", "-", "-p", "fuse"], input=text)
    assert piped.exit_code == 0 and piped.stdout == cortado("opt", NET, "-p", "fuse").stdout
    wrong = CliRunner().invoke(main, ["show", "-"], input=text.replace("relu(", "rellu("))
    assert wrong.exit_code == 2 and wrong.output.startswith("<stdin>:")


def test_a_pass_that_fails_leaves_a_reproducer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTADO_FAILURES", str(tmp_path))

    def broken(graph: Graph, context: Context) -> Graph:
        raise KeyError("oops")

    broken.__name__ = "fuse"
    monkeypatch.setattr(passes, "PIPELINE", (*PIPELINE[:6], broken))
    done = cortado("opt", NET, WEIGHTS)
    assert done.exit_code == 3, "a fault of cortado"
    assert "the pass fuse failed on the net digits: KeyError: 'oops'" in done.output
    (folder,) = tmp_path.iterdir()
    assert str(folder) in done.output and {f.name for f in folder.iterdir()} == {
        "before.net", "weights.safetensors", "README.txt",
    }  # fmt: skip
    command = next(l for l in (folder / "README.txt").read_text().split("\n") if "cortado opt" in l).split()
    assert command == ["cortado", "opt", "before.net", "-p", "fuse", "--target", "cpu"]
    assert cortado("opt", folder / "before.net", *command[3:]).exit_code == 3, "the command shows it again"
    monkeypatch.undo()
    assert cortado("opt", folder / "before.net", *command[3:]).exit_code == 0, "and works once the pass is mended"


def test_a_failure_tells_its_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CORTADO_FAILURES", str(tmp_path / "no" / "folder.txt"))
    (tmp_path / "no").write_text("a file where the folder should be")
    graph = parse("net n(x: f32[1]) {\n    y = relu(x)\n    return y\n}")

    def broken(graph: Graph, context: Context) -> Graph:
        raise ZeroDivisionError

    with pytest.raises(PassFailed) as caught:
        run_passes(PlannedGraph(graph), driver.Options(), [broken])
    assert (caught.value.name, caught.value.planned.graph, caught.value.folder) == ("broken", graph, "")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_every_stage_compiles_to_the_same_file(tmp_path: Path) -> None:
    """Whatever was done already is not done again, and weights come by handle from the file beside."""
    cortado("show", NET, WEIGHTS, "--after-all", tmp_path, "--target", "onednn")
    expected = driver.compile(NET, WEIGHTS, "onednn").artifact
    for i, name in enumerate(STAGES):
        made = driver.compile(tmp_path / f"{i:02}_{name}.net", target="onednn").artifact
        assert (made.net, made.plan, dict(made.kernels)) == (expected.net, expected.plan, dict(expected.kernels)), name
        assert made.weights.keys() >= {w.handle for w in made.plan.weights.values()}
        assert i > len(SHAPE_FREE) or (made.source, set(made.weights)) == (expected.source, set(expected.weights)), name


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("compiled") / "digits.cortado"
    assert cortado("compile", NET, WEIGHTS, "-o", file, "--mean", "0.5").exit_code == 0
    return file


def test_a_compiled_file_goes_through_the_passes_again(tmp_path: Path, compiled: Path) -> None:
    final = cortado("show", NET, WEIGHTS, "--after", STAGES[-1]).stdout
    assert cortado("show", compiled).stdout == final == cortado("show", compiled, "--after", STAGES[-1]).stdout
    source = SHAPE_FREE[-1].__name__
    assert (
        cortado("show", compiled, "--after", "read").stdout == cortado("show", NET, WEIGHTS, "--after", source).stdout
    )
    assert cortado("show", compiled, "--diff", "fuse").stdout == cortado("show", NET, WEIGHTS, "--diff", "fuse").stdout
    why = cortado("show", compiled, "--why")
    assert "sum    " in why.stdout and "aliases conv1" in why.stdout
    assert "fold_batchnorm" not in why.stdout and f"the passes before {SHAPED[0].__name__} are not shown" in why.stderr
    assert [s["name"] for s in run_json("show", compiled, "--stats")["stages"]] == STAGES
    files = run_json("show", compiled, "--after-all", tmp_path)
    assert [Path(f).name for f in files] == [f"{i:02}_{name}.net" for i, name in enumerate(STAGES)]
    assert cortado("opt", compiled, "-p", "").stdout == cortado("show", compiled, "--after", "read").stdout
    assert "def conv_relu_" in cortado("show", compiled, "--target", "cuda", "--kernels").stdout


def test_without_weights_what_depends_on_them_is_not_done() -> None:
    assert "without weights" in cortado("show", NET, "--why").stderr
    assert cortado("show", NET, WEIGHTS, "--why").stderr == cortado("show", NET).stderr == ""


def test_a_compiled_file_is_compiled_again(tmp_path: Path, compiled: Path) -> None:
    """The same bytes, pictures and all; or for another shape or target."""
    again = tmp_path / "again.cortado"
    assert cortado("compile", compiled, "-o", again).exit_code == 0
    assert again.read_bytes() == compiled.read_bytes()
    made = run_json("compile", compiled, "-o", again, "--shape", "data=3,1,8,8", "--target", "cuda-f32-strict")
    assert (made["target"], made["inputs"]) == ("cuda-f32-strict", {"data": "f32[3,1,8,8]"})
    third = tmp_path / "third.cortado"
    assert cortado("compile", again, "-o", third).exit_code == 0
    assert read(third).plan.target == "cuda-f32-strict", "where none is named it is compiled for what it was"
    assert cortado("compile", again, "-o", again).exit_code == 2, "its own input"


def test_what_is_printed_of_a_compiled_file_finds_its_weights_there(tmp_path: Path, compiled: Path) -> None:
    text = tmp_path / "printed.net"
    text.write_text(cortado("show", compiled).stdout)
    assert cortado("compile", text, compiled, "-o", tmp_path / "made.cortado").exit_code == 0
    assert cortado("show", tmp_path / "made.cortado").stdout == text.read_text()
    alone = cortado("compile", text, "-o", tmp_path / "made.cortado")
    assert alone.exit_code == 2 and "no weights with handle" in alone.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", WEIGHTS], "a compiled file holds its weights"),
        (["show", "--phase", "TRAIN"], "--phase is for a prototxt"),
        (["opt", "--lenient"], "--lenient is for a prototxt"),
        (["compile", "-o", "x.cortado", "--output", "nothing"], 'there is no value "nothing" to return'),
    ],
)
def test_what_a_compiled_file_cannot_be_asked(compiled: Path, words: list[str], said: str) -> None:
    done = cortado(words[0], compiled, *words[1:])
    assert done.exit_code == 2 and said in done.output


def test_what_a_gpu_leaves_to_the_host_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "hosted.net"
    line = "y = reorg(relu(x), stride=2)"
    path.write_text(f"net n(x: f32[1,4,4,4]) {{\n    {line}\n    return y\n}}\n")
    reason = "the cuda target has no kernel for reorg"
    notes = run_json("show", path, "--target", "cuda", "--why")
    assert {"rule": "lower", "value": "y", "done": False, "sentence": f"runs on the host: {reason}"} in notes
    launches = run_json("show", path, "--target", "cuda", "--stats")["launches"]
    assert launches["cuda"].pop("modelled_microseconds") == 4.8  # a launch, and a microsecond for few bytes
    assert launches["cuda"] == {"kernels": 1, "host": 1, "reasons": {"y": reason}} and launches["cpu"]["host"] == 0
