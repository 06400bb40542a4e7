"""The example in examples/digits: its files agree with one another, and its numbers are those that it states."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from cortado.frontends.files import caffemodel, prototxt

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "digits"
NET, WEIGHTS = FOLDER / "digits.prototxt", FOLDER / "digits.caffemodel"
FILES = {
    "README.md",
    "demo.py",
    "digits.caffemodel",
    "digits.prototxt",
    "expected.json",
    "pictures.npz",
    "train.py",
}

BLOBS = {
    "conv1": [(24, 1, 3, 3)],
    "conv1_bn": [(24,), (24,), (1,)],
    "conv1_scale": [(24,), (24,)],
    "look1": [(24, 24, 3, 3)],
    "look1_bn": [(24,), (24,), (1,)],
    "look1_scale": [(24,), (24,)],
    "look2": [(24, 24, 3, 3)],
    "look2_bn": [(24,), (24,), (1,)],
    "look2_scale": [(24,), (24,)],
    "point": [(16, 24, 1, 1), (16,)],
    "around": [(32, 24, 3, 3)],
    "around_bn": [(32,), (32,), (1,)],
    "around_scale": [(32,), (32,)],
    "score": [(10, 192), (10,)],
}


@pytest.fixture(scope="module")
def train() -> ModuleType:
    """The training script as a module."""
    spec = importlib.util.spec_from_file_location("digits_train", FOLDER / "train.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


@pytest.fixture(scope="module")
def blobs() -> dict[str, list[np.ndarray]]:
    """The weights in digits.caffemodel, by layer."""
    layers = caffemodel.read(WEIGHTS).layers
    return {layer.name: [b.data for b in layer.blobs] for layer in layers if layer.blobs}


@pytest.fixture(scope="module")
def held_out() -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(FOLDER / "pictures.npz") as file:
        return torch.from_numpy(file["pictures"]), torch.from_numpy(file["labels"])


def expected() -> dict[str, Any]:
    made: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())
    return made


def probabilities(train: ModuleType, blobs: dict[str, list[np.ndarray]], x: torch.Tensor) -> torch.Tensor:
    """What the torch net computes with these weights: f32[n,10]."""
    model = train.Digits()
    train.from_caffe(model, blobs)
    with torch.inference_mode():
        made: torch.Tensor = model.eval()(x).softmax(1)
    return made


def test_folder_is_small_and_holds_nothing_else() -> None:
    files = [f for f in FOLDER.iterdir() if f.name != "__pycache__"]
    assert {f.name for f in files} == FILES
    assert sum(f.stat().st_size for f in files) < 1_000_000


def test_stated_accuracy(train: ModuleType, blobs: dict[str, list[np.ndarray]], held_out: Any) -> None:
    x, labels = held_out
    assert (x.dtype, x.shape, labels.dtype, labels.shape) == (torch.float32, (360, 1, 8, 8), torch.int64, (360,))
    assert (x.min(), x.max()) == (0, 1)
    correct = int((probabilities(train, blobs, x).argmax(1) == labels).sum())
    assert expected() == {"correct": correct, "accuracy": correct / 360}
    assert correct / 360 >= 0.98


def test_readme_states_the_same(train: ModuleType) -> None:
    numbers, readme = expected(), (FOLDER / "README.md").read_text()
    assert f"**{numbers['correct']} of 360 held-out pictures correctly ({numbers['accuracy']:.2%})**" in readme
    assert f"{sum(p.numel() for p in train.Digits().parameters()):,} parameters" in readme


def test_pictures_are_held_out(train: ModuleType, held_out: Any) -> None:
    pytest.importorskip("sklearn")
    x, labels = train.load_pictures()
    assert torch.equal(x[-train.HELD_OUT :], held_out[0])
    assert torch.equal(labels[-train.HELD_OUT :], held_out[1])


def test_caffemodel_is_as_caffe_writes_it(blobs: dict[str, list[np.ndarray]]) -> None:
    weights, net = caffemodel.read(WEIGHTS), prototxt.read(NET)
    assert weights.net_name == net["name"] == "digits"
    assert [(w.name, w.type, tuple(w.bottoms), tuple(w.tops)) for w in weights.layers] == [
        (n["name"], n["type"], n["bottom"], n["top"]) for n in net["layer"]
    ]
    assert {name: [b.shape for b in found] for name, found in blobs.items()} == BLOBS
    assert all(b.dtype == np.float32 and np.isfinite(b).all() for found in blobs.values() for b in found)
    assert {name: found[2].item() for name, found in blobs.items() if name.endswith("_bn")} == dict.fromkeys(
        ("conv1_bn", "look1_bn", "look2_bn", "around_bn"), pytest.approx(999.98)
    )
    (one,), (other,) = blobs["look1"], blobs["look2"]
    assert np.array_equal(one, other)


def test_prototxt_has_what_is_hard_about_caffe() -> None:
    layers = {layer["name"]: layer for layer in prototxt.read(NET)["layer"]}
    assert [n for n, layer in layers.items() if [p["name"] for p in layer["param"]] == ["look"]] == ["look1", "look2"]
    in_place = {n for n, layer in layers.items() if layer["bottom"] == layer["top"]}
    for conv in ("conv1", "look1", "look2", "around"):
        assert layers[conv]["convolution_param"]["bias_term"] is False
        assert {f"{conv}_bn", f"{conv}_scale"} <= in_place
        assert layers[f"{conv}_scale"]["scale_param"]["bias_term"] is True
    assert {layer["type"] for layer in layers.values()} >= {"Eltwise", "Concat", "Dropout", "InnerProduct", "Softmax"}


@pytest.mark.parametrize("mistake", ["factor forgotten", "edge means over 9", "look2 not its own"])
def test_mistakes_show(
    mistake: str,
    train: ModuleType,
    blobs: dict[str, list[np.ndarray]],
    held_out: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A compiler that makes one of the usual mistakes gets other numbers here, far beyond rounding."""
    x, _ = held_out
    right, wrong = probabilities(train, blobs, x), dict(blobs)
    if mistake == "factor forgotten":
        wrong |= {n: [b[0], b[1], np.ones_like(b[2])] for n, b in blobs.items() if n.endswith("_bn")}
    elif mistake == "look2 not its own":  # the BatchNorm and Scale of the sharer taken from the owner with the weight
        wrong |= {"look2_bn": blobs["look1_bn"], "look2_scale": blobs["look1_scale"]}
    else:
        pool: Any = torch.nn.functional.avg_pool2d
        monkeypatch.setattr(torch.nn.functional, "avg_pool2d", lambda *a, **k: pool(*a, **k, divisor_override=9))
    assert (probabilities(train, wrong, x) - right).abs().max() > 0.1


def test_opencv_agrees(train: ModuleType, blobs: dict[str, list[np.ndarray]], held_out: Any) -> None:
    """OpenCV's own importer reads both files and computes what torch does."""
    cv2 = pytest.importorskip("cv2")
    x, _ = held_out
    net = cv2.dnn.readNetFromCaffe(str(NET), str(WEIGHTS))
    got = []
    for picture in x.numpy():
        net.setInput(picture[None])
        got.append(net.forward("prob")[0])
    np.testing.assert_allclose(np.array(got), probabilities(train, blobs, x).numpy(), rtol=0, atol=1e-4)
