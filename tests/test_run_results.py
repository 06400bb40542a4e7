"""What `run` shows of detections, masks and made pictures, on nets whose answers are known by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cortado
from cortado import driver
from cortado.cli import main
from cortado.cli.draw import box_colour, mask_colour
from cortado.cli.options import PRESET_NAMES
from cortado.runtime.artifact import write
from cortado.runtime.framing import Framing
from cortado.runtime.preprocessing import Preprocessing

from .shared import ROOT, SHARED

SSD = SHARED / "models" / "mobilenet-ssd"

# One prior box for the whole image; its class 2 has a logit of 10 times the mean red of the picture, as conv1 sees it.
DETECTOR = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 10 dim: 20 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "conf" type: "Convolution" bottom: "mean" top: "conf" convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "flat" type: "Flatten" bottom: "conf" top: "flat" }
layer { name: "rows" type: "Reshape" bottom: "flat" top: "rows" reshape_param { shape { dim: 0 dim: 1 dim: 3 } } }
layer { name: "soft" type: "Softmax" bottom: "rows" top: "soft" softmax_param { axis: 2 } }
layer { name: "scores" type: "Flatten" bottom: "soft" top: "scores" }
layer { name: "where" type: "Convolution" bottom: "mean" top: "where"
        convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "loc" type: "Flatten" bottom: "where" top: "loc" }
layer { name: "priors" type: "PriorBox" bottom: "mean" bottom: "data" top: "priors"
        prior_box_param { min_size: 10 variance: 1 } }
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "scores" bottom: "priors" top: "found"
        detection_output_param { num_classes: 3 code_type: CORNER confidence_threshold: 0.01 nms_param {
        nms_threshold: 0.5 } } }
"""
# The middle of the prior is the image's: 5..15 of 20 pixels across, 0..10 of 10 down.
BOX = [5, 0, 15, 10]


def weights(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
    made = np.zeros(shape, np.float32)
    if layer == "conf" and index == 0:
        made[2, 0] = 10
    return made


def run(*words: object) -> Result:
    done = CliRunner().invoke(main, [str(word) for word in ("run", "net.cortado", *words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def output(*words: object) -> str:
    done = run(*words)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def detector(folder: Path) -> Path:
    """A compiled detector, a red and a black picture of 40 x 40 in a folder, and labels."""
    Path("d.prototxt").write_text(DETECTOR)
    form = Preprocessing(bgr=False, raw_scale=1.0)
    options = driver.Options(preprocessing={"data": form})
    write("net.cortado", driver.compile_net("d.prototxt", weights, options).artifact)
    Path("in").mkdir()
    Image.new("RGB", (40, 40), (255, 0, 0)).save("in/red.png")
    Image.new("RGB", (40, 40)).save("in/black.png")
    Path("labels.txt").write_text("background\ncat\ndog\n")
    Path("two.txt").write_text("cat\ndog\n")
    return folder


SCORE = float(np.exp(10) / (np.exp(10) + 2))


def test_detections_are_rows_in_pixels_of_the_picture(detector: Path) -> None:
    shown = output("--input", "in/red.png", "--labels", "labels.txt").splitlines()
    assert shown[0] == "found:" and shown[1].split() == [f"{SCORE:.6f}", "10", "0", "30", "40", "2", "dog"]
    assert len(shown) == 2


def test_detections_as_json(detector: Path) -> None:
    found = json.loads(output("--input", "in/red.png", "--labels", "two.txt", "--min-score", 0, "--json"))
    rows = found["outputs"]["found"]["detections"]
    (best,) = rows  # the score of class 1 is below the layer's own threshold
    assert (best["label"], best["name"], best["file"], best["picture"]) == (2, "dog", "in/red.png", 0)
    assert best["box"] == pytest.approx([10, 0, 30, 40], abs=1e-4) and best["score"] == pytest.approx(SCORE, abs=1e-6)


def test_detections_of_an_array_are_in_pixels_of_the_input(detector: Path) -> None:
    np.save("x.npy", np.ones((1, 3, 10, 20), np.float32))
    (row,) = json.loads(output("--input", "x.npy", "--json"))["outputs"]["found"]["detections"]
    assert row["box"] == pytest.approx(BOX, abs=1e-4) and "file" not in row


def test_a_folder_is_run_picture_by_picture(detector: Path) -> None:
    shown = output("--input", "in", "--labels", "labels.txt", "--output-file", "all.npz")
    black, red = shown.split("found, red.png:")
    assert black.startswith("found, black.png:") and "dog" in red and SCORE > 0.9
    found = json.loads(output("--input", "in", "--min-score", "0.5", "--json"))["batches"]
    assert [len(batch["outputs"]["found"]["detections"]) for batch in found] == [0, 1]
    with np.load("all.npz") as arrays:
        rows = arrays["found"]
    assert rows.shape[:2] == (1, 1) and sorted(set(rows[0, 0, :, 0])) == [0, 1], "pictures are numbered through"


def test_boxes_are_drawn(detector: Path) -> None:
    output("--input", "in/red.png", "--labels", "labels.txt", "--draw", "out.png")
    made = np.asarray(Image.open("out.png"))
    assert made.shape == (40, 40, 3)
    assert tuple(made[35, 10]) == box_colour(2), "the left side of the box"
    assert tuple(made[35, 20]) == (255, 0, 0), "the picture within"
    output("--input", "in", "--draw", "drawn", "--min-score", 0.5)
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["black.png", "red.png"]
    assert not np.asarray(Image.open("drawn/black.png")).any(), "nothing of such a score was found"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--input in/red.png --labels three.txt", 'three.txt has 4 labels, and "found" has 3 classes'),
        ("--input in/red.png --draw out.xyz", ".xyz is no format to draw in"),
        ("--input in/red.png --draw out.png --draw-as mask", "there is nothing to draw as mask"),
        ("--input in/red.png --draw-as mask", "nothing is drawn"),
        ("--input x.npy --draw out.png", "the inputs are arrays"),
        ("--input in --draw labels.txt", "labels.txt is a file, and several pictures"),
        ("--input in --input in/red.png", "the input gets other files, too"),
        ("--input none", "there is no picture in it"),
        ("--input in --input none", "are folders"),
        ("--input in/red.png --draw in/red.png", "in/red.png"),
    ],
)
def test_what_cannot_be_shown_is_refused(detector: Path, words: str, sentence: str) -> None:
    Path("three.txt").write_text("a\nb\nc\nd")
    Path("none").mkdir()
    np.save("x.npy", np.ones((1, 3, 10, 20), np.float32))
    before = Path("in/red.png").read_bytes()
    done = run(*words.split())
    assert done.exit_code == 2 and sentence in done.output, done.output
    assert Path("in/red.png").read_bytes() == before and not Path("out.png").exists()


MASK = """
net n(data: f32[1,3,2,4]) {
    return data
}
"""


def compile_text(text: str, **options: Any) -> None:
    Path("n.net").write_text(text)
    write("net.cortado", driver.compile_net("n.net", None, driver.Options(**options)).artifact)


def test_a_mask_lies_over_what_the_net_sees(folder: Path) -> None:
    """Of 8 x 8 pixels, resized to 4 x 4, the net sees the two rows in the middle: rows 2 to 5 of the picture."""
    compile_text(MASK, preprocessing={"data": Preprocessing(bgr=False, resize=(4, 4))})
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, 4:, 2] = 200  # on the right, channel 2 is the largest; on the left all are alike, and the first counts
    Image.fromarray(pixels).save("p.png")
    output("--input", "p.png", "--draw", "m.png", "--draw-as", "mask")
    made = np.asarray(Image.open("m.png")).astype(int)
    assert (made[:2] == pixels[:2]).all() and (made[6:] == pixels[6:]).all() and (made[:, :2] == 0).all()
    assert made[3, 6].tolist() == pytest.approx([0, 0.55 * 128, 0.45 * 200], abs=1.5), "class 2 is green"
    assert [mask_colour(i) for i in range(4)] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]


@pytest.mark.parametrize(
    "form", [Preprocessing(), Preprocessing(bgr=False), Preprocessing(raw_scale=1.0)], ids=["bgr", "rgb", "0 to 1"]
)
def test_the_picture_that_a_net_makes(folder: Path, form: Preprocessing) -> None:
    """The net returns its input, so that what is drawn is the picture."""
    compile_text("net n(data: f32[1,3,2,3]) {\n    y = relu(data)\n    return y\n}", preprocessing={"data": form})
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10
    Image.fromarray(pixels).save("p.png")
    output("--input", "p.png", "--draw", "y.png")
    assert np.array_equal(np.asarray(Image.open("y.png")), pixels)


def test_prepare_does_what_run_does(folder: Path) -> None:
    compile_text(
        "net n(data: f32[1,3,2,4]) {\n    y = relu(data)\n    return y\n}",
        preprocessing={"data": Preprocessing(mean=(1, 2, 3), scale=0.5, resize=(4, 4))},
    )
    drawn = np.random.default_rng(5).integers(4, 255, (9, 7, 3), np.uint8)
    Image.fromarray(drawn).save("p.png")
    output("--input", "p.png", "--output-file", "y.npz")
    net = cortado.load("net.cortado")
    with np.load("y.npz") as arrays:
        wanted = arrays["y"]
    for picture in ("p.png", Path("p.png"), Image.open("p.png"), drawn):
        assert np.array_equal(net.prepare(picture), wanted)
    assert net.prepare("p.png", drawn).shape == (2, 3, 2, 4) and net.prepare().shape == (0, 3, 2, 4)
    assert net.prepare(drawn[:, :, 0]).shape == (1, 3, 2, 4), "grey becomes three channels"
    for wrong in (drawn.astype(np.float32), drawn[None]):
        with pytest.raises(ValueError, match="a picture is an array u8"):
            net.prepare(wrong)
    with pytest.raises(ValueError, match='no input "other"'):
        net.prepare("p.png", input="other")
    compile_text("net n(x: f32[1,5]) {\n    y = relu(x)\n    return y\n}")
    with pytest.raises(ValueError, match="pictures go to an input"):
        cortado.load("net.cortado").prepare("p.png")
    with pytest.raises(ValueError, match=r'input "x": a picture needs an input \[N,C,H,W\]'):
        cortado.load("net.cortado").prepare("p.png", input="x")


@pytest.mark.parametrize(
    ("form", "box", "wanted"),
    [
        (Preprocessing(), (0, 0, 20, 10), (0, 0, 400, 100)),
        (Preprocessing(resize=(20, 40)), (0, 0, 20, 10), (100, 25, 300, 75)),
        (Preprocessing(resize=(11, 21)), (0, 0, 21, 11), (0, 0, 400, 100)),
    ],
)
def test_boxes_go_back_through_resizing_and_cutting(form: Preprocessing, box: Any, wanted: Any) -> None:
    assert Framing.of((100, 400), form, (10, 20)).to_picture(box) == pytest.approx(wanted)


def test_presets(detector: Path) -> None:
    assert tuple(cortado.PRESETS) == PRESET_NAMES
    done = CliRunner().invoke(main, ["compile", "d.prototxt", "-o", "e.cortado", "--preset", "nothing"])
    assert done.exit_code == 2 and "mobilenet-ssd" in done.output
    output("--input", "in/red.png", "--preset", "mobilenet-ssd", "--rgb", "--json")
    compile_text("net n(data: f32[1,3,1,1]) {\n    return data\n}")
    Image.new("RGB", (1, 1), (10, 20, 30)).save("p.png")
    output("--input", "p.png", "--preset", "mobilenet-ssd", "--output-file", "y.npz")
    with np.load("y.npz") as arrays:
        np.testing.assert_allclose(arrays["data"].ravel(), (np.array([30, 20, 10]) - 127.5) * 0.007843, rtol=1e-6)
    output("--input", "p.png", "--preset", "mobilenet-ssd", "--scale", "1", "--output-file", "y.npz")
    with np.load("y.npz") as arrays:
        np.testing.assert_allclose(arrays["data"].ravel(), np.array([30, 20, 10]) - 127.5, rtol=1e-6)


@pytest.mark.skipif(not SSD.exists(), reason="the published models are not here")
def test_the_detections_that_the_page_shows(folder: Path) -> None:
    """docs/pictures.md prints what MobileNet-SSD finds in one of its own pictures."""
    page = (ROOT / "docs" / "pictures.md").read_text("utf-8")
    shown = re.findall(r"^      (\d\.\d+) +(\d+) +(\d+) +(\d+) +(\d+)  (\d+) (\w+)$", page, re.M)
    assert len(shown) == 5
    options = driver.Options(target="onednn", preprocessing={"data": cortado.PRESETS["mobilenet-ssd"]})
    files = (SSD / "MobileNetSSD_deploy.prototxt", SSD / "MobileNetSSD_deploy.caffemodel")
    write("net.cortado", driver.compile_net(*files, options).artifact)
    rows = json.loads(output("--input", SSD / "004545.jpg", "--json"))["outputs"]["detection_out"]["detections"]
    for (score, *box, label, _), row in zip(shown, rows[:5], strict=True):
        assert row["label"] == int(label) and row["score"] == pytest.approx(float(score), abs=1e-4)
        assert row["box"] == pytest.approx([float(n) for n in box], abs=1)
