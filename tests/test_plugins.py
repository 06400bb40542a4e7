"""Layers, passes and targets that other installed packages bring by entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from cortado.compiler.ir import Graph
from cortado.frontends.caffe.register import register_layer
from cortado.passes import PIPELINE, Context, pipeline, register_pass, select, unregister_pass
from cortado.passes.fuse import fuse
from cortado.plugins import load_entry_points

from .shared import ROOT

PLUGIN = """
import cortado

def register():
    print("registering")
    cortado.register_layer("Twice", lambda settings, x: 2 * x)

def fail():
    raise RuntimeError("no such device")
"""
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "y" type: "Twice" bottom: "x" top: "y" }
"""
MACHINE = """
import cortado, torch
from cortado.compiler.ops.activation import Relu, TanH
from cortado.compiler.rewrite import rewrite
from cortado.compiler.target import LoweredGraph, Target
from cortado.runtime.arena import view
from cortado.runtime.artifact import Step

def replace_tanh(graph, context):
    if not any(isinstance(n.op, TanH) for n in graph.nodes):
        return graph
    return rewrite(graph, lambda n, out: out.emit(Relu(), out[n.inputs[0]], name=n.name)
                   if isinstance(n.op, TanH) else None)

def bring_pass():
    cortado.register_pass(replace_tanh, before="simplify")

class Negator(Target):
    name, runner, payload = "negator", "negator", 1
    def accepts(self, kernel):
        return None if len(kernel.nodes) == 1 else "one at a time"
    def compile(self, planned):
        steps = [Step("negate", {}, (n.inputs[0].name,), (n.name,), n.name) for n in planned.graph.nodes]
        return LoweredGraph(steps)

class NegatorRunner:
    name, payload, reason_not_profiled = "negator", 1, "no clock"
    takes_gpu_arrays = runs_bounded_sizes = False
    def reason_unavailable(self, plan):
        return ""
    def check(self, plan, binaries):
        pass
    def prepare(self, plan, resources):
        def program(inputs):
            arena, values = torch.empty(plan.arena, dtype=torch.uint8), dict(inputs)
            for step in plan.steps:
                values[step.results[0]] = view(arena, plan.slots[step.results[0]]).copy_(-values[step.operands[0]])
            return {blob: values[name].clone() for blob, name in plan.outputs}
        program.plan = plan
        return program

def bring_target():
    cortado.register_target(Negator())
    cortado.register_runner(NegatorRunner())
"""
NET_OF_THE_LANGUAGE = "net n(x: f32[1,2]) {\n    y = tanh(x)\n    return y\n}\n"
USE = """
import sys, numpy, cortado, cortado.plugins
assert "a_plugin" not in sys.modules
cortado.save(cortado.compile("net.prototxt"), "net.cortado")
numpy.save("x.npy", numpy.ones((1, 2), "float32"))
print(cortado.load("net.cortado")(x=[[1, 2]])["y"].tolist())
"""


pytestmark = pytest.mark.usefixtures("no_registered_layers")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with a distribution that brings a layer, and a net that uses it."""
    metadata = tmp_path / "a_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: a-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[cortado.layers]\ntwice = a_plugin:register\n")
    (tmp_path / "a_plugin.py").write_text(PLUGIN)
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path


def run_python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    settings = os.environ | {"PYTHONPATH": f"{ROOT / '.src'}{os.pathsep}{folder}"}
    return subprocess.run([sys.executable, *words], cwd=folder, env=settings, capture_output=True, text=True)


def test_an_installed_layer_is_found_when_a_net_is_read(installed: Path) -> None:
    done = run_python(installed, "-c", USE)
    assert done.stdout.splitlines() == ["registering", "[[2.0, 4.0]]"], done.stderr
    done = run_python(installed, "-m", "cortado", "run", "net.cortado", "--input", "x.npy")
    assert done.returncode == 0 and "2.000000  0" in done.stdout, done.stderr
    done = run_python(installed, "-m", "cortado", "check", "net.prototxt")
    assert done.returncode == 0, done.stdout


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a distribution that brings a pass and a target."""
    metadata = tmp_path / "a_machine-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: a-machine\nVersion: 1.0\n")
    groups = "[cortado.passes]\np = a_machine:bring_pass\n[cortado.targets]\nt = a_machine:bring_target\n"
    (metadata / "entry_points.txt").write_text(groups)
    (tmp_path / "a_machine.py").write_text(MACHINE)
    (tmp_path / "n.net").write_text(NET_OF_THE_LANGUAGE)
    np.save(tmp_path / "x.npy", np.array([[-1, 2]], np.float32))
    return tmp_path


def test_an_installed_pass_runs_at_its_place(machine: Path) -> None:
    shown = run_python(machine, "-m", "cortado", "show", "n.net", "--diff", "replace_tanh")
    assert "--- before replace_tanh" in shown.stdout and "+    y: f32[1,2] = relu(x)" in shown.stdout, shown.stderr
    named = run_python(machine, "-m", "cortado", "opt", "n.net", "-p", "replace_tanh")
    assert "y: f32[1,2] = relu(x)" in named.stdout, named.stderr
    made = run_python(machine, "-m", "cortado", "compile", "n.net", "-o", "n.cortado")
    assert made.returncode == 0, made.stderr
    done = run_python(machine, "-m", "cortado", "run", "n.cortado", "--input", "x.npy", "--output-file", "y.npz")
    with np.load(machine / "y.npz") as arrays:
        assert arrays["y"].tolist() == [[0, 2]], done.stderr


def test_an_installed_target_compiles_and_its_runner_runs(machine: Path) -> None:
    made = run_python(machine, "-m", "cortado", "compile", "n.net", "-o", "n.cortado", "--target", "negator")
    assert made.returncode == 0, made.stderr
    done = run_python(machine, "-m", "cortado", "run", "n.cortado", "--input", "x.npy", "--output-file", "y.npz")
    assert done.returncode == 0, done.stderr
    with np.load(machine / "y.npz") as arrays:
        assert arrays["y"].tolist() == [[1, -2]]
    (machine / "a_machine-1.0.dist-info" / "entry_points.txt").unlink()
    gone = run_python(machine, "-m", "cortado", "run", "n.cortado", "--input", "x.npy")
    assert gone.returncode == 2 and "needs the runner 'negator'" in gone.stderr


def test_a_pass_is_registered_by_a_name_of_its_own_in_front_of_another() -> None:
    def tidy(graph: Graph, context: Context) -> Graph:
        return graph

    with pytest.raises(ValueError, match="no pass is called fuze; did you mean fuse"):
        register_pass(tidy, before="fuze")
    with pytest.raises(ValueError, match="register tidy before reuse_storage, at last"):
        register_pass(tidy, before="plan_memory")
    with pytest.raises(ValueError, match="there is a pass called fuse already"):
        register_pass(fuse, before="simplify")
    register_pass(tidy, before="fuse")
    try:
        register_pass(tidy, before="fuse")
        with pytest.raises(ValueError, match="there is a pass called tidy already"):
            register_pass(tidy, before="simplify")
        names = [p.__name__ for p in pipeline()]
        assert names[names.index("fuse") - 1] == "tidy" and names.count("tidy") == 1
        assert [n for n in names if n != "tidy"] == [p.__name__ for p in PIPELINE] and select(["tidy"]) == (tidy,)
    finally:
        unregister_pass("tidy")
    assert pipeline() == PIPELINE
    with pytest.raises(ValueError, match="no pass tidy is registered"):
        unregister_pass("tidy")


def test_a_package_that_fails_is_named(installed: Path) -> None:
    (installed / "a_plugin-1.0.dist-info" / "entry_points.txt").write_text("[cortado.layers]\ntwice = a_plugin:fail\n")
    done = run_python(installed, "-m", "cortado", "compile", "net.prototxt", "-o", "net.cortado")
    sentence = "the layers of a-plugin cannot be loaded (twice = a_plugin:fail): RuntimeError: no such device"
    assert done.returncode == 2 and done.stderr == f"error: {sentence}\nUpdate a-plugin, or uninstall it.\n"


def test_a_package_cannot_replace_what_is_there() -> None:
    register_layer("Twice", lambda settings, x: x)
    entries = [
        EntryPoint("b", f"{__name__}:register_twice", "cortado.layers"),
        EntryPoint("a", f"{__name__}:register_relu", "cortado.layers"),
        EntryPoint("c", "nowhere.to_be:found", "cortado.layers"),
    ]
    reasons = [sentence.partition("): ")[2] for sentence, _ in load_entry_points(entries)]
    assert reasons == [
        "ValueError: ReLU is a layer that cortado computes itself; give your layer another type",
        "the layer Twice is registered already",
        "ModuleNotFoundError: No module named 'nowhere'",
    ]


def register_twice() -> None:
    register_layer("Twice", lambda settings, x: 2 * x)


def register_relu() -> None:
    register_layer("ReLU", lambda settings, x: 2 * x)
