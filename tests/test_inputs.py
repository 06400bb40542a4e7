"""Inputs at the top of a file, as Caffe's UpgradeNetInput takes them (util/upgrade_proto.cpp)."""

from __future__ import annotations

from typing import Any

import pytest

from cortado.compiler.errors import CompileError
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.weights import NoWeights
from cortado.frontends.files.prototxt import parse

from .small_nets import data, layer

DIMS = "input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4 "
SHAPE = "input_shape { dim: 1 dim: 2 dim: 4 dim: 4 } "
SIZES = (1, 2, 4, 4)
TAKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "input and input_dim": ('input: "data" ' + DIMS + layer("ReLU"), {"data": SIZES}),
    "input and input_shape": ('input: "data" ' + SHAPE + layer("ReLU"), {"data": SIZES}),
    "an Input layer": (data(*SIZES) + layer("ReLU"), {"data": SIZES}),
    "an input without sizes, and its Input layer": ('input: "data" ' + data(*SIZES) + layer("ReLU"), {"data": SIZES}),
    "the same behind the layers": (data(*SIZES) + layer("ReLU") + 'input: "data" ', {"data": SIZES}),
    "the same of a data layer": (
        'input: "data" layer { name: "m" type: "MemoryData" top: "data" top: "label" memory_data_param '
        "{ batch_size: 1 channels: 2 height: 4 width: 4 } }" + layer("ReLU"),
        {"data": SIZES},
    ),
    "the same of a constant": (
        'input: "k" ' + data(2) + 'layer { name: "d" type: "DummyData" top: "k" dummy_data_param { shape { dim: 2 } } }'
        + layer("Eltwise", "", ("data", "k")),
        {"data": (2,)},
    ),
    "an input without sizes that nobody reads": ('input: "im_info" ' + data(2) + layer("ReLU"), {"data": (2,)}),
    "sizes without an input, beside an Input layer": (DIMS + data(2) + layer("ReLU"), {"data": (2,)}),
    "shapes without an input, beside an Input layer": (SHAPE + data(2) + layer("ReLU"), {"data": (2,)}),
    "more sizes than inputs": ('input: "data" ' + DIMS + DIMS + layer("ReLU"), {"data": SIZES}),
    "more shapes than inputs": ('input: "data" ' + SHAPE + SHAPE + layer("ReLU"), {"data": SIZES}),
    "both forms for two inputs": (
        'input: "more" input_shape { dim: 2 } ' + data(2) + layer("Eltwise", "", ("data", "more")),
        {"more": (2,), "data": (2,)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAKEN)
def test_what_caffe_takes(kind: str) -> None:
    text, inputs = TAKEN[kind]
    said = list[str]()
    graph = build_graph(parse(text, "net.prototxt"), NoWeights(), warn=said.append)
    assert {v.name: v.type.dims for v in graph.inputs} == inputs
    assert len(said) == (kind.startswith(("more", "sizes", "shapes"))), "what is dropped is said"


REFUSED = {
    "two makers of a blob": ('input: "data" ' + SHAPE + data(2) + layer("ReLU"), "declared twice"),
    "a maker in the net": ('input: "y" ' + SHAPE + data(2) + layer("ReLU"), '"y" is already made by the input "y"'),
    "no sizes at all": ('input: "data" ' + layer("ReLU"), 'the input "data" has no shape'),
    "sizes, and no input": (DIMS + layer("ReLU"), "0 inputs, and 1 shape (input_dim)"),
    "an input too few": ('input: "x" ' + SHAPE + SHAPE + layer("Eltwise", "", ("x", "z")), "1 input, and 2 shapes"),
    "a shape too few": ('input: "data" input: "b" ' + SHAPE + layer("ReLU"), "2 inputs, and 1 shape"),
    "five sizes": ('input: "data" input_dim: 1 ' + DIMS + layer("ReLU"), "each input has four input_dim"),
    "both": ('input: "data" ' + DIMS + SHAPE + layer("ReLU"), "input_dim and input_shape are both given"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(kind: str) -> None:
    text, sentence = REFUSED[kind]
    with pytest.raises(CompileError) as caught:
        build_graph(parse(text, "net.prototxt"), NoWeights())
    assert sentence in caught.value.message and caught.value.advice
    assert not hasattr(caught.value, "errors"), "one message"


def test_a_shape_can_be_given_for_what_is_stripped() -> None:
    text = 'input: "data" ' + data(*SIZES) + layer("ReLU")
    graph = build_graph(parse(text), NoWeights(), shapes={"data": (3, 2, 4, 4)})
    assert [v.type.dims for v in graph.inputs] == [(3, 2, 4, 4)]
