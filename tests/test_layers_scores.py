"""Caffe's elementwise layers, reductions, losses and scores against numbers worked out by hand; wrong settings refused.

The operators alone: test_ops_scores.py; what real Caffe computed: test_goldens.py.
"""

from __future__ import annotations

from math import log, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.frontends.files.schema import message_class


def array(numbers: Any) -> np.ndarray:
    return np.array(numbers, np.float32)


def run_layer(tmp_path: Path, layer: str, outputs: tuple[str, ...] = (), **inputs: Any) -> dict[str, np.ndarray]:
    """The answers of a net of one layer, whose inputs have the shapes of these arrays."""
    arrays = {name: array(x) for name, x in inputs.items()}
    path = tmp_path / "case.prototxt"
    path.write_text("".join(f"{declaration(name, x)}\n" for name, x in arrays.items()) + layer)
    return driver.compile(path, weights, outputs=outputs)(arrays)


def declaration(name: str, x: np.ndarray) -> str:
    shape = " ".join(f"dim: {d}" for d in x.shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {shape} }} }} }}'


def weights(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, (3.0, 8.0, 2.0)[index], np.float32)


def loss_layer(type: str, bottoms: str = "x y", tops: str = "out", more: str = "") -> str:
    names = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'layer {{ name: "l" type: "{type}" {" ".join(names)} {more} }}'


half = log(2) / 2
LOSSES = [  # type, settings, inputs, the loss
    ("SoftmaxWithLoss", "", {"x": [[0.0] * 4] * 2, "y": [1, 2]}, log(4)),
    ("SoftmaxWithLoss", "loss_weight: 3", {"x": [[0.0] * 4] * 2, "y": [[1], [2]]}, log(4)),
    ("SoftmaxWithLoss", "loss_param { ignore_label: 1 }", {"x": [[0.0] * 4] * 2, "y": [1, 2]}, log(4)),
    ("SoftmaxWithLoss", "loss_param { ignore_label: 1 normalize: false }", {"x": [[0, 0]] * 2, "y": [1, 0]}, half),
    (
        "SoftmaxWithLoss",
        "loss_param { ignore_label: 1 normalize: false normalization: VALID }",
        {"x": [[0, 0]] * 2, "y": [1, 0]},
        log(2),
    ),
    (
        "SoftmaxWithLoss",
        "loss_param { normalization: FULL ignore_label: 0 pre_fixed_normalizer: 9 }",
        {"x": [[0, 0]] * 2, "y": [0, 1]},
        half,
    ),
    ("SoftmaxWithLoss", "loss_param { ignore_label: 1 }", {"x": [[0, 0]] * 2, "y": [1, 1]}, 0),
    ("SoftmaxWithLoss", "loss_param { normalize: false }", {"x": [[[0, 0]] * 2], "y": [[0, 1]]}, 2 * log(2)),
    ("SoftmaxWithLoss", "softmax_param { axis: 2 }", {"x": [[[0, 0, 0]] * 2], "y": [[0, 1]]}, log(3)),
    (
        "SoftmaxWithLoss",
        "softmax_param { axis: 2 } loss_param { normalization: BATCH_SIZE }",  # the batch ends at the axis
        {"x": [[[0, 0, 0]] * 2], "y": [[0, 1]]},
        log(3),
    ),
    (
        "SoftmaxWithLoss",
        "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 4 }",
        {"x": [[0, 0]] * 2, "y": [1, 0]},
        log(2) / 2,
    ),
    ("SoftmaxWithLoss", "", {"x": [[0, 200]], "y": [0]}, -log(np.finfo(np.float32).tiny)),
    ("MultinomialLogisticLoss", "", {"x": [[[[0.5]], [[0.5]]], [[[1]], [[0]]]], "y": [0, 1]}, half + 10 * log(10)),
    ("SigmoidCrossEntropyLoss", "", {"x": [[0, 0], [0, 0]], "y": [[0, 1], [1, 0.5]]}, 2 * log(2)),
    ("SigmoidCrossEntropyLoss", "loss_param { normalize: true }", {"x": [[0, 0]] * 2, "y": [[0, 1]] * 2}, log(2)),
    (
        "SigmoidCrossEntropyLoss",
        "loss_param { ignore_label: -1 normalization: VALID }",
        {"x": [[0, nan], [0, 0]], "y": [[[0], [-1.5]], [[1], [0]]]},
        log(2),
    ),
    ("SigmoidCrossEntropyLoss", "loss_param { ignore_label: -1 }", {"x": [[0, 9]], "y": [[0, -1]]}, log(2)),
    ("EuclideanLoss", "", {"x": [[1, 2], [3, 4]], "y": [[[[1]], [[0]]], [[[0]], [[4]]]]}, 13 / 4),
    ("HingeLoss", "", {"x": [[0.5, -2], [2, 0.5]], "y": [0, 0]}, 1),
    ("HingeLoss", "hinge_loss_param { norm: L2 }", {"x": [[0.5, -2], [2, 0.5]], "y": [0, 0]}, 1.25),
    ("SmoothL1Loss", "", {"x": [[0.5, 3], [0, 0]], "y": [[0, 0], [0, 0]]}, (0.125 + 2.5) / 2),
    ("SmoothL1Loss", "smooth_l1_loss_param { sigma: 2 }", {"x": [[0.125, 1]], "y": [[0, 0]]}, 0.03125 + 0.875),
    ("SmoothL1Loss", "", {"x": [[0.5, 3]], "y": [[0, 0]], "w": [[2, 0]]}, 0.5),
    ("SmoothL1Loss", "", {"x": [[0.5, 3]], "y": [[0, 0]], "w": [[1, 1]], "u": [[4, 0]]}, 0.5),
    (
        "ContrastiveLoss",
        "contrastive_loss_param { margin: 3 }",
        {"x": [[1, 0], [1, 2]], "y": [[0, 0], [1, 0]], "s": [1, 0]},
        (1 + 1) / 4,
    ),
    (
        "ContrastiveLoss",
        "contrastive_loss_param { margin: 3 legacy_version: true }",
        {"x": [[[[1]]], [[[1]]]], "y": [[0], [0]], "s": [[0], [1]]},
        (2 + 1) / 4,
    ),
    ("InfogainLoss", "", {"x": [[0, 0]], "y": [1], "H": [[[[7, 7], [1, 2]]]]}, 3 * log(2)),
    (
        "InfogainLoss",
        "loss_param { ignore_label: 1 } infogain_loss_param { axis: 2 }",
        {"x": [[[0, 0], [0, 0]]], "y": [[1, 0]], "H": [[1, 0], [0, 1]]},
        log(2),
    ),
]


@pytest.mark.parametrize(("type", "settings", "inputs", "loss"), LOSSES)
def test_losses(tmp_path: Path, type: str, settings: str, inputs: dict[str, Any], loss: float) -> None:
    out = run_layer(tmp_path, loss_layer(type, " ".join(inputs), more=settings), **inputs)["out"]
    assert out.shape == ()
    np.testing.assert_allclose(out, loss, rtol=1e-6, atol=1e-7)


def test_the_softmax_is_the_second_top(tmp_path: Path) -> None:
    for more in ("", "infogain_loss_param { axis: 1 }"):
        type, bottoms = ("InfogainLoss", "x y H") if more else ("SoftmaxWithLoss", "x y")
        inputs: dict[str, Any] = {"x": [[0, log(3)]], "y": [0], "H": [[1, 0], [0, 1]]}
        inputs = {name: inputs[name] for name in bottoms.split()}
        out = run_layer(tmp_path, loss_layer(type, bottoms, "out p", more), **inputs)
        np.testing.assert_allclose(out["p"], [[0.25, 0.75]], rtol=1e-6)
        np.testing.assert_allclose(out["out"], log(4), rtol=1e-6)


def test_a_loss_without_a_top_is_seen_by_nobody(tmp_path: Path) -> None:
    layer = loss_layer("Softmax", "x", "p") + loss_layer("SoftmaxWithLoss", "x y", "")
    assert list(run_layer(tmp_path, layer, x=[[0, 0]], y=[0])) == ["p"]


def test_infogain_reads_its_matrix_beside_the_prototxt(tmp_path: Path) -> None:
    blob = message_class("BlobProto")(num=1, channels=1, height=2, width=2, data=[7, 7, 1, 2])
    (tmp_path / "gain.binaryproto").write_bytes(blob.SerializeToString())
    layer = loss_layer("InfogainLoss", more='infogain_loss_param { source: "gain.binaryproto" }')
    np.testing.assert_allclose(run_layer(tmp_path, layer, x=[[0, 0]], y=[1])["out"], 3 * log(2), rtol=1e-6)
    with pytest.raises(CompileError, match="holds 4 numbers, and 3 classes take 9"):
        run_layer(tmp_path, layer, x=[[0, 0, 0]], y=[1])
    (tmp_path / "gain.binaryproto").write_bytes(b"<html>")
    with pytest.raises(CompileError, match="no blob in Caffe's binary format"):
        run_layer(tmp_path, layer, x=[[0, 0]], y=[1])


@pytest.mark.parametrize("type", ["SoftmaxWithLoss", "EuclideanLoss", "SigmoidCrossEntropyLoss"])
def test_the_divisor_follows_the_batch(tmp_path: Path, type: str) -> None:
    """A net that was compiled for one batch divides by another's size when it is given that."""
    y = [0, 0, 0] if type == "SoftmaxWithLoss" else [[1, 1]] * 3
    path = tmp_path / "case.prototxt"
    big, labels = np.zeros((3, 2), np.float32), array(y)
    path.write_text(declaration("x", big) + declaration("y", labels) + loss_layer(type))
    net = driver.compile(path)
    np.testing.assert_allclose(net(x=big[:1], y=labels[:1])["out"], net(x=big, y=labels)["out"], rtol=1e-6)


def test_accuracy_by_class(tmp_path: Path) -> None:
    x, y = [[1, 3, 0], [5, 4, 0], [1, 2, 0], [0, 0, 9]], [1, 0, 0, 2]
    layer = loss_layer("Accuracy", tops="all each", more="accuracy_param { ignore_label: 2 }")
    out = run_layer(tmp_path, layer, x=x, y=[[[[n]]] for n in y])
    assert out["all"].shape == () and out["all"] == pytest.approx(2 / 3)
    np.testing.assert_allclose(out["each"], [0.5, 1, 0])


def test_shapes_of_argmax(tmp_path: Path) -> None:
    """argmax_layer.cpp: three dimensions at least without an axis; with one, those of the data."""
    x = array(np.arange(24)).reshape(2, 3, 4)
    plain = "argmax_param { top_k: 2 }"
    cases: list[tuple[str, np.ndarray, Any]] = [
        ("", x, [[[11]], [[11]]]),
        (plain, x[:, :, 0], [[[2, 1]]] * 2),
        (plain, x[:, :, :, None, None], [[[[[11]], [[10]]]]] * 2),
        ("argmax_param { top_k: 2 out_max_val: true }", x[:, :, 0], [[[2, 1], [8, 4]], [[2, 1], [20, 16]]]),
        ("argmax_param { axis: -1 }", x[:, :, 0], [[2], [2]]),
        ("argmax_param { axis: 0 out_max_val: true }", x[:, :1], [x[1, :1]]),
        ("", x[0, 0], [[[0]]] * 4),
    ]
    for settings, data, wanted in cases:
        out = run_layer(tmp_path, loss_layer("ArgMax", "x", more=settings), x=data)["out"]
        np.testing.assert_array_equal(out, array(wanted), err_msg=f"{settings} {data.shape}")


def test_layers_on_data_of_one_dimension(tmp_path: Path) -> None:
    """One dimension is one channel to BatchNorm, and a batch to MVN."""
    stored = run_layer(tmp_path, loss_layer("BatchNorm", "x", more="batch_norm_param { eps: 5 }"), x=[1.5, 4.5])["out"]
    np.testing.assert_allclose(stored, [0, 1], atol=1e-6)  # (x - 3/2) / sqrt(8/2 + 5)
    own = loss_layer("BatchNorm", "x", more="batch_norm_param { use_global_stats: false eps: 3 }")
    np.testing.assert_allclose(run_layer(tmp_path, own, x=[1, 3])["out"], [-0.5, 0.5])
    np.testing.assert_allclose(run_layer(tmp_path, loss_layer("MVN", "x"), x=[1, 3])["out"], [0, 0])


def test_scale_and_bias_by_a_number(tmp_path: Path) -> None:
    """A second bottom without dimensions is one number for all, whatever the axis says."""
    for type, wanted in (("Scale", [[2, 4]]), ("Bias", [[3, 4]])):
        layer = loss_layer("Reduction", "s", "r") + loss_layer(type, "x r", more=f"{type.lower()}_param {{ axis: 7 }}")
        np.testing.assert_allclose(run_layer(tmp_path, layer, x=[[1, 2]], s=[2])["out"], wanted)


REFUSED = [  # a layer, why
    (loss_layer("Exp", "x", more="exp_param { base: 0 }"), "base is above 0, or -1"),
    (loss_layer("Log", "x", more="log_param { base: 1 }"), "the base of a logarithm cannot be 1"),
    (loss_layer("Clip", "x"), "it has no min"),
    (loss_layer("Bias", "x", more="bias_param { num_axes: 3 }"), "has no 3 axes from 1 on"),
    (loss_layer("Bias", "x y", more="bias_param { axis: 1 }"), "does not match"),
    (loss_layer("Reduction", "x", more="reduction_param { axis: 2 }"), "there is no axis 2"),
    (loss_layer("ArgMax", "x", more="argmax_param { top_k: 4 }"), "top_k is 1 to 3 here, not 4"),
    (loss_layer("Accuracy", more="accuracy_param { top_k: 0 }"), "top_k is 1 to 3 here, not 0"),
    (loss_layer("Accuracy", "x x"), "6 labels for 2 positions"),
    (loss_layer("Accuracy", "x"), "it has 1 bottoms, and takes 2"),
    (loss_layer("SoftmaxWithLoss", "x z"), "not of one batch size"),
    (loss_layer("SoftmaxWithLoss", "x x"), "6 labels for 2 positions"),
    (loss_layer("SoftmaxWithLoss", more="loss_param { label_smoothing: 0.1 }"), "label_smoothing is not supported"),
    (loss_layer("InfogainLoss"), "no matrix of information gain"),
    (loss_layer("InfogainLoss", more='infogain_loss_param { source: "absent" }'), "absent cannot be read"),
    (loss_layer("InfogainLoss", "x y z"), "3 classes take"),
    (loss_layer("InfogainLoss", "x y x", more="loss_param { normalize: true }"), "normalize is not for this layer"),
    (loss_layer("EuclideanLoss"), "cannot take the shape"),
    (loss_layer("SigmoidCrossEntropyLoss"), "cannot take the shape"),
    (loss_layer("HingeLoss", "x x"), "6 labels for 2 rows"),
    (loss_layer("ContrastiveLoss", "x x x"), "one label for each pair"),
    (loss_layer("Silence", "x"), "it has 1 tops, and takes 0"),
]


@pytest.mark.parametrize(("layer", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_layers_refused(tmp_path: Path, layer: str, why: str) -> None:
    with pytest.raises(CompileError, match=why) as caught:
        run_layer(tmp_path, layer, x=[[1, 2, 3]] * 2, y=[0, 1], z=[0, 1, 2])
    assert caught.value.loc is not None and 'layer "l"' in str(caught.value)
