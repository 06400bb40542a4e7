"""Layers that other installed packages bring by entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cortado.frontends.caffe.register import register_layer
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
