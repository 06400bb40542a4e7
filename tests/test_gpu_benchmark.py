"""The GPU's benchmark, gone through without one: every stage runs, what is wrong is told, and a fault ends no call."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cortado import passes
from cortado.benchmarks.on_gpu import calls, kernels, sweep, torch_net, tuned
from cortado.benchmarks.on_gpu.journal import STICKY, Journal, Row, read_rows
from cortado.benchmarks.on_gpu.machine import Machine, StandInMachine
from cortado.benchmarks.on_gpu.memory_check import check_memory
from cortado.benchmarks.on_gpu.nets import BenchmarkCase, build_graph
from cortado.benchmarks.on_gpu.session import Session, StageRun
from cortado.benchmarks.on_gpu.steps import GpuStepRunner
from cortado.benchmarks.on_gpu.supervisor import Stage, Supervisor
from cortado.compiler.targets import target
from cortado.compiler.targets.cuda import tiles
from cortado.docs import tables
from cortado.runtime.artifact import Artifact, Plan, Slot, Step
from cortado.runtime.cuda.driver import CudaError

from .gpu import GpuUnderTest, cubin
from .shared import ROOT

CALL = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--dry", "--nets", "tiny", "--batches", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


def run(folder: Path, *more: str, code: int = 0, cache: Path | None = None) -> dict[str, list[Row]]:
    """The rows that a dry call writes, by file."""
    settings = {**os.environ, "CORTADO_CACHE": str((cache or folder) / "cache"), "OMP_NUM_THREADS": "1"}
    command = [*CALL, "--out", str(folder / "out"), "--work", str(folder / "work"), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=settings)
    assert done.returncode == code, done.stdout + done.stderr
    return {name: read_rows(folder / "out" / f"{name}.jsonl") for name in ("results", "steps", "sweep", "peers")}


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[str, list[Row]]:
    pytest.importorskip("triton")
    return run(folder, "--candidates", "1")


def test_every_stage_of_the_first_call_runs(rows: dict[str, list[Row]]) -> None:
    ends = {row["key"]: row["state"] for row in rows["results"] if row["key"].startswith("end of")}
    assert ends == {f"end of {name}": "done" for name in calls.FIRST}


def test_the_first_seconds_tell_what_the_machine_takes(rows: dict[str, list[Row]]) -> None:
    found = {row["key"]: row for row in rows["results"] if row["stage"] == "contact"}
    assert found["machine"]["dry"] is True and "nvidia-smi" in found["machine"]["tools"]
    assert found["overlapping tensor map"]["taken"] is True
    assert found["cubins"]["cubins"]["here"] == {
        "loads": True,
        "assembler": found["cubins"]["cubins"]["here"]["assembler"],
    }
    assert found["launch chain"]["launches"] == found["dependent launch chain"]["launches"] == 100
    assert found["copy"]["gb_per_s"] > 0 and {"matmul f16", "matmul tf32", "matmul f32"} <= found.keys()


def test_every_kernel_and_net_is_compared(rows: dict[str, list[Row]]) -> None:
    (compiled,) = (row for row in rows["results"] if row["stage"] == "prepare")
    compared = [row for row in rows["results"] if "limit" in row]
    assert [row["stage"] for row in compared] == ["kernels"] * compiled["launches"] + ["nets"] * 2
    for row in compared:
        assert row["right"] and row["same_twice"] and 0 <= row["error"] <= row["limit"]
    named = {row["kernel"].rpartition("_")[0] for row in compared if row["stage"] == "kernels"}
    assert named >= {"conv_relu", "max_pool", "softmax"}


def test_peers_are_timed_in_turn_and_named(rows: dict[str, list[Row]]) -> None:
    eager, inductor = "torch eager, channels last, CUDA graph", "torch.compile, freezing, reduce-overhead"
    timed = [row for row in rows["peers"] if row["stage"] != "tuned"]  # where another tile is faster by chance
    assert [(row["who"], row["precision"]) for row in timed] == [
        ("cortado", "f32"),
        (eager, "f32"),
        (eager, "tf32"),
        ("cortado", "f32"),
        (inductor, "f32"),
    ]
    for row in rows["peers"]:
        assert row["right"] and 0 < row["best_us"] <= row["median_us"] and row["p10_us"] <= row["p90_us"]
        assert row["who"].startswith("cortado") or row["not_torch"] == []


def test_steps_and_tiles_are_timed_on_launches(rows: dict[str, list[Row]]) -> None:
    (compiled,) = (row for row in rows["results"] if row["stage"] == "prepare launches")
    assert len(rows["steps"]) == compiled["launches"]
    assert all(row["bytes"] > 0 and row["caches"] == "warm" for row in rows["steps"])
    chosen = [row for row in rows["sweep"] if row["chosen"]]
    assert {row["template"] for row in chosen} == {"conv_tiled", "product"}
    for row in rows["sweep"]:
        assert row["right"] and row["model_us"] > 0 and set(row["tile"]) >= {"rows", "columns", "split"}


def test_names_are_written_before_they_run(folder: Path, rows: dict[str, list[Row]]) -> None:
    log = (folder / "out" / "log.txt").read_text("utf-8")
    for row in rows["steps"] + rows["sweep"] + [row for row in rows["results"] if "limit" in row]:
        assert f"begin {row['key']}\n" in log


def test_a_call_goes_on_where_another_was_cut_off(folder: Path, rows: dict[str, list[Row]]) -> None:
    before = len(rows["results"])
    again = run(folder, "--resume", "--stages", "kernels", "nets")
    assert [row["key"] for row in again["results"][before:]] == ["end of kernels", "end of nets"]


def test_the_second_call_depends_on_the_first(folder: Path, rows: dict[str, list[Row]], tmp_path: Path) -> None:
    """It begins its own state, so it has a copy of what the other tests go on with."""
    assert calls.choose_stages(2, calls.wrong_keys(folder / "work" / "call-1")) == calls.SECOND_IF_RIGHT
    keys = ["resnet50-b64-f16/007 conv_relu_ab12", "vgg16-b1-f32 seed 1", "resnet50-b64-f16 loads", "stage nets"]
    assert calls.choose_stages(2, keys) == calls.SECOND_IF_WRONG
    assert [case.name for case in calls.wrong_cases(keys)] == ["resnet50-b64-f16", "vgg16-b1-f32"]
    for name in ("out", "work"):
        shutil.copytree(folder / name, tmp_path / name)
    found = run(tmp_path, "--call", "2", "--stages", "trace", "settings", "profile", cache=folder)
    ends = [row["state"] for row in found["results"] if row["key"].startswith("end of")][-3:]
    assert ends == ["done"] * 3 and not [row for row in found["results"] if row["key"].startswith("trace")]
    others = {row["who"] for row in found["peers"] if row["stage"] == "settings"}
    assert others == {"cortado", *(f"cortado, {setting}" for setting in tuned.SETTINGS)}


def test_the_memory_checker_runs_one_item(
    folder: Path, rows: dict[str, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for compute-sanitizer runs what it is given; the item's name is in what it reports, and no other."""
    tool = tmp_path / "compute-sanitizer"
    tool.write_text('#!/bin/sh\nshift 4\necho "checks $*"\nexec "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    now = time.monotonic()
    session = Session([BenchmarkCase("tiny", 2, "f32")], tmp_path, folder / "work", now, now + 60, dry=True)
    key = next(row["key"] for row in rows["results"] if row["stage"] == "kernels" and "limit" in row)
    check_memory(session, Journal(tmp_path, tmp_path / "state", "memory", now), key, now + 60, "kernels")
    (row,) = read_rows(tmp_path / "results.jsonl")
    assert row["key"] == f"memory check of {key}" and "checks " in row["said"]
    begun = [line for line in row["said"].splitlines() if ": begin " in line and " loads" not in line]
    assert len(begun) == 1 and begun[0].endswith(f"begin {key}")


def test_time_ends_it(tmp_path: Path) -> None:
    found = run(tmp_path, "--stages", "nets", "--seconds", "0.5")
    assert [row["state"] for row in found["results"]] == ["not started: no time was left"]


def test_a_damaged_net_is_found_wrong(tmp_path: Path) -> None:
    """The comparison can fail: another weight in the compiled file, and both stages tell, and the kernel is kept."""
    run(tmp_path, "--stages", "nets")
    code = """
import sys
from dataclasses import replace
from pathlib import Path
from cortado.runtime.artifact import read, write
path = Path(sys.argv[1])
net = read(path)
handle = next(w.handle for n, w in net.plan.weights.items() if n.startswith("c.w"))
write(path, replace(net, weights={**net.weights, handle: net.weights[handle] * 1.01}))
"""
    (path,) = (tmp_path / "work").glob("*.onednn.cortado")
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT / ".src", check=True)
    found = run(tmp_path, "--stages", "kernels", "nets", code=1)
    wrong = [row for row in found["results"] if row.get("right") is False]
    assert [row["stage"] for row in wrong] == ["kernels", "nets", "nets"] and wrong[0]["kernel"].startswith("conv_")
    assert json.loads((tmp_path / "out" / "failing.json").read_text())["key"] == wrong[0]["key"]


def misbehave(run: StageRun) -> None:
    """Items that do what kernels may do: hang, crash, lose CUDA's context, or fail alone."""

    def lose_context() -> None:
        raise CudaError("cuStreamSynchronize: an illegal memory access was encountered", 700)

    def fail() -> None:
        raise ValueError("a grid that is too large")

    acts: dict[str, Callable[[], object]] = {
        "hangs": lambda: time.sleep(60),
        "crashes": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "loses the context": lose_context,
        "fails": fail,
        "runs": lambda: None,
    }
    for key, act in acts.items():
        if run.journal.wants(key):
            with run.journal.item(key, 0.3):
                act()
                run.journal.row("results", key, process=os.getpid())


def test_a_fault_ends_its_item_only(tmp_path: Path) -> None:
    now = time.monotonic()
    session = Session([], tmp_path / "out", tmp_path / "work", now, now + 60, dry=True)
    session.work.mkdir()
    assert Supervisor(session).run(Stage("bad", misbehave, 60)) == "done"
    found = {row["key"]: row for row in read_rows(session.out / "results.jsonl")}
    assert list(found) == ["hangs", "crashes", "loses the context", "fails", "runs", "end of bad"]
    said = {key: row["fault"].splitlines()[-1] for key, row in found.items() if "fault" in row}
    assert said["hangs"] == "it did not end in time" and said["crashes"] == "the process ended with -9"
    assert "illegal memory access" in said["loses the context"] and "too large" in said["fails"]
    assert found["runs"]["process"] != os.getpid()


def test_a_lost_context_ends_the_process(tmp_path: Path) -> None:
    """Since nothing works in it any more; another error does not."""
    if (child := os.fork()) == 0:
        with Journal(tmp_path, tmp_path, "stage", 0.0).item("one", 10):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == STICKY


class FakeRunner:
    """Steps over one arena of 64 bytes: x at 0, y at 16. `damage` is what the step does beside y = x."""

    plan = Plan(
        "n", "onednn", "onednn", 1, 64, (), {"x": Slot("f32", (4,), at=0), "y": Slot("f32", (4,), at=16)}, {}, (), ()
    )

    def __init__(self, damage: Callable[[Tensor], object]) -> None:
        self.memory, self.damage = torch.zeros(64, dtype=torch.uint8), damage

    def steps(self) -> list[tuple[Step, Callable[[], object]]]:
        return [(Step("relu", {}, ("x",), ("y",), "relu"), self.work)]

    def work(self) -> None:
        floats = self.memory.view(torch.float32)
        floats[4:8] = floats[:4].relu()
        self.damage(floats)

    def arena(self) -> Tensor:
        return self.memory

    def write(self, name: str, value: Tensor) -> None:
        self.memory.view(torch.float32)[:4] = value

    def read(self, name: str) -> Tensor:
        return self.memory.view(torch.float32)[4:8].clone()

    def poison(self) -> None:
        self.memory.fill_(0xFF)

    def synchronize(self) -> None:
        pass


def touch(place: int, value: float) -> Callable[[Tensor], object]:
    return lambda floats: floats[place].fill_(value)


def drift(floats: Tensor, drawn: list[float] = [0.0]) -> None:  # noqa: B006
    drawn[0] += 1e-7
    floats[4:8] += drawn[0]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda floats: None, {"right": True, "same_twice": True, "stray_bytes": 0}),
        (touch(5, 9.0), {"right": False, "same_twice": True, "stray_bytes": 0}),
        (touch(12, 1.0), {"right": False, "same_twice": True, "stray_bytes": 4}),
        (touch(7, float("nan")), {"right": False, "same_twice": True, "stray_bytes": 0}),
        (drift, {"right": False, "same_twice": False, "stray_bytes": 0}),
    ],
    ids=["right", "wrong", "writes elsewhere", "reads poison", "is not the same twice"],
)
def test_what_a_kernel_does_wrong_is_told_apart(
    tmp_path: Path, damage: Callable[[Tensor], object], expected: Mapping[str, Any]
) -> None:
    from cortado.compiler.text import parse

    graph = parse("net n(x: f32[4]) {\n    y = relu(x)\n    return y\n}\n", "n.net")
    now = time.monotonic()
    session = Session([], tmp_path, tmp_path, now, now + 60, dry=True)
    (tmp_path / "failing.json").write_text("{}")  # that of an earlier kernel, which stays
    at_work = StageRun(session, Journal(tmp_path, tmp_path, "kernels", now), Machine(), now + 60)
    runner = FakeRunner(damage)
    (one,) = kernels.step_cases(BenchmarkCase("n", 4, "f32"), graph, runner)
    kernels.check_kernel(at_work, runner, one)
    row = read_rows(tmp_path / "results.jsonl")[-1]
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("net", [*calls.NETS, *calls.MORE_NETS, "tiny"])
def test_references_are_computed_where_their_operands_are(net: str) -> None:
    """torch's device without memory refuses a tensor of the host among its own, as a GPU does."""
    plain = build_graph(BenchmarkCase(net, 2, "f16"))
    final = passes.run(plain, passes.Context(target("cuda-f16"))).graph
    for node in final.nodes:
        operands = [torch.empty(v.type.shape, device="meta", dtype=torch.float64) for v in node.inputs]
        made = node.op.compute(operands)
        assert [tuple(x.shape) for x in made] == [v.type.shape for v in node.results]


@pytest.mark.parametrize("net", [*calls.NETS, *calls.MORE_NETS])
def test_the_peer_is_made_of_torchs_functions(net: str) -> None:
    graph = torch_net.TorchNet(build_graph(BenchmarkCase(net, 1, "f32"))).graph
    assert [node.op.name for node in graph.nodes if not torch_net.has_torch_function(node)] == []
    assert net != "googlenet" or [node.op.name for node in graph.nodes].count("lrn") == 2


def test_tiles_that_won_go_into_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = tiles.MatmulProblem("product", "f16", 784, 128, 512)
    slow, fast = tiles.TileShape(64, 64, 64, 4, 4), tiles.TileShape(128, 64, 64, 4, 3, 2)

    def row(tile: tiles.TileShape, us: float, **more: object) -> Row:
        stated = {name: getattr(tile, name) for name in ("rows", "columns", "depth", "warps", "stages", "split")}
        named = {"name": "p", "template": "product", "dtype": "f16", "problem": problem.to_dict(), "tile": stated}
        return {**named, "median_us": us, "right": True, "chosen": tile is slow, **more}

    wrong = row(tiles.TileShape(64, 128, 64, 4, 4), 1.0, right=False)
    assert sweep.winners([row(slow, 10.0), row(fast, 9.9)]) == []  # that may be noise
    sweep.write_tuning(sweep.tuning_rows([row(slow, 10.0), row(fast, 8.0), wrong], "a GPU"), tmp_path)
    monkeypatch.setattr(tiles, "TUNING_FOLDER", tmp_path)
    tiles.read_tuning.cache_clear()
    tiles.tuned_tile.cache_clear()
    try:
        assert tiles.tuned_tile(problem) == fast
        assert tiles.tuned_tile(replace(problem, rows=785)) is None
    finally:
        tiles.read_tuning.cache_clear()
        tiles.tuned_tile.cache_clear()


def test_one_command_makes_tables_and_a_plot(folder: Path, rows: dict[str, list[Row]], tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_report.py"), str(folder / "out")]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2 and "numbers mean nothing" in refused.stderr
    subprocess.run([*command, "--to", str(tmp_path)], check=True, capture_output=True)
    page, plot = (tmp_path / "GPU_RESULTS.md").read_text("utf-8"), (tmp_path / "gpu.svg").read_text("utf-8")
    assert f"{len([r for r in rows['results'] if 'limit' in r])} kernels and nets compared" in page
    assert page.count("| tiny-b2-f32 |") >= len(rows["peers"]) and "| tf32 |" in page
    data = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    about = tables.gpu_speed(data)
    assert about.startswith("**Nets on ") and "[all results](benchmarks/GPU_RESULTS.md)" in about
    others = [row for row in data["peers"] if row["who"] != "cortado"]
    assert plot.count("<rect") == 2 * len(others)  # a bar for each, and the legend
    assert set(data) == {"results", "steps", "sweep", "peers"}


def test_steps_on_a_gpu_are_run_alone(gpu: GpuUnderTest) -> None:
    """How single kernels are reached on a GPU, seen on the stand-in for its driver: y = 3x + 1, in some channels."""
    slots = {
        "x": Slot("f32", (1, 2, 2, 2)),
        "part": Slot("f32", (1, 2, 2, 2), "nchw", 0, (1, 4)),
        "y": Slot("f32", (1, 2, 2, 2), "nchw", 64),
    }
    arguments = [{"operand": 0}, {"result": 0}, {"i32": 8}, {"f32": 3.0}, {"f32": 1.0}]
    attributes = {"kernel": "affine", "warps": 1, "grid": [1, 1, 1], "arguments": arguments}
    steps = tuple(Step("launch", attributes, (a,), (b,), b) for a, b in (("x", "part"), ("part", "y")))
    plan = Plan("apart", "cuda", "cuda", 1, 96, ("x",), slots, {}, steps, (("y", "y"),))
    code = cubin({"affine": "affine 8 8 4 4 4 8 8"})
    machine = StandInMachine.__new__(StandInMachine)  # the driver is that of the fixture
    apart = GpuStepRunner(Artifact((plan,), {}, binaries={"affine.sm_90": code}), machine.tensor_over)
    (first, run_first), (_, run_second) = apart.steps()
    assert first.label == "part" and len(apart.launches()) == 2
    x, part = torch.randn(1, 2, 2, 2), torch.randn(1, 2, 2, 2)
    apart.poison()
    apart.write("x", x)
    run_first()
    apart.synchronize()
    assert torch.equal(apart.read("part"), 3 * x + 1) and apart.read("y").isnan().all()
    apart.write("part", part)
    run_second()
    assert torch.equal(apart.read("y"), 3 * part + 1)
