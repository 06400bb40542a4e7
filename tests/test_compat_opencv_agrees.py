"""The stand-in for cv2.dnn beside the real one, through the same calls: golden layers, published nets, pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado.compat import opencv
from cortado.compat.opencv import images
from cortado.frontends.caffe.upgrade import upgrade_net
from cortado.frontends.files import caffemodel, prototxt

from .shared import ROOT, SHARED

os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
cv2 = pytest.importorskip("cv2")
if not hasattr(cv2.dnn, "readNetFromCaffe"):
    pytest.skip("this OpenCV does not read Caffe's files", allow_module_level=True)

Array = np.ndarray[Any, Any]
CASES = ROOT / "tests" / "goldens" / "layers"
TOLERANCE = 1e-5  # of the largest, as for the golden cases
MODEL_TOLERANCE = 1e-4  # through tens of layers, in another order of sums


def right_cases() -> Iterator[Path]:
    """The golden layers that OpenCV computes as Caffe does, by the table of docs/opencv_layers.md."""
    for line in (ROOT / "docs" / "opencv_layers.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and cells[3] == "right":
            yield CASES / f"{cells[1]}.prototxt"


def write_case(path: Path, folder: Path) -> tuple[str, dict[str, Array]]:
    """The caffemodel of a golden case, and its inputs."""
    with np.load(path.with_suffix(".npz")) as stored:
        numbers = {name: stored[name] for name in stored.files}
    layers = []
    for layer in upgrade_net(prototxt.read(path), [])["layer"]:
        count = sum(name.startswith(f"param:{layer['name']}:") for name in numbers)
        blobs = [numbers[f"param:{layer['name']}:{i}"] for i in range(count)]
        layers.append(caffemodel.WrittenLayer(layer["name"], layer["type"], blobs, layer["bottom"], layer["top"]))
    caffemodel.write(folder / "case.caffemodel", path.stem, layers)
    return str(folder / "case.caffemodel"), {n[3:]: x for n, x in numbers.items() if n.startswith("in:")}


def use(library: Any, net: str, model: str, inputs: dict[str, Array]) -> dict[str, Any]:
    """What a program learns of a net."""
    made = library.readNetFromCaffe(net, model)
    made.enableFusion(False)  # with it, OpenCV's layers show what the following ones have made of them
    for name, x in inputs.items():
        made.setInput(x, name)
    names = made.getLayerNames()
    found: dict[str, Any] = {"names": names, "outputs": made.getUnconnectedOutLayersNames()}
    found["output ids"] = made.getUnconnectedOutLayers().tolist()
    found["last"] = np.asarray(made.forward())
    found |= {f"made by {name}": np.asarray(made.forward(name)) for name in names}
    found |= {f"type of {name}": made.getLayer(made.getLayerId(name)).type for name in names}
    found |= {f"blob {i} of {n}": b for n in names for i, b in enumerate(made.getLayer(n).blobs)}
    return found


def compare(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> None:
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        if isinstance(expected, np.ndarray):
            assert ours[name].shape == expected.shape and ours[name].dtype == expected.dtype, name
            largest = max(float(np.abs(expected).max(initial=0)), 1e-30)
            np.testing.assert_allclose(ours[name] / largest, expected / largest, rtol=0, atol=tolerance, err_msg=name)
        else:
            assert ours[name] == expected, name


@pytest.mark.parametrize("path", [*right_cases()], ids=lambda path: path.stem)
def test_a_layer(path: Path, tmp_path: Path) -> None:
    model, inputs = write_case(path, tmp_path)
    ours, theirs = (use(library, str(path), model, inputs) for library in (opencv, cv2.dnn))
    compare(ours, theirs, TOLERANCE)


def test_there_are_as_many_cases_as_the_table_says() -> None:
    assert len(list(right_cases())) == 110


PICTURE = SHARED / "models" / "mobilenet-ssd" / "000542.jpg"
MODELS = {  # files, size, scale, mean
    "mobilenet-ssd": ("MobileNetSSD_deploy.prototxt", "MobileNetSSD_deploy.caffemodel", (300, 300), 1 / 127.5, 127.5),
    "res10-ssd-face": (
        "deploy.prototxt.txt",
        "res10_300x300_ssd_iter_140000.caffemodel",
        (300, 300),
        1.0,
        (104, 177, 123),
    ),
    "res10-ssd-face-fp16": (
        "deploy.prototxt.txt",
        "res10_300x300_ssd_iter_140000_fp16.caffemodel",
        (300, 300),
        1.0,
        (104, 177, 123),
    ),
    "squeezenet-v1.1": ("squeezenet_v1.1.prototxt", "squeezenet_v1.1.caffemodel", (227, 227), 1.0, (104, 117, 123)),
    "open-nsfw": ("deploy.prototxt", "resnet_50_1by2_nsfw.caffemodel", (224, 224), 1.0, (104, 117, 123)),
    "mtcnn": ("det1.prototxt", "det1.caffemodel", (150, 112), 1 / 128, 127.5),
    "ultra-light-face": ("RFB-320.prototxt", "RFB-320.caffemodel", (320, 240), 1 / 128, 127),
    "retinaface-widerface": ("deploy.prototxt", "Widerface-RetinaFace.caffemodel", (320, 320), 1.0, (104, 117, 123)),
}


@pytest.mark.parametrize("name", [*MODELS])
def test_a_published_net(name: str) -> None:
    net, model, size, scale, mean = MODELS[name]
    folder = SHARED / "models" / name
    if not (folder / model).exists() or not PICTURE.exists():
        pytest.skip("the published models are not beside the checkout")
    blob = cv2.dnn.blobFromImage(cv2.imread(str(PICTURE)), scale, size, mean)
    found = []
    for library in (opencv, cv2.dnn):
        made = library.readNet(str(folder / model), str(folder / net))
        made.setInput(blob)
        ids, taken, given = made.getLayersShapes(blob.shape)
        shapes = [[tuple(int(d) for d in shape) for shape in layer] for layer in (*taken, *given)]
        outputs = made.forward(made.getUnconnectedOutLayersNames())
        found.append(
            {
                "names": made.getLayerNames(),
                "ids": ids.tolist(),
                "shapes": shapes,
                "memory": made.getMemoryConsumption(blob.shape),
                "profile": made.getPerfProfile()[1].shape,
                **{str(i): x for i, x in enumerate(outputs)},
            }
        )
    ours, theirs = found
    compare(ours, theirs, MODEL_TOLERANCE)


@pytest.mark.parametrize("seed", range(40))
def test_pictures_become_the_same_blobs(seed: int) -> None:
    random = np.random.default_rng(seed)
    high, wide, channels = (int(n) for n in random.integers((1, 1, 0), (90, 90, 3)))
    shape = (high, wide, (1, 3, 4)[channels])
    picture = (random.random(shape) * 255).astype(random.choice(["u1", "f4"]))
    if shape[2] == 1 and seed % 2:
        picture = picture[..., 0]
    size = tuple(int(n) for n in random.integers(1, 90, 2)) if seed % 8 else (0, 0)
    mean = (0, (1.5, 2, 120), 127.5)[seed % 3]
    way = (float(random.uniform(0.1, 1)), size, mean, bool(seed % 2), bool(seed % 5 == 0))
    expected, made = cv2.dnn.blobFromImage(picture, *way), images.blobFromImage(picture, *way)
    assert made.shape == expected.shape and made.dtype == expected.dtype
    if picture.dtype == np.uint8:
        np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-4)  # the rounding of one product of about 250
    else:
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=3e-3)  # of three
    several = [picture, picture[::-1]]
    np.testing.assert_array_equal(
        cv2.dnn.blobFromImages(several, ddepth=5).shape, images.blobFromImages(several, ddepth=5).shape
    )


@pytest.mark.parametrize("seed", range(10))
def test_suppression_keeps_the_same_boxes(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = [[int(n) for n in box] for box in random.integers(1, 40, (30, 4))]
    scores = [float(s) for s in random.random(30).astype(np.float32)]
    way = (0.2, 0.3, 1.0 if seed % 2 else 0.9, 0 if seed % 3 else 5)
    assert images.NMSBoxes(boxes, scores, *way).tolist() == list(cv2.dnn.NMSBoxes(boxes, scores, *way))


def test_a_blob_becomes_pictures_again() -> None:
    blob = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    for ours, theirs in zip(images.imagesFromBlob(blob), cv2.dnn.imagesFromBlob(blob), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert images.blobFromImage(np.full((2, 2, 3), 7, np.uint8), ddepth=0).dtype == np.uint8


@pytest.mark.parametrize(
    ("pictures", "options"),
    [
        ([], {}),
        ([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)], {}),
        ([np.zeros((2, 2, 3), np.uint8)], {"ddepth": 0, "mean": 1.0}),
    ],
)
def test_what_is_no_picture_is_refused_by_both(pictures: list[Array], options: dict[str, Any]) -> None:
    for library in (images, cv2.dnn):
        with pytest.raises(cv2.error):
            library.blobFromImages(pictures, **options)
