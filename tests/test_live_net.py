"""A net whose parameters, shapes and wanted blobs change between runs, against a plain model of what Caffe does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cortado.compat import live_net
from cortado.compat.live_layer import Key
from cortado.compat.live_net import LiveNet
from cortado.compat.live_plans import WantedNet
from cortado.compiler.errors import CompileError
from cortado.frontends.files import caffemodel

from .test_goldens import CASES, GoldenCase

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-4  # of values near 1, after sums of at most 200 products, in another order

NET = b"""
name: "live"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "slope" type: "PReLU" bottom: "conv" top: "slope" }
layer { name: "mirror" type: "Convolution" bottom: "slope" top: "mirror" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "twin" type: "Convolution" bottom: "mirror" top: "twin" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "flat" type: "Flatten" bottom: "twin" top: "flat" }
layer { name: "half" type: "Power" bottom: "flat" top: "flat" power_param { scale: 0.5 shift: 0.25 } }
layer { name: "sum" type: "Eltwise" bottom: "twin" bottom: "slope" top: "sum" }
layer { name: "prob" type: "Softmax" bottom: "sum" top: "prob" }
"""
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "conv": [(4, 3, 3, 3), (4,)],
    "bn": [(4,), (4,), (1,)],
    "scale": [(4,), (4,)],
    "slope": [(4,)],
    "mirror": [(4, 4, 1, 1), (4,)],
}


class PlainNet:
    """The net above as Caffe runs it: blobs are memory that layers write one after the other, some of it shared."""

    def __init__(self, params: dict[str, list[Array]]) -> None:
        self.params = params

    def run(self, x: Array) -> dict[Any, Array]:
        p = {name: [torch.from_numpy(a) for a in arrays] for name, arrays in self.params.items()}
        blobs, seen = {"data": torch.from_numpy(x.copy())}, dict[Any, Array]()
        channels = (1, 4, 1, 1)

        def note(layer: str, top: str, made: torch.Tensor) -> None:
            if top in blobs:
                blobs[top].copy_(made)
            else:
                blobs[top] = made
            seen[layer, 0] = blobs[top].numpy().copy()

        seen["data", 0] = x.copy()
        note("conv", "conv", F.conv2d(blobs["data"], p["conv"][0], p["conv"][1], padding=1))
        mean, variance, factor = p["bn"]
        by = 0 if float(factor) == 0 else 1 / float(factor)
        deviation = (variance.double() * by + 1e-5).sqrt().float()
        note("bn", "conv", (blobs["conv"] - (mean * by).view(channels)) / deviation.view(channels))
        note("scale", "conv", blobs["conv"] * p["scale"][0].view(channels) + p["scale"][1].view(channels))
        note("relu", "conv", blobs["conv"].clamp(min=0))
        note("slope", "slope", F.prelu(blobs["conv"], p["slope"][0]))
        note("mirror", "mirror", F.conv2d(blobs["slope"], p["mirror"][0], p["mirror"][1]))
        note("twin", "twin", F.conv2d(blobs["mirror"], p["mirror"][0], p["mirror"][1]))
        note("flat", "flat", blobs["twin"].view(len(x), -1))  # the same memory
        note("half", "flat", blobs["flat"] * 0.5 + 0.25)
        note("sum", "sum", blobs["twin"] + blobs["slope"])
        note("prob", "prob", blobs["sum"].softmax(1))
        seen.update((name, made.numpy()) for name, made in blobs.items())
        return seen


def draw_params(random: np.random.Generator) -> dict[str, list[Array]]:
    made = {n: [random.normal(0, 0.5, s).astype("f4") for s in shapes] for n, shapes in SHAPES.items()}
    made["bn"][1:] = [np.abs(made["bn"][1]) + 0.5, np.ones(1, np.float32)]
    return made


def write_weights(folder: Path, params: dict[str, list[Array]], *left_out: str) -> Path:
    path = folder / "live.caffemodel"
    blobs = {n: arrays for n, arrays in params.items() if n not in left_out}
    caffemodel.write(path, "live", [caffemodel.WrittenLayer(n, "?", a, [], []) for n, a in blobs.items()])
    return path


class Session:
    """A program that uses both nets in the same way, step by step."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.params = draw_params(self.random)
        self.net = LiveNet.read(NET, write_weights(folder, self.params), target="onednn")
        self.plain = PlainNet(self.params)
        self.shape = (1, 3, 6, 5)
        self.x = self.draw(self.shape)
        self.steps: list[Callable[[], None]] = [
            self.run, self.run, self.write_some, self.write_all, self.replace, self.read, self.reshape, self.read_shapes
        ]  # fmt: skip

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self.random.normal(0, 1, shape).astype("f4")

    def step(self) -> None:
        self.steps[self.random.integers(len(self.steps))]()

    def pick(self) -> tuple[Array, Array]:
        """A parameter at random: as the net hands it out, and in the plain model."""
        layers = [l for l in self.net.layers if l.params]
        layer = layers[self.random.integers(len(layers))]
        index = int(self.random.integers(len(layer.params)))
        owner = "mirror" if layer.name == "twin" else layer.name
        return layer.params[index], self.params[owner][index]

    def run(self) -> None:
        keys: list[Key] = [*self.net.shapes({"data": self.shape})]
        names = [key for key in keys if isinstance(key, str) or isinstance(key[0], str)]
        wanted = [names[i] for i in self.random.integers(len(names), size=self.random.integers(1, 4))]
        if self.random.random() < 0.5:
            self.x = self.draw(self.shape)
        expected = self.plain.run(self.x)
        for key, made in zip(wanted, self.net.run({"data": self.x}, wanted), strict=True):
            np.testing.assert_allclose(made, expected[key], rtol=TOLERANCE, atol=TOLERANCE, err_msg=str(key))
            made[...] = 7  # an answer is the caller's

    def write_some(self) -> None:
        ours, plain = self.pick()
        at = tuple(self.random.integers(n) for n in ours.shape)
        value = np.float32(self.random.uniform(0.5, 1.5))
        ours[at], plain[at] = value, value

    def write_all(self) -> None:
        ours, plain = self.pick()
        factor = np.float32(self.random.uniform(0.8, 1.2))
        ours *= factor
        plain *= factor

    def replace(self) -> None:
        self.params["scale"][:] = [self.draw((4,)), self.draw((4,))]
        self.net.write_params(3, [a.reshape(1, 4, 1, 1) for a in self.params["scale"]])

    def read(self) -> None:
        ours, plain = self.pick()
        np.testing.assert_array_equal(ours, plain)

    def reshape(self) -> None:
        batch, height, width = self.random.integers(1, 4, 3)
        self.shape = (int(batch), 3, 4 + int(height), 4 + int(width))
        self.x = self.draw(self.shape)

    def read_shapes(self) -> None:
        found = self.net.shapes({"data": self.shape})
        expected = self.plain.run(self.x)
        assert {key: found[key] for key in expected} == {key: made.shape for key, made in expected.items()}


@pytest.mark.parametrize("seed", range(12))
def test_writes_reshapes_and_reads_in_any_order(seed: int, tmp_path: Path) -> None:
    session = Session(tmp_path, seed)
    for _ in range(20):
        session.step()
    session.run()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_more_of_them(seed: int, tmp_path: Path) -> None:
    test_writes_reshapes_and_reads_in_any_order(seed, tmp_path)


def test_an_array_that_is_read_is_the_same_one_until_it_changes(tmp_path: Path) -> None:
    session = Session(tmp_path, 1)
    conv = next(l for l in session.net.layers if l.name == "conv")
    assert conv.params[0] is conv.params[0]
    mirror, twin = (next(l for l in session.net.layers if l.name == n) for n in ("mirror", "twin"))
    assert twin.params[1] is mirror.params[1], "they share it"


def test_nothing_is_compiled_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, made = Session(tmp_path, 2), list[WantedNet]()

    def record(*args: Any) -> WantedNet:
        made.append(WantedNet(*args))
        return made[-1]

    monkeypatch.setattr(live_net, "WantedNet", record)
    net, small, large = session.net, session.draw((1, 3, 5, 5)), session.draw((2, 3, 9, 8))
    for _ in range(3):
        net.run({"data": small})
        net.run({"data": large})
        net.run({"data": small}, ["conv"])
    assert len(made) == 2 and sorted(len(plan.net.programs) for plan in made) == [1, 2]
    net.layers[1].params[1][0] += 1
    net.run({"data": small})
    assert len(made) == 3
    net.run({"data": small})
    assert len(made) == 3, "the parameters are those of the last run"


def test_plans_of_blobs_that_are_no_longer_wanted_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_net, "MAX_PLANS", 2)
    session = Session(tmp_path, 3)
    for blob in ("conv", "slope", "conv", "sum"):
        session.net.run({"data": session.x}, [blob])
    assert [*session.net.plans] == [("=conv",), ("=sum",)]


def test_without_weights_parameters_are_what_fillers_make() -> None:
    net, again = LiveNet.read(NET), LiveNet.read(NET)
    params = {l.name: l.params for l in net.layers if l.params}
    (conv, bias), std = params["conv"], params["mirror"][0].std()
    assert abs(conv).max() <= (3 / 27) ** 0.5 and conv.std() > 0.1 and not bias.any()
    assert 0.25 < std < 1 and params["slope"][0].tolist() == [0.25] * 4
    assert params["scale"][0].tolist() == [1] * 4 and not any(a.any() for a in params["bn"])
    for ours, theirs in zip(net.layers, again.layers, strict=True):
        assert all(map(np.array_equal, ours.params, theirs.params))
    assert not np.array_equal(params["mirror"][0], params["conv"][0][:, :, :1, :1][:, :1].repeat(4, 1))


def test_a_layer_that_the_caffemodel_lacks_is_filled_with_a_warning(tmp_path: Path) -> None:
    path, said = write_weights(tmp_path, draw_params(np.random.default_rng(0)), "mirror", "scale"), list[str]()
    net = LiveNet.read(NET, path, warn=said.append)
    for size in (5, 6):
        net.run({"data": np.zeros((1, 3, size, size))})
    said.pop(0)  # of a layer that writes shared memory in place
    assert len(said) == 2 and all("there are no weights for it" in sentence for sentence in said)
    assert 'layer "scale" (Scale)' in said[0] and 'layer "mirror" (Convolution)' in said[1]


def test_without_fills_missing_weights_are_refused_where_they_are_needed(tmp_path: Path) -> None:
    net = LiveNet.read(NET, write_weights(tmp_path, draw_params(np.random.default_rng(0)), "mirror"), fills=False)
    x = {"data": np.ones((1, 3, 5, 5), np.float32)}
    net.run(x, ["slope"])
    with pytest.raises(CompileError, match=r'layer "mirror" .*has no weights'):
        net.run(x)
    net.write_params(6, [np.eye(4), np.zeros(4)])
    slope, twin = net.run(x, ["slope", ("twin", 0)])
    np.testing.assert_allclose(slope, twin, rtol=1e-6)


@pytest.mark.parametrize(
    ("wanted", "inputs", "sentence"),
    [
        (["cnov"], {}, 'no blob "cnov".*did you mean conv'),
        ([("covn", 0)], {}, 'no layer "covn".*did you mean conv'),
        ([("conv", 1)], {}, 'layer "conv" has no top 1'),
        (["conv"], {}, 'the input "data" is not given'),
        (["conv"], {"date": np.zeros(1)}, 'no input "date".*did you mean data'),
        (["conv"], {"data": np.zeros((1, 4, 5, 5))}, "4 channels|blob 0 is"),
        (["conv"], {"data": np.zeros((1, 3, 5, 5), np.complex64)}, "numbers"),
    ],
)
def test_what_does_not_fit_is_told(wanted: list[Key], inputs: dict[str, Array], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=sentence):
        Session(tmp_path, 0).net.run(inputs, wanted)


def test_weights_of_another_shape_are_told_when_they_are_used(tmp_path: Path) -> None:
    session = Session(tmp_path, 4)
    session.net.write_params(1, [np.zeros((4, 3, 5, 5))])
    with pytest.raises(CompileError, match=r"blob 0 is \[4, 3, 5, 5\], and the net needs \[4, 3, 3, 3\]"):
        session.net.run({"data": session.x})


def test_an_input_without_a_shape_gets_one_when_it_runs() -> None:
    relu = b'input: "a" input: "c" layer { name: "r" type: "ReLU" bottom: "a" top: "b" }'
    net = LiveNet.read(relu + b'layer { name: "s" type: "Sigmoid" bottom: "c" top: "d" }')
    assert (net.inputs, net.input_shapes, net.outputs) == (("a", "c"), {}, ("b", "d"))
    b, d = net.run({"a": np.array([[-1.0, 2.0]]), "c": np.zeros((1, 1))})
    assert (b.tolist(), d.tolist()) == ([[0, 2]], [[0.5]])


def test_files_may_be_bytes(tmp_path: Path) -> None:
    session = Session(tmp_path, 5)
    path = tmp_path / "live.caffemodel"
    net = LiveNet.read(NET, path.read_bytes(), target="onednn")
    (ours,), (theirs,) = (n.run({"data": session.x}, ["prob"]) for n in (net, session.net))
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(CompileError, match=r"^the caffemodel: byte 0: this is an HTML page"):
        LiveNet.read(NET, b"<html>")
    with pytest.raises(CompileError, match="this file is empty"):
        LiveNet.read(b"")


def test_code_in_c_takes_over_after_some_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, c_compiler: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    net = LiveNet.read(NET)
    x = np.random.default_rng(0).random((1, 3, 7, 7), np.float32)
    (first,) = net.run({"data": x}, ["prob"])
    plan = net.plans["=prob",]
    assert plan.net.plan.runner == "onednn"
    end = time.monotonic() + 60
    while next(iter(plan.net.programs.values())).plan.runner != "native" and time.monotonic() < end:
        net.run({"data": x}, ["prob"])
        time.sleep(0.01)
    assert next(iter(plan.net.programs.values())).plan.runner == "native"
    (again,) = net.run({"data": x}, ["prob"])
    np.testing.assert_allclose(again, first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_golden_case_with_all_its_blobs(path: Path, tmp_path: Path) -> None:
    """What real Caffe computed, from a net that returns what each of its layers makes."""
    case = GoldenCase(path)
    layers = [
        caffemodel.WrittenLayer(name, "?", [case.params[f"{name}:{i}"] for i in range(count)], [], [])
        for name, count in Counter(key.rpartition(":")[0] for key in case.params).items()
    ]
    caffemodel.write(tmp_path / "case.caffemodel", path.stem, layers or [caffemodel.WrittenLayer("-", "?", [], [], [])])
    net = LiveNet.read(path, tmp_path / "case.caffemodel", target="onednn", dialect=case.dialects)
    shapes = net.shapes({name: x.shape for name, x in case.inputs.items()})
    blobs = [name for name in shapes if isinstance(name, str) and (name in case.outputs or name not in case.inputs)]
    made = dict(zip(blobs, net.run(case.inputs, blobs), strict=True))
    case.compare({name: made[name] for name in case.outputs})
    for name, values in made.items():
        assert len(values.shape) == len(shapes[name]), name
