"""Elementwise layers, reductions, losses and scores: each operator against numbers worked out by hand.

On the reference and on the CPU, in both layouts. What Caffe's layers make of them: test_layers_scores.py.
"""

from __future__ import annotations

from dataclasses import replace
from math import e, inf, log, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph
from cortado.compiler.op import make_op
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.text import parse
from cortado.runtime import Net

NAMES = "xyz"
HAND: list[tuple[str, list[Any], list[Any]]] = [  # a call, its operands, its results
    ("exp(x, base=2, scale=0.5, shift=1)", [[2, -2, 0, inf]], [[4, 1, 2, inf]]),
    ("exp(x)", [[0, 1, -inf]], [[1, e, 0]]),
    ("log(x, base=2, scale=2, shift=2)", [[1, 7, -1, -2]], [[2, 4, -inf, nan]]),
    ("log(x)", [[1, e]], [[0, 1]]),
    ("bnll(x)", [[0, 1000, -1000, nan]], [[log(2), 1000, 0, nan]]),
    ("swish(x, beta=2)", [[0, log(3) / 2]], [[0, 0.75 * log(3) / 2]]),
    ("mish(x)", [[0, log(2), 1000, -1000, inf, nan]], [[0, 0.8 * log(2), 1000, 0, inf, nan]]),  # tanh(log(3)) is 0.8
    (
        "clipped_relu(x, slope=0.5, low=-1.0, high=2.0)",
        [[-4, -1, -0.5, 0, 1, 3, inf, -inf, nan]],
        [[-1, -0.5, -0.25, 0, 1, 2, 2, -1, nan]],
    ),
    ("clipped_relu(x, high=6.0)", [[-inf, -1, 5, 7, nan]], [[0, 0, 5, 6, nan]]),
    ("clipped_relu(x, slope=0.5, keeps_nan=false)", [[-2, nan, 3]], [[-1, 0, 3]]),
    ("clipped_relu(x, keeps_nan=false)", [[-2, nan, 3]], [[0, 0, 3]]),
    ("hard_swish(x)", [[-4, -3, -1.5, 0, 1.5, 3, 7, inf, nan]], [[0, 0, -0.375, 0, 1.125, 3, 7, inf, nan]]),
    ("clip(x, low=-1, high=2)", [[-5, 0.5, 9, inf, nan]], [[-1, 0.5, 2, 2, -1]]),
    ("clip(x, low=3, high=1)", [[0, 2, 9]], [[3, 3, 3]]),
    ("threshold(x, threshold=0.5)", [[0.5, 0.6, -inf, nan]], [[0, 1, 0, 0]]),
    ("bias(x, y)", [[[[1, 2], [3, 4]]], [10, 20]], [[[[11, 12], [23, 24]]]]),
    ("bias(x, y, axis=-1)", [[[[1, 2], [3, 4]]], [10, 20]], [[[[11, 22], [13, 24]]]]),
    ("bias(x, y, axis=0)", [[[1, 2]], 5], [[[6, 7]]]),
    ("reduce(x, axis=1)", [[[1, -2], [3, -4]]], [[-1, -1]]),
    ("reduce(x)", [[[1, -2], [3, -4]]], [-2]),
    ('reduce(x, how="asum", axis=-1, coeff=0.5)', [[[1, -2], [3, -4]]], [[1.5, 3.5]]),
    ('reduce(x, how="sumsq", axis=1)', [[[1, -2], [3, -4]]], [[5, 25]]),
    ('reduce(x, how="mean", coeff=2)', [[[1, -2], [3, -4]]], [-1]),
    ("argmax(x)", [[[1, 3, 3, 2], [5, 4, 4, 4]]], [[[2], [0]]]),  # of equals the last
    ("argmax(x, top=3, numbers=true)", [[[1, 3, 3, 2]]], [[[2, 1, 3]], [[3, 3, 2]]]),
    ("argmax(x, axis=0)", [[[1, 3], [2, 2]]], [[[1, 0]]]),
    ("argmax(x, axis=-1, top=2)", [[[1, nan, 3, inf]]], [[[1, 3]]]),
    ("standardize(x)", [[[[1, 3], [5, 5]]]], [[[[-1, 1], [0, 0]]]]),
    ("standardize(x, eps=0.5)", [[[[1, 3], [5, 5]]]], [[[[-1 / 1.5, 1 / 1.5], [0, 0]]]]),
    ('standardize(x, eps=3, eps_in="variance", per=1)', [[[1, 5], [3, 5]]], [[[-0.5, 0], [0.5, 0]]]),
    ("standardize(x, scaled=false, per=0)", [[[[1, 3], [5, 7]]]], [[[[-3, -1], [1, 3]]]]),
    ("standardize(x, per=[])", [[1, 3]], [[-1, 1]]),
    ("standardize(x, per=[0, 1])", [[[7, 8]]], [[[0, 0]]]),  # each number alone
    ("cross_entropy(x, y)", [[[0.5, 0.25, 0.25], [0.125, 0.5, 0.375]], [1.9, -0.5]], [[log(4), log(8)]]),
    ("cross_entropy(x, y, floor=0.25)", [[[0, 1], [1, 0]], [0, 0]], [[log(4), 0]]),
    ("cross_entropy(x, y, ignore=255)", [[[0.5, 0.5], [0.5, 0.5]], [255, 1]], [[0, log(2)]]),
    ("cross_entropy(x, y, axis=0)", [[[0.5, 0.25], [0.5, 0.75]], [0, 0]], [[log(2), log(4)]]),
    ("cross_entropy(x, y, axis=0)", [[0.5, 0.25, 0.25], 2], [log(4)]),
    ("cross_entropy(x, y, z)", [[[0.5, 0.25, 0.25]], [1], [[0] * 3, [1, 2, 0], [9] * 3]], [[log(2) + 2 * log(4)]]),
    ("hinge(x, y)", [[[0.5, -2], [2, 0.5], [nan, -2]], [0, 0, 0]], [[[0.5, 0], [0, 1.5], [0, 0]]]),
    ("hinge(x, y)", [[0.5, 3], [0, 0]], [[0.5, 0]]),
    ("sigmoid_cross_entropy(x, y)", [[0, 1000, -1000, 1000], [0.3, 1, 1, 0]], [[log(2), 0, 1000, 1000]]),
    ("sigmoid_cross_entropy(x, y)", [[log(3)], [0.25]], [[-0.25 * log(0.75) - 0.75 * log(0.25)]]),
    ("smooth_l1(x)", [[0.5, -2, 1, nan]], [[0.125, 1.5, 0.5, nan]]),
    ("smooth_l1(x, sigma=2)", [[0.125, -1]], [[0.03125, 0.875]]),
    ("contrastive(x, y, margin=2)", [[0.25, 0.25, 9, 4], [0, -1, 0.9, 1]], [[2.25, 0.25, 0, 4]]),
    ("contrastive(x, y, margin=2, legacy=true)", [[0.25, 9], [0, 0]], [[1.75, 0]]),
    ("total_loss(x)", [[[1, 2], [3, 4]]], [5]),
    ('total_loss(x, by="all", scale=2)', [[[1, 2], [3, 4]]], [5]),
    ('total_loss(x, by="none")', [[[1, 2], [3, 4]]], [10]),
    ("total_loss(x, axis=2)", [[[1, 2], [3, 4]]], [2.5]),
    ("total_loss(x, axis=0)", [[[1, 2], [3, 4]]], [10]),
    ('total_loss(x, y, by="valid", ignore=255)', [[[1, nan], [3, 4]], [0, 255, 1, 0]], [8 / 3]),
    ("total_loss(x, y, ignore=-1)", [[[1, 2], [3, 4]], [0, -1, 0, 0]], [4]),
    ('total_loss(x, y, by="valid", ignore=7)', [[nan, inf], [7, 7.5]], [0]),  # nothing counts: never divided by 0
    ("accuracy(x, y)", [[[1, 3, 2], [5, 5, 1], [1, 2, 3]], [1, 0, 0]], [1 / 3]),  # an equal score is a better one
    ("accuracy(x, y, top=2)", [[[1, 3, 2], [5, 5, 1], [1, 2, 3]], [1, 0, 0]], [2 / 3]),
    ("accuracy(x, y, ignore=0)", [[[1, 3, 2], [5, 5, 1], [1, 2, 3]], [1, 0, 0]], [1]),
    ("accuracy(x, y, ignore=0)", [[[1, 3]], [0]], [0]),
    ("accuracy(x, y)", [[[nan, 3]], [0]], [1]),  # nothing is as high as NaN
    ("accuracy(x, y, axis=0)", [[[1, 4], [3, 2]], [1, 1]], [0.5]),
    ("accuracy(x, y, classes=true)", [[[1, 3, 0], [5, 4, 0], [1, 2, 0]], [1, 0, 0]], [2 / 3, [0.5, 1, 0]]),
    ("accuracy(x, y, ignore=0, classes=true)", [[[1, 3], [5, 4]], [1, 0]], [1, [0, 1]]),
]


def array(numbers: Any) -> np.ndarray:
    return np.array(numbers, np.float32)


def type_text(x: np.ndarray) -> str:
    return f"f32[{','.join(map(str, x.shape))}]"


@pytest.mark.parametrize(("call", "operands", "results"), HAND, ids=lambda v: v if isinstance(v, str) else "")
def test_by_hand(tmp_path: Path, call: str, operands: list[Any], results: list[Any]) -> None:
    given = dict(zip(NAMES, map(array, operands), strict=False))
    made = ", ".join(f"r{i}" for i in range(len(results)))
    inputs = ", ".join(f"{name}: {type_text(x)}" for name, x in given.items())
    path = tmp_path / "case.net"
    path.write_text(f"net case({inputs}) {{\n    {made} = {call}\n    return {made}\n}}\n")
    reference = evaluate_blobs(parse(path.read_text()), {name: torch.from_numpy(x) for name, x in given.items()})
    found = driver.compile(path)(given)
    for i, wanted in enumerate(map(array, results)):
        for got in (reference[f"r{i}"].numpy(), found[f"r{i}"]):
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


IMAGES = [  # of c, which lies in nhwc, and of labels
    "argmax(c)",
    "argmax(c, axis=3, top=4)",
    "standardize(c)",
    'standardize(c, per=1, eps=0.1, eps_in="variance")',
    "reduce(c, axis=2)",
    'reduce(c, axis=1, how="asum")',
    "cross_entropy(p, label)",
    "accuracy(c, label, top=2, ignore=1)",
    "accuracy(c, label, axis=-3)",
    'total_loss(c, wide, ignore=1, by="valid")',
    "hinge(c, one)",
    "sigmoid_cross_entropy(c, wide)",
    "clip(c, low=-0.5, high=0.25)",
    "threshold(c, threshold=0.1)",
]


@pytest.mark.parametrize("call", IMAGES)
def test_images_that_lie_with_channels_innermost(tmp_path: Path, call: str) -> None:
    path = tmp_path / "case.net"
    path.write_text(f"""net case(x: f32[2,3,5,4], label: f32[2,1,5,4], wide: f32[2,6,5,4], one: f32[2]) {{
        weight w: f32[6,3,1,1]
        c = conv(x, w)
        p = softmax(c)
        y = {call}
        return y, p, label, wide, one
    }}""")
    random = np.random.default_rng(0)
    weight = random.standard_normal((6, 3, 1, 1), np.float32)
    given = {"x": random.standard_normal((2, 3, 5, 4), np.float32), "one": array([5, 0])}
    given |= {"label": array(random.integers(0, 6, (2, 1, 5, 4))), "wide": array(random.integers(0, 2, (2, 6, 5, 4)))}
    text = path.read_text()
    by_hand = evaluate_blobs(bind_weight(text, weight), {name: torch.from_numpy(x) for name, x in given.items()})
    artifact = driver.compile_graph(bind_weight(text, weight), driver.Options()).artifact
    assert artifact.plan.slots["c"].layout == "nhwc" or "c" not in artifact.plan.slots
    np.testing.assert_allclose(Net.from_artifact(artifact)(given)["y"], by_hand["y"], rtol=2e-6, atol=2e-6)


def bind_weight(text: str, weight: np.ndarray) -> Graph:
    """The net with numbers for its weight w."""
    graph = parse(text)
    (old,) = graph.constants
    new = replace(old, data=torch.from_numpy(weight))
    nodes = tuple(replace(n, inputs=tuple(new if v is old else v for v in n.inputs)) for n in graph.nodes)
    return replace(graph, nodes=nodes)


def test_a_clip_is_fused_into_a_convolution(tmp_path: Path) -> None:
    text = """net case(x: f32[1,1,1,5]) {
        weight w: f32[1,1,1,1] = [2]
        c = conv(x, w)
        y = clip(c, low=-1, high=6)
        return y
    }"""
    artifact = driver.compile_graph(parse(text), driver.Options("onednn")).artifact
    assert [s.kind for s in artifact.plan.steps if s.kind != "relayout"] == ["conv_packed"]
    made = Net.from_artifact(artifact)(x=array([[[[-9, -0.25, 0, 2, 9]]]]))["y"]
    np.testing.assert_allclose(made, [[[[-1, -0.5, 0, 4, 6]]]])


@pytest.mark.parametrize("name", ["cross_entropy", "accuracy", "hinge"])
@pytest.mark.parametrize("label", [2.0, -1.0, nan])
def test_a_label_that_names_no_class(tmp_path: Path, name: str, label: float) -> None:
    """Caffe, compiled for release, reads beyond the blob."""
    x, y = torch.zeros(2, 2), torch.tensor([0.0, label])
    with pytest.raises(ValueError, match="the classes are 0 to 1"):
        make_op(name, {}).compute([x, y])
    path = tmp_path / "case.net"
    path.write_text(f"net case(x: f32[2,2], y: f32[2]) {{\n    r = {name}(x, y)\n    return r\n}}\n")
    with pytest.raises(ValueError, match="the classes are 0 to 1"):
        driver.compile(path)(x=x.numpy(), y=y.numpy())


WRONG = [  # a call on x [2,3,4], label [2,4], short [5]
    ('reduce(x, how="product")', "how is"),
    ("reduce(x, axis=3)", "there is no axis 3"),
    ("argmax(x, top=4)", "top is 1 to 3"),
    ("argmax(x, top=0)", "top is 1 to 3"),
    ("standardize(x, per=[0, 3])", "there is no axis 3"),
    ('standardize(x, eps_in="mean")', "eps_in is"),
    ("cross_entropy(x, short)", "5 labels for 8 positions of"),
    ("cross_entropy(x, label, short)", "3 classes take"),
    ("accuracy(x, label, top=4)", "top is 1 to 3, the number of classes"),
    ("accuracy(x, label, axis=-4)", "there is no axis -4"),
    ("hinge(x, label)", "8 labels for 2 rows"),
    ('total_loss(x, by="mean")', "by is"),
    ("total_loss(x, axis=4)", "axis is 0 to 3"),
    ("total_loss(x, short, ignore=1)", "5 labels for 24 positions"),
    ("total_loss(x, ignore=1)", "ignore needs labels"),
    ("total_loss(x, x, ignore=1.5)", "ignore is"),
    ("exp(x, base=0)", "the base is above 0"),
    ("log(x, base=1)", "the base of a logarithm cannot be 1"),
    ("clip(x, low=1)", "clip needs high="),
    ("bias(x, short)", "does not match"),
]


@pytest.mark.parametrize(("call", "why"), WRONG)
def test_refused(call: str, why: str) -> None:
    text = f"net case(x: f32[2,3,4], label: f32[2,4], short: f32[5]) {{\n    y = {call}\n    return y, label, short\n}}"
    with pytest.raises(CompileError, match=why):
        parse(text)
