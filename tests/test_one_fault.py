"""One fault, one message: what follows from an error is not reported as another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado.compiler.errors import CompileError, CompileErrors
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.weights import NoWeights, WeightSource, open_weights
from cortado.frontends.files import caffemodel, prototxt

from .single_faults import NETS, faults

CHARACTERS = 150  # put in and left out, for each net
SAMPLE = 8  # one fault in so many is tried by the quick test


def errors_of(text: str, weights: WeightSource, **options: Any) -> tuple[CompileError, ...]:
    try:
        build_graph(prototxt.parse(text, "net.prototxt"), weights, **options)
    except CompileErrors as e:
        return e.errors
    except CompileError as e:
        return (e,)
    return ()


def weights_of(text: str, folder: Path) -> WeightSource:
    """A caffemodel with all blobs of the net, as zeros."""
    blobs: dict[tuple[str, str], list[np.ndarray[Any, Any]]] = {}

    def zeros(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        blobs.setdefault((layer, type), []).append(np.zeros(shape, np.float32))
        return blobs[layer, type][-1]

    build_graph(prototxt.parse(text), open_weights(zeros))
    if not blobs:
        return NoWeights()
    path = folder / "net.caffemodel"
    caffemodel.write(path, "n", [caffemodel.WrittenLayer(n, t, made, [], []) for (n, t), made in blobs.items()])
    return open_weights(path)


def expect_one_message(net: str, folder: Path, step: int) -> None:
    text = NETS[net]
    weights = weights_of(text, folder)
    assert errors_of(text, weights) == ()
    told, tried = 0, 0
    for fault in [*faults(text, seed=len(net), characters=CHARACTERS)][::step]:
        errors = errors_of(fault.text, weights)
        assert len(errors) <= 1, f"{fault.kind}:\n" + "\n\n".join(map(str, errors)) + f"\n\n{fault.text}"
        told, tried = told + len(errors), tried + 1
    assert told > tried / 2, "most faults are no nets"


@pytest.mark.parametrize("net", NETS)
def test_a_sample_of_single_faults(net: str, tmp_path: Path) -> None:
    expect_one_message(net, tmp_path, SAMPLE)


@pytest.mark.long
@pytest.mark.parametrize("net", NETS)
def test_every_single_fault(net: str, tmp_path: Path) -> None:
    expect_one_message(net, tmp_path, 1)


INPUTS = 'layer { name: "i" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } shape { dim: 2 } } }\n'
SUM = 'layer { name: "s" type: "Eltwise" bottom: "a" bottom: "b" top: "y" }\n'
KNOWN = {
    "three shapes for two tops": (
        INPUTS.replace("input_param {", "input_param { shape { dim: 3 }") + SUM,
        "has 2 tops and 3 shapes",
    ),
    "one top for two shapes": (INPUTS.replace('top: "b"', "") + SUM, "has 1 top and 2 shapes"),
    "no shapes": (INPUTS.partition("input_param")[0] + "}" + SUM, 'the inputs "a", "b" have no shape'),
    "both forms of sizes": (
        'input: "a" input: "b" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 2 input_shape { dim: 2 }\n' + SUM,
        "input_dim and input_shape are both given",
    ),
    "three input_dim": (
        'input: "a" input_dim: 1 input_dim: 1 input_dim: 2\n' + SUM.replace('bottom: "b"', 'bottom: "a"'),
        "each input has four input_dim, and 3 are given",
    ),
    "a forgotten input": (
        'input: "a" input_shape { dim: 2 } input_shape { dim: 2 }\n' + SUM,
        "1 input, and 2 shapes (input_shape)",
    ),
    "a forgotten shape": (
        'input: "a" input: "b" input_shape { dim: 2 }\n' + SUM,
        "2 inputs, and 1 shape (input_shape)",
    ),
    "the same inputs twice": (INPUTS + INPUTS + SUM, 'the inputs "a", "b" are declared twice'),
    "a misspelled size": (
        'input: "a" input: "b" input_shape { dm: 2 } input_shape { dim: 2 }\n' + SUM,
        "Caffe has no field dm in BlobShape",
    ),
    "a layer without a type": (INPUTS + SUM.replace('type: "Eltwise"', "") + SUM.replace('"y"', '"z"'), "has no type"),
    "a misspelled layer": (INPUTS + SUM.replace("layer", "laeyr") + SUM.replace('"y"', '"z"').replace('"b"', '"y"'),
        "Caffe has no field laeyr in NetParameter"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KNOWN)
def test_known_faults(kind: str) -> None:
    text, sentence = KNOWN[kind]
    (error,) = errors_of(text, NoWeights())
    assert sentence in error.message
    assert error.loc is not None


def test_a_shape_that_is_given_for_a_faulty_input_is_no_second_error() -> None:
    text, _ = KNOWN["both forms of sizes"]
    assert len(errors_of(text, NoWeights(), shapes={"a": (2,)})) == 1


def test_faults_that_do_not_follow_from_each_other_are_told_together() -> None:
    text = INPUTS + SUM + 'layer { name: "x" type: "Eltwise" bottom: "a" bottom: "nowhere" top: "x" }\n'
    text += 'layer { name: "p" type: "Polling" bottom: "y" top: "p" }\n'
    text += 'layer { name: "r" type: "ReLU" bottom: "y" top: "r" relu_param { slope: 1 } }\n'
    told = [e.loc.line for e in errors_of(text, NoWeights()) if e.loc]
    assert told == [3, 4, 5]


def test_lenient_ignores_unknown_fields_and_tells_what_is_left() -> None:
    text = INPUTS + SUM.replace("bottom", "botom", 1)
    assert [e.message for e in errors_of(text, NoWeights())] == ["Caffe has no field botom in LayerParameter"]
    (error,) = errors_of(text, NoWeights(), lenient=True)
    assert "it has 1 bottoms, and takes 2 or more" in error.message


def test_weights_that_do_not_fit_one_layer(tmp_path: Path) -> None:
    """Later blobs do not fit either, since the data have other channels; a layer without any is another matter."""
    text = NETS["today"].replace("num_output: 4 kernel", "num_output: 6 kernel")
    (error,) = errors_of(text, weights_of(NETS["today"], tmp_path))
    assert 'layer "conv" (Convolution): blob 0 is [4, 3, 3, 3]' in error.message
    renamed = text.replace('name: "scale"', 'name: "other"')
    first, second = errors_of(renamed, weights_of(NETS["today"], tmp_path))
    assert 'layer "conv"' in first.message and 'layer "other" (Scale): ' in second.message
