"""Layers of forks on two blobs, of which one is broadcast: by hand, at other sizes, and refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cortado.compiler.ops.dense import Distance

from .small_nets import Nets, arange, data, f32, layer

X = arange(2, 3) + 1


@pytest.mark.parametrize(("type", "wanted"), [
    ("Add", [[11, 22, 33], [14, 25, 36]]),
    ("Sub", [[-9, -18, -27], [-6, -15, -24]]),
    ("Mul", [[10, 40, 90], [40, 100, 180]]),
    ("Div", [[0.1, 0.1, 0.1], [0.4, 0.25, 0.2]]),
    ("Minimum", [[1, 2, 3], [4, 5, 6]]),
    ("Maximum", [[10, 20, 30], [10, 20, 30]]),
])  # fmt: skip
def test_broadcast_along_the_batch(nets: Nets, type: str, wanted: list[list[float]]) -> None:
    text = data(2, 3) + data(3, name="b") + layer(type, "", ("data", "b"))
    np.testing.assert_allclose(nets.run(text, {"data": X, "b": [10, 20, 30]})["y"], wanted, rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), [
    ((2, 3, 4), (2, 3, 4)),
    ((2, 3, 4), (3, 1)),
    ((2, 3, 4), (2, 1, 4)),
    ((2, 3, 4), (1, 1, 1)),
    ((2, 3, 4), (2, 1, 1)),
    ((2, 3, 4), ()),
    ((), (2, 3)),
    ((3, 1), (2, 3, 4)),
    ((2, 1, 4), (1, 3, 1)),
    ((1, 3), (2, 1)),
])  # fmt: skip
@pytest.mark.parametrize("type", ["Add", "Mul", "Div", "Minimum"])
def test_broadcasting_is_numpys(nets: Nets, type: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    formula = {"Add": np.add, "Mul": np.multiply, "Div": np.divide, "Minimum": np.minimum}[type]
    x, y = (np.random.default_rng(i).uniform(1, 2, shape).astype(np.float32) for i, shape in enumerate((a, b)))
    text = data(*a) + data(*b, name="b") + layer(type, "", ("data", "b"))
    made = nets.run(text, {"data": x, "b": y})["y"]
    wanted = formula(x, y)
    assert made.shape == wanted.shape
    np.testing.assert_allclose(made, wanted, rtol=1e-6)


def test_a_channels_number_is_fused(nets: Nets) -> None:
    text = data(1, 2, 3, 3) + layer("Convolution", "convolution_param { num_output: 2 kernel_size: 1 }", tops=("c",))
    text += layer("Mul", "mul_param { mul_shape: 1 mul_shape: 2 mul_shape: 1 mul_shape: 1 }", ("c",)).replace(
        '"l"', '"m"'
    )
    weights = {"l:0": torch.randn(2, 2, 1, 1), "l:1": [1, 2], "m:0": [3, 4]}
    made = nets.compilation(text, weights)
    assert [node.op.name for node in made.graph.nodes if node.op.name != "relayout"] == ["conv"]


def test_axpy_by_hand(nets: Nets) -> None:
    x, y = arange(1, 2, 2), torch.ones(1, 2, 2)
    for shape in ((1, 2), (1, 2, 1)):
        text = data(*shape, name="a") + data(1, 2, 2, name="x") + data(1, 2, 2, name="yy")
        made = nets.run(text + layer("Axpy", "", ("a", "x", "yy")), {"a": np.reshape([10, -1], shape), "x": x, "yy": y})
        assert made["y"].tolist() == [[[1, 11], [-1, -2]]]


def test_channel_scale(nets: Nets) -> None:
    """The scale may have lost its axis of channels; the learnt number, within its limits, is a top if asked for."""
    x, by = arange(1, 2, 1, 2), torch.tensor([[[10.0, 20.0]]])
    text = data(1, 2, 1, 2) + data(1, 1, 2, name="by")
    made = nets.run(text + layer("ChannelScale", "", ("data", "by")), {"data": x, "by": by})["y"]
    assert made.tolist() == [[[[0, 20]], [[20, 60]]]]
    learnt = layer(
        "ChannelScale", "channel_scale_param { global_scale: true max_global_scale: 2 }", ("data", "by"), ("y", "s")
    )
    found = nets.run(text + learnt, {"data": x, "by": by}, {"l:0": [7]})
    assert found["y"].tolist() == (2 * x).tolist() and found["s"].tolist() == [2]


def test_distances_by_hand(nets: Nets) -> None:
    x = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    centres = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 3.0]])
    assert Distance().reference(x, centres).tolist() == [[5, 0, 5], [1, 10, 25]]
    assert Distance(norm=1).reference(x, centres).tolist() == [[3, 0, 3], [1, 4, 7]]
    text = data(2, 2) + data(3, 2, name="c") + layer("InnerDistance", "", ("data", "c"))
    assert nets.run(text, {"data": x, "c": centres})["y"].tolist() == [[5, 0, 5], [1, 10, 25]]
    with pytest.raises(ValueError, match="norm is 1 or 2, not 3"):
        Distance(norm=3).infer(f32(2, 2), f32(3, 2))
    with pytest.raises(ValueError, match="the centres are a matrix of rows of 2 numbers"):
        Distance().infer(f32(2, 2), f32(3, 3))


def test_l1_loss(nets: Nets) -> None:
    text = data(2, 2) + data(2, 2, name="b") + layer("L1Loss", "", ("data", "b"))
    assert nets.run(text, {"data": [[1, 2], [3, 4]], "b": [[0, 4], [3, 9]]})["y"].tolist() == 4


TWO = data(2, 3, 4, 4) + data(2, 4, name="b")


@pytest.mark.parametrize(("text", "said"), [
    (layer("Add", "", ("data", "b")), "their sizes have to be equal or 1, counted from the last axis"),
    (layer("Add", "", ("data", "data"), ("data",)), "twice"),
    (layer("Mul", "mul_param { mul_shape: 4 }", ("data", "b")), "mul_shape is that of a learnt blob"),
    (layer("Mul", "mul_param { mul_shape: 3 }"), "their sizes have to be equal or 1"),
    (layer("Axpy", "", ("b", "data", "data")), "it takes a [n, c], and x and y [n, c, ...] of one shape"),
    (layer("Axpy", "", ("data", "data", "data")), "a has one number for each image and channel"),
    (layer("ChannelScale", "", ("data", "b")), "it takes images [n, c, h, w] and scales [n, 1, h, w]"),
    (layer("InnerDistance", 'inner_distance_param { distance_type: "cos" num_output: 1 }'), "L1 or L2, not cos"),
    (layer("InnerDistance"), "num_output has to be 1 or more"),
    (layer("InnerDistance", "inner_distance_param { update_center_only: true }", ("data", "b")), "is a label"),
    (layer("InnerDistance", "", ("data", "b")), "the centres are a matrix of rows of 48 numbers"),
])  # fmt: skip
def test_refused(nets: Nets, text: str, said: str) -> None:
    refused = nets.expect_refusal(TWO + text, weights={"l:0": np.ones(3)})
    assert 'layer "l" (' in refused and said in refused
