"""A name is suggested only where it can only mean the same: never another layer, field, value or blob."""

from __future__ import annotations

import re
from typing import Any

import pytest
from click.testing import CliRunner

from cortado.cli import main
from cortado.compiler.errors import CompileError
from cortado.compiler.suggestion import did_you_mean, suggestion
from cortado.frontends.caffe.data_layers import DATA_LAYERS
from cortado.frontends.caffe.layer import LAYERS
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.weights import NoWeights
from cortado.frontends.files.generations import V1_TYPES
from cortado.frontends.files.prototxt import parse
from cortado.frontends.files.schema import field_types

TYPES = [*LAYERS, *DATA_LAYERS, "Input"]
FIELDS = field_types("ConvolutionParameter")
BLOBS = ["data", "conv1_1", "conv4_2", "res2a", "fc7", "prob", "pool5", "inception_3a/output", "rois"]

SAME = [
    ("convolution", TYPES, "Convolution"), ("RELU", TYPES, "ReLU"), ("Relu", TYPES, "ReLU"), ("data", TYPES, "Data"),
    ("prelu", TYPES, "PReLU"), ("Elu", TYPES, "ELU"), ("INNER_PRODUCT", TYPES, "InnerProduct"), ("Tanh", TYPES, "TanH"),
    ("Convolutoin", TYPES, "Convolution"), ("Poling", TYPES, "Pooling"), ("Normalise", TYPES, "Normalize"),
    ("Deconvolutions", TYPES, "Deconvolution"), ("relu", V1_TYPES, "RELU"), ("Convolution", V1_TYPES, "CONVOLUTION"),
    ("kernelsize", FIELDS, "kernel_size"), ("kernel_sise", FIELDS, "kernel_size"), ("num_ouptut", FIELDS, "num_output"),
    ("strides", FIELDS, "stride"), ("pads", FIELDS, "pad"), ("groups", FIELDS, "group"), ("Data", BLOBS, "data"),
    ("probs", BLOBS, "prob"), ("porb", BLOBS, "prob"), ("cpuu", ["cpu", "cuda"], "cpu"), ("alyer", ["layer"], "layer"),
]  # fmt: skip
OTHER = [
    ("PRELU", V1_TYPES), ("UNPOOLING", V1_TYPES), ("LOCAL", V1_TYPES), ("BN", V1_TYPES), ("TAN", V1_TYPES),
    ("CONVOLUTION3D", V1_TYPES), ("ReLU6", TYPES), ("ROIWarping", TYPES), ("Pooling3D", TYPES), ("GELU", TYPES),
    ("ConvolutionDepthwise", TYPES), ("Unpool", TYPES), ("Local", TYPES), ("Drop", TYPES), ("", TYPES),
    ("pad_l", FIELDS), ("pad_t", FIELDS), ("pad_b", FIELDS), ("kernel_d", FIELDS), ("stride_x", FIELDS),
    ("SUB", ["PROD", "SUM", "MAX"]), ("MIN", ["PROD", "SUM", "MAX"]), ("AVERAGE", ["MAX", "AVE"]),
    ("conv1_2", BLOBS), ("conv11", BLOBS), ("conv4_3", BLOBS), ("res2b", BLOBS), ("fc8", BLOBS), ("pool5x", BLOBS),
    ("inception_3b/output", BLOBS), ("conv4_2_norm", BLOBS), ("weight", ["height"]), ("tank", ["tanh", "tang"]),
]  # fmt: skip


@pytest.mark.parametrize(("word", "known", "meant"), SAME, ids=[s[0] for s in SAME])
def test_what_can_only_be_meant(word: str, known: Any, meant: str) -> None:
    assert suggestion(word, known) == meant
    assert did_you_mean(word, known) == f"; did you mean {meant}?"


@pytest.mark.parametrize(("word", "known"), OTHER, ids=[o[0] for o in OTHER])
def test_what_may_mean_something_else(word: str, known: Any) -> None:
    """Nor would it be suggested, were cortado to lack it."""
    others = [name for name in known if name != word]
    assert (suggestion(word, others), did_you_mean(word, others)) == ("", "")


def test_the_same_letters_come_before_a_slip() -> None:
    assert suggestion("power", ["tower", "Power"]) == "Power"
    assert suggestion("softmax_loss", ["softmax_lass", "SoftmaxLoss"]) == "SoftmaxLoss"


@pytest.mark.parametrize("names", [TYPES, [*V1_TYPES]], ids=["types", "V1"])
def test_no_type_is_taken_for_a_misspelling_of_another(names: list[str]) -> None:
    """Were cortado to lack a type, that would not be suggested: names that both exist mean two things."""
    wrong = {name: suggestion(name, [n for n in names if n != name]) for name in names}
    alike = {"LSTM", "Lstm", "SeLU", "SeLu", "SeLUDropout", "SeLuDropout"}  # in another case, and both are there
    assert {name: meant for name, meant in wrong.items() if meant and name not in alike} == {}


def test_what_fits_two_types_is_neither() -> None:
    assert suggestion("lstm", TYPES) == "" and suggestion("SELU", TYPES) == ""


MESSAGES = sorted({
    field.message for message in ("LayerParameter", "V1LayerParameter") for field in field_types(message).values()
} - {""})  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_no_field_and_no_value_is_taken_for_a_misspelling_of_another(message: str) -> None:
    kinds = field_types(message)
    for names in ([*kinds], *([*kind.numbers] for kind in kinds.values())):
        wrong = {name: suggestion(name, [n for n in names if n != name]) for name in names}
        assert {name: meant for name, meant in wrong.items() if meant} == {}


def refusal(text: str) -> CompileError:
    with pytest.raises(CompileError) as caught:
        build_graph(parse(text, "net.prototxt"), NoWeights())
    return caught.value


HEAD = 'input: "data" input_shape { dim: 1 dim: 2 dim: 4 dim: 4 }\n'


@pytest.mark.parametrize("type", ["PRELU", "UNPOOLING", "LOCAL", "BATCH_NORM", "CROP", "RELU6", "ELU", "Pooling", "99"])
def test_a_v1_type_that_caffe_lacks_is_not_made_another(type: str) -> None:
    error = refusal(HEAD + f'layers {{ name: "l" type: {type} bottom: "data" top: "y" blobs_lr: 1 }}')
    assert error.loc is not None and (error.loc.line, error.loc.column) == (2, 20)
    assert f'layer "l": cortado has no layer type {type}' in error.message or f"has no {type}" in error.message
    for other in {*V1_TYPES} - {type.upper()}:
        assert not re.search(rf"type: {other}\b", error.advice)
    assert "did you mean" not in error.message or type == "Pooling"


def test_a_v1_type_that_todays_format_has() -> None:
    error = refusal(HEAD + 'layers { name: "l" type: PRELU bottom: "data" top: "y" }')
    assert error.message == (
        'layer "l": PReLU is written type: "PReLU" in a `layer` block; V1, with `layers`, has no PRELU'
    )
    assert error.advice == 'Write `layer` for `layers` everywhere. This one is type: "PReLU".'


def test_older_names_of_types_are_known() -> None:
    error = refusal(HEAD + 'layer { name: "l" type: "SOFTMAX_LOSS" bottom: "data" top: "y" }')
    assert error.message.endswith(
        "no layer type SOFTMAX_LOSS; SoftmaxWithLoss was called SOFTMAX_LOSS in Caffe's older files"
    )
    assert error.advice == 'Write type: "SoftmaxWithLoss".'
    assert refusal(HEAD + 'layer { type: "pool" bottom: "data" top: "y" }').advice == 'Write type: "Pooling".'


def test_values_of_settings() -> None:
    pool = HEAD + 'layer { type: "Pooling" bottom: "data" top: "y" pooling_param { pool: %s kernel_size: 2 } }'
    assert refusal(pool % "max").advice == "Write pool: MAX."
    assert refusal(pool % '"MAX"').advice == "Write pool: MAX."
    assert refusal(pool % "MAXX").advice == "Did you mean MAX? Write pool: MAX."
    assert refusal(pool % "AVERAGE").advice.startswith("It may be MAX, AVE, STOCHASTIC")


@pytest.mark.parametrize(
    ("option", "said"), [("--outputs", "'--output'"), ("--mean-file", None), ("--scales", "'--scale'")]
)
def test_options(option: str, said: str | None) -> None:
    done = CliRunner().invoke(main, ["compile", "net.prototxt", option, "x"])
    assert done.exit_code == 2 and f"No such option '{option}'" in done.output.replace(": -", " '-").replace(
        "\n", "'\n"
    )
    assert ("Did you mean" in done.output) == (said is not None)
    assert said is None or said.strip("'") in done.output.partition("Did you mean")[2]
