"""Layers that the caller registers: read, compiled to a step that names them, and run by his own function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cortado
from cortado import runtime
from cortado.cli.runners import ReferenceRunner
from cortado.compiler.errors import CompileError
from cortado.compiler.ops.user import REGISTERED_LAYERS, User
from cortado.compiler.text import parse, show
from cortado.driver import Options, compile_net, read_net
from cortado.frontends.caffe.layer import LAYERS, layer
from cortado.frontends.caffe.register import register_layer, unregister_layer

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "flip" type: "Mirror" bottom: "conv" top: "flip" top: "sum"
        python_param { param_str: "{\\"axis\\": 3}" } }
layer { name: "act" type: "ReLU" bottom: "flip" top: "act" }
"""
X = np.random.default_rng(1).standard_normal((2, 3, 4, 5)).astype(np.float32)


def mirror(settings: dict[str, Any], x: torch.Tensor, gain: torch.Tensor) -> list[Any]:
    """The pictures mirrored, times a gain for each channel; and their sums, as numpy has them."""
    axis = json.loads(settings["param_str"])["axis"]
    return [x.flip(axis) * gain.reshape(1, -1, 1, 1), x.sum((1, 2, 3)).numpy()]


def weights(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([len(layer), index]).standard_normal(shape).astype(np.float32)


def expected(x: np.ndarray) -> dict[str, np.ndarray]:
    w, b = weights("conv", "", 0, (4, 3, 1, 1)), weights("conv", "", 1, (4,))
    conv = np.einsum("oi,nihw->nohw", w[:, :, 0, 0], x) + b.reshape(1, -1, 1, 1)
    gain = weights("flip", "", 0, (4,)).reshape(1, -1, 1, 1)
    return {"act": np.maximum(conv[..., ::-1] * gain, 0), "sum": conv.sum((1, 2, 3))}


pytestmark = pytest.mark.usefixtures("no_registered_layers")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    register_layer(
        "Mirror",
        mirror,
        shapes=lambda settings, x, *blobs: [x, (x[0],)],
        param="python_param",
        tops=2,
        blobs=lambda settings, x: [(x[1],)],
    )
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path / "net.prototxt"


def assert_outputs(made: dict[str, np.ndarray], x: np.ndarray) -> None:
    for name, wanted in expected(x).items():
        np.testing.assert_allclose(made[name], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("optimize", [True, False])
def test_it_runs_between_other_layers(net: Path, optimize: bool) -> None:
    made = cortado.compile(net, weights, optimize=optimize)
    assert_outputs(made(data=X), X)
    more = np.concatenate([X, -X, X])
    assert_outputs(made(data=more), more)
    (step,) = [s for s in made.plan.steps if s.kind == "user"]
    assert step.payload["layer"] == "Mirror" and step.payload["attributes"]["param_str"] == '{"axis": 3}'
    graph = read_net(net, weights).graph
    assert_outputs(ReferenceRunner("", graph, "reference-f64").run({"data": X}), X)


def test_a_file_names_it_and_holds_nothing_of_it(net: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.cortado"
    cortado.save(cortado.compile(net, weights), file)
    assert_outputs(cortado.load(file)(data=X), X)
    run = REGISTERED_LAYERS["Mirror"].run
    unregister_layer("Mirror")
    assert_outputs(runtime.load(file, layers={"Mirror": run})(data=X), X)
    assert_outputs(cortado.load(file, layers={"Mirror": run})(data=X), X)
    with pytest.raises(cortado.ArtifactError, match="needs your function 'Mirror'"):
        cortado.load(file)
    with pytest.raises(CompileError, match='no layer "Mirror" is registered'):
        cortado.compile(file)


def test_its_text_reads_back(net: Path) -> None:
    graph = read_net(net).graph
    assert show(parse(show(graph))) == show(graph)
    assert 'user(conv, flip.blob0, layer="Mirror", settings=' in show(graph)


def test_on_a_gpu_it_is_a_step_on_the_host(net: Path) -> None:
    artifact = compile_net(net, weights, Options(target="cuda")).artifact
    steps = [s.kind for s in artifact.plan.steps]
    assert steps.count("user") == 1 and set(steps) == {"user", "launch"}


def test_the_shape_of_the_first_bottom_is_the_tops_where_nothing_is_said() -> None:
    register_layer("Twice", lambda settings, x: 2 * x)
    op = User(layer="Twice")
    graph = parse('net n(x: f32[2,3]) {\n    y = user(x, layer="Twice")\n    return y\n}\n')
    assert str(graph.returns[0][1].type) == "f32[2,3]"
    (made,) = op.compute([torch.ones(2, 3)])
    assert made.tolist() == [[2.0] * 3] * 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('user(x, layer="Twyce")', 'no layer "Twyce" is registered; did you mean Twice?'),
        ('user(x, layer="Twice", settings="{")', "the settings are not JSON"),
        ('user(x, layer="Twice", settings="[1]")', "the settings have to be a JSON object"),
        ('user(x, layer="Odd")', '"Odd" infers the shape [2.5]'),
    ],
)
def test_mistakes_in_a_text(line: str, said: str) -> None:
    register_layer("Twice", lambda settings, x: 2 * x)
    register_layer("Odd", lambda settings, x: x, shapes=lambda settings, x: [2.5])  # type: ignore[list-item]
    with pytest.raises(CompileError) as caught:
        parse(f"net n(x: f32[2,3]) {{\n    y = {line}\n    return y\n}}\n")
    assert said in caught.value.message and caught.value.loc is not None


def test_every_value_of_an_enum_reaches_the_function(tmp_path: Path) -> None:
    def run(settings: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        return x * {"SUM": 1, "DIV": 5}[settings["operation"]]

    register_layer("Fivefold", run, param="eltwise_param")
    try:
        net = tmp_path / "net.prototxt"
        for value, factor in (("", 1), ("operation: SUM", 1), ("operation: DIV", 5)):
            net.write_text(
                'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'
                f'layer {{ name: "l" type: "Fivefold" bottom: "x" top: "y" eltwise_param {{ {value} }} }}'
            )
            assert cortado.compile(net)(np.asarray([1, 2], np.float32))["y"].tolist() == [factor, 2 * factor]
    finally:
        unregister_layer("Fivefold")


def test_a_layer_type_is_registered_once() -> None:
    count = len(LAYERS)
    with pytest.raises(ValueError, match="layer type ReLU is registered twice"):
        layer("ReLU")(mirror)  # type: ignore[arg-type]
    register_layer("Mirror", mirror)
    with pytest.raises(ValueError, match="layer type Mirror is registered twice"):
        layer("Mirror")(mirror)  # type: ignore[arg-type]
    unregister_layer("Mirror")
    assert len(LAYERS) == count and "Mirror" not in LAYERS
    with pytest.raises(ValueError, match="no layer ReLU is registered"):
        unregister_layer("ReLU")


def test_what_cannot_be_registered() -> None:
    with pytest.raises(ValueError, match="cortado computes itself"):
        register_layer("ReLU", mirror)
    with pytest.raises(ValueError, match=r"no settings called phyton_param; did you mean python_param\?"):
        register_layer("Mirror", mirror, param="phyton_param")
    with pytest.raises(ValueError, match="no settings called name"):
        register_layer("Mirror", mirror, param="name")
    register_layer("Mirror", mirror)
    register_layer("Mirror", lambda settings, x: x)  # once more, as in a notebook: the last one counts
    assert REGISTERED_LAYERS["Mirror"].run({}, torch.ones(1))[0].item() == 1


def test_a_step_that_keeps_no_word_is_found_out(net: Path) -> None:
    """The function makes another shape than it said: the run stops, and names the step."""
    made = cortado.compile(net, weights)
    register_layer(
        "Mirror", mirror, shapes=lambda s, x, *b: [x, (7,)], param="python_param", tops=2, blobs=lambda s, x: [(4,)]
    )
    wrong = cortado.compile(net, weights)
    with pytest.raises(ValueError, match="'sum' came out as \\[2\\], planned for \\[7\\]"):
        wrong(data=X)
    assert_outputs(made(data=X), X)
