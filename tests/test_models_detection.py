"""Published detectors on real pictures, and OpenCV's own tests of single layers, against what Caffe computed.

Rows of detections have to agree in class, order and count, scores and boxes to 1e-4. The files are not ours to ship:
the tests are skipped where they are absent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cortado import driver
from cortado.frontends.files.caffemodel import read
from cortado.runtime import Net

from .shared import SHARED

MODELS, GOLDENS = SHARED / "models", SHARED / "goldens" / "models"
LAYERS = MODELS / "opencv-extra-layer-goldens" / "layers"
pytestmark = pytest.mark.skipif(not GOLDENS.exists(), reason="the published models are not here")

Arrays = dict[str, np.ndarray]
FILES = {
    "mobilenet-ssd": ("mobilenet-ssd/MobileNetSSD_deploy.prototxt", "MobileNetSSD_deploy.caffemodel"),
    "res10-ssd-face": ("res10-ssd-face/deploy.prototxt.txt", "res10_300x300_ssd_iter_140000.caffemodel"),
    "retinaface-widerface": ("retinaface-widerface/deploy.prototxt", "Widerface-RetinaFace.caffemodel"),
    "ultra-light-face-RFB-320": ("ultra-light-face/RFB-320.prototxt", "RFB-320.caffemodel"),
    "ultra-light-face-slim-320": ("ultra-light-face/slim-320.prototxt", "slim-320.caffemodel"),
}
CASES = [
    ("mobilenet-ssd", ["000001", "000067", "000542", "001763", "004545"]),
    ("res10-ssd-face", ["13jpg", "1jpg", "keliamoniz1"]),
    ("retinaface-widerface", ["1jpg", "keliamoniz1"]),
]
HALF = "res10-ssd-face-fp16/deploy.prototxt.txt", "res10_300x300_ssd_iter_140000_fp16.caffemodel"


def net(files: tuple[str, str]) -> Net:
    prototxt = MODELS / files[0]
    return driver.compile(prototxt, prototxt.with_name(files[1]))


def golden(name: str) -> tuple[Arrays, Arrays]:
    """What was given to Caffe, and what it answered."""
    stored = np.load(GOLDENS / f"{name}.npz")
    parts = [{k[len(kind) :]: stored[k] for k in stored.files if k.startswith(kind)} for kind in ("in:", "out:")]
    return parts[0], parts[1]


def same_rows(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found[..., :2], expected[..., :2])  # image and class
    np.testing.assert_allclose(found[..., 2:], expected[..., 2:], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("model", "pictures"), CASES, ids=[model for model, _ in CASES])
def test_detections(model: str, pictures: list[str]) -> None:
    detector = net(FILES[model])
    for picture in pictures:
        inputs, outputs = golden(f"{model}-{picture}")
        same_rows(detector(inputs)["detection_out"], outputs["detection_out"])


@pytest.mark.parametrize("model", ["ultra-light-face-RFB-320", "ultra-light-face-slim-320"])
def test_boxes_and_scores(model: str) -> None:
    inputs, outputs = golden(f"{model}_1jpg")
    found = net(FILES[model])(inputs)
    for name, expected in outputs.items():
        assert found[name].shape == expected.shape
        largest = np.abs(expected).max()
        np.testing.assert_allclose(found[name] / largest, expected / largest, rtol=0, atol=1e-4, err_msg=name)


def test_half_floats() -> None:
    """The half-float file holds the float file's weights, rounded: it is read as exactly those, and finds as they do.

    Its own prototxt pads one convolution less than the float model's, so rows that are hardly above the threshold
    differ from the golden, which the float model made. The face does not.
    """
    prototxt = MODELS / HALF[0]
    model, weights = FILES["res10-ssd-face"]
    floats = {layer.name: layer for layer in read((MODELS / model).with_name(weights)).layers}
    rounded = 0
    for layer in read(prototxt.with_name(HALF[1])).layers:
        for blob, exact in zip(layer.blobs, floats[layer.name].blobs, strict=True):
            np.testing.assert_array_equal(blob.data.ravel(), exact.data.astype(blob.data.dtype).ravel())
            rounded += blob.data.dtype == np.float16
    assert rounded > 30

    def by_hand(name: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
        data = np.asarray(floats[name].blobs[index].data)
        halves = data.astype(np.float16) if type == "Convolution" else data
        return halves.astype(np.float32).reshape(shape)

    inputs, outputs = golden("res10-ssd-face-fp16_keliamoniz1")
    found = net(HALF)(inputs)["detection_out"]
    np.testing.assert_array_equal(found, driver.compile(prototxt, by_hand)(inputs)["detection_out"])
    expected = outputs["detection_out"]
    faces = expected[expected[..., 2] > 0.5]
    assert len(faces) == 1
    np.testing.assert_allclose(found[found[..., 2] > 0.5], faces, rtol=0, atol=1e-4)


# --- OpenCV's tests of its Caffe importer, made with real Caffe

PLAIN = ["batch_norm", "convolution", "deconvolution", "inner_product"]  # with a caffemodel
BARE = ["concat", "dropout", "lrn_channels", "lrn_spatial", "mvn", "pooling_ave", "pooling_max", "relu", "softmax"]


@pytest.mark.parametrize("name", PLAIN + BARE)
def test_opencv_layer(name: str) -> None:
    prototxt = LAYERS / f"layer_{name}.prototxt"
    weights = prototxt.with_suffix(".caffemodel")
    own = LAYERS / f"layer_{name}.input.npy"
    given = np.load(own if own.exists() else LAYERS / "blob.npy")
    expected = np.load(LAYERS / f"layer_{name}.npy")
    found = driver.compile(prototxt, weights if weights.exists() else None)(given)["output"].reshape(expected.shape)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found / largest, expected / largest, rtol=0, atol=1e-5)


@pytest.mark.parametrize("type", ["LSTM", "RNN"])
def test_opencv_recurrent(tmp_path: Path, type: str) -> None:
    """Only inputs, weights and results are published; the net is the layer, and no stream ever begins anew."""
    stem = f"{type.lower()}.prototxt"
    x, expected = np.load(LAYERS / "recurrent.input.npy"), np.load(LAYERS / f"{stem}.h_1.npy")
    shape = " ".join(f"dim: {d}" for d in x.shape)
    prototxt = tmp_path / stem
    prototxt.write_text(f"""
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}
        layer {{ name: "cont" type: "Input" top: "cont" input_param {{ shape {{ dim: 12 dim: 2 }} }} }}
        layer {{ name: "l" type: "{type}" bottom: "x" bottom: "cont" top: "h"
                 recurrent_param {{ num_output: {expected.shape[2]} }} }}""")

    def weights(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
        stored: np.ndarray = np.load(LAYERS / f"{stem}.w_{index}.npy")
        return stored.reshape(shape)

    with pytest.warns(UserWarning, match="the state begins at zero in every call"):
        net = driver.compile(prototxt, weights)
    found = net(x=x, cont=np.ones((12, 2)))["h"]
    # Gates are sums of 1,332 products that reach 335: the published numbers themselves are 1e-5 off those of float64.
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5)


def test_opencv_reshape_and_slice() -> None:
    """What is cut up, renamed and put together again is what was given: no copy is written by another's layer."""
    given = np.random.RandomState(0).standard_normal((6, 12)).astype(np.float32)
    found = driver.compile(LAYERS / "reshape_and_slice_routines.prototxt", shapes={"input": (6, 12)})(given)
    (output,) = [v for v in found.values() if v.size == given.size]
    np.testing.assert_array_equal(output.reshape(given.shape), given)
