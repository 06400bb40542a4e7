"""The GPU's benchmark, gone through without one: every stage runs, what is wrong is told, what takes too long ends."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from cortado.runtime.artifact import Artifact, Plan, Slot, Step

from .gpu import build_library, cubin
from .shared import ROOT

COMMAND = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--dry", "--nets", "tiny", "--batches", "2"]


def run(out: Path, *more: str, code: int = 0) -> dict[str, Any]:
    done = subprocess.run([*COMMAND, "--out", str(out), *more], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("gpu") / "gpu.json")


def test_every_stage_runs(report: dict[str, Any]) -> None:
    stages = {name: result for name, result in report.items() if name != "options"}
    assert list(stages) == ["environment", "compile", "kernels", "nets", "roofline", "ours", "eager", "compiled"]
    assert {name: result["state"] for name, result in stages.items()} == dict.fromkeys(stages, "done")
    assert report["environment"]["rows"][0]["dry"] is True


def test_every_kernel_and_net_is_compared(report: dict[str, Any]) -> None:
    (compiled,) = report["compile"]["rows"]
    kernels, nets = report["kernels"]["rows"], report["nets"]["rows"]
    assert len(kernels) == compiled["steps"] and [row["seed"] for row in nets] == [1, 2]
    for row in (*kernels, *nets, *report["eager"]["rows"]):
        assert row["right"] and 0 <= row["error"] <= row["limit"]
    assert {row["kernel"].rpartition("_")[0] for row in kernels} >= {"conv_relu", "max_pool", "softmax"}


def test_times_are_told_beside_each_other(report: dict[str, Any]) -> None:
    who = [report[name]["rows"][0]["who"] for name in ("ours", "eager", "compiled")]
    assert who == ["cortado", "eager, channels last, CUDA graph", "torch.compile, max-autotune"]
    for name in ("ours", "eager", "compiled"):
        (row,) = report[name]["rows"]
        assert 0 < row["best_us"] <= row["median_us"] <= row["p90_us"]
    assert all(row["torch_only"] for row in report["eager"]["rows"])


def test_a_stage_that_fails_costs_that_stage_only(tmp_path: Path) -> None:
    found = run(tmp_path / "gpu.json", "--stages", "nets", "roofline", "--work", str(tmp_path / "empty"), code=1)
    assert found["nets"]["state"].startswith("failed: Traceback") and "no such file" in found["nets"]["state"]
    assert found["roofline"]["state"] == "done" and len(found["roofline"]["rows"]) == 5


def test_time_ends_it(tmp_path: Path) -> None:
    found = run(tmp_path / "gpu.json", "--stages", "environment", "--minutes", "0", code=1)
    assert found["environment"] == {"state": "not started: no time was left", "seconds": 0.0, "rows": []}


def test_a_damaged_net_is_found_wrong(tmp_path: Path) -> None:
    """The comparison can fail: another weight in the compiled file, and both stages tell."""
    work = tmp_path / "work"
    run(tmp_path / "gpu.json", "--stages", "compile", "--work", str(work))
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
    (path,) = work.glob("*.cortado")
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT / ".src", check=True)
    found = run(tmp_path / "gpu.json", "--stages", "compile", "kernels", "nets", "--work", str(work), code=1)
    wrong = [row for row in found["kernels"]["rows"] if not row["right"]]
    assert len(wrong) == 1 and wrong[0]["kernel"].startswith("conv_")
    assert not any(row["right"] for row in found["nets"]["rows"])


def test_steps_on_a_gpu_are_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How single kernels are reached on a GPU, seen on the stand-in for its driver: y = 3x + 1, in some channels."""
    monkeypatch.setenv("CORTADO_LIBCUDA", str(build_library(tmp_path)))
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
    apart = load("steps").GpuStepRunner(Artifact((plan,), {}, binaries={"affine.sm_90": code}))
    (first, run_first), (_, run_second) = apart.steps()
    assert first.label == "part"
    x, part = torch.randn(1, 2, 2, 2), torch.randn(1, 2, 2, 2)
    apart.poison("part")
    apart.write("x", x)
    run_first()
    assert torch.equal(apart.read("part"), 3 * x + 1)
    apart.poison("y")
    assert apart.read("y").isnan().all()
    apart.write("part", part)
    run_second()
    assert torch.equal(apart.read("y"), 3 * part + 1)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / "on_gpu" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module
