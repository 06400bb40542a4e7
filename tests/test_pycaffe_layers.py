"""Layers in Python: those of imported modules run, others only where they are trusted; what they cannot do here."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cortado.compat import pycaffe as caffe
from cortado.compat.pycaffe import mode
from cortado.compiler.ops.user import REGISTERED_LAYERS

MODULE = "layers_of_a_test"
SOURCE = """
import caffe_of_a_test as caffe


class Scale(caffe.Layer):
    def __init__(self):
        self.calls = []

    def setup(self, bottom, top):
        self.factor = float(self.param_str)
        self.calls.append("setup")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
        if len(top) > 1:
            top[1].reshape(1)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.factor
        if len(top) > 1:
            top[1].data[...] = self.phase + bottom[0].data.sum() + 10 * self.calls.count("setup")


class Grows(Scale):
    def forward(self, bottom, top):
        top[0].reshape(1, 9)


class Learns(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1, 4)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = float(self.param_str)
        self.runs = 0

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.runs += 1
        top[0].data[...] = bottom[0].data * self.blobs[0].data + self.blobs[1].data + 100 * self.runs


class Brings(caffe.Layer):
    def setup(self, bottom, top):
        assert len(bottom) == 0
        self.next = 0

    def reshape(self, bottom, top):
        top[0].reshape(1 + self.next, 4)
        if len(top) > 1:
            top[1].reshape(1)

    def forward(self, bottom, top):
        top[0].data[...] = self.next
        if len(top) > 1:
            top[1].reshape(1, 2)
            top[1].data[...] = (self.next, self.phase)
        self.next += 1


class Plain:
    pass
"""
NET = """input: "data" input_shape { dim: 1 dim: 4 }
layer { name: "abs" type: "AbsVal" bottom: "data" top: "abs" }
layer { name: "own" type: "Python" bottom: "abs" top: "abs" top: "sum"
        python_param { module: "layers_of_a_test" layer: "Scale" param_str: "3" } }
layer { name: "end" type: "Power" bottom: "abs" top: "end" power_param { shift: 1 } }"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mode.MODE, "trusts_layers", False)
    monkeypatch.setitem(sys.modules, "caffe_of_a_test", caffe)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    return tmp_path


def make(folder: Path, text: str = NET) -> Any:
    (folder / "net.prototxt").write_text(text)
    return caffe.Net(str(folder / "net.prototxt"), caffe.TEST)


def import_module(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ModuleType(MODULE)
    exec(SOURCE, vars(made))
    monkeypatch.setitem(sys.modules, MODULE, made)


def test_the_layer_of_an_imported_module_runs(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place, so that the sum is of what it has written; set up once, for two sizes."""
    import_module(monkeypatch)
    known = set(REGISTERED_LAYERS)
    net = make(module)
    assert [layer.type for layer in net.layers] == ["Input", "AbsVal", "Python", "Power"]
    assert net.blobs["sum"].shape == (1,) and net.outputs == ["end", "sum"]
    out = net.forward(data=np.array([[1, -2, 3, -4]]))
    assert out["end"].tolist() == [[4, 7, 10, 13]] and out["sum"].tolist() == [1 + 30 + 10]
    assert net.blobs["abs"].data.tolist() == [[3, 6, 9, 12]]
    net.blobs["data"].reshape(2, 1)
    assert net.forward(data=np.array([[1], [5]]))["sum"].tolist() == [1 + 18 + 10]
    del net, out
    gc.collect()  # a refused compilation, with bounds for the sizes, leaves a cycle of an error and its frames
    assert set(REGISTERED_LAYERS) <= known  # those of earlier tests may have gone, too


def test_a_module_is_imported_only_if_it_is_trusted(module: Path) -> None:
    with pytest.raises(caffe.CaffeError, match=r"net.prototxt:3:.*(?s:.)*If you trust layers_of_a_test.py, import it"):
        make(module)
    assert MODULE not in sys.modules
    caffe.trust_python_layers()
    assert make(module).forward(data=np.ones((1, 4)))["end"].tolist() == [[4, 4, 4, 4]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("Scale", "Nothing"), "has no class Nothing that is a caffe.Layer"),
        (("Scale", "Plain"), "has no class Plain that is a caffe.Layer"),
        (("layers_of_a_test", "not_there_of_a_test"), "cannot be imported"),
        (('top: "sum"', 'top: "sum" param { name: "w" }'), "share no blobs by the names"),
    ],
)
def test_what_a_layer_in_python_cannot_be(module: Path, change: tuple[str, str], words: str) -> None:
    caffe.trust_python_layers()
    with pytest.raises(caffe.CaffeError, match=words):
        make(module, NET.replace(*change))


def test_a_shape_that_depends_on_data_is_refused(module: Path) -> None:
    caffe.trust_python_layers()
    net = make(module, NET.replace("Scale", "Grows").replace('bottom: "abs" top: "abs"', 'bottom: "abs" top: "other"'))
    with pytest.raises(caffe.CaffeError, match=r"makes \[1, 9\], \[1\] and \[1, 4\], \[1\] by reshape"):
        net.forward(data=np.ones((1, 4)))


def test_layers_that_cortado_knows_need_no_module(module: Path) -> None:
    text = (
        NET.replace("layers_of_a_test", "spatial_dropout")
        .replace("Scale", "SpatialDropoutLayer")
        .replace(' top: "sum"', "")
    )
    net = make(module, text.replace('"3"', "\"{'p': 0.5, 'phase': 'TEST'}\""))
    assert net.forward(data=np.ones((1, 4)))["end"].tolist() == [[3, 3, 3, 3]]


LEARNS = NET.replace("Scale", "Learns").replace(
    'bottom: "abs" top: "abs" top: "sum"', 'bottom: "abs" top: "own" param { lr_mult: 1 } param { decay_mult: 0 }'
)  # fmt: skip
ONES = np.ones((1, 4), np.float32)


def test_learnt_blobs_of_a_layer_are_parameters_and_are_saved(module: Path) -> None:
    """By hand: 1 times the first blob, plus the second, plus a hundred at each run, of which there is one a forward."""
    caffe.trust_python_layers()
    net = make(module, LEARNS)
    assert list(net.params) == ["own"] and [blob.shape for blob in net.params["own"]] == [(1, 4), (1,)]
    assert net.forward(data=ONES)["own"].tolist() == [[103] * 4]
    net.params["own"][0].data[0, 1] = 5
    net.params["own"][1].data[...] = 0.5
    assert net.blobs["abs"].data.tolist() == [[1] * 4] and net.blobs["own"].data.tolist() == [[103] * 4]
    assert net.forward(data=-ONES)["own"].tolist() == [[203.5, 205.5, 203.5, 203.5]]
    net.save(str(module / "saved.caffemodel"))
    stored = caffe.proto.caffe_pb2.NetParameter.FromString((module / "saved.caffemodel").read_bytes())
    own = {layer.name: layer for layer in stored.layer}["own"]
    assert own.type == "Python" and own.python_param.param_str == "3" and own.python_param.layer == "Learns"
    assert [list(blob.data) for blob in own.blobs] == [[3, 5, 3, 3], [0.5]] and len(own.param) == 2
    again = caffe.Net(str(module / "net.prototxt"), caffe.TEST, weights=str(module / "saved.caffemodel"))
    assert again.forward(data=ONES)["own"].tolist() == [[103.5, 105.5, 103.5, 103.5]]
    third = make(module, LEARNS)
    third.share_with(net)
    net.params["own"][1].data[...] = 1
    assert third.forward(data=ONES)["own"].tolist() == [[104, 106, 104, 104]]
    third.copy_from(str(module / "saved.caffemodel"))
    assert net.params["own"][1].data.tolist() == [0.5]
    own.blobs.add(data=[1])
    (module / "more.caffemodel").write_bytes(stored.SerializeToString())
    with pytest.raises(caffe.CaffeError, match=r'layer "own" has 3 blobs in .*, and 2 in the net'):
        caffe.Net(str(module / "net.prototxt"), caffe.TEST, weights=str(module / "more.caffemodel"))
    other = make(module, LEARNS.replace("Learns", "Scale"))
    with pytest.raises(caffe.CaffeError, match="blobs of other shapes in the other net"):
        other.share_with(net)


def test_a_layer_without_bottoms_brings_data(module: Path) -> None:
    """Once a forward, in the sizes that it then has; it is no input of the net."""
    caffe.trust_python_layers()
    source = """layer { name: "in" type: "Python" top: "data" top: "label"
      python_param { module: "layers_of_a_test" layer: "Brings" } }"""
    net = make(module, NET.replace('input: "data" input_shape { dim: 1 dim: 4 }', source))
    assert net.inputs == [] and net.layers[0].type == "Python" and net.blobs["data"].shape == (1, 4)
    for count in range(3):
        out = net.forward()
        assert out["end"].tolist() == [[3 * count + 1] * 4] * (count + 1)
        assert out["label"].tolist() == [[count, 1]]
        assert net.blobs["abs"].data.shape == (count + 1, 4)
    net.reshape()
    assert net.blobs["end"].shape == (4, 4)
    net.save(str(module / "saved.caffemodel"))
    stored = caffe.proto.caffe_pb2.NetParameter.FromString((module / "saved.caffemodel").read_bytes())
    assert stored.layer[0].type == "Python" and stored.layer[0].python_param.layer == "Brings"
    assert not stored.layer[0].HasField("input_param")
