"""NaN, infinities, negative zero, denormal and largest numbers through every layer, as Caffe's loops have them.

Each layer, alone and behind what it can be fused into, is held to a formula of Caffe's in numpy (tests/edges): by the
reference, on the CPU with all passes and with none, and by kernels in C; on the GPU by Triton's interpreter
(tests/test_triton_kernels.py).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cortado import driver, passes
from cortado.compiler.build import build
from cortado.compiler.ops.activation import Relu
from cortado.compiler.ops.detection import DetectionOutput
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.targets import target
from cortado.compiler.text import parse, show
from cortado.compiler.types import DTYPES
from cortado.runtime import Net as Runtime
from cortado.runtime.artifact import write as write_artifact

from .edges.cases import CASES, numbers
from .edges.formulas import FLT_MAX, F
from .edges.nets import Net, nets_of, require_caffes, run

NETS = [(name, where) for name, case in CASES.items() for where in nets_of(case)]


@pytest.fixture(params=NETS, ids=lambda n: f"{n[0]}-{n[1]}")
def net(request: pytest.FixtureRequest) -> Net:
    name, where = request.param
    return nets_of(CASES[name])[where]


@pytest.fixture
def prototxt(net: Net, tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(net.text)
    return path


def test_reference(net: Net, prototxt: Path) -> None:
    graph = driver.read_net(prototxt, net.weights).graph
    found = run(
        net, lambda given: evaluate_blobs(graph, {n: torch.from_numpy(x) for n, x in given.items()})["z"].numpy()
    )
    require_caffes(net, found)


@pytest.mark.parametrize("optimize", [True, False], ids=["optimized", "plain"])
def test_cpu(net: Net, prototxt: Path, optimize: bool) -> None:
    compiled = driver.compile(prototxt, net.weights, optimize=optimize)
    require_caffes(net, run(net, lambda given: compiled(given)["z"]))


@pytest.mark.parametrize(
    "net", [pytest.param(n, marks=[pytest.mark.long] * (i % 4 > 0)) for i, n in enumerate(NETS)], indirect=True
)
def test_native(net: Net, prototxt: Path, c_compiler: None) -> None:
    """By kernels in C, as most users have it: one in four here, all in `make long`."""
    compiled = driver.compile(prototxt, net.weights, "native")
    require_caffes(net, run(net, lambda given: compiled(given)["z"]))


def test_a_variance_that_eps_nearly_cancels_is_folded_as_caffe_adds_it(tmp_path: Path) -> None:
    """MobileNet v2's published variances are just above -1e-5: float32(1e-5) is 9.99999975e-06."""
    weight, bias = np.diag(np.full(4, 1e-3, F)), np.zeros(4, F)
    mean, variance = (
        numbers(0, 0.01, 0, 0.2),
        numbers(-9.9998997e-06, -9.9920235e-06, 0.5, -4.9380765e-06),
    )
    gamma, beta = numbers(1, 2, 3, 0.5), numbers(0.1, 0.2, 0.3, 0.4)
    blobs = {"c": (weight, bias), "n": (mean, variance, numbers(1)), "s": (gamma, beta)}
    text = inputs_text(1, 4, 1, 1) + (
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 1 } }"
        'layer { name: "n" type: "BatchNorm" bottom: "c" top: "n" }'
        'layer { name: "s" type: "Scale" bottom: "n" top: "z" scale_param { bias_term: true } }'
    )
    path = write(tmp_path, text)
    compiled = driver.compile(path, lambda layer, type, index, shape: blobs[layer][index].reshape(shape))
    assert [s.kind for s in compiled.plan.steps] == ["conv_packed"]
    x = numbers(1, -2, 3, 0.5).reshape(1, 4, 1, 1)
    convolved = (weight @ x.reshape(4)).astype(F)
    expected = (convolved - mean) / np.sqrt(variance + F(1e-5)) * gamma + beta
    np.testing.assert_allclose(compiled(x=x)["z"].reshape(4), expected, rtol=1e-6)


def test_a_negative_variance_is_nan_behind_a_folded_convolution_and_its_relu(tmp_path: Path) -> None:
    text = inputs_text(1, 1, 2, 2) + (
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 1 kernel_size: 1 bias_term: false } }"
        'layer { name: "n" type: "BatchNorm" bottom: "c" top: "n" }'
        'layer { name: "r" type: "ReLU" bottom: "n" top: "z" }'
    )
    blobs = {"c": (numbers(1),), "n": (numbers(0), numbers(-2e-5), numbers(1))}
    compiled = driver.compile(
        write(tmp_path, text), lambda layer, type, index, shape: blobs[layer][index].reshape(shape)
    )
    assert len(compiled.plan.steps) == 1
    assert np.isnan(compiled(x=np.ones((1, 1, 2, 2), F))["z"]).all()


@pytest.mark.parametrize("pooling", ["kernel_size: 4", "global_pooling: true", "kernel_size: 5 pad: 1 stride: 5"])
def test_nan_is_never_the_largest(pooling: str, tmp_path: Path) -> None:
    text = inputs_text(1, 3, 4, 4) + (
        f'layer {{ name: "p" type: "Pooling" bottom: "x" top: "z" top: "m" pooling_param {{ pool: MAX {pooling} }} }}'
    )
    x = np.full((1, 3, 4, 4), np.nan, F)
    x[0, 0, 2, 1], x[0, 2] = 5, -np.inf
    for optimize in (True, False):
        found = driver.compile(write(tmp_path, text), optimize=optimize)(x=x)
        assert found["z"].ravel().tolist() == [5, -FLT_MAX, -FLT_MAX]
        assert found["m"].ravel().tolist() == [9, -1, -1]


SETTINGS = {
    "Power": ("power_param", ("scale: 1e39", "shift: -inf", "power: nan", "shift: 1e39 scale: -1e39")),
    "Exp": ("exp_param", ("shift: nan", "scale: inf", "base: 1 scale: inf")),
    "Log": ("log_param", ("shift: inf", "scale: 0")),
    "ReLU": ("relu_param", ("negative_slope: inf", "negative_slope: nan")),
    "ELU": ("elu_param", ("alpha: -1e39", "alpha: nan")),
    "Clip": ("clip_param", ("min: -inf max: 1e39", "min: 0 max: inf", "min: nan max: 3")),
    "LRN": ("lrn_param", ("alpha: inf", "beta: 1e39", "k: nan", "norm_region: WITHIN_CHANNEL alpha: 1e39")),
    "MVN": ("mvn_param", ("eps: inf", "eps: nan")),
    "Reduction": ("reduction_param", ("coeff: inf", "coeff: nan")),
}


@pytest.mark.parametrize(("type", "setting"), [(t, s) for t, (_, settings) in SETTINGS.items() for s in settings])
def test_settings_beyond_float32_compile_and_are_kept(type: str, setting: str, tmp_path: Path) -> None:
    """They are infinite or NaN, in the text and in the file, and the numbers those of the reference."""
    layer = f'layer {{ name: "l" type: "{type}" bottom: "x" top: "z" {SETTINGS[type][0]} {{ {setting} }} }}'
    path = write(tmp_path, inputs_text(1, 2, 2, 2) + layer)
    graph, x = driver.read_net(path).graph, numbers(1, 2, -3, 0.5, -0.0, 0, 4, 8).reshape(1, 2, 2, 2)
    assert show(parse(show(graph))) == show(graph)
    compiled = driver.compile(path)
    write_artifact(tmp_path / "net.cortado", compiled.artifact)
    expected = evaluate_blobs(graph, {"x": torch.from_numpy(x)})["z"].numpy()
    for net in (compiled, driver.load(tmp_path / "net.cortado")):
        np.testing.assert_allclose(net(x=x)["z"], expected, rtol=1e-5)


def test_a_slope_that_is_no_number_makes_nan_of_what_is_above_zero() -> None:
    """relu_layer.cpp: x + slope · 0."""
    for slope in (math.inf, math.nan):
        (found,) = Relu(slope=slope).compute([torch.tensor([1.0, 0.0])])
        assert found.isnan().all()


@pytest.mark.parametrize(
    "op",
    [
        "conv(x, w)",  # a window that covers the image: a matrix product
        "conv(x, v, pad=1)",
        "deconv(x, u)",
        "linear(x, m)",
    ],
)
@pytest.mark.parametrize("activation", ["relu({})", "relu({}, slope=0.1)", "clip({}, low=-1, high=2)", "tanh({})"])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_products_hand_nan_to_their_activation(op: str, activation: str, dtype: str) -> None:
    """Packed by oneDNN, and by torch in f64."""
    weights = {"w": "[2,1,3,3]", "v": "[2,1,3,3]", "u": "[1,2,3,3]", "m": "[2,9]"}
    name = op.split(", ")[1].rstrip(")")
    numbers_text = ", ".join(["1"] * (18))
    text = (
        f"net t(x: {dtype}[1,1,3,3]) {{ weight {name}: {dtype}{weights[name]} = [{numbers_text}] "
        f"y = {activation.format(op)} return y }}"
    )
    graph = parse(text)
    x = torch.zeros(1, 1, 3, 3, dtype=DTYPES[dtype])
    x[0, 0, 1, 1] = torch.nan
    final = passes.run(graph, passes.Context(target("onednn")))
    assert len(final.graph.nodes) == 1
    found = Runtime.from_artifact(build(final, graph, "onednn"))({"x": x})["y"]
    torch.testing.assert_close(torch.as_tensor(found), evaluate_blobs(graph, {"x": x})["y"], equal_nan=True)
    assert (torch.as_tensor(found) == -1).any() if "clip" in activation else torch.as_tensor(found).isnan().any()


def test_detections_with_nan() -> None:
    """A NaN score is not above the threshold; a kept box with NaN suppresses all that come after it (bbox_util.cpp)."""
    nan = float("nan")
    op = DetectionOutput(classes=2, confidence=0.1, nms_threshold=0.5)
    boxes = torch.tensor([[[0.0, 0, 1, 1], [0, 0, 0.2, 0.2], [0.5, 0.5, 1, 1]]])
    prior = torch.stack([boxes.flatten(), torch.full((12,), 0.1)])[None]
    conf = torch.tensor([[0, 0.9, 0, nan, 0, 0.5]])
    loc = torch.zeros(1, 12)
    (found,) = op.compute([loc, conf, prior])
    assert found[0, 0, :, 2].tolist() == pytest.approx([0.9, 0.5])
    loc[0, 0] = nan  # of the best box
    (found,) = op.compute([loc, conf, prior])
    assert found[0, 0, :, 2].tolist() == pytest.approx([0.9])
    text = (
        "net t(l: f32[1,12], c: f32[1,6], p: f32[1,2,12]) { "
        "y = detection_output(l, c, p, classes=2, confidence=0.1, nms_threshold=0.5) return y }"
    )
    graph = parse(text)
    net = Runtime.from_artifact(build(passes.run(graph, passes.Context(target("onednn"))), graph, "onednn"))
    result = net({"l": loc, "c": conf, "p": prior})["y"]
    torch.testing.assert_close(torch.as_tensor(result), found, equal_nan=True)


def inputs_text(*shape: int) -> str:
    return f'input: "x" input_shape {{ {" ".join(f"dim: {d}" for d in shape)} }}\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "net.prototxt"
    path.write_text(text)
    return path
