"""The stand-in for cv2.dnn: its own answers, worked out by hand, without the help of OpenCV."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado.compat import opencv
from cortado.compat.opencv import constants, custom, images
from cortado.frontends.files import caffemodel

from .shared import ROOT

Array = np.ndarray[Any, Any]

NET = """
name: "small"
input: "data" input_dim: 1 input_dim: 2 input_dim: 2 input_dim: 2
layer { name: "first" type: "Convolution" bottom: "data" top: "made"
  convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "relu" type: "ReLU" bottom: "made" top: "made" }
layer { name: "cut" type: "Slice" bottom: "made" top: "left" top: "right" slice_param { axis: 1 } }
layer { name: "same" type: "Power" bottom: "left" top: "low" power_param { shift: 1 } }
layer { name: "same" type: "Power" bottom: "right" top: "high" power_param { scale: 10 } }
layer { name: "fc" type: "InnerProduct" bottom: "low" top: "fc" inner_product_param { num_output: 3 } }
"""
WEIGHTS = {
    "first": [np.array([[1, 0], [0, -1]]).reshape(2, 2, 1, 1), np.array([0.5, 0])],
    "fc": [np.arange(12).reshape(3, 4), np.array([1, 2, 3])],
}
X = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2) - 3  # [-3 -2 -1 0] and [1 2 3 4]
MADE = np.array([[-2.5, -1.5, -0.5, 0.5], [-1, -2, -3, -4]]).reshape(1, 2, 2, 2)  # before the ReLU
LOW = np.array([1, 1, 1, 1.5])  # left is 0, 0, 0, 0.5
FC = WEIGHTS["fc"][0] @ LOW + WEIGHTS["fc"][1]


def write(folder: Path, text: str = NET, weights: dict[str, list[Array]] | None = None) -> tuple[str, str]:
    """The paths of a prototxt and its caffemodel."""
    blobs = WEIGHTS if weights is None else weights
    net, model = folder / "deploy.prototxt", folder / "net.caffemodel"
    net.write_text(text)
    layers = [caffemodel.WrittenLayer(n, "?", [np.asarray(b, np.float32) for b in a], [], []) for n, a in blobs.items()]
    caffemodel.write(model, "small", layers or [caffemodel.WrittenLayer("none", "?", [], [], [])])
    return str(net), str(model)


@pytest.fixture
def net(tmp_path: Path) -> opencv.Net:
    made = opencv.readNetFromCaffe(*write(tmp_path))
    made.setInput(X)
    return made


@pytest.fixture
def no_classes() -> Iterator[None]:
    yield
    custom.CLASSES.clear()


def test_layers_have_the_names_and_ids_of_opencv(net: opencv.Net) -> None:
    """A convolution is called by its top, a repeated name gets a number, and inputs are no layers."""
    assert net.getLayerNames() == ("made", "relu", "cut", "same", "same_1", "fc")
    assert [net.getLayerId(n) for n in ("_input", "made", "same_1", "fc", "low")] == [0, 1, 5, 6, -1]
    assert net.getLayerId("first") == 1, "the file's name is known, too"
    assert (net.getLayer(1).name, net.getLayer(1).type, net.getLayer("fc").type) == (
        "made",
        "Convolution",
        "InnerProduct",
    )
    assert (net.getLayer(0).name, net.getLayer(np.int32(6)).name) == ("_input", "fc")
    assert net.getUnconnectedOutLayersNames() == ("same_1", "fc")
    ids = net.getUnconnectedOutLayers()
    assert ids.tolist() == [5, 6] and ids.dtype == np.int32
    names = net.getLayerNames()
    assert [names[i - 1] for i in ids] == ["same_1", "fc"], "as scripts do it"
    assert net.getLayersCount("Power") == 2 and "ReLU" in net.getLayerTypes()
    assert not net.empty() and opencv.Net().empty()


def test_forward_gives_what_a_layer_makes(net: opencv.Net) -> None:
    np.testing.assert_allclose(net.forward(), FC[None], rtol=1e-6)
    np.testing.assert_array_equal(net.forward("made"), MADE)
    np.testing.assert_array_equal(net.forward("relu"), MADE.clip(min=0))
    low, high = net.forward(["same", "same_1"])
    np.testing.assert_array_equal(low.reshape(-1), LOW)
    assert not high.any()
    (left, right), (fc,) = net.forwardAndRetrieve(["cut", "fc"])
    assert left.reshape(-1).tolist() == [0, 0, 0, 0.5] and not right.any()
    np.testing.assert_allclose(fc, FC[None], rtol=1e-6)
    assert isinstance(net.forward(("fc",)), tuple) and isinstance(net.forward(outBlobNames=["fc"])[0], np.ndarray)
    assert len(net.forward(None, "cut")) == 2 or net.forward([], "cut")[1].shape == (1, 1, 2, 2)
    assert net.forward(outputName="made").shape == (1, 2, 2, 2)
    assert net.forwardAsync().get().tolist() == net.forward().tolist()


def test_each_answer_is_a_new_array(net: opencv.Net) -> None:
    first = net.forward()
    kept = first.copy()
    first[...] = 7
    np.testing.assert_array_equal(net.forward(), kept)
    net.setInput(X + 1)
    assert not np.array_equal(net.forward(), kept)


def test_an_input_is_copied_and_scaled(net: opencv.Net) -> None:
    mine = X.copy()
    net.setInput(mine, "data", 2.0, (1, 10))
    mine[...] = 0
    expected = (X - np.array([1, 10]).reshape(2, 1, 1)) * 2
    np.testing.assert_array_equal(net.forward("made")[0, 0], expected[0, 0] + 0.5)
    np.testing.assert_array_equal(net.forward("made")[0, 1], -expected[0, 1])
    net.setInput(X.astype(np.uint8), mean=1)
    np.testing.assert_array_equal(net.forward("made")[0, 1], -(X.astype(np.uint8)[0, 1] - 1.0))


def test_another_shape_needs_no_call(net: opencv.Net) -> None:
    net.setInput(np.repeat(X, 3, axis=0))
    np.testing.assert_allclose(net.forward(), np.tile(FC, (3, 1)), rtol=1e-6)
    net.setInput(np.zeros((3, 2, 5, 4), np.float32))
    with pytest.raises(opencv.error, match=r'layer "fc" .*blob 0 is \[3, 4\], and the net needs \[3, 20\]'):
        net.forward()
    net.setInput(X)
    np.testing.assert_allclose(net.forward(), FC[None], rtol=1e-6)


def test_blobs_are_read_and_written_at_any_time(net: opencv.Net) -> None:
    weight, bias = net.getLayer("first").blobs
    assert (weight.shape, bias.shape, net.getLayer("fc").blobs[1].shape) == ((2, 2, 1, 1), (2, 1), (1, 3))
    weight[...] = 9
    np.testing.assert_array_equal(net.forward("made"), MADE)  # it was a copy
    net.getLayer(net.getLayerId("made")).blobs = [np.ones(4, np.float32)]
    np.testing.assert_array_equal(net.forward("made")[0, 0], X[0].sum(0))  # a bias that is left out is zero
    assert not net.getLayer("made").blobs[1].any()
    net.setParam("made", 1, np.array([1, 2]))
    np.testing.assert_array_equal(net.forward("made")[0, 1], X[0].sum(0) + 2)
    assert net.getParam("made", 1).tolist() == [[1], [2]]
    net.getLayer("made").blobs = [np.ones(5), np.ones(2)]
    with pytest.raises(opencv.error, match=r"blob 0 is \[5\], and the net needs \[2, 2, 1, 1\]"):
        net.forward("made")


def test_blobs_of_a_net_without_a_caffemodel_are_set_by_the_program(tmp_path: Path) -> None:
    net = opencv.readNetFromCaffe(write(tmp_path)[0])
    net.setInput(X)
    with pytest.raises(opencv.error, match='layer "first" of small has no weights'):
        net.forward("made")
    for name, blobs in WEIGHTS.items():
        net.getLayer(name).blobs = blobs
    np.testing.assert_allclose(net.forward(), FC[None], rtol=1e-6)


def test_two_calls_for_one_input_become_one_run(net: opencv.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, real = [], net.run

    def run(live: Any, values: Any, keys: Any) -> Any:
        runs.append(len(keys))
        return real(live, values, keys)

    monkeypatch.setattr(net, "run", run)
    for i in range(3):
        net.setInput(X + i)
        net.forward("made")
        net.forward("fc")
        net.forward("made")
    assert runs == [1, 1, 2, 2]
    for i in range(2):
        net.setInput(X - i)
        net.forward("made")
    assert runs == [1, 1, 2, 2, 2, 1], "what is no longer asked for is no longer computed"


def test_every_method_of_opencv_is_there(net: opencv.Net) -> None:
    cv2 = pytest.importorskip("cv2")
    missing = [name for name in dir(cv2.dnn.Net) if not name.startswith("_") and not hasattr(net, name)]
    assert missing == [] and not hasattr(net, "getNothing")


@pytest.mark.parametrize(
    ("call", "sentence", "code"),
    [
        (lambda net: net.forward("low"), 'the net has no layer "low"; the blob .* is made by layer "same"', -204),
        (lambda net: net.forward(["fc", "x"]), 'no layer "x"', -204),
        (lambda net: net.setInput(X, "date"), 'no input "date"; its inputs are data', -204),
        (lambda net: net.setInput(np.array(["a"])), "an array of numbers", -2),
        (lambda net: net.setInput(X, "", 1.0, (1, 2, 3, 4)) or net.setInput(X[:, :1], mean=()), None, 0),
        (lambda net: net.getLayer(7), "no layer 7; it has 6", -204),
        (lambda net: net.getLayer("x"), "no layer 'x'", -204),
        (lambda net: net.getLayer(None), "by its id or its name, not by None", -5),
        (lambda net: net.getLayer(1.5), "by its id or its name, not by 1.5", -5),
        (lambda net: net.forward(0), "a text, not 0", -5),
        (lambda net: net.forward([1]), r"a text, not \[1\]", -5),
        (lambda net: net.getParam("relu", 0), "has 0 learnt blobs", -2),
        (lambda net: opencv.Net().forward(), "this net is empty", -2),
        (lambda net: net.getFLOPS([(1, 2, 2, 2), (1, 2)]), "the net has 1 inputs", -2),
        (lambda net: (net.setInput(X[:, :1]), net.forward("made")), "channels|blob 0 is", -2),
        (lambda net: opencv.readNetFromCaffe("nowhere.prototxt"), r"nowhere\.prototxt: No such file", -2),
        (lambda net: opencv.readNetFromCaffe(None), "takes a prototxt", -2),
        (lambda net: net.quantize([], 1, 1), "quantize: cortado computes Caffe's nets in float32", -213),
        (lambda net: opencv.readNet("onnx", b"x"), "cortado reads nets of Caffe", -2),
        (lambda net: opencv.readNet("yolo.weights", "yolo.cfg"), "cortado reads nets of Caffe", -2),
        (lambda net: opencv.readNet("net.caffemodel"), "the prototxt that belongs to it is missing", -2),
        (lambda net: opencv.readNetFromCaffe(np.zeros(3)), "an array of u8", -2),
        (lambda net: opencv.readNetFromCaffe(b"<html>"), "this is an HTML page", -2),
        (lambda net: images.blobFromImage(np.zeros((2, 0, 3), np.uint8)), r"a picture is an array", -201),
        (lambda net: images.blobFromImage(np.zeros((2, 2), np.float32), ddepth=0), "pictures of 8 bits", -2),
    ],
)
def test_errors_are_opencvs(call: Any, sentence: str | None, code: int, net: opencv.Net) -> None:
    if sentence is None:
        call(net)
        return
    with pytest.raises(opencv.error, match=sentence) as caught:
        call(net)
    assert caught.value.code == code and caught.value.msg in str(caught.value)
    cv2 = pytest.importorskip("cv2")
    assert isinstance(caught.value, cv2.error)


def test_an_input_that_is_not_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(opencv.error, match='the input "data" is not set'):
        opencv.readNetFromCaffe(*write(tmp_path)).forward()


def test_files_in_every_form_and_order(tmp_path: Path) -> None:
    net, model = write(tmp_path)
    (tmp_path / "deploy.prototxt.txt").write_text(NET)
    texts, data = Path(net).read_bytes(), Path(model).read_bytes()
    nets = [
        opencv.readNetFromCaffe(Path(net), Path(model)),
        opencv.readNetFromCaffe(prototxt=net, caffeModel=model),
        opencv.readNetFromCaffe(texts, data),
        opencv.readNetFromCaffe(bytearray(texts), bytearray(data)),
        opencv.readNetFromCaffe(bufferProto=memoryview(texts), bufferModel=np.frombuffer(data, np.uint8)),
        opencv.readNetFromCaffe(net.encode(), model.encode()),
        opencv.readNet(net, model),
        opencv.readNet(model, net),
        opencv.readNet(model=model, config=f"{net}.txt"),
        opencv.readNet(model, net, "Caffe"),
        opencv.readNet("caffe", data, texts),
        opencv.readNet(framework="caffe", bufferModel=data, bufferConfig=texts),
    ]
    for made in nets:
        made.setInput(X)
        np.testing.assert_allclose(made.forward(), FC[None], rtol=1e-6)
    assert len(opencv.readNet(net).getLayerNames()) == 6


def test_counts_worked_out_by_hand(net: opencv.Net) -> None:
    """The convolution makes 8 numbers of 2 products and a bias, the matrix product 3 of 4."""
    shape = (1, 2, 2, 2)
    conv, fc = net.getFLOPS(net.getLayerId("made"), shape), net.getFLOPS(6, [shape])
    assert (conv, fc) == (8 * 2 * 2 + 8, 3 * 4 * 2 + 3)
    assert net.getFLOPS(shape) >= conv + fc and net.getFLOPS(0, shape) == 0
    # Numbers: 4 + 2 + 12 + 3 learnt; 8 each of the input, made and relu, 4 each of cut's two and of both powers, 3.
    assert net.getMemoryConsumption(shape) == (21 * 4, (3 * 8 + 4 * 4 + 3) * 4)
    assert net.getMemoryConsumption(1, shape) == (6 * 4, 8 * 4) and net.getMemoryConsumption(0, shape) == (0, 32)
    ids, taken, given = net.getLayersShapes(shape)
    assert ids.tolist() == list(range(7))
    assert [[tuple(s) for s in shapes] for shapes in given][3:] == [
        [(1, 1, 2, 2)] * 2,
        [(1, 1, 2, 2)],
        [(1, 1, 2, 2)],
        [(1, 3)],
    ]
    assert tuple(taken[1][0]) == shape and tuple(taken[6][0]) == (1, 1, 2, 2)


def test_what_a_run_took(net: opencv.Net) -> None:
    net.forward()
    ticks, timings = net.getPerfProfile()
    assert ticks > 0 and timings.shape == (6,) and timings.dtype == np.float64
    assert timings[5] > 0 and (timings >= 0).all()
    np.testing.assert_allclose(timings.sum(), ticks)


def test_layers_are_timed_once(net: opencv.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts ask for the profile at each frame."""
    net.forward()
    net.getPerfProfile()
    assert net.live is not None
    monkeypatch.setattr(net.live, "time_layers", None)  # which nothing calls
    net.setInput(X + 1)
    net.forward()
    ticks, timings = net.getPerfProfile()
    np.testing.assert_allclose(timings.sum(), ticks)
    assert opencv.Net().getPerfProfile()[0] == 0


def test_a_dump_is_a_graph(net: opencv.Net, tmp_path: Path) -> None:
    assert net.dump().startswith('digraph "small" {') and "conv" in net.dump()
    net.dumpToFile(tmp_path / "net.dot")
    assert (tmp_path / "net.dot").read_text() == net.dump()


def test_calls_that_change_nothing(net: opencv.Net) -> None:
    before = net.forward()
    net.enableFusion(False)
    net.enableWinograd(False)
    net.setInputsNames(["data"])
    net.setHalideScheduler("")
    net.setInputShape("data", (1, 2, 2, 2))
    net.setPreferableBackend(3)
    net.setPreferableTarget(0)
    np.testing.assert_array_equal(net.forward(), before)
    assert net.getLayer(1).outputNameToIndex("made") == 0 and net.getLayer(1).preferableTarget == 0


def test_a_machine_without_a_gpu_warns_once(net: opencv.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "reason_without_gpu", lambda: "there is none")
    constants.warn_once.cache_clear()
    with pytest.warns(UserWarning, match="nets run on the CPU: there is none"):
        net.setPreferableBackend(5)
    net.setPreferableTarget(6)  # a second warning would be an error
    with pytest.warns(UserWarning, match="cortado has no target MYRIAD: nets run on the CPU"):
        net.setPreferableTarget(3)
    assert net.forward().shape == (1, 3)


def test_cuda_is_the_gpu(net: opencv.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "reason_without_gpu", lambda: "")
    assert net.live is not None
    for backend, target, wanted in ((5, 6, "cuda"), (5, 7, "cuda-f16"), (3, 0, "cpu"), (0, 0, "cpu"), (5, 0, "cuda")):
        net.setPreferableBackend(backend)
        net.setPreferableTarget(target)
        assert net.live.target == wanted


DETECTOR = """
input: "loc" input_shape { dim: 1 dim: 8 }
input: "conf" input_shape { dim: 1 dim: 4 }
input: "prior" input_shape { dim: 1 dim: 2 dim: 8 }
layer { name: "out" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "out"
  detection_output_param { num_classes: 2 share_location: true background_label_id: 0 keep_top_k: 5
    confidence_threshold: 0.3 code_type: CENTER_SIZE nms_param { nms_threshold: 0.45 top_k: 100 } } }
"""


@pytest.mark.parametrize(("scores", "found"), [([0.1, 0.9, 0.5, 0.5], 2), ([0.9, 0.1, 0.8, 0.2], 0)])
def test_detections_are_filled_up_with_zeros(scores: list[float], found: int, tmp_path: Path) -> None:
    net = opencv.readNetFromCaffe(DETECTOR.encode())
    boxes = [0.1, 0.1, 0.3, 0.3, 0.6, 0.6, 0.9, 0.9]
    net.setInput(np.zeros((1, 8)), "loc")
    net.setInput(np.array([scores]), "conf")
    net.setInput(np.array([[boxes, [0.1, 0.1, 0.2, 0.2] * 2]]), "prior")
    rows = net.forward()
    assert rows.shape == (1, 1, 5, 7) and not rows[0, 0, found:].any()
    np.testing.assert_allclose(rows[0, 0, :found, 2], [0.9, 0.5][:found])
    np.testing.assert_allclose(rows[0, 0, :found, 3:], np.reshape(boxes, (2, 4))[:found], rtol=1e-6)
    assert tuple(net.getLayersShapes([(1, 8), (1, 4), (1, 2, 8)])[2][1][0]) == (1, 1, 5, 7)


CUSTOM = """
input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "crop" type: "Crop" bottom: "data" bottom: "p" top: "c" crop_param { axis: 2 offset: 1 offset: 2 } }
layer { name: "mine" type: "Mine" bottom: "c" top: "m" mine_param { gain: 2.5 word: "a" on: true size: 3 size: 4 } }
"""


class CentreCrop:
    """A layer in the form of OpenCV's sample for HED."""

    made: list[dict[str, Any]] = []  # noqa: RUF012  (the settings of each instance)

    def __init__(self, params: dict[str, Any], blobs: tuple[Array, ...]) -> None:
        CentreCrop.made.append(params)
        self.top = self.left = 0

    def getMemoryShapes(self, inputs: list[tuple[int, ...]]) -> list[list[int]]:  # noqa: N802
        (n, c, high, wide), like = inputs
        self.top, self.left = (high - like[2]) // 2, (wide - like[3]) // 2
        return [[n, c, like[2], like[3]]]

    def forward(self, inputs: list[Array]) -> list[Array]:
        (_, _, high, wide) = inputs[1].shape
        return [inputs[0][:, :, self.top : self.top + high, self.left : self.left + wide]]


class Mine:
    """A layer that cortado lacks, with settings and a learnt blob."""

    def __init__(self, params: dict[str, Any], blobs: tuple[Array, ...]) -> None:
        self.params, self.blobs = params, blobs

    def getMemoryShapes(self, inputs: list[tuple[int, ...]]) -> list[tuple[int, ...]]:  # noqa: N802
        return inputs

    def forward(self, inputs: list[Array]) -> list[Array]:
        assert self.params == {"gain": 2.5, "on": 1, "size": (3, 4), "word": "a"}
        return [inputs[0] * self.params["gain"] + self.blobs[0].reshape(1, 1, 2, 2)]


def test_layers_in_python_may_be_registered_until_the_net_runs(tmp_path: Path, no_classes: None) -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    net = opencv.readNetFromCaffe(*write(tmp_path, CUSTOM, {"mine": [np.arange(4)]}))
    net.setInput(x)
    with pytest.raises(opencv.error, match="cortado has no layer type Mine"):
        net.forward()
    opencv.dnn_registerLayer("Mine", Mine)
    np.testing.assert_array_equal(net.forward("crop")[0, 0], x[0, 0, 1:3, 2:4])
    np.testing.assert_array_equal(net.forward()[0, 0], x[0, 0, 1:3, 2:4] * 2.5 + [[0, 1], [2, 3]])
    with pytest.warns(UserWarning, match="Crop is a layer that cortado computes itself; as in OpenCV, CentreCrop"):
        opencv.dnn_registerLayer("Crop", CentreCrop)
    np.testing.assert_array_equal(net.forward("crop")[0, 0], x[0, 0, 1:3, 1:3])
    assert CentreCrop.made[-1] == {"axis": 2, "offset": (1, 2)}
    larger = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    net.setInput(larger)
    np.testing.assert_array_equal(net.forward("crop")[0, 0], larger[0, 0, 2:6, 2:6])
    opencv.dnn_unregisterLayer("Crop")
    np.testing.assert_array_equal(net.forward("crop")[0, 0], larger[0, 0, 1:5, 2:6])
    opencv.dnn_unregisterLayer("Nothing")


def test_install_gives_opencv_5_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")
    original = cv2.dnn.readNet
    for name in ("readNetFromCaffe", "blobFromImage"):
        monkeypatch.delattr(cv2.dnn, name, raising=False)
    opencv.install()
    opencv.install()
    try:
        files = write(tmp_path)
        for net in (cv2.dnn.readNetFromCaffe(*files), cv2.dnn.readNet(*files), cv2.dnn.readNet(*reversed(files))):
            assert isinstance(net, opencv.Net)
            net.setInput(X)
            np.testing.assert_allclose(net.forward(), FC[None], rtol=1e-6)
        assert cv2.dnn.blobFromImage(np.zeros((4, 4, 3), np.uint8)).shape == (1, 3, 4, 4)
        with pytest.raises(cv2.error):
            cv2.dnn.readNet("missing.onnx")  # OpenCV's own
    finally:
        opencv.uninstall()
    assert cv2.dnn.readNet is original and not hasattr(cv2.dnn, "readNetFromCaffe")


def test_install_leaves_an_importer_alone_unless_forced(tmp_path: Path, no_classes: None) -> None:
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV has none")
    theirs = cv2.dnn.readNetFromCaffe
    opencv.install()
    assert cv2.dnn.readNetFromCaffe is theirs
    opencv.install(force=True)
    try:
        assert cv2.dnn.readNetFromCaffe is opencv.readNetFromCaffe
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cv2.dnn_registerLayer("Mine", Mine)
        assert custom.CLASSES["Mine"] == [Mine]
        cv2.dnn_unregisterLayer("Mine")
        assert "Mine" not in custom.CLASSES
    finally:
        opencv.uninstall()
    assert cv2.dnn.readNetFromCaffe is theirs


WITHOUT = """
import sys
sys.modules["cv2"] = None  # as if it were not installed
import numpy as np
from cortado.compat import opencv
net = opencv.readNetFromCaffe("deploy.prototxt", "net.caffemodel")
net.setInput(opencv.blobFromImage(np.zeros((2, 2, 2), np.uint8)))
print(net.forward().tolist())
try:
    net.forward("x")
except opencv.error as e:
    print(type(e).__mro__[1].__name__, e)
try:
    opencv.install()
except opencv.error as e:
    print(e)
"""


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT / ".src"), "CORTADO_CC": "none", "PATH": ""}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_it_needs_no_opencv(tmp_path: Path) -> None:
    write(tmp_path)
    done = run(tmp_path, "-c", WITHOUT)
    low = np.array([1.5, 1.5, 1.5, 1.5])  # the bias, and 1
    assert done.stdout.splitlines() == [
        str([(WEIGHTS["fc"][0] @ low + WEIGHTS["fc"][1]).tolist()]),
        'Exception the net has no layer "x"',
        "OpenCV (cv2) is not installed: call cortado.compat.opencv.readNetFromCaffe itself",
    ], done.stderr


SCRIPT = """
import sys
import cv2
import numpy as np
from cv2 import dnn
net = dnn.readNetFromCaffe(sys.argv[1], sys.argv[2])
net.setInput(np.ones((1, 2, 2, 2), np.float32))
print(type(net).__module__, net.forward().shape, __name__, sys.argv)
"""


def test_a_script_runs_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    write(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run(tmp_path, "-m", "cortado.compat.opencv", "script.py", "deploy.prototxt", "net.caffemodel")
    words = "cortado.compat.opencv.net (1, 3) __main__ ['script.py', 'deploy.prototxt', 'net.caffemodel']"
    assert done.stdout.strip() == words, done.stderr
    assert run(tmp_path, "-m", "cortado.compat.opencv", "missing.py").returncode == 2
    (tmp_path / "cv2.py").write_text("raise ImportError")  # as if it were not installed
    without = run(tmp_path, "-m", "cortado.compat.opencv", "script.py")
    assert without.returncode == 2 and "Error: OpenCV (cv2) is not installed" in without.stderr
