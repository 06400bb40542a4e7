"""Whoever follows an advice, to the letter, gets a net that compiles, and the one that was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph
from cortado.compiler.text import show
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.weights import NoWeights
from cortado.frontends.files.prototxt import parse

HEAD = 'layer { name: "i" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }\n'
OLD_HEAD = 'input: "data" input_dim: 1 input_dim: 2 input_dim: 6 input_dim: 6\n'
SETTINGS = "convolution_param { num_output: 3 kernel_size: 3 } }\n"
CONV = 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" ' + SETTINGS
RELU = 'layer { name: "r" type: "ReLU" bottom: "c" top: "r" }\n'
SOFTMAX = 'layer { name: "s" type: "Softmax" bottom: "r" top: "s" }\n'
GOOD = CONV + RELU + SOFTMAX
OLD_CONV = 'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2 weight_decay: 0 '
OLD_CONV += 'param: "w" ' + SETTINGS
OLD_RELU = 'layers { name: "r" type: RELU bottom: "c" top: "r" }\n'
OLD_SOFTMAX = 'layers { name: "s" type: SOFTMAX bottom: "r" top: "s" }\n'
OLD = OLD_CONV + OLD_RELU + OLD_SOFTMAX
QUOTED = OLD_SOFTMAX.replace("SOFTMAX", '"Softmax"')

# What is wrong, and the net that was meant.
FAULTS: dict[str, tuple[str, str]] = {
    "a stray block of 2014": (HEAD + CONV + OLD_RELU + SOFTMAX, HEAD + GOOD),
    "a stray block of 2014 with its settings": (HEAD + OLD_CONV + RELU + SOFTMAX, HEAD + GOOD),
    "a stray block of 2014 by number": (HEAD + CONV + OLD_RELU.replace("RELU", "18") + SOFTMAX, HEAD + GOOD),
    "two stray blocks of 2014": (HEAD + CONV + OLD_RELU + OLD_SOFTMAX, HEAD + GOOD),
    "a stray block of today": (OLD_HEAD + OLD_CONV + OLD_RELU + SOFTMAX, OLD_HEAD + OLD),
    "two stray blocks of today": (OLD_HEAD + OLD + "".join(
        f'layers {{ name: "{n}" type: TANH bottom: "s" top: "{n}" }}\n' for n in "xyz"
    ) + 'layer { name: "a" type: "ReLU" bottom: "x" top: "a" }\nlayer { name: "b" type: "TanH" bottom: "y" top: "b" }',
        OLD_HEAD + GOOD + "".join(
        f'layer {{ name: "{n}" type: "TanH" bottom: "s" top: "{n}" }}\n' for n in "xyz"
    ) + 'layer { name: "a" type: "ReLU" bottom: "x" top: "a" }\nlayer { name: "b" type: "TanH" bottom: "y" top: "b" }'),
    "a stray block of today that 2014 lacks": (
        OLD_HEAD + OLD + 'layer { name: "e" type: "ELU" bottom: "s" top: "e" }\n',
        OLD_HEAD + GOOD + 'layer { name: "e" type: "ELU" bottom: "s" top: "e" }\n',
    ),
    "today's file with blocks called layers": (
        OLD_HEAD + GOOD.replace("layer {", "layers {"), OLD_HEAD + GOOD,
    ),
    "a single block called layers": (
        OLD_HEAD + QUOTED.replace('"r"', '"data"'), OLD_HEAD + SOFTMAX.replace('"r"', '"data"'),
    ),
    "a quoted type in a file of 2014": (OLD_HEAD + OLD_CONV + OLD_RELU + QUOTED, OLD_HEAD + OLD),
    "a type of 2014 in today's file": (HEAD + CONV + RELU.replace('"ReLU"', "RELU") + SOFTMAX, HEAD + GOOD),
    "types of 2014 in today's file": (
        HEAD + CONV.replace('"Convolution"', "CONVOLUTION") + RELU.replace('"ReLU"', "RELU") + SOFTMAX, HEAD + GOOD,
    ),
    "a type of today in a file of 2014": (
        OLD_HEAD + OLD + 'layers { name: "e" type: ELU bottom: "s" top: "e" }\n',
        OLD_HEAD + GOOD + 'layer { name: "e" type: "ELU" bottom: "s" top: "e" }\n',
    ),
    "a type in small letters in a file of 2014": (OLD_HEAD + OLD.replace("RELU", "relu"), OLD_HEAD + OLD),
    "a type in capitals": (HEAD + CONV.replace("Convolution", "CONVOLUTION") + RELU + SOFTMAX, HEAD + GOOD),
    "an older name": (HEAD + CONV.replace("Convolution", "conv") + RELU + SOFTMAX, HEAD + GOOD),
    "a misspelled type": (HEAD + CONV.replace("Convolution", "Convoltuion") + RELU + SOFTMAX, HEAD + GOOD),
    "a misspelled field": (HEAD + CONV.replace("num_output", "num_ouput") + RELU + SOFTMAX, HEAD + GOOD),
    "a misspelled settings field": (HEAD + CONV.replace("n_param", "n_parm") + RELU + SOFTMAX, HEAD + GOOD),
    "a misspelled blob": (HEAD + CONV.replace('bottom: "data"', 'bottom: "dtaa"') + RELU + SOFTMAX, HEAD + GOOD),
    "a misspelled value": (
        HEAD + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: ave kernel_size: 2 } }',
        HEAD + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: AVE kernel_size: 2 } }',
    ),
    "an unquoted name": (HEAD + CONV + RELU.replace('"r"', "r", 1) + SOFTMAX, HEAD + GOOD),
    "both forms of sizes": (OLD_HEAD + "input_shape { dim: 1 dim: 2 dim: 6 dim: 6 }\n" + GOOD, OLD_HEAD + GOOD),
    "a shape too few": ("input: \"data\"\n" + GOOD, OLD_HEAD + GOOD),
    "random numbers": (
        'layer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } '
        'data_filler { type: "gaussian" } } }\n' + GOOD, OLD_HEAD + GOOD,
    ),
}  # fmt: skip


def read(text: str, shapes: Mapping[str, Any] | None = None) -> Graph:
    return build_graph(parse(text, "net.prototxt"), NoWeights(), shapes=shapes)


def replace_at(text: str, error: CompileError, what: str, by: str) -> str:
    """The text with the first `what` at or after the error's place replaced."""
    assert error.loc is not None
    lines = text.split("\n")
    start = sum(len(line) + 1 for line in lines[: error.loc.line - 1]) + error.loc.column - 1
    at = text.index(what, start)
    return text[:at] + by + text[at + len(what) :]


def rewritten_lines(advice: str, lines: Sequence[str], of: str) -> list[int]:
    """The lines, from 0, that an advice about blocks names."""
    listed = re.search(r"on lines? ([\d, and]+)", advice)
    if listed:
        return [int(number) - 1 for number in re.findall(r"\d+", listed[1])]
    return [i for i, line in enumerate(lines) if line.startswith(of)]


def rewrite_blocks(text: str, advice: str) -> str:
    """What `today_advice` and `v1_advice` ask for."""
    lines, renamed = text.split("\n"), re.search(r"Write `(\w+)` for `(\w+)`", advice)
    changed = rewritten_lines(advice, lines, f"{renamed[2]} {{") if renamed else range(len(lines))
    for i in changed:
        if renamed:
            assert lines[i].startswith(f"{renamed[2]} {{")
            lines[i] = lines[i].replace(renamed[2], renamed[1], 1)
        for old, new in re.findall(r'type: (\S+) as type: ("?\w+"?)', advice):
            lines[i] = re.sub(rf"type: {re.escape(old)}(?!\w)", f"type: {new}", lines[i])
        for field in re.findall(r"blobs_lr|weight_decay", advice):
            lines[i] = re.sub(rf"{field}: \d+ ", "", lines[i])
        if "param { name" in advice:
            lines[i] = re.sub(r'\bparam: ("\w+")', r"param { name: \1 }", lines[i])
    return "\n".join(lines)


def follow(text: str, error: CompileError) -> tuple[str, dict[str, Any]]:
    """The text after everything that the message says has been done, and the shapes to be given."""
    advice, shapes = error.advice, {}
    for name, sizes in re.findall(r"--shape (\w+)=([\d,]*\d)", advice):
        shapes[name] = (1, 2, 6, 6) if sizes == "1,3,224,224" else tuple(map(int, sizes.split(",")))
    if shapes:
        return text, shapes
    if "`layer` for `layers`" in advice or "`layers` for `layer`" in advice or " as type: " in advice:
        text = rewrite_blocks(text, advice)
        if this := re.search(r'This one is (type: "\w+")', advice):
            assert error.loc is not None
            lines = text.split("\n")
            lines[error.loc.line - 1] = re.sub(r"type: \w+", this[1], lines[error.loc.line - 1])
            text = "\n".join(lines)
        return text, {}
    if "Keep input_shape" in advice:
        return re.sub(r"input_dim: \d+ ?", "", text), {}
    if put := re.search(r'Put it in quotes: (\w+: "(\w+)")', advice):
        return replace_at(text, error, put[2], f'"{put[2]}"'), {}
    if write := re.search(r"Write (\w+): (\S+?)\.( |$)", advice):
        assert error.loc is not None
        lines = text.split("\n")
        lines[error.loc.line - 1] = re.sub(
            rf"\b{write[1]}: \S+", f"{write[1]}: {write[2]}", lines[error.loc.line - 1], count=1
        )
        return "\n".join(lines), {}
    if meant := re.search(r"[Dd]id you mean (\S+?)\?", f"{error.message} {advice}"):
        wrong = re.search(r'(?:no field|layer type|the blob) "?(\w+)', error.message)
        assert wrong is not None
        return replace_at(text, error, wrong[1], meant[1]), {}
    raise AssertionError(f"nothing to follow in {error}")


@pytest.mark.parametrize("kind", FAULTS)
def test_following_the_advice_leads_to_the_net_that_was_meant(kind: str) -> None:
    text, meant = FAULTS[kind]
    with pytest.raises(CompileError) as caught:
        read(text)
    assert not hasattr(caught.value, "errors"), f"one message:\n{caught.value}"
    mended, shapes = follow(text, caught.value)
    assert show(read(mended, shapes)) == show(read(meant)), mended
