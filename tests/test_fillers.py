"""Blobs that a caffemodel lacks are filled where the prototxt says exactly with what, and refused elsewhere."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph
from cortado.frontends.caffe.fillers import bilinear
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.weights import open_weights
from cortado.frontends.files import caffemodel, prototxt

from .small_nets import data, layer

Blobs = dict[str, list[Any]]
UP = "convolution_param { num_output: 2 group: 2 kernel_size: 4 stride: 2 bias_term: false weight_filler { %s } }"


def read(folder: Path, text: str, blobs: Blobs) -> tuple[Graph, list[str]]:
    path, said = folder / "net.caffemodel", list[str]()
    layers = [
        caffemodel.WrittenLayer(name, "Some", [np.asarray(b, np.float32) for b in given], [], [])
        for name, given in {"other": [[1.0]], **blobs}.items()
    ]
    caffemodel.write(path, "n", layers)
    return build_graph(prototxt.parse(text, "net.prototxt"), open_weights(path), warn=said.append), said


def constants(graph: Graph) -> dict[str, Any]:
    return {c.name: c.data.tolist() for c in graph.constants}


def expect_refusal(folder: Path, text: str, blobs: Blobs) -> CompileError:
    with pytest.raises(CompileError) as caught:
        read(folder, text, blobs)
    return caught.value


def as_caffe(size: int) -> np.ndarray[Any, Any]:
    """BilinearFiller::Fill of Caffe 1.0, number by number (filler.hpp)."""
    f = ceil(size / 2.0)
    c = np.float32((2 * f - 1 - f % 2) / (2.0 * f))
    made = np.zeros(size * size, np.float32)
    for i in range(size * size):
        x, y = np.float32(i % size), np.float32((i // size) % size)
        made[i] = (1 - abs(float(x / np.float32(f) - c))) * (1 - abs(float(y / np.float32(f) - c)))
    return made.reshape(size, size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 16, 31, 64])
def test_bilinear_weights_are_caffes(size: int) -> None:
    made = bilinear((3, 2, size, size)).numpy()
    for kernel in made.reshape(-1, size, size):
        np.testing.assert_array_equal(kernel, as_caffe(size))


def test_bilinear_weights_by_hand() -> None:
    assert bilinear((1, 1, 4, 4))[0, 0, 0].tolist() == [0.0625, 0.1875, 0.1875, 0.0625]
    # Caffe 1.0's own: since October 2017 they are all 0.25, and 0.5, 1, 0.5 across.
    assert bilinear((1, 1, 2, 2))[0, 0].tolist() == [[1, 0], [0, 0]]
    assert bilinear((1, 1, 3, 3))[0, 0, 1].tolist() == [0.1875, 0.5625, 0.5625]


@pytest.mark.parametrize("size", [3, 4])
def test_kernels_that_versions_of_caffe_fill_differently_are_told(size: int, tmp_path: Path) -> None:
    settings = (UP % 'type: "bilinear"').replace("kernel_size: 4", f"kernel_size: {size}")
    _, (said,) = read(tmp_path, data(1, 2, 3, 3) + layer("Deconvolution", settings), {})
    assert ("Caffe 1.0's; since October 2017" in said) == (size == 3)


@pytest.mark.parametrize("stored", [{}, {"l": []}], ids=["no layer", "no blobs"])
def test_upsampling_that_the_caffemodel_lacks_is_filled_and_said(stored: Blobs, tmp_path: Path) -> None:
    graph, (said,) = read(tmp_path, data(1, 2, 3, 3) + layer("Deconvolution", UP % 'type: "bilinear"'), stored)
    assert constants(graph) == {"l.weight": bilinear((2, 1, 4, 4)).tolist()}
    assert said == (
        'net.prototxt:2:7: layer "l" (Deconvolution): there are no weights for it. As in Caffe its weight [2, 1, 4, 4] '
        "is filled with weights of bilinear interpolation, as weight_filler says"
    )


def test_a_mistyped_name_is_hinted_at(tmp_path: Path) -> None:
    text = data(1, 2, 3, 3) + layer("Deconvolution", UP % 'type: "bilinear"')
    _, (said,) = read(tmp_path, text, {"up": [np.zeros((2, 1, 4, 4))]})
    assert said.endswith('. Weights of that shape are there for "up", which the net does not have')


def test_stored_weights_come_first(tmp_path: Path) -> None:
    text = data(1, 2, 3, 3) + layer("Deconvolution", UP % 'type: "bilinear"')
    graph, said = read(tmp_path, text, {"l": [np.ones((2, 1, 4, 4))]})
    assert np.all(np.asarray(constants(graph)["l.weight"]) == 1) and said == []


FILLED = {
    "scale": ("Scale", "scale_param { filler { value: 20 } }", {"l.gamma": [20, 20]}),
    "scale with a default shift": (
        "Scale", "scale_param { filler { value: 2 } bias_term: true }", {"l.gamma": [2, 2], "l.beta": [0, 0]},
    ),
    "scale with a shift": (
        "Scale", "scale_param { filler { } bias_term: true bias_filler { value: 3 } }",
        {"l.gamma": [0, 0], "l.beta": [3, 3]},
    ),
    "bias": ("Bias", "bias_param { filler { value: -1.5 } }", {"l.beta": [-1.5, -1.5]}),
    "prelu": ("PReLU", 'prelu_param { filler { type: "constant" value: 0.125 } }', {"l.slope": [0.125, 0.125]}),
    "shared prelu": ("PReLU", "prelu_param { channel_shared: true filler { value: 0.5 } }", {"l.slope": 0.5}),
    "convolution": (
        "Convolution", "convolution_param { num_output: 1 kernel_size: 1 weight_filler { value: 3 } }",
        {"l.weight": [[[[3]], [[3]]]], "l.bias": [0]},
    ),
    "inner product": (
        "InnerProduct",
        "inner_product_param { num_output: 1 axis: 3 weight_filler { value: 1 } bias_filler { value: 2 } }",
        {"l.weight": [[1, 1, 1]], "l.bias": [2]},
    ),
    "normalize": (
        "Normalize", "norm_param { channel_shared: false scale_filler { value: 10 } }", {"l.gamma": [10, 10]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILLED)
def test_constants(kind: str, tmp_path: Path) -> None:
    type, settings, expected = FILLED[kind]
    graph, (said,) = read(tmp_path, data(1, 2, 3, 3) + layer(type, settings), {})
    assert constants(graph) == expected
    assert f'layer "l" ({type}): there are no weights for it' in said
    assert said.count("is filled with") == len(expected)


REFUSED = {
    "a random filler": ("Deconvolution", UP % 'type: "gaussian" std: 0.1', 'its weight_filler is "gaussian"'),
    "a filler of a fork": ("Deconvolution", UP % 'type: "identity"', 'its weight_filler is "identity"'),
    "a field of a fork": ("Deconvolution", UP % 'type: "bilinear" alpha: 2', "its weight_filler has alpha"),
    "sparse": ("Deconvolution", UP % 'type: "constant" sparse: 3', "its weight_filler has sparse"),
    "no square": (
        "Deconvolution", (UP % 'type: "bilinear"').replace("kernel_size: 4", "kernel_h: 3 kernel_w: 4"),
        "takes a square kernel, and the blob is [2, 1, 3, 4]",
    ),
    "no filler": ("Deconvolution", UP.replace("weight_filler { %s }", ""), "has no weights for it"),
    "a random bias": (
        "Deconvolution", (UP % 'type: "bilinear"').replace("bias_term: false", 'bias_filler { type: "uniform" }'),
        'its bias_filler is "uniform"',
    ),
    "defaults alone": ("Scale", "scale_param { bias_term: true bias_filler { value: 1 } }", "has no weights for it"),
    "statistics": ("BatchNorm", "", "has no weights for it"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_filled_exactly_is_refused(kind: str, tmp_path: Path) -> None:
    type, settings, sentence = REFUSED[kind]
    error = expect_refusal(tmp_path, data(1, 2, 3, 3) + layer(type, settings), {})
    assert f'layer "l" ({type}): ' in error.message and sentence in error.message


def test_a_layer_with_fewer_blobs_than_it_takes_is_refused_as_in_caffe(tmp_path: Path) -> None:
    """Net::CopyTrainedLayersFrom: "Incompatible number of blobs"."""
    settings = (UP % 'type: "bilinear"').replace("bias_term: false", "")
    error = expect_refusal(
        tmp_path, data(1, 2, 3, 3) + layer("Deconvolution", settings), {"l": [np.zeros((2, 1, 4, 4))]}
    )
    assert "has 1 blobs for it, and blob 1 is needed" in error.message


@pytest.mark.parametrize("filler", ["alpha: 2", 'type: "orthogonal"', "variance: 3 mode { deep: 1 }", "valeu: 3"])
def test_fillers_do_not_matter_where_the_weights_are_given(filler: str, tmp_path: Path) -> None:
    text = data(1, 2, 3, 3) + layer("Deconvolution", UP % filler)
    assert read(tmp_path, text, {"l": [np.ones((2, 1, 4, 4))]})[1] == []


def test_a_filler_that_is_the_value_matters(tmp_path: Path) -> None:
    text = data(2) + 'layer { name: "d" type: "DummyData" top: "k" dummy_data_param { shape { dim: 2 } '
    text += "data_filler { valeu: 2 } } }" + layer("Eltwise", "", ("data", "k"))
    assert "Caffe has no field valeu in FillerParameter" in expect_refusal(tmp_path, text, {}).message
