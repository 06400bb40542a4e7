"""Files that ask for too much: a clear error with place, in bounded time and memory. The limits: docs/limits.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.compiler.limits import MAX_ERRORS, MAX_NODES
from cortado.frontends.files import caffemodel, hdf5, wire
from cortado.runtime.artifact import ArtifactError, read

from .hostile import TEXTS, relu_layers
from .shared import ROOT
from .small_nets import Nets, data, layer

INT_MAX, UINT_MAX = 2**31 - 1, 2**32 - 1
MAX_SECONDS = 60  # of CPU time, for a file that is refused; measured: 4 at most
MAX_BYTES = 1 << 30  # of memory, for the same


def conv(settings: str, type: str = "Convolution") -> str:
    return data(1, 3, 8, 8) + layer(type, f"convolution_param {{ {settings} }}")


def setting(type: str, param: str, settings: str) -> str:
    return data(1, 3, 8, 8) + layer(type, f"{param} {{ {settings} }}")


def inputs(dims: str) -> str:
    return f'input: "data" {dims}\n' + layer("ReLU")


SIZES = {  # by name: a net, and words of the refusal
    "kernel over int": (conv(f"num_output: 4 kernel_size: {INT_MAX + 1}"), "from 0 to 2147483647, not 2147483648"),
    "outputs over int": (conv(f"num_output: {UINT_MAX} kernel_size: 1"), "from 0 to 2147483647, not 4294967295"),
    "group over int": (conv(f"num_output: 4 kernel_size: 1 group: {UINT_MAX}"), "from 0 to 2147483647"),
    "kernel": (conv(f"num_output: 4 kernel_size: {INT_MAX}"), "its weight, f32[4,3,2147483647,2147483647], has over"),
    "outputs": (conv(f"num_output: {INT_MAX} kernel_size: 1"), "6442450941 elements, and Caffe's limit is 2147483647"),
    "result": (conv("num_output: 100000000 kernel_size: 1"), "has 6400000000 elements, and Caffe's limit is"),
    "pad": (conv(f"num_output: 4 kernel_size: 1 pad: {INT_MAX}"), "the places of the padded image would be over 10^19"),
    "pad and stride": (conv("num_output: 4 kernel_size: 1 pad: 1000000000 stride: 1000000000"), "padded image"),
    "dilation": (conv(f"num_output: 4 kernel_size: 2 dilation: {INT_MAX} pad: {INT_MAX}"), "reach of a window"),
    "deconvolution": (conv(f"num_output: 4 kernel_size: 1 stride: {INT_MAX}", "Deconvolution"), "over 10^20 elements"),
    "im2col": (conv("kernel_size: 30000 pad: 30000", "Im2col"), "the padded image would be 3600960064"),
    "pooling": (
        setting("Pooling", "pooling_param", "kernel_size: 50000 pad: 49999 stride: 50000"),
        "the padded images would be 30003600108",
    ),
    "product": (setting("InnerProduct", "inner_product_param", f"num_output: {INT_MAX}"), "412316860224 elements"),
    "embed": (setting("Embed", "embed_param", f"input_dim: {INT_MAX} num_output: 2"), "4294967294 elements"),
    "tile": (setting("Tile", "tile_param", f"tiles: {INT_MAX}"), "412316860224 elements"),
    "lrn": (setting("LRN", "lrn_param", f"local_size: {INT_MAX}"), "with the window's padding"),
    "lrn within": (setting("LRN", "lrn_param", "local_size: 99999 norm_region: WITHIN_CHANNEL"), "window's padding"),
    "interp": (setting("Interp", "interp_param", f"zoom_factor: {INT_MAX}"), "over 10^20 elements"),
    "reshape": (setting("Reshape", "reshape_param", "shape { dim: 9223372036854775807 }"), "shape is too large"),
    "reshape below": (setting("Reshape", "reshape_param", "shape { dim: -9223372036854775808 }"), "shape is too large"),
    "reshape axes": (setting("Reshape", "reshape_param", f"shape {{ {'dim: 1 ' * 40} dim: -1 }}"), "41 axes"),
    "concat": (inputs("input_shape { dim: 2 dim: 1000000000 }").replace("ReLU", "Concat").replace(
        'bottom: "data"', 'bottom: "data" bottom: "data"'), "4000000000 elements"),
    "dummy": (
        data(1) + layer("DummyData", "dummy_data_param { shape { dim: 1000000000 } }", (), ("z",)),
        "the limit of a constant is 67108864",
    ),
    "parameter": (
        data(1) + layer("Parameter", f"parameter_param {{ shape {{ {'dim: 99999 ' * 4} }} }}", (), ("z",)),
        "its value, f32[99999,99999,99999,99999], has over 10^19 elements",
    ),
    "input": (inputs("input_shape { dim: 1000000000000 }"), '"data", f32[1000000000000], has 1000000000000 elements'),
    "input product": (inputs(f"input_shape {{ {'dim: 9223372036854775807 ' * 2} }}"), "has over 10^37 elements"),
    "input_dim": (inputs("input_dim: 1000000 input_dim: 1000000000 input_dim: 1 input_dim: 1"), "elements"),
    "input axes": (inputs(f"input_shape {{ {'dim: 1 ' * 33} }}"), "33 axes, and Caffe's limit is 32"),
    "input of 0": (inputs("input_shape { dim: 0 }"), "every size is at least 1"),
    "input below 0": (inputs("input_shape { dim: -5 }"), "every size is at least 1"),
    "no group": (conv("num_output: 4 kernel_size: 1 group: 0"), "divided into 0 groups"),
    "no stride": (conv("num_output: 4 kernel_size: 1 stride: 0"), "stride and dilation are 1 or more"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SIZES)
def test_a_size_beyond_the_limits_is_refused_with_place(kind: str, nets: Nets) -> None:
    text, words = SIZES[kind]
    nets.folder.joinpath("net.prototxt").write_text(text)
    with pytest.raises(CompileError) as caught:
        driver.read_net(nets.folder / "net.prototxt")
    said = str(caught.value)
    assert words in said
    place = f"{nets.folder / 'net.prototxt'}:"
    assert said.startswith(place) and said.count(place) == 1, "one error, with place"
    assert "    ^" in said or "^" in said.splitlines()[2]


def test_what_is_just_inside_the_limits_compiles(nets: Nets) -> None:
    """Nothing is allocated while a net is compiled: this one has 8 GiB in its input alone."""
    nets.folder.joinpath("n.prototxt").write_text(inputs(f"input_shape {{ dim: {INT_MAX} }}"))
    graph = driver.read_net(nets.folder / "n.prototxt").graph
    assert graph.inputs[0].type.numel == INT_MAX
    text = conv(f"num_output: 4 kernel_size: 1 stride: {INT_MAX}")
    assert nets.run(text, {"data": np.ones((1, 3, 8, 8))}, {"l:0": np.ones(12), "l:1": np.zeros(4)})["y"].shape == (
        1, 4, 1, 1,
    )  # fmt: skip


def test_a_shape_that_is_asked_for_is_checked_too(nets: Nets) -> None:
    for shape in ((1, 3, 50_000, 50_000), (10**12,), (1,) * 40):
        said = nets.expect_refusal(data(1, 3, 8, 8) + layer("ReLU"), shapes={"data": shape})
        assert "Caffe's limit is" in said
    path = nets.folder / "n.net"
    path.write_text("net n(x: f32[1,4]) { y = relu(x) return y }")
    with pytest.raises(CompileError, match="Caffe's limit is"):
        driver.read_net(path, None, driver.Options(shapes={"x": (1, 10**12)}))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All hostile texts, read in one process of their own."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells the peak of a process's memory")
    folder = tmp_path_factory.mktemp("hostile")
    words = [sys.executable, "-m", "tests.hostile", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / ".src")}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = map(json.loads, done.stdout.splitlines())
    return {line["file"]: line for line in lines}


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_ends_in_a_clear_error(name: str, measured: dict[str, dict[str, Any]]) -> None:
    found = measured[name]
    assert found["words"] in found["said"]
    assert found["seconds"] < MAX_SECONDS and found["bytes"] < MAX_BYTES, "CPU time and memory"
    assert found["length"] < 400 * MAX_ERRORS


def test_as_many_layers_as_the_limit_compile_and_one_more_does_not(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(relu_layers(MAX_NODES // 25))
    assert len(driver.read_net(path).graph.nodes) == MAX_NODES // 25
    path.write_text(relu_layers(1) + "layer{}" * MAX_NODES)
    with pytest.raises(CompileError, match="the net has 50001 layers, and the limit is 50000"):
        driver.read_net(path)


def varints(*numbers: int) -> bytes:
    return b"".join(map(wire.encode_varint, numbers))


def blob_layer(blob: bytes, count: int = 1) -> bytes:
    return wire.encode_field(100, wire.encode_field(1, b"l") + wire.encode_field(7, blob) * count)


SHAPE = wire.encode_field(7, wire.encode_field(1, varints(2, 3)))
CAFFEMODELS: dict[str, tuple[Callable[[], bytes], str]] = {  # by name: the file, and words of the error
    "a length that lies": (lambda: wire.encode_header(100, 1 << 60) + b"x", "does not fit"),
    "a length inside that lies": (lambda: blob_layer(wire.encode_header(5, 1 << 40)), "does not fit"),
    "numbers that are missing": (lambda: blob_layer(SHAPE + wire.encode_field(5, bytes(8))), "2 elements for the"),
    "a shape of 2^62": (
        lambda: blob_layer(wire.encode_field(7, wire.encode_field(1, varints(1 << 31, 1 << 31)))),
        "impossible shape",
    ),
    "a shape below 0": (lambda: blob_layer(wire.encode_field(7, wire.encode_field(1, varints(1 << 63)))), "impossible"),
    "a million axes": (lambda: blob_layer(wire.encode_field(7, wire.encode_field(1, b"\1" * 10**6))), "impossible"),
    "data in many pieces": (lambda: blob_layer(wire.encode_field(5, bytes(4)) * 20_000), "more than 10000 pieces"),
    "many blobs": (lambda: blob_layer(b"", 2_000), "more than 1000 blobs"),
    "many layers": (lambda: wire.encode_field(100, b"") * (MAX_NODES + 1), "more than 50000 layers"),
}


@pytest.mark.parametrize("kind", CAFFEMODELS)
def test_a_caffemodel_that_lies_is_refused(kind: str, tmp_path: Path) -> None:
    content, words = CAFFEMODELS[kind]
    path = tmp_path / "n.caffemodel"
    path.write_bytes(content())
    with pytest.raises(CompileError, match=words):
        caffemodel.read(path)


def huge(file: Any) -> None:
    file.create_dataset("data/l/0", (1 << 20, 1 << 20), "f4", chunks=(16, 16), compression="gzip")


def unpacks(file: Any) -> None:
    file.create_dataset("data/l/0", (1 << 14, 1 << 12), "f4", chunks=(1 << 12, 1 << 12), compression="gzip")
    file["data/l/1"] = file["data/l/0"]


def circle(file: Any) -> None:
    file["data/l"] = file.create_group("data")


def elsewhere(file: Any) -> None:
    file["data/l/0"] = h5py.ExternalLink("/etc/other.h5", "/data")


def soft(file: Any) -> None:
    file["data/l/0"] = h5py.SoftLink("/data/l/0")


def external(file: Any) -> None:
    file.create_dataset("data/l/0", (4,), "f4", external=[("other.bin", 0, 16)])


def index(file: Any) -> None:
    file["data/l/99999999999999999999"] = np.ones(1, "f4")


HDF5S = {
    "more elements than Caffe allows": (huge, "has 1099511627776 elements, and Caffe's limit is"),
    "numbers that are not in the file": (unpacks, "more than 32 times its size"),
    "groups in a circle": (circle, "nested deeper than 32"),
    "a link to another file": (elsewhere, "is a link to another place"),
    "a link to itself": (soft, "is a link to another place"),
    "data in another file": (external, "has no numbers in this file"),
    "an index of 20 digits": (index, "it has a blob 99999999999999999999"),
}


@pytest.mark.parametrize("kind", HDF5S)
def test_an_hdf5_file_that_lies_is_refused(kind: str, tmp_path: Path) -> None:
    write, words = HDF5S[kind]
    path = tmp_path / "n.caffemodel.h5"
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(CompileError, match=words):
        hdf5.read(path)


def header(content: dict[str, Any] | bytes) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text


def empty_tensors(count: int) -> dict[str, Any]:
    return {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(count)}


ARTIFACTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a header of 2^60 bytes": (lambda: (1 << 60).to_bytes(8, "little") + b"{}", "no whole compiled net"),
    "a header that nests deeply": (lambda: header(b"[" * 100_000 + b"]" * 100_000), "no whole compiled net"),
    "many tensors": (lambda: header(empty_tensors(300_000)), "300000 tensors, and the limit is 200000"),
    "a tensor of 2^60 numbers": (
        lambda: header({"t": {"dtype": "F32", "shape": [1 << 30, 1 << 30], "data_offsets": [0, 0]}}),
        "no whole compiled net|has the shape",
    ),
    "plans that nest deeply": (
        lambda: header({"__metadata__": {"cortado": "2", "plans": "[" * 10**6}}),
        "is missing|damaged JSON",
    ),
}


@pytest.mark.parametrize("kind", ARTIFACTS)
def test_a_compiled_file_that_lies_is_refused(kind: str, tmp_path: Path) -> None:
    content, words = ARTIFACTS[kind]
    path = tmp_path / "n.cortado"
    path.write_bytes(content())
    with pytest.raises(ArtifactError, match=words):
        read(path)
