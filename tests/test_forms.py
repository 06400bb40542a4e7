"""Every form in which Caffe's nets and weights come: three generations of text, HDF5, a caffemodel alone, states."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.compiler.text import show
from cortado.frontends.caffe import net as caffe_net
from cortado.frontends.caffe.layer import LAYERS
from cortado.frontends.caffe.rules import State
from cortado.frontends.caffe.upgrade import upgrade_net
from cortado.frontends.caffe.upgrade_v0 import FIELDS
from cortado.frontends.caffe.upgrade_v0 import TYPES as TYPES_V0
from cortado.frontends.caffe.weights import NoWeights
from cortado.frontends.files.generations import V1_TYPES
from cortado.frontends.files.message import Message
from cortado.frontends.files.prototxt import parse
from cortado.frontends.files.schema import field_types, message_class
from cortado.runtime import Net

from .shared import SHARED

TODAY = """name: "three"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
"""
V1 = """name: "three" input: "data" input_shape { dim: 2 dim: 3 dim: 8 dim: 8 }
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
         weight_decay: 0 convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
"""
V0 = """name: "three" input: "data" input_dim: 2 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 stride: 1 } bottom: "padded" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: MAX kernelsize: 2 stride: 2 } bottom: "conv" top: "pool" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 biasterm: true } bottom: "pool" top: "fc" }
"""


def read(text: str, **options: Any) -> str:
    """The net of a text, as the language prints it."""
    return show(caffe_net.build_graph(parse(text, "net.prototxt"), NoWeights(), **options))


def expect_refusal(text: str, **options: Any) -> str:
    with pytest.raises(CompileError) as caught:
        read(text, **options)
    return str(caught.value)


def compile_net(tmp_path: Path, text: str, weights: Any, **options: Any) -> Net:
    path = tmp_path / "net.prototxt"
    path.write_text(text, "utf-8")
    return driver.compile(path, weights, **options)


# Three generations of prototxt


@pytest.mark.parametrize("old", [V1, V0], ids=["V1", "V0"])
def test_generations_are_one_net(old: str) -> None:
    assert read(old) == read(TODAY)


def test_every_old_type_has_a_name_of_today() -> None:
    numbers = field_types("V1LayerParameter")["type"].numbers
    assert {name for name, number in numbers.items() if 0 < number < 40} == set(V1_TYPES)
    assert set(TYPES_V0.values()) <= set(V1_TYPES)
    data = {"Data", "HDF5Data", "ImageData", "MemoryData", "WindowData", "HDF5Output"}
    assert set(V1_TYPES.values()) - data <= LAYERS.keys()


def test_every_field_of_2013_has_a_place_today() -> None:
    for old, (today, homes) in FIELDS.items():
        assert old in field_types("V0LayerParameter")
        for param in homes.values():
            assert today in field_types(field_types("V1LayerParameter")[param].message), (old, param)


def layer_of(text: str) -> Message:
    layer: Message = upgrade_net(parse(text), [])["layer"][0]
    return layer


def test_rates_and_names_become_params() -> None:
    text = 'layers { name: "c" type: CONVOLUTION param: "w" blob_share_mode: PERMISSIVE '
    text += "blobs_lr: 1 blobs_lr: 2 weight_decay: 3 }"
    one, two = layer_of(text)["param"]
    assert (one["name"], one["share_mode"], one["lr_mult"], one["decay_mult"]) == ("w", "PERMISSIVE", 1, 3)
    assert (two["name"], two["share_mode"], two["lr_mult"], two["decay_mult"]) == ("", "STRICT", 2, 1)
    assert [p.loc.column for p in (one, two)] == [text.index("param:") + 1, text.index("blobs_lr: 2") + 1]


def test_names_of_v1_share_weights() -> None:
    body = "inner_product_param { num_output: 8 bias_term: false }"
    text = f"""input: "x" input_shape {{ dim: 2 dim: 8 }}
layers {{ name: "a" type: INNER_PRODUCT bottom: "x" top: "a" param: "w" {body} }}
layers {{ name: "b" type: INNER_PRODUCT bottom: "a" top: "b" param: "w" {body} }}"""
    assert read(text).count("weight a.weight") == 1
    assert "b.weight" not in read(text)


@pytest.mark.parametrize(("type", "param"), [("DATA", "data_param"), ("IMAGE_DATA", "image_data_param")])
def test_transformations_of_data_layers_move(type: str, param: str) -> None:
    text = f'layers {{ name: "d" type: {type} top: "x" {param} {{ batch_size: 3 crop_size: 24 mirror: true }} }}'
    layer = layer_of(text)
    assert (layer["transform_param"]["crop_size"], layer["transform_param"]["mirror"]) == (24, True)
    assert layer[param].written == ("batch_size",)
    assert layer["transform_param"].loc_of("crop_size").column == text.index("crop_size") + 1


def test_complaints_point_at_the_text_that_was_given() -> None:
    text = V1.replace("kernel_size: 3 pad: 1", "kernel_size: 3 dilation: 9")
    error = expect_refusal(text)
    assert error.startswith('net.prototxt:2:10: layer "conv" (Convolution)')
    assert 'layers { name: "conv" type: CONVOLUTION' in error
    axis = V1.replace("num_output: 5", "num_output: 5 axis: 7")
    assert expect_refusal(axis).startswith(f"net.prototxt:6:{axis.splitlines()[5].index('axis') + 1}: ")
    flat = V0.replace("group", "x").replace("num_output: 4", "num_output: 4 group: 2")
    assert expect_refusal(flat).startswith(f"net.prototxt:3:{flat.splitlines()[2].index('group') + 1}: ")


def test_a_mixed_file_is_refused_with_both_lines() -> None:
    error = expect_refusal(TODAY + V1.split("\n", 1)[1])
    assert "mixes `layer` and `layers` (`layer` on line 2, `layers` on line 8)" in error
    assert error.startswith("net.prototxt:8:1: ")
    assert "dropped every `layer`" in error


REFUSED_V0 = [
    ('"relu" }', '"relu" num_output: 3 }', 'layer "relu": relu has no num_output'),
    ('"innerproduct"', '"inner_product"', "Caffe had no layer type inner_product in 2013; did you mean innerproduct?"),
    ('bottom: "data" top: "padded"', 'bottom: "dta" top: "padded"', 'reads the blob "dta"'),
    ('type: "conv" num_output: 4 kernelsize: 3 stride: 1', 'type: "relu"', 'is padded, and layer "conv" (relu)'),
    ('layers { layer { name: "relu" type: "relu" }', 'layers { name: "relu" type: RELU', "of another format"),
    ('top: "fc"', 'top: "fc" include { phase: TEST }', "Caffe drops include"),
]  # fmt: skip


@pytest.mark.parametrize(("was", "now", "sentence"), REFUSED_V0, ids=[r[2][:30] for r in REFUSED_V0])
def test_what_caffe_would_drop_or_die_of_in_v0(was: str, now: str, sentence: str) -> None:
    assert was in V0
    assert sentence in expect_refusal(V0.replace(was, now))


def test_lenient_drops_what_caffe_drops() -> None:
    said: list[str] = []
    text = V0.replace('"relu" }', '"relu" num_output: 3 }')
    assert read(text, lenient=True, warn=said.append) == read(TODAY)
    assert said == ['net.prototxt:4:44: layer "relu": relu has no num_output: ignored']


# Phases, levels, stages


def test_states_choose_layers() -> None:
    text = (
        TODAY
        + """
layer { name: "a" type: "Sigmoid" bottom: "fc" top: "y" include { stage: "deploy" not_stage: "raw" } }
layer { name: "b" type: "TanH" bottom: "fc" top: "y" exclude { stage: "deploy" } exclude { min_level: 2 } }
layer { name: "c" type: "Softmax" bottom: "fc" top: "z" include { phase: TRAIN } }"""
    )
    assert "tanh(fc)" in read(text) and "softmax" not in read(text)
    deploy = read(text, state=State(stages=frozenset({"deploy"})))
    assert "sigmoid(fc)" in deploy and "tanh" not in deploy
    assert "tanh" not in read(text, state=State(level=2))
    assert "softmax(fc)" in read(text, state=State("TRAIN"))
    assert "sigmoid" not in read(text, state=State(stages=frozenset({"deploy", "raw"})))


def test_stages_of_the_file_count_and_its_phase_does_not(tmp_path: Path) -> None:
    text = 'state { phase: TRAIN level: 5 stage: "deploy" }' + TODAY
    text += 'layer { name: "a" type: "Sigmoid" bottom: "fc" top: "y" '
    text += 'include { stage: "deploy" phase: TEST max_level: 0 } }'
    assert "sigmoid(fc)" in read(text)
    (tmp_path / "net.prototxt").write_text(text)
    assert driver.read_net(tmp_path / "net.prototxt").layers == TODAY.count("layer {") + 1


def test_outputs_ask_only_for_what_they_need() -> None:
    text = 'layer { name: "labels" type: "Input" top: "label" }\n' + TODAY
    text += 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
    assert 'the input "label" has no shape' in expect_refusal(text)
    assert "loss" not in read(text, outputs=["fc"])


def test_what_is_asked_for_includes_layers_in_place_under_another_name() -> None:
    text = """input: "x" input_shape { dim: 2 dim: 3 }
layer { name: "r" type: "Reshape" bottom: "x" top: "flat" reshape_param { shape { dim: -1 } } }
layer { name: "relu" type: "ReLU" bottom: "flat" top: "flat" }
layer { name: "p" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }"""
    assert "relu" in read(text, outputs=["y"])


# Weights in every form


def fill(seed: int = 0) -> dict[tuple[str, int], np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {("conv", 0): (4, 3, 3, 3), ("conv", 1): (4,), ("fc", 0): (5, 64), ("fc", 1): (5,)}
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}


PICTURE = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)


def expected(tmp_path: Path, stored: str = "f4") -> np.ndarray:
    blobs = {key: values.astype(stored) for key, values in fill().items()}
    net = compile_net(tmp_path, TODAY, lambda layer, type, i, shape: blobs[layer, i])
    made: np.ndarray = net(data=PICTURE)["fc"]
    return made


def write_packed(blob: Any, values: np.ndarray) -> None:
    blob.shape.dim.extend(values.shape)
    blob.data.extend(values.ravel())


def write_legacy(blob: Any, values: np.ndarray) -> None:
    sizes = (1,) * (4 - values.ndim) + values.shape
    blob.num, blob.channels, blob.height, blob.width = sizes
    blob.data.extend(values.ravel())


def write_double(blob: Any, values: np.ndarray) -> None:
    blob.shape.dim.extend(values.shape)
    blob.double_data.extend(values.ravel())


def write_half(blob: Any, values: np.ndarray) -> None:
    blob.shape.dim.extend(values.shape)
    blob.raw_data_type, blob.raw_data = 2, values.astype("<f2").tobytes()


GENERATIONS = {"layer": "layer", "layers": "layers", "V0": "layers"}


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("write", [write_packed, write_legacy, write_double, write_half])
def test_caffemodels_of_all_forms(tmp_path: Path, write: Any, generation: str) -> None:
    net: Any = message_class("NetParameter")()
    for name in ("conv", "fc"):
        layer = getattr(net, GENERATIONS[generation]).add()
        if generation == "V0":
            layer = layer.layer
        layer.name = name
        for i in (0, 1):
            write(layer.blobs.add(), fill()[name, i])
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    got = compile_net(tmp_path, TODAY, tmp_path / "net.caffemodel")(data=PICTURE)["fc"]
    np.testing.assert_array_equal(got, expected(tmp_path, "f2" if write is write_half else "f4"))


def test_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "net.caffemodel.h5", "w") as file:
        for (layer, i), values in fill().items():
            file[f"data/{layer}/{i}"] = values.astype("f8" if i else "f4")
        file.create_group("data/relu")
    got = compile_net(tmp_path, TODAY, tmp_path / "net.caffemodel.h5")(data=PICTURE)["fc"]
    np.testing.assert_array_equal(got, expected(tmp_path))


SIAMESE = """input: "x" input_shape { dim: 2 dim: 8 }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" } inner_product_param { num_output: 8 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } inner_product_param { num_output: 8 } }
"""


def test_hdf5_lacks_a_shared_blob_only(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    weight, biases = np.eye(8, dtype="f4"), np.arange(8, dtype="f4")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/a/0"], file["data/a/1"], file["data/b/1"] = weight, biases, biases
    x = np.ones((2, 8), np.float32)
    np.testing.assert_array_equal(compile_net(tmp_path, SIAMESE, tmp_path / "w.h5")(x=x)["b"], x + 2 * biases)
    apart = SIAMESE.replace('param { name: "w" }', "")
    with pytest.raises(CompileError, match=r'layer "b".*has no data for its blob 0'):
        compile_net(tmp_path, apart, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file["data/b/0"] = 2 * weight
    with pytest.raises(CompileError, match='blob 0 is shared with layer "a", and the caffemodel has other values'):
        compile_net(tmp_path, SIAMESE, tmp_path / "w.h5")


def test_hdf5_files_of_other_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["iter"], file["learned_net"] = 5, "net.caffemodel.h5"
        file.create_group("history")
    with pytest.raises(CompileError, match=r"a \.solverstate\.h5, not weights"):
        compile_net(tmp_path, TODAY, path)
    with h5py.File(path, "w") as file:
        file["label"] = np.zeros(3)
    with pytest.raises(CompileError, match="no weights of a Caffe net"):
        compile_net(tmp_path, TODAY, path)
    with h5py.File(path, "w") as file:
        file["data/conv/0"] = np.zeros((4, 3, 3, 3), "i4")
    with pytest.raises(CompileError, match=r'layer "conv": blob 0 has dtype int32'):
        compile_net(tmp_path, TODAY, path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(CompileError, match="cut off or damaged"):
        compile_net(tmp_path, TODAY, path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CompileError) as caught:
        compile_net(tmp_path, TODAY, path)
    assert caught.value.advice == 'pip install "cortado-caffe[hdf5]"'


@pytest.mark.skipif(not SHARED.exists(), reason="needs published models")
def test_cifar10_quick_with_hdf5_weights() -> None:
    pytest.importorskip("h5py")
    folder, golden = SHARED / "models/cifar10-quick", np.load(SHARED / "goldens/models/cifar10-quick_h5.npz")
    blobs = [key[5:] for key in golden.files if key.startswith("blob:")]
    files = folder / "cifar10_quick.prototxt", folder / "cifar10_quick_iter_5000.caffemodel.h5"
    net = driver.compile_net(*files, driver.Options(shapes={"data": golden["in:data"].shape}, outputs=blobs)).load()
    got = net(data=golden["in:data"])
    for name in blobs:
        right = golden[f"blob:{name}"]
        np.testing.assert_allclose(got[name], right, rtol=0, atol=1e-5 * np.abs(right).max(), err_msg=name)
    scores = np.exp(got["ip2"] - got["ip2"].max(1, keepdims=True))
    np.testing.assert_allclose(scores / scores.sum(1, keepdims=True), golden["out:prob"], rtol=0, atol=1e-5)


# A caffemodel alone


def snapshot(tmp_path: Path, text: str, **blobs: Any) -> Path:
    """What Caffe writes of a net: its settings, and numbers beside them."""
    net: Any = text_format.Parse(text, message_class("NetParameter")())
    for layer in net.layer:
        layer.phase = 0
        for (name, _), values in fill().items():
            if name == layer.name:
                write_packed(layer.blobs.add(), values)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    return path


def test_a_caffemodel_alone_is_a_net(tmp_path: Path) -> None:
    got = driver.compile(snapshot(tmp_path, TODAY))(data=PICTURE)["fc"]
    np.testing.assert_array_equal(got, expected(tmp_path))


def test_a_snapshot_of_training_needs_its_inputs_shape(tmp_path: Path) -> None:
    text = TODAY.splitlines()
    text[1] = """layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
                 data_param { source: "db" batch_size: 64 } }"""
    text.append('layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }')
    path = snapshot(tmp_path, "\n".join(text))
    with pytest.raises(CompileError, match=r'the input "data".* has no shape'):
        driver.compile(path)
    got = driver.compile(path, shapes={"data": (2, 3, 8, 8)}, outputs=["fc"])(data=PICTURE)["fc"]
    np.testing.assert_array_equal(got, expected(tmp_path))


def test_numbers_above_146_go_by_type(tmp_path: Path) -> None:
    text = TODAY + 'layer { name: "p" type: "Permute" bottom: "pool" top: "p" permute_param { order: [0, 2, 3, 1] } }'
    path = snapshot(tmp_path, text)
    right = driver.compile(path, outputs=["pool", "p"])(data=PICTURE)
    np.testing.assert_array_equal(right["p"], right["pool"].transpose(0, 2, 3, 1))
    ssd = message_class("LayerParameter").DESCRIPTOR.fields_by_name["permute_param"].number
    old, happynear, clash = (tag(n) for n in (ssd, 224, 230))
    assert path.read_bytes().count(old) == 1
    whole = path.read_bytes()
    path.write_bytes(whole.replace(old, happynear))
    np.testing.assert_array_equal(driver.compile(path, outputs=["p"])(data=PICTURE)["p"], right["p"])
    path.write_bytes(whole.replace(old, clash))
    with pytest.raises(CompileError, match=r'layer "p" \(Permute\): field 230 of its settings has different meanings'):
        driver.compile(path)


def tag(number: int) -> bytes:
    """A field of bytes with a two-byte tag."""
    return bytes([(number << 3 | 2) & 0x7F | 0x80, number >> 4])


def test_a_stranger_within_settings_is_refused(tmp_path: Path) -> None:
    net: Any = text_format.Parse(TODAY, message_class("NetParameter")())
    net.layer[1].convolution_param.MergeFromString(bytes([19 << 3 & 0x7F | 0x80, 1, 1]))  # Intel's relu: true
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    with pytest.raises(CompileError, match=r'layer "conv" .*: field 19 of ConvolutionParameter is not Caffe'):
        driver.compile(path)


@pytest.mark.skipif(not SHARED.exists(), reason="needs published models")
def test_lenet_alone() -> None:
    folder = SHARED / "models/lenet"
    weights = folder / "lenet_iter_10000.caffemodel"
    digit = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    shapes = {"data": digit.shape}
    alone = driver.compile(weights, shapes=shapes, outputs=["ip2"])(data=digit)["ip2"]
    whole = driver.compile(folder / "lenet.prototxt", weights, shapes=shapes, outputs=["ip2"])(data=digit)["ip2"]
    np.testing.assert_array_equal(alone, whole)
