"""Crop by the file's offsets, and by the coordinates of the layers between its bottoms: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.compiler.ops.indexing import Crop

from .small_nets import Nets, arange, data, layer


def test_crop_takes_sizes_from_its_second_bottom(nets: Nets) -> None:
    text = data(1, 1, 3, 4) + data(7, 9, 2, 2, name="like")
    made = nets.run(
        text + layer("Crop", "crop_param { offset: 1 offset: 2 }", ("data", "like")),
        {"data": arange(1, 1, 3, 4), "like": np.zeros((7, 9, 2, 2))},
    )
    assert made["y"].tolist() == [[[[6, 7], [10, 11]]]]
    said = nets.expect_refusal(text + layer("Crop", "crop_param { offset: 2 }", ("data", "like")))
    assert "axis 2 has size 3: it cannot be cropped to 2 from 2 on" in said and '"like" f32[7,9,2,2]' in said
    said = nets.expect_refusal(text + layer("Crop", "crop_param { offset: 1 offset: 1 offset: 1 }", ("data", "like")))
    assert 'layer "l" (Crop): it has 3 offsets, and crops 2 axes' in said


# The first pixel of a convolution's top is at the centre of its first window: (kernel - 1) / 2 - pad of its bottom.
INPUT = 'input: "data" input_shape { dim: 1 dim: 1 dim: 6 dim: 6 }\n'


def named(name: str, type: str, settings: str, bottom: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{type}" bottom: "{bottom}" {more} top: "{name}" {settings} }}\n'


def conv(name: str, settings: str, bottom: str, type: str = "Convolution") -> str:
    return named(name, type, f"convolution_param {{ num_output: 1 bias_term: false {settings} }}", bottom)


def crop(first: str, second: str, type: str = "Crop") -> str:
    return layer(type, "", (first, second))


def offsets_of(nets: Nets, text: str, *dialects: str) -> list[list[int]]:
    """The offsets of all crops of a net as it is read; their weights do not matter."""
    path = nets.folder / "net.prototxt"
    path.write_text(INPUT + text)
    graph = driver.read_net(path, None, driver.Options(dialects=dialects)).graph
    return [list(node.op.starts(4)) for node in graph.nodes if isinstance(node.op, Crop)]


KERNEL = {"c:0": np.ones((1, 1, 2, 2), np.float32)}
BY_ONE = conv("c", "kernel_size: 1 pad: 1", "data")  # its first pixel is at -1: "data" begins at 1 in it
HALVED = named("p", "Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "data")  # first pixel at 0.5, step 2
# The deconvolution spreads its first pixel, at 0.5, over 4 pixels around it: they begin 1.5 before it, at -1.
UP = HALVED + conv("u", "kernel_size: 4 stride: 2", "p", "Deconvolution")


@pytest.mark.parametrize(("text", "first", "wanted"), [
    (BY_ONE, "c", [1, 1]),
    (UP, "u", [1, 1]),
    (BY_ONE + conv("d", "kernel_h: 3 kernel_w: 1 pad_h: 2 pad_w: 0", "c"), "d", [2, 1]),
    (BY_ONE + named("a", "ReLU", "", "c") + named("b", "Dropout", "", "a"), "b", [1, 1]),
    (BY_ONE + 'layer { name: "bn" type: "LRN" bottom: "c" top: "c" }\n', "c", [1, 1]),
    (BY_ONE + named("e", "Eltwise", "", "c", 'bottom: "c"'), "e", [1, 1]),
])  # fmt: skip
def test_offsets_by_hand(nets: Nets, text: str, first: str, wanted: list[int]) -> None:
    assert offsets_of(nets, text + crop(first, "data"), "hed") == [wanted]
    assert offsets_of(nets, text + crop(first, "data", "AutoCrop")) == [wanted]


def test_a_crop_between_moves_pixels_by_its_offset(nets: Nets) -> None:
    inner = named("k", "Crop", "", "c", 'bottom: "data"') + conv("d", "kernel_size: 1 pad: 2", "k")
    assert offsets_of(nets, BY_ONE + inner + crop("d", "data"), "hed") == [[1, 1], [2, 2]]


def test_the_numbers_of_a_crop_by_coordinates(nets: Nets) -> None:
    x = arange(1, 1, 6, 6).numpy()
    text = INPUT + BY_ONE + named("p", "Pooling", "pooling_param { kernel_size: 1 stride: 1 }", "data") + crop("c", "p")
    assert nets.run(text, {"data": x}, {"c:0": np.ones(1)}, dialects=("hed",))["y"].tolist() == x.tolist()
    assert nets.run(text, {"data": x}, {"c:0": np.ones(1)}, dialects=("bvlc",))["y"][0, 0, 0, :3].tolist() == [0, 0, 0]


REFUSED = [
    (HALVED, ("data", "p"), 'a pixel of "data" is 0.5 pixels of "p" wide, not 1'),
    (HALVED, ("p", "data"), 'a pixel of "p" is 2 pixels of "data" wide, not 1'),
    (BY_ONE, ("data", "c"), 'the first pixel of "c" is at -1 in "data", which is no index'),
    (conv("c", "kernel_size: 2 pad: 1", "data"), ("c", "data"), "is at 0.5 in"),
    (named("f", "Tile", "tile_param { tiles: 2 axis: 3 }", "data"), ("f", "data"), '"f" (Tile) is between its bottoms'),
    (conv("c", "kernel_size: 2 pad: 1 dilation: 2", "data"), ("c", "data"), "has a dilation, which there is none of"),
    ('layer { name: "o" type: "DummyData" top: "o" dummy_data_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }\n',
     ("data", "o"), 'data" and "o" do not come from one blob'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "ends", "said"), REFUSED)
def test_what_that_caffe_refuses(nets: Nets, text: str, ends: tuple[str, str], said: str) -> None:
    with pytest.raises(CompileError) as caught:
        offsets_of(nets, text + crop(*ends), "hed")
    assert caught.value.message.startswith('layer "l" (Crop): ') and said in caught.value.message


@pytest.mark.parametrize(("text", "ends", "said"), [case for case in REFUSED if case[1][0] in ("f", "o", "c")])
def test_what_that_caffe_refuses_is_bvlcs(nets: Nets, text: str, ends: tuple[str, str], said: str) -> None:
    (chosen,) = nets.compilation(INPUT + text + crop(*ends), KERNEL).file.dialects
    assert chosen.dialect == "bvlc" and said in chosen.reason


def test_autocrop_knows_dilation(nets: Nets) -> None:
    """A window of 2 with dilation 3 spans 4 pixels: its first centre is at 1.5 - 2, its deconvolution's at -2."""
    text = conv("c", "kernel_size: 2 pad: 2 dilation: 3", "data") + conv(
        "d", "kernel_size: 2 dilation: 3 pad: 0", "c", "Deconvolution"
    )
    assert offsets_of(nets, text + crop("d", "data", "AutoCrop")) == [[2, 2]]


def test_layer_types_of_today_speak_for_bvlcs(nets: Nets) -> None:
    """The fork is older than the layer type Input."""
    made = nets.compilation(data(1, 1, 3, 3) + data(1, 1, 2, 2, name="b") + layer("Crop", "", ("data", "b")))
    x, b = arange(1, 1, 3, 3).numpy(), np.zeros((1, 1, 2, 2), np.float32)
    assert made.load()(data=x, b=b)["y"].tolist() == [[[[0, 1], [3, 4]]]]
    (chosen,) = made.file.dialects
    assert (chosen.dialect, chosen.reason) == ("bvlc", "in hed, there is no layer type Input")
