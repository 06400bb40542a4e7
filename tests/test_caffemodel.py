"""Weights: every way in which a caffemodel holds them, every way in which it can be broken, and what we write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortado.compiler.errors import CompileError
from cortado.frontends.files import caffemodel, wire
from cortado.frontends.files.schema import message_class

from .shared import ROOT, SHARED

MODELS = sorted(p for p in SHARED.glob("models/*/*.caffemodel") if p.stat().st_size < 8 << 20)


def message(type: str = "NetParameter") -> Any:
    return message_class(type)()


def save(path: Path, net: Any) -> Path:
    path.write_bytes(net if isinstance(net, bytes) else net.SerializeToString())
    return path


def small_net() -> Any:
    """A net of two layers with a blob each."""
    net = message()
    net.name = "small"
    for name, shape in (("conv", (2, 1, 3, 3)), ("ip", (4, 2))):
        layer = net.layer.add(name=name, type="Convolution", bottom=["data"], top=[name])
        blob = layer.blobs.add(data=np.random.standard_normal(np.prod(shape)).astype("f4"))
        blob.shape.dim.extend(shape)
    return net


def test_current_format(tmp_path: Path) -> None:
    net = small_net()
    net.layer[1].inner_product_param.num_output = 4
    weights = caffemodel.read(save(tmp_path / "x.caffemodel", net))
    assert weights.net_name == "small"
    conv, ip = weights.layers
    assert (conv.name, conv.type, conv.bottoms, conv.tops) == ("conv", "Convolution", ("data",), ("conv",))
    (blob,) = ip.blobs
    assert (blob.shape, blob.legacy, blob.is_missing, blob.data.dtype) == ((4, 2), False, False, np.dtype(np.float32))
    assert blob.data.reshape(-1).tolist() == list(net.layer[1].blobs[0].data)
    net.layer[1].ClearField("blobs")
    assert ip.message() == net.layer[1]


def test_the_two_old_generations(tmp_path: Path) -> None:
    net = message()
    new = net.layers.add(name="conv1", type="CONVOLUTION", bottom=["data"], top=["conv1"], blobs_lr=[1, 2])
    new.blobs.add(num=2, channels=1, height=1, width=3, data=range(6))
    old = net.layers.add(bottom=["conv1"], top=["ip"])
    old.layer.name, old.layer.type, old.layer.num_output = "ip", "innerproduct", 5
    old.layer.blobs.add(num=1, channels=1, height=5, width=2, data=range(10))
    path = save(
        tmp_path / "x",
        net.SerializeToString() + wire.encode_field(2, wire.encode_varint(5 << 3) + wire.encode_varint(99)),
    )
    v1, v0, fork = caffemodel.read(path).layers
    assert (v1.name, v1.type, v1.bottoms, v1.tops) == ("conv1", "CONVOLUTION", ("data",), ("conv1",))
    assert (v1.blobs[0].shape, v1.blobs[0].legacy) == ((2, 1, 1, 3), True)
    assert (v0.name, v0.type, v0.bottoms, v0.tops) == ("ip", "innerproduct", ("conv1",), ("ip",))
    assert v0.blobs[0].data.tolist() == np.arange(10).reshape(1, 1, 5, 2).tolist()
    assert fork.type == "99"
    new.ClearField("blobs")
    old.layer.ClearField("blobs")
    assert (v1.message(), v0.message()) == (new, old)


def one_blob(path: Path, content: bytes) -> caffemodel.Blob:
    layer = wire.encode_field(1, b"x") + wire.encode_field(7, content)
    return caffemodel.read(save(path / "x", wire.encode_field(100, layer))).layers[0].blobs[0]


def shape(*dims: int) -> bytes:
    return wire.encode_field(7, wire.encode_field(1, b"".join(map(wire.encode_varint, dims))))


def tag_numbers(numbers: Any, number: int) -> bytes:
    form = wire.FLOAT if numbers.itemsize == 4 else wire.DOUBLE
    return b"".join(wire.encode_varint(number << 3 | form) + n.tobytes() for n in numbers)


X = np.arange(1, 7, dtype="f4") / 4
HOW: dict[str, tuple[bytes, type]] = {
    "packed": (wire.encode_field(5, X.tobytes()), np.float32),
    "one by one": (tag_numbers(X, 5), np.float32),
    "one by one, then packed": (tag_numbers(X[:2], 5) + wire.encode_field(5, X[2:].tobytes()), np.float32),
    "in two pieces": (wire.encode_field(5, X[:1].tobytes()) + wire.encode_field(5, X[1:].tobytes()), np.float32),
    "double": (wire.encode_field(8, X.astype("f8").tobytes()), np.float64),
    "double, one by one": (tag_numbers(X.astype("f8"), 8), np.float64),
    "double beside float": (
        wire.encode_field(5, b"\0" * 24) + wire.encode_field(8, X.astype("f8").tobytes()),
        np.float64,
    ),
    "half": (wire.encode_varint(10 << 3) + b"\2" + wire.encode_field(12, X.astype("f2").tobytes()), np.float16),
    "half, its type told last": (
        wire.encode_field(12, X.astype("f2").tobytes()) + wire.encode_varint(10 << 3) + b"\2",
        np.float16,
    ),
    "with a gradient": (wire.encode_field(5, X.tobytes()) + wire.encode_field(6, b"\xff" * 24), np.float32),
}


@pytest.mark.parametrize("how", HOW)
def test_numbers_in_every_form(how: str, tmp_path: Path) -> None:
    content, dtype = HOW[how]
    for before, after in ((shape(2, 3), b""), (b"", shape(2, 3))):
        blob = one_blob(tmp_path, before + content + after)
        assert blob.data.dtype == dtype
        assert blob.data.tolist() == X.reshape(2, 3).tolist()


def test_shapes(tmp_path: Path) -> None:
    one = wire.encode_field(5, b"\0" * 4)
    assert one_blob(tmp_path, wire.encode_field(7, b"") + one).shape == ()
    unpacked = wire.encode_field(7, b"\x08\x01\x08\x01")
    assert one_blob(tmp_path, unpacked + one).shape == (1, 1)
    assert one_blob(tmp_path, shape(0, 3) + wire.encode_field(5, b"")).data.shape == (0, 3)
    lacking = one_blob(tmp_path, shape(3, 2))
    assert (lacking.shape, lacking.is_missing, lacking.data.size) == ((3, 2), True, 0)
    volume = b"".join(wire.encode_varint(i << 3) + wire.encode_varint(d) for i, d in enumerate((2, 1, 1, 1, 3), 1))
    assert one_blob(tmp_path, volume + wire.encode_field(6, X.tobytes())).data.shape == (2, 1, 1, 1, 3)  # C3D's blobs


def test_numbers_are_views_that_can_be_written_without_changing_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "x", small_net())
    before = path.read_bytes()
    data = caffemodel.read(path).layers[0].blobs[0].data
    assert not data.flags.owndata
    data[:] = 7
    assert path.read_bytes() == before


def test_a_forks_field_under_a_number_of_ours(tmp_path: Path) -> None:
    layer = (
        wire.encode_field(1, b"x")
        + wire.encode_field(139, wire.encode_field(1, b""))
        + wire.encode_field(202, b"\xff\xff")
    )
    message = caffemodel.read(save(tmp_path / "x", wire.encode_field(100, layer))).layers[0].message()
    assert message.name == "x" and not message.HasField("permute_param")  # type: ignore[attr-defined]


def test_damaged_settings_are_told(tmp_path: Path) -> None:
    layer = wire.encode_field(1, b"x") + wire.encode_field(106, b"\xff\xff")
    with pytest.raises(CompileError, match='layer "x": its settings'):
        caffemodel.read(save(tmp_path / "x", wire.encode_field(100, layer))).layers[0].message()


def broken_files() -> dict[str, tuple[bytes, str]]:
    good = small_net().SerializeToString()
    ip = good.rindex(b"\xa2\x06")  # where the last layer begins: field 100, of a length

    def blob(content: bytes) -> bytes:
        return wire.encode_field(100, wire.encode_field(1, b"conv") + wire.encode_field(7, content))

    mean = message("BlobProto")
    mean.num, mean.channels, mean.height, mean.width = 1, 3, 2, 2
    mean.data.extend(range(12))
    return {
        "empty": (b"", "byte 0: this file is empty"),
        "cut off": (good[:-9], f"byte {ip}: a field of"),
        "web page": (b"<!DOCTYPE html><html>", "byte 0: this is an HTML page"),
        "text": (b'# LeNet\nname: "LeNet"\nlayer {', "byte 0: this is a prototxt, not a caffemodel"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "byte 0: this is a Git LFS pointer"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "byte 0: this is an HDF5 file"),
        "zip": (b"PK\x03\x04" + b"\0" * 99, "byte 0: this is a compressed archive"),
        "solver": (b"\x08\x90\x4e" + wire.encode_field(2, b"x.caffemodel"), "this is a .solverstate"),
        "mean": (mean.SerializeToString(), "this is a mean image"),
        "no layers": (wire.encode_field(1, b"net"), "this file has no layers"),
        "noise": (b"\xff" * 20, "a number is longer than ten bytes"),
        "count": (
            blob(shape(2, 2) + wire.encode_field(5, b"\0" * 12)),
            'layer "conv": blob 0 has 3 elements for the shape 2 x 2',
        ),
        "odd bytes": (blob(shape(1) + wire.encode_field(5, b"\0" * 5)), 'layer "conv": blob 0 has 5 bytes of data'),
        "negative": (blob(shape(-1, -2) + wire.encode_field(5, b"\0" * 8)), "blob 0 has the impossible shape -1 x -2"),
        "huge": (blob(shape(2**62, 2**62)), "blob 0 has the impossible shape"),
        "many axes": (blob(shape(*[1] * 40) + wire.encode_field(5, b"\0" * 4)), "blob 0 has the impossible shape"),
        "integers": (
            blob(wire.encode_varint(10 << 3) + b"\3" + wire.encode_field(12, b"\0")),
            "blob 0 holds raw integers",
        ),
    }


@pytest.mark.parametrize("how", broken_files())
def test_what_is_no_caffemodel_is_told(how: str, tmp_path: Path) -> None:
    data, told = broken_files()[how]
    path = save(tmp_path / "x.caffemodel", data)
    with pytest.raises(CompileError) as e:
        caffemodel.read(path)
    assert str(e.value).startswith(f"{path}: byte ") and told in str(e.value)
    assert e.value.advice


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="No such file"):
        caffemodel.read(tmp_path / "x")
    with pytest.raises(CompileError, match="directory"):
        caffemodel.read(tmp_path)


def test_mean_image(tmp_path: Path) -> None:
    blob = caffemodel.read_blob(save(tmp_path / "mean", broken_files()["mean"][0]))
    assert (blob.shape, blob.data.reshape(-1).tolist()) == ((1, 3, 2, 2), list(range(12)))
    with pytest.raises(CompileError):
        caffemodel.read_blob(save(tmp_path / "text", b"hello"))


def read_everything(path: Path) -> None:
    """Read all that can be read."""
    for layer in caffemodel.read(path).layers:
        [blob.data.copy() for blob in layer.blobs]
        layer.message()


SEEDS = [
    small_net().SerializeToString(),
    *(wire.encode_field(100, wire.encode_field(7, shape(2, 3) + c)) for c, _ in HOW.values()),
]


@settings(max_examples=400, deadline=2000)
@given(st.data())
def test_any_bytes_are_weights_or_a_complaint(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255)), max_size=4)):
        seed[at] = value
    seed = seed[: data.draw(st.integers(0, len(seed)) | st.just(len(seed)))]
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(seed)
    try:
        read_everything(path)
    except CompileError as e:
        assert str(e)


@settings(max_examples=200, deadline=2000)
@given(st.binary(max_size=60))
def test_any_noise_is_a_complaint_or_weights(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise"
    for content in (
        noise,
        wire.encode_field(100, noise),
        wire.encode_field(100, wire.encode_field(7, noise)),
        wire.encode_field(2, noise),
    ):
        path.write_bytes(content)
        try:
            read_everything(path)
        except CompileError as e:
            assert str(e)


@pytest.mark.skipif(not MODELS, reason="the published models are not here")
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_published_models_hold_what_protobuf_reads(path: Path) -> None:
    theirs = message()
    theirs.MergeFromString(path.read_bytes())
    weights = caffemodel.read(path)
    assert weights.net_name == theirs.name
    assert len(weights.layers) == len(theirs.layer)
    for ours, layer in zip(weights.layers, theirs.layer, strict=True):
        for blob, proto in zip(ours.blobs, layer.blobs, strict=True):
            assert blob.shape == tuple(proto.shape.dim)
            expected = np.frombuffer(proto.raw_data, "f2") if proto.raw_data else np.array(proto.data, "f4")
            assert np.array_equal(blob.data.reshape(-1), expected)
        layer.ClearField("blobs")
        assert ours.message() == layer


def test_what_is_written_is_read(tmp_path: Path) -> None:
    layers = [
        caffemodel.WrittenLayer(
            "conv", "Convolution", [np.random.standard_normal((4, 3, 2, 2)), np.ones(4, "f2")], ["data"], ["conv"]
        ),
        caffemodel.WrittenLayer("bn", "BatchNorm", [np.zeros((3, 5), "f4").T, np.array(2.0), np.empty((0, 2))]),
        caffemodel.WrittenLayer("relu", "ReLU", []),
    ]
    path = tmp_path / "x.caffemodel"
    caffemodel.write(path, "né", iter(layers))
    weights = caffemodel.read(path)
    assert weights.net_name == "né"
    for read, given_ in zip(weights.layers, layers, strict=True):
        assert (read.name, read.type) == (given_.name, given_.type)
        assert (read.bottoms, read.tops) == (tuple(given_.bottoms), tuple(given_.tops))
        for a, b in zip(read.blobs, given_.blobs, strict=True):
            assert isinstance(b, np.ndarray)
            assert a.data.dtype == np.float32 and np.array_equal(a.data, np.asarray(b, "f4")) and a.shape == b.shape
    again = tmp_path / "again"
    caffemodel.write(again, weights.net_name, weights.layers)
    assert again.read_bytes() == path.read_bytes()
    theirs = message()
    theirs.MergeFromString(path.read_bytes())
    assert [layer.name for layer in theirs.layer] == ["conv", "bn", "relu"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def layers() -> Any:
        yield caffemodel.WrittenLayer("a", "ReLU", [])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        caffemodel.write(tmp_path / "x", "net", layers())
    assert not list(tmp_path.iterdir())


def test_opencv_reads_what_is_written(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    weight, bias = np.random.standard_normal((5, 3, 1, 1)).astype("f4"), np.random.standard_normal(5).astype("f4")
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net.write_text(
        'name: "n" input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }\n'
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c"'
        " convolution_param { num_output: 5 kernel_size: 1 } }\n"
    )
    caffemodel.write(weights, "n", [caffemodel.WrittenLayer("c", "Convolution", [weight, bias], ["data"], ["c"])])
    read = cv2.dnn.readNetFromCaffe(str(net), str(weights))
    x = np.random.standard_normal((1, 3, 4, 4)).astype("f4")
    read.setInput(x)
    expected = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x) + bias[:, None, None]
    assert np.allclose(read.forward(), expected, atol=1e-5)


PEAK = """
import resource, sys
from cortado.frontends.files import caffemodel
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = sum(float(b.data[0, 0]) for layer in caffemodel.read(sys.argv[1]).layers for b in layer.blobs)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts kilobytes as Linux does")
def test_reading_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    layers = [caffemodel.WrittenLayer(f"ip{i}", "InnerProduct", [np.ones((1024, 2048), "f4")]) for i in range(8)]
    caffemodel.write(tmp_path / "x", "large", layers)  # 64 MB
    paths = {"PYTHONPATH": str(ROOT / ".src")}
    done = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path / "x")], capture_output=True, env=paths, check=True)
    assert int(done.stdout) < 16_000  # kilobytes: only the pages that were touched
