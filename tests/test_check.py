"""`cortado check`: each rule sees what it is for, passes over what is right, and points at the place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cortado.cli import main
from cortado.frontends.caffe.lint import findings, trace_dataflow, verdicts
from cortado.frontends.caffe.lint.backward import NEVER_IN_PLACE, TABLE, WINDOWED_TYPES, needs
from cortado.frontends.caffe.rules import State
from cortado.frontends.files.prototxt import parse, read

from .shared import ROOT, SHARED

DIGITS = ROOT / "examples" / "digits"
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 6 dim: 6 } } }\n'


def layer(name: str, type: str, bottom: str, top: str = "", more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    tops = " ".join(f'top: "{t}"' for t in (top or name).split())
    return f'layer {{ name: "{name}" type: "{type}" {bottoms} {tops} {more} }}\n'


def conv(name: str, bottom: str, more: str = "") -> str:
    settings = f"convolution_param {{ num_output: 4 kernel_size: 1 {more} }}"
    return layer(name, "Convolution", bottom, more=settings)


def list_findings(text: str, phase: str = "TEST", outputs: tuple[str, ...] = ()) -> list[str]:
    """`rule:line: message` of each finding."""
    made = findings(trace_dataflow(parse(text, "a.prototxt"), State(phase)), outputs)
    return [f"{f.rule}:{f.error.loc.line if f.error.loc else 0}: {f.error.message}" for f in made]


RULES = {
    "a bias before BatchNorm": (
        INPUT + conv("c", "data") + layer("n", "BatchNorm", "c", "c"),
        ['useless_bias:2: layer "c" (Convolution) has a bias, which layer "n" (BatchNorm) subtracts again'],
    ),
    "no bias before BatchNorm": (INPUT + conv("c", "data", "bias_term: false") + layer("n", "BatchNorm", "c", "c"), []),
    "a bias that somebody else sees": (
        INPUT + conv("c", "data") + layer("n", "BatchNorm", "c") + layer("r", "Sigmoid", "c"),
        [],
    ),
    "statistics that are trained": (
        INPUT + layer("n", "BatchNorm", "data", more="param { lr_mult: 0 } param { lr_mult: 1 } param { lr_mult: 0 }"),
        [
            'trainable_statistics:2: layer "n" (BatchNorm) lets the solver train its statistics (blob 1): '
            "their lr_mult is not 0"
        ],
    ),
    "statistics that are not": (
        INPUT + layer("n", "BatchNorm", "data", more="param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }"),
        [],
    ),
    "identity": (
        INPUT + layer("p", "Power", "data"),
        ['dead_layer:2: layer "p" (Power) does nothing: power 1, scale 1, shift 0'],
    ),
    "no identity": (INPUT + layer("p", "Power", "data", more="power_param { shift: 1 }"), []),
    "twice": (
        INPUT + conv("c", "data") + layer("r", "ReLU", "c", "c") + layer("s", "ReLU", "c", "c"),
        ['dead_layer:4: layer "s" (ReLU) does nothing: layer "r" did it already'],
    ),
    "silenced": (
        INPUT + conv("c", "data") + layer("d", "TanH", "data") + 'layer { name: "q" type: "Silence" bottom: "c" }\n',
        ['dead_layer:2: layer "c" (Convolution) makes only blobs that Silence reads'],
    ),
    "an Eltwise sum in place": (
        INPUT + conv("c", "data") + conv("d", "data") + layer("e", "Eltwise", "c d", "c"),
        ['unsafe_in_place:4: layer "e" (Eltwise) is in place: it clears its top before it reads its bottoms'],
    ),
    "an Eltwise maximum in place": (
        INPUT
        + conv("c", "data")
        + conv("d", "data")
        + layer("e", "Eltwise", "c d", "c", "eltwise_param { operation: MAX }"),
        ['unsafe_in_place:4: layer "e" (Eltwise) is in place: it clears its top before it reads its bottoms'],
    ),
    "a Backward that reads what was overwritten": (
        INPUT + conv("c", "data") + layer("s", "Sigmoid", "c", "c") + layer("d", "TanH", "c", "c"),
        [
            'unsafe_in_place:4: layer "d" (TanH) is in place, and cannot be trained so: '
            'the Backward of layer "s" (Sigmoid), whose result is overwritten, reads it'
        ],
    ),
    "an alias that changes": (
        INPUT + conv("c", "data") + layer("f", "Flatten", "c") + layer("r", "ReLU", "f", "f") + layer("t", "TanH", "c"),
        [
            'changed_alias:4: layer "r" (ReLU) is in place and changes another blob too: '
            '"f" shares its memory with "c", which "t" reads'
        ],
    ),
    "an alias that is made afterwards": (
        INPUT
        + conv("c", "data")
        + layer("r", "ReLU", "c", "c")
        + layer("f", "Flatten", "c")
        + layer("s", "Softmax", "f"),
        [],
    ),
    "training only": (
        INPUT + conv("c", "data") + layer("d", "Dropout", "c", "c"),
        ['training_only:3: layer "d" (Dropout) has an effect in training only'],
    ),
    "an input at the head": (
        'input: "data" input_dim: 1 input_dim: 4 input_dim: 6 input_dim: 6\n' + conv("c", "data"),
        ["deprecated_field:1: `input` outside a layer is deprecated"],
    ),
    "an alias of axis": (
        INPUT + layer("k", "Concat", "data data", more="concat_param { concat_dim: 1 }"),
        ['deprecated_field:2: layer "k" (Concat): concat_dim of ConcatParameter is deprecated'],
    ),
    "V1 format": (
        'input: "data" input_dim: 1 input_dim: 4 input_dim: 6 input_dim: 6\n'
        'layers { name: "r" type: RELU bottom: "data" top: "r" }\n',
        [
            "deprecated_field:1: `input` outside a layer is deprecated",
            "deprecated_field:2: `layers { type: CONVOLUTION }` is the V1 format, which Caffe upgrades on reading",
        ],
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_rule(case: str) -> None:
    text, expected = RULES[case]
    assert list_findings(text) == expected


def test_what_leads_to_no_loss_is_dead_in_a_net_for_training() -> None:
    data = 'layer { name: "data" type: "Data" top: "data" top: "label" }\n'
    text = data + conv("c", "data") + conv("dead", "data") + layer("loss", "SoftmaxWithLoss", "c label")
    assert list_findings(text, "TRAIN") == [
        'dead_layer:3: layer "dead" (Convolution) leads to no loss and to no other measure'
    ]
    assert list_findings(text.replace('"Data"', '"Input"').replace("dead", "more"))[-1].startswith("training_only:4")


def test_what_an_output_does_not_need() -> None:
    text = INPUT + conv("c", "data") + conv("d", "c")
    assert list_findings(text) == []
    assert list_findings(text, outputs=("c",)) == ['dead_layer:3: layer "d" (Convolution) is not needed for c']


VERDICTS = {
    "ReLU": ("r", "", None, None),
    "Sigmoid": ("r", "", None, None),
    "BNLL": ("r", "", None, "its Backward reads the bottom, to which exp is applied"),
    "AbsVal": ("r", "", "Caffe refuses it in place (CHECK_NE in its set-up)", None),
    "Pooling": ("r", "pooling_param { kernel_size: 2 }", "each element of its top depends on many of its bottom", None),
    "Power": ("r", "power_param { power: 2 }", None, "its Backward divides by the bottom"),
}


@pytest.mark.parametrize("type", VERDICTS)
def test_may_it_be_in_place(type: str) -> None:
    name, settings, answering, training = VERDICTS[type]
    text = INPUT + conv("c", "data") + layer(name, type, "c", more=settings)
    (_, verdict) = verdicts(trace_dataflow(parse(text), State()), {})
    assert (verdict.inference, verdict.training) == (answering, answering or training)
    assert not verdict.now and verdict.saves == (None if answering is None else 0)


def test_why_not_in_place_here() -> None:
    def why(text: str, name: str = "r") -> str | None:
        return next(v.inference for v in verdicts(trace_dataflow(parse(INPUT + text), State()), {}) if v.layer == name)

    assert why(layer("r", "ReLU", "data")) == '"data" is an input, which the next run reads again'
    elsewhere = conv("c", "data") + layer("r", "ReLU", "c") + layer("s", "TanH", "c")
    assert why(elsewhere) == '"c" is read by "s" too'
    alias = conv("c", "data") + layer("f", "Flatten", "c") + layer("r", "ReLU", "f") + layer("s", "TanH", "c")
    assert why(alias) == '"f" shares its memory with "c", which "s" reads'
    assert why(conv("c", "data") + layer("r", "ReLU", "c")) is None


def test_every_fact_is_of_one_kind() -> None:
    assert not set(TABLE) & set(NEVER_IN_PLACE) and not set(WINDOWED_TYPES) & (set(TABLE) | set(NEVER_IN_PLACE))
    text = layer("x", "ReLU", "a", more="relu_param { negative_slope: -1 }")
    (strange,) = parse(text)["layer"]
    assert needs(strange).backward is not None


def cortado(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + conv("c", "data") + layer("n", "BatchNorm", "c", "c"))
    done = cortado("check", path)
    assert done.exit_code == 1
    first = done.output.split("\n")[0]
    assert first.startswith(f'{path}:2:9: layer "c"') and first.endswith("[useless_bias]")
    assert "\n            ^\n" in done.output and "bias_term: false" in done.output
    (told,) = json.loads(cortado("check", path, "--json").output)
    assert (told["rule"], told["line"], told["column"]) == ("useless_bias", 2, 9)
    path.write_text(INPUT + conv("c", "data"))
    assert cortado("check", path).exit_code == 0
    path.write_text(INPUT + conv("c", "dota"))
    refused = cortado("check", path)
    assert refused.exit_code == 1 and "[refused]" in refused.output and "dota" in refused.output
    path.write_text(INPUT + "layer {")
    assert cortado("check", path).exit_code == 2


def test_the_command_about_in_place(tmp_path: Path) -> None:
    told = json.loads(cortado("check", "--inplace", "--json", DIGITS / "digits.prototxt").output)
    rows = {row["layer"]: row for row in told["layers"]}
    assert rows["conv1_relu"]["now"] and rows["conv1_relu"]["saves"] == 24 * 8 * 8 * 4
    assert rows["conv1_scale"]["saves"] == 0, "Caffe keeps a copy"
    assert told["could_save"] == rows["prob"]["saves"] == 40
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + conv("c", "data") + conv("d", "data") + layer("e", "Eltwise", "c d", "c"))
    wrong = cortado("check", "--inplace", path)
    assert wrong.exit_code == 1 and "wrong" in wrong.output and "it clears its top" in wrong.output


def test_published_nets() -> None:
    """Caffe's own models are in place where they may be."""
    folder = SHARED / "zoo" / "prototxt"
    if not folder.exists():
        pytest.skip("the published nets are not at hand")
    for path in sorted(folder.glob("googlenet--caffe__models*")) + sorted(folder.glob("resnet--caffe-model*")):
        flow = trace_dataflow(read(path), State("TRAIN"))
        assert not any(v.now and (v.inference or v.training) for v in verdicts(flow, {})), path
        assert not any(f.rule in ("unsafe_in_place", "changed_alias") for f in findings(flow)), path
