"""Layers that bring data: constants, learnt blobs, and what becomes an input of the net."""

from __future__ import annotations

import numpy as np
import pytest

from .small_nets import Nets, data, layer


def test_parameter_and_dummy_data(nets: Nets) -> None:
    text = data(2) + layer("Parameter", "parameter_param { shape { dim: 2 } }", (), "w")
    text += 'layer { name: "e" type: "Eltwise" bottom: "data" bottom: "w" top: "s" }'
    text += 'layer { name: "d" type: "DummyData" top: "k" top: "z" dummy_data_param { shape { dim: 2 } '
    text += 'data_filler { value: 0.5 } data_filler { type: "constant" } } }'
    text += 'layer { name: "f" type: "Eltwise" bottom: "s" bottom: "k" bottom: "z" top: "y" }'
    assert nets.run(text, {"data": [1, 2]}, {"l:0": [10, 20]})["y"].tolist() == [11.5, 22.5]


def test_dummy_data_in_the_older_form(nets: Nets) -> None:
    text = data(1) + 'layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param { '
    text += "num: 1 num: 2 channels: 3 channels: 4 height: 1 height: 1 width: 1 width: 2 } }"
    made = nets.run(text, {"data": [0]})
    assert made["a"].shape == (1, 3, 1, 1) and made["b"].shape == (2, 4, 1, 2) and not made["b"].any()


def test_random_dummy_data_is_refused_or_made_an_input(nets: Nets) -> None:
    text = data(2) + 'layer { name: "d" type: "DummyData" top: "k" dummy_data_param { shape { dim: 2 } '
    text += 'data_filler { type: "gaussian" std: 2 } } }'
    text += layer("Eltwise", "", ("data", "k"))
    said = nets.expect_refusal(text)
    assert 'layer "d" (DummyData): it fills "k" with random values (gaussian)' in said
    assert "--shape k=2" in said
    net = nets.compile(text, shapes={"k": (2,)})
    assert net(data=np.array([1, 2], np.float32), k=np.array([3, 4], np.float32))["y"].tolist() == [4, 6]


DUMMY = 'layer { name: "d" type: "DummyData" top: "data" top: "info" dummy_data_param { shape { dim: 1 dim: 2 } '
DUMMY += 'shape { dim: 3 } data_filler { type: "%s" value: 0.5 } data_filler { value: 7 } } }' + layer("ReLU")


def test_a_net_of_dummy_data_alone_computes_its_constants(nets: Nets) -> None:
    made = nets.compilation(DUMMY % "constant")
    assert {name: x.tolist() for name, x in made.load()({}).items()} == {"info": [7, 7, 7], "y": [[0.5, 0.5]]}
    first, second = made.file.warnings
    assert 'layer "d" (DummyData) makes "data" a constant, as in Caffe; --shape data=1,2 makes it an input' in first
    assert "--shape info=3" in second


def test_dummy_data_with_a_shape_is_an_input_and_its_other_tops_stay_constant(nets: Nets) -> None:
    for filler in ("constant", "gaussian"):
        net = nets.compile(DUMMY % filler, shapes={"data": (2, 1)})
        made = net(data=np.array([[-1], [2]], np.float32))
        assert {name: x.tolist() for name, x in made.items()} == {"info": [7, 7, 7], "y": [[0], [2]]}
    assert 'it fills "data" with random values (gaussian)' in nets.expect_refusal(DUMMY % "gaussian")


def test_a_constant_beside_an_input_goes_without_saying(nets: Nets) -> None:
    assert nets.compilation(DUMMY.replace('top: "data"', 'top: "k"') % "constant" + data(1, 2)).file.warnings == ()


MEMORY = 'layer { name: "m" type: "MemoryData" top: "data" top: "label" memory_data_param { %s } }\n'


def test_memory_data_is_an_input(nets: Nets) -> None:
    text = MEMORY % "batch_size: 2 channels: 1 height: 1 width: 3"
    assert nets.compile(text + layer("ReLU")).inputs["data"].dims == (2, 1, 1, 3)
    assert [*nets.compile(text + layer("ReLU")).inputs] == ["data"]  # nobody needs the label
    net = nets.compile(text + layer("ReLU", "", ("label",)), shapes={"data": (5, 1, 1, 3)})
    assert net.inputs["label"].dims == (5,)  # one for each picture, however many there are


@pytest.mark.parametrize(("source", "advice"), [
    ('type: "Data" data_param { batch_size: 50 } transform_param { crop_size: 227 }', "data=50,3,227,227"),
    ('type: "ImageData" image_data_param { source: "list" batch_size: 8 }', "data=8,3,224,224"),
    ('type: "HDF5Data" hdf5_data_param { source: "list" batch_size: 8 }', "data=8,3,224,224"),
    ('type: "WindowData" window_data_param { source: "w" batch_size: 8 crop_size: 64 }', "data=8,3,64,64"),
])  # fmt: skip
def test_what_is_read_from_files_becomes_an_input_if_a_shape_is_given(nets: Nets, source: str, advice: str) -> None:
    text = f'layer {{ name: "source" top: "data" top: "label" {source} }}\n' + layer("ReLU")
    said = nets.expect_refusal(text)
    assert 'layer "source"' in said and f"--shape {advice}" in said and said.count("has no shape") == 1
    net = nets.compile(text, shapes={"data": (1, 2)})
    assert net(data=np.array([[-1, 2]], np.float32))["y"].tolist() == [[0, 2]]


def test_pictures_whose_size_is_told(nets: Nets) -> None:
    settings = "image_data_param { batch_size: 2 new_height: 3 new_width: 4 is_color: false }"
    text = f'layer {{ name: "source" type: "ImageData" top: "data" {settings} }}\n' + layer("ReLU")
    assert nets.compile(text).inputs["data"].dims == (2, 1, 3, 4)
