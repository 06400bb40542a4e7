"""Trained models through pycaffe's interface, with the numbers that Caffe gave; skipped without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado.compat import pycaffe as caffe

from .shared import SHARED

MODELS, GOLDENS = SHARED / "models", SHARED / "goldens" / "models"
SHARE = 1e-4  # of the largest number of a blob
CASES = {
    "squeezenet-v1.1-cat": ("squeezenet-v1.1/squeezenet_v1.1.prototxt", "squeezenet-v1.1/squeezenet_v1.1.caffemodel"),
    "lenet-iter_10000_rand": ("lenet/lenet.prototxt", "lenet/lenet_iter_10000.caffemodel"),
    "open-nsfw-cat": ("open-nsfw/deploy.prototxt", "open-nsfw/resnet_50_1by2_nsfw.caffemodel"),
    "mtcnn-det1_test1": ("mtcnn/det1.prototxt", "mtcnn/det1.caffemodel"),
    "mtcnn-det3_rand": ("mtcnn/det3.prototxt", "mtcnn/det3.caffemodel"),
    "mobilenet-ssd-004545": (
        "mobilenet-ssd/MobileNetSSD_deploy.prototxt",
        "mobilenet-ssd/MobileNetSSD_deploy.caffemodel",
    ),
    "res10-ssd-face-1jpg": (
        "res10-ssd-face/deploy.prototxt.txt",
        "res10-ssd-face/res10_300x300_ssd_iter_140000.caffemodel",
    ),
}


def open_net(case: str) -> tuple[Any, dict[str, Any]]:
    """The net of a case, and Caffe's arrays: in:BLOB, out:BLOB, blob:BLOB."""
    files, golden = [MODELS / name for name in CASES[case]], GOLDENS / f"{case}.npz"
    if not all(path.exists() for path in (*files, golden)):
        pytest.skip("the published models are not here")
    return caffe.Net(str(files[0]), str(files[1]), caffe.TEST), dict(np.load(golden))


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_blobs_between_are_caffes(case: str) -> None:
    """As scripts do it: reshape the input, write it, run; then read blobs that were not asked for."""
    net, golden = open_net(case)
    for name, array in golden.items():
        if name.startswith("in:"):
            net.blobs[name[3:]].reshape(*array.shape)
            net.blobs[name[3:]].data[...] = array
    out = net.forward()
    expected = {name.partition(":")[2]: array for name, array in golden.items() if not name.startswith("in:")}
    assert set(out) <= set(expected)
    for name, array in expected.items():
        found = net.blobs[name].data
        assert found.shape == array.shape
        assert np.abs(found - array).max() <= SHARE * np.abs(array).max(), name


def test_a_pyramid_of_sizes_gives_the_numbers_of_one_size_each() -> None:
    """MTCNN's first net: other sizes in between change nothing, and no view is of a former size."""
    net, golden = open_net("mtcnn-det1_test1")
    picture = golden["in:data"]
    for size in ((40, 30), picture.shape[2:], (24, 60), picture.shape[2:]):
        net.blobs["data"].reshape(1, 3, *size)
        net.blobs["data"].data[...] = picture[:, :, : size[0], : size[1]]
        out = net.forward()
    for name in ("prob1", "conv4-2"):
        np.testing.assert_allclose(out[name], golden[f"out:{name}"], atol=SHARE)


def test_a_classifier_recognizes_a_cat() -> None:
    net, _ = open_net("squeezenet-v1.1-cat")
    folder = MODELS / "squeezenet-v1.1"
    prototxt, weights = (str(MODELS / name) for name in CASES["squeezenet-v1.1-cat"])
    made = caffe.Classifier(
        prototxt, weights, image_dims=(256, 256), raw_scale=255,
        channel_swap=(2, 1, 0), mean=np.array([104, 117, 123]),
    )  # fmt: skip
    image = caffe.io.load_image(folder / "cat.jpg")
    labels = (folder / "synset_words.txt").read_text().split("\n")
    for oversample in (True, False):
        assert "cat" in labels[made.predict([image], oversample)[0].argmax()]
    assert net.outputs == ["prob"]


def test_saved_weights_are_the_files_own(tmp_path: Path) -> None:
    net, golden = open_net("lenet-iter_10000_rand")
    net.save(str(tmp_path / "saved.caffemodel"))
    again = caffe.Net(
        str(MODELS / CASES["lenet-iter_10000_rand"][0]), caffe.TEST, weights=str(tmp_path / "saved.caffemodel")
    )
    for name, blobs in net.params.items():
        assert all((a.data == b.data).all() for a, b in zip(blobs, again.params[name], strict=True))
    again.blobs["data"].reshape(*golden["in:data"].shape)
    np.testing.assert_allclose(again.forward(data=golden["in:data"])["prob"], golden["out:prob"], atol=1e-5)
