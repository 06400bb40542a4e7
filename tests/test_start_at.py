"""A net that starts at an inner blob: the rest of the net, with that blob as its input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cortado import driver
from cortado.cli import main
from cortado.compiler.errors import CompileError
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.specialize import start_at
from cortado.compiler.text import parse

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "side" type: "Input" top: "side" input_param { shape { dim: 1 dim: 2 dim: 2 dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "cut" type: "Slice" bottom: "conv" top: "left" top: "right" slice_param { axis: 3 } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "side" top: "sum" }
layer { name: "fc" type: "InnerProduct" bottom: "sum" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" concat_param { axis: 3 } }
"""
X = {
    "data": np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32),
    "side": np.random.default_rng(1).normal(size=(1, 2, 2, 2)).astype(np.float32),
}


def weights(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([len(layer), index]).normal(size=shape).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    return Path("net.prototxt")


@pytest.mark.parametrize(
    ("start", "inputs"),
    [
        ("conv", {"conv", "side"}),
        ("conv.0", {"conv.0", "side"}),
        ("sum", {"sum", "data"}),
        ("right", {"right", "side", "data"}),
    ],
)
def test_the_rest_gives_the_numbers_of_the_whole(path: Path, start: str, inputs: set[str]) -> None:
    """Also at what an in-place layer overwrites, and at one of a layer's tops, whose other top is still computed."""
    graph = driver.read_net(path, weights).graph
    known = evaluate_blobs(graph, {name: torch.from_numpy(x) for name, x in X.items()})
    read = replace(graph, returns=tuple((name, value) for name, value in graph.values.items() if name == start))
    made = evaluate_blobs(read, {name: torch.from_numpy(x) for name, x in X.items()})
    rest = driver.compile(path, weights, "onednn", start_at=start)
    assert set(rest.inputs) == inputs and set(rest.outputs) == {"fc", "both"}
    found = rest({name: made[name].numpy() if name == start else X[name] for name in inputs})
    for name in rest.outputs:
        np.testing.assert_allclose(found[name], known[name].numpy(), rtol=1e-5, atol=1e-6)


def test_an_output_has_to_depend_on_it() -> None:
    graph = parse("net n(x: f32[2]) {\n    y = relu(x)\n    z = abs(x)\n    return z\n}")
    with pytest.raises(CompileError, match='no output depends on "y"'):
        start_at(graph, ("y",))


def test_inputs_and_layers_that_only_the_start_needs_are_gone(path: Path) -> None:
    rest = driver.compile(path, weights, outputs=("fc",), start_at="sum", shapes={"sum": (5, 2, 2, 2)})
    assert {name: str(spec) for name, spec in rest.inputs.items()} == {"sum": "f32[5,2,2,2]"}
    assert rest.outputs["fc"].dims == (5, 3) and set(rest.plan.weights) == {"fc.weight", "fc.bias"}


def test_a_compiled_file_and_a_text_start_at_a_blob_too(path: Path) -> None:
    driver.save(driver.compile(path, weights, outputs=("fc",), optimize=False), "net.cortado")
    for net in ("net.cortado", path):
        done = CliRunner().invoke(main, ["show", str(net), "--start-at", "sum", "--output", "fc"])
        assert done.exit_code == 0 and done.stdout.startswith('net "net"(sum: f32[1,2,2,2])'), done.output
        assert "conv" not in done.stdout
    Path("n.net").write_text("net n(x: f32[2]) {\n    y = relu(x)\n    z = abs(y)\n    return z\n}\n")
    done = CliRunner().invoke(main, ["show", "n.net", "--start-at", "y", "--shape", "y=3"])
    assert done.stdout == "net n(y: f32[3]) {\n    z: f32[3] = abs(y)\n    return z\n}\n"


@pytest.mark.parametrize(
    ("start", "outputs", "sentence"),
    [
        ("data", (), 'the net cannot start at "data", which no layer computes'),
        ("convv", (), 'there is no value "convv" to start at; did you mean conv?'),
        ("fc.weight", (), 'the net cannot start at "fc.weight"'),
    ],
)
def test_where_a_net_cannot_start(path: Path, start: str, outputs: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CompileError) as e:
        driver.compile(path, weights, start_at=start, outputs=outputs)
    assert sentence in str(e.value)


def test_opencv_runs_nets_from_their_inputs(path: Path) -> None:
    done = CliRunner().invoke(main, ["compare", str(path), "--opencv", "--random-weights", "0", "--start-at", "sum"])
    assert done.exit_code == 2 and "--start-at is not for --opencv" in done.output
