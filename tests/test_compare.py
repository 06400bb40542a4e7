"""`cortado compare`: sides agree where they should, and the first value that differs is named with its numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cortado import driver
from cortado.cli import main
from cortado.cli.detections import caffe_rows, pair_rows
from cortado.cli.differences import compare_values, measure_difference
from cortado.cli.random_numbers import RandomBlobs
from cortado.runtime import Net
from cortado.runtime.trace import trace

from .shared import ROOT, SHARED

DIGITS = ROOT / "examples" / "digits"
NET, WEIGHTS = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
BLOBS = ["conv1", "look1", "sum", "pool1", "point", "around", "both", "pool2", "score", "prob"]


def cortado(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def run_json(*words: object, differs: bool = False) -> dict[str, Any]:
    done = cortado("compare", *words, "--json")
    assert done.exit_code == int(differs), done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def net() -> Net:
    return driver.compile(NET, WEIGHTS)


@pytest.mark.parametrize(
    "words", [("--target", "reference-f64,cpu"), ("--target", "reference,cpu"), ("--passes", "none,all")]
)
def test_one_net_in_two_ways(words: tuple[str, ...]) -> None:
    found = run_json(NET, WEIGHTS, *words)
    assert [v["name"] for v in found["values"]] == BLOBS, "in the net's order, inside the net too"
    assert found["equal"] and found["first"] is None
    assert 0 < max(v["relative"] for v in found["values"]) < 1e-5, "two ways to compute are never bit for bit the same"


def test_a_compiled_file_and_another_shape(tmp_path: Path, net: Net) -> None:
    driver.save(net, tmp_path / "digits.cortado")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).random((3, 1, 8, 8), dtype=np.float32))
    found = run_json(NET, WEIGHTS, tmp_path / "digits.cortado", "--input", tmp_path / "x.npy")
    assert found["sides"] == ["digits.prototxt", "digits.cortado"]
    assert all(v["shape"][0] == 3 and v["by"] == 0 for v in found["values"])
    words = (NET, WEIGHTS, tmp_path / "digits.cortado")
    assert "All numbers are equal" in cortado("compare", *words).output


def test_recorded_blobs(tmp_path: Path, net: Net) -> None:
    """As Caffe's golden cases are stored; the first difference is told, not those that follow from it."""
    x = np.random.default_rng(1).random((2, 1, 8, 8), dtype=np.float32)
    values: dict[str, Any] = {name: tensor.numpy() for name, tensor in trace(net, {"data": x}).items()}
    stored: dict[str, Any] = {
        "in:data": x,
        "blob:conv1": values["conv1"],
        "out:prob": values["prob"],
        "pool1": values["pool1"],
    }
    np.savez(tmp_path / "blobs.npz", **stored)
    found = run_json(NET, WEIGHTS, tmp_path / "blobs.npz")
    assert [v["name"] for v in found["values"]] == ["conv1", "pool1", "prob"] and found["equal"]
    wrong = values["pool1"].copy()
    wrong[1, 2, 3, 0] += 0.5
    np.savez(tmp_path / "blobs.npz", **{**stored, "pool1": wrong, "out:prob": values["prob"][:, :9]})
    found = run_json(NET, WEIGHTS, tmp_path / "blobs.npz", differs=True)
    assert found["first"] == "pool1"
    pool1, prob = found["values"][1:]
    assert pool1["at"] == [1, 2, 3, 0] and pool1["by"] == pytest.approx(0.5) and pool1["b"] == wrong[1, 2, 3, 0]
    assert prob["reason"] == "it is [2, 10] on one side and [2, 9] on the other."
    said = cortado("compare", NET, WEIGHTS, tmp_path / "blobs.npz").output
    assert 'differ in 2 of 3 values. The first is pool1, produced by layer "pool1" (Pooling) in line 59: ' in said
    assert "at [1, 2, 3, 0] it is" in said and "[2, 10]" in said and "another shape" in said


def test_blobs_as_pycaffe_has_them(tmp_path: Path, net: Net) -> None:
    """All of net.blobs: the input by its own name, and Caffe's copies, which are no blobs of the file."""
    x = np.random.default_rng(1).random((2, 1, 8, 8), dtype=np.float32)
    values: dict[str, Any] = {name: tensor.numpy() for name, tensor in trace(net, {"data": x}).items()}
    file = tmp_path / "caffe.npz"
    np.savez(file, **values, conv1_conv1_relu_0_split_1=values["conv1"])
    found = run_json(NET, WEIGHTS, file)
    assert [v["name"] for v in found["values"]] == BLOBS and found["only"] == {"a": [], "b": []}
    assert max(v["by"] for v in found["values"]) == 0, "it ran on the recorded input, and its batch"
    assert [v["name"] for v in run_json(file, NET, WEIGHTS)["values"]] == BLOBS, "the order is the net's"

    nan = values["pool1"].copy()
    nan[0, 1, 2, 3] = nan[1, 0, 0, 0] = np.nan
    wrong = {**values, "pool1": nan, "sum": values["sum"][:, :1], "look2": values["sum"], "other": x}
    np.savez(file, **{name: wrong[name] for name in sorted(wrong, reverse=True) if name != "prob"})
    found = run_json(NET, WEIGHTS, file, differs=True)
    reasons = {v["name"]: v["reason"] for v in found["values"]}
    assert list(reasons) == BLOBS[:-1] and found["first"] == "sum"
    assert found["maker"] == 'layer "sum_relu" (ReLU) in line 56'
    assert reasons["pool1"].endswith("nan, and there are 1 more such elements.")
    json.dumps(found, allow_nan=False)
    said = cortado("compare", NET, WEIGHTS, file).output
    assert "NaN or infinite" in said and "another shape" in said
    assert "Only digits.prototxt has prob." in said and "Only caffe.npz has other." in said
    assert "Only caffe.npz has look2: passes removed them in digits.prototxt, and --passes none keeps them." in said
    assert "look2" in {v["name"] for v in run_json(NET, WEIGHTS, file, "--passes", "none", differs=True)["values"]}


def test_an_input_that_nobody_recorded(tmp_path: Path) -> None:
    """Numbers of an unknown input are compared with nothing, unless it is asked for."""
    file = tmp_path / "blobs.npz"
    np.savez(file, prob=np.zeros((1, 10), np.float32))
    done = cortado("compare", NET, WEIGHTS, file)
    assert done.exit_code == 2 and 'does not hold the input "data"' in done.output
    assert cortado("compare", NET, WEIGHTS, file, "--input", "random").exit_code == 1
    np.savez(file, objects=np.array([{}], object))
    assert 'its array "objects" cannot be read' in cortado("compare", NET, WEIGHTS, file).output
    np.savez(file, data=np.zeros((1, 1, 8, 8), np.float32), nothing=np.zeros(3))
    done = cortado("compare", NET, WEIGHTS, file)
    assert done.exit_code == 2 and "have no value of the same name" in done.output and "has nothing." in done.output
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    done = cortado("compare", NET, WEIGHTS, file)
    assert done.exit_code == 2 and "this is not an .npz, or is incomplete" in done.output


def test_a_compiled_net_in_two_ways(tmp_path: Path, net: Net) -> None:
    """A target that is named is the one that runs; a compiled net runs as it is where none is."""
    file = tmp_path / "digits.cortado"
    driver.save(net, file)
    found = run_json(file, "--target", "reference-f64,cpu")
    assert found["sides"] == ["reference-f64", "cpu"] and 0 < max(v["by"] for v in found["values"]) < 1e-5
    assert run_json(file, "--passes", "none,all")["sides"] == ["cpu without passes", "cpu with all passes"]
    assert run_json(NET, WEIGHTS, file, "--shape", "data=5,1,8,8")["values"][0]["shape"][0] == 5


def test_two_nets_with_drawn_weights(tmp_path: Path) -> None:
    text = "net n(x: f32[1,2,4,4]) {\n    weight w: f32[2,2,1,1]\n    y = conv(x, w)\n    z = %s(y)\n    return z\n}\n"
    for name in ("relu", "tanh"):
        (tmp_path / f"{name}.net").write_text(text % name)
    a, b = tmp_path / "relu.net", tmp_path / "tanh.net"
    refused = cortado("compare", a, b)
    assert refused.exit_code == 2 and "--random-weights" in refused.output
    found = run_json(a, b, "--random-weights", "--passes", "none", differs=True)
    assert [(v["name"], v["reason"] == "") for v in found["values"]] == [("y", True), ("z", False)]
    assert run_json(a, a, "--random-weights")["equal"]
    one, other = (run_json(a, b, "--random-weights", "--seed", s, differs=True)["values"] for s in (1, 2))
    assert one != other, "the seed names the numbers"


def test_opencv() -> None:
    pytest.importorskip("cv2")
    found = run_json(NET, WEIGHTS, "--opencv")
    assert found["sides"] == ["cortado", "OpenCV"] and [v["name"] for v in found["values"]] == BLOBS


def test_opencv_with_random_weights(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    found = run_json(NET, "--random-weights", "--opencv")
    assert found["equal"] and [v["name"] for v in found["values"]] == BLOBS
    told = cortado("compare", NET, "--opencv")
    assert told.exit_code == 2 and "--random-weights" in told.output


def test_random_blobs_are_those_of_the_seed() -> None:
    def draw(seed: int) -> list[float]:
        blobs = RandomBlobs(seed)
        mean, variance, factor = (blobs("n", "BatchNorm", i, (2,) if i < 2 else (1,)) for i in range(3))
        assert (variance >= 0.5).all() and (variance <= 1.5).all() and factor == 1
        assert list(blobs.drawn) == [("n", 0), ("n", 1), ("n", 2)]
        return [*mean.tolist(), *variance.tolist()]

    assert draw(1) == draw(1) != draw(2)


def rows(*each: tuple[float, ...]) -> np.ndarray:
    """Rows of detections: image, label, score, and a box of four equal numbers."""
    return np.array([[*row[:3], *[row[3]] * 4] for row in each], np.float32).reshape(1, 1, -1, 7)


def test_rows_of_detections_as_caffe_has_them() -> None:
    opencv = rows((0, 2, 0.9, 1), (0, 1, 0.8, 2), (1, 1, 0.7, 3), (0, 1, 0.85, 4), *[(0, 0, 0, 0)] * 3)
    caffe = rows((0, 1, 0.85, 4), (0, 1, 0.8, 2), (0, 2, 0.9, 1), (1, 1, 0.7, 3))
    assert np.array_equal(caffe_rows(opencv, 2), caffe)
    nothing = caffe_rows(rows(*[(0, 0, 0, 0)] * 3), 2)
    assert nothing.tolist() == [[[[0, -1, -1, -1, -1, -1, -1], [1, -1, -1, -1, -1, -1, -1]]]]
    assert caffe_rows(np.zeros((1, 7)), 1).shape == (1, 7), "no rows of detections"


def test_rows_of_detections_are_paired() -> None:
    ours = rows((0, 1, 0.8, 2), (0, 1, 0.8, 4), (0, 2, 0.9, 1))
    theirs = rows((0, 1, 0.801, 4), (0, 1, 0.8, 2), (0, 2, 0.9, 1))
    assert np.array_equal(pair_rows(theirs, ours), rows((0, 1, 0.8, 2), (0, 1, 0.801, 4), (0, 2, 0.9, 1)))
    other_label = rows((0, 3, 0.801, 4), (0, 1, 0.8, 2), (0, 2, 0.9, 1))
    assert np.array_equal(pair_rows(other_label, ours), other_label), "what has no partner stays, and differs"
    assert pair_rows(theirs[:, :, :2], ours).shape == (1, 1, 2, 7)


@pytest.mark.long
def test_a_detector_agrees_with_opencv(tmp_path: Path) -> None:
    """On noise, which has no detection, and on two pictures in a batch."""
    pytest.importorskip("cv2")
    folder = SHARED / "models" / "mobilenet-ssd"
    if not folder.exists():
        pytest.skip("the published models are not at hand")
    opened = (Image.open(folder / f"{name}.jpg").convert("RGB") for name in ("000001", "004545"))
    pictures = [np.asarray(picture.resize((300, 300))) for picture in opened]
    data = np.stack([(p[..., ::-1].transpose(2, 0, 1) - 127.5) * 0.007843 for p in pictures]).astype(np.float32)
    np.save(tmp_path / "x.npy", data)
    files = (folder / "MobileNetSSD_deploy.prototxt", folder / "MobileNetSSD_deploy.caffemodel", "--opencv")
    for more in ((), ("--input", tmp_path / "x.npy", "--shape", "data=2,3,300,300")):
        found = run_json(*files, *more)
        assert found["equal"] and "detection_out" in [v["name"] for v in found["values"]]


def test_published_model() -> None:
    model, golden = SHARED / "models" / "lenet", SHARED / "goldens" / "models" / "lenet-iter_10000_rand.npz"
    if not golden.exists():
        pytest.skip("the model is not at hand")
    found = run_json(model / "lenet.prototxt", model / "lenet_iter_10000.caffemodel", golden, "--tolerance", 1e-5)
    assert {"conv1", "ip1", "prob"} <= {v["name"] for v in found["values"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([NET, WEIGHTS], "what is"),
        ([NET, WEIGHTS, NET, WEIGHTS, NET], "these are 3 nets"),
        ([NET, WEIGHTS, "--target", "cpu,reference,cpu"], "name one for both sides"),
        ([NET, WEIGHTS, "--target", "cpu,gpu"], "no target is called gpu"),
        ([NET, WEIGHTS, "--passes", "some,all"], "write all or none"),
        ([NET, "--opencv"], "give its prototxt and its caffemodel"),
        ([NET, WEIGHTS, "--passes", "none,all", "--input", "dota=x.npy"], "x.npy"),
    ],
)
def test_refused(words: list[object], said: str) -> None:
    done = cortado("compare", *words)
    assert done.exit_code == 2 and said in done.output


def test_how_far_two_arrays_are_apart() -> None:
    nan, inf = float("nan"), float("inf")
    equal = measure_difference("x", np.array([1.0, nan, inf]), np.array([1.0, nan, inf]), 0)
    assert (equal.by, equal.largest, equal.reason) == (0, 1, "")
    for wrong in ([nan, 1.0], [inf, 1.0], [1.0, nan]):
        found = measure_difference("x", np.array([1.0, 1.0]), np.array(wrong), 1.0)
        assert found.reason and found.by == inf, wrong
    far = measure_difference("x", np.array([[100.0, -200.0]]), np.array([100.0, -199.0]), 1e-2)
    assert (far.by, far.relative, far.at, far.reason) == (1, 0.005, (0, 1), "")
    assert measure_difference("x", np.zeros(2), np.array([0, 1e-3]), 1e-4).reason, (
        "beside zeros the difference itself counts"
    )
    assert measure_difference("x", np.zeros((0, 7)), np.zeros((0, 7)), 0).reason == ""
    one = np.ones(1)
    both = compare_values(("a", "b"), {"i": one, "y": one, "p": one}, {"y": one, "q": one}, 0, ["i"])
    assert both.only == (("p",), ("q",)) and [d.name for d in both.values] == ["y"]
