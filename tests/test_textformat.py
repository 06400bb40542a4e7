"""The text of prototxt files: what is accepted, what it means (protobuf is the judge), and what mistakes are told."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from cortado.compiler.errors import CompileError, CompileErrors
from cortado.frontends.files import prototxt, textformat
from cortado.frontends.files.message import Message
from cortado.frontends.files.schema import field_types, message_class

from .shared import SHARED

ZOO = SHARED / "zoo"
ODDITIES = r"""# every habit of the format in one text
name: 'joined ' "strings" "\t\x41\102\u00e9\"'"; force_backward: t, debug_info: 0
input: ["a", 'b'] input: "c"
input_dim: [1, 0x10, 010, - 2]; input_dim: 5
input_shape { dim: 1 } input_shape < dim: 2, dim: 3; > input_shape: { dim: [4] } input_shape: [{ dim: 6 }, <>]
state: { phase: 1 level:-0x2 stage: "x" stage: "y" }
layer { type: "Pooling" pooling_param { pool: AVE kernel_size: 3 round_mode: FLOOR } loss_weight: 1.f
  loss_weight: .5 loss_weight: 1e-3f loss_weight: -inf loss_weight: NaN loss_weight: 2.
  loss_weight: 0.1 loss_weight: 1e60 propagate_down: True propagate_down: false propagate_down: 1 propagate_down: f }
"""


def test_every_habit_of_the_format() -> None:
    net = prototxt.parse("\ufeff" + ODDITIES.replace("\n", "\r\n"))
    assert net["name"] == "joined strings\tAB\u00e9\"'"
    assert (net["force_backward"], net["debug_info"]) == (True, False)
    assert net["input"] == ("a", "b", "c")
    assert net["input_dim"] == (1, 16, 8, -2, 5)
    assert [s["dim"] for s in net["input_shape"]] == [(1,), (2, 3), (4,), (6,), ()]
    state, layer = net["state"], net["layer"][0]
    assert (state["phase"], state["level"], state["stage"]) == ("TEST", -2, ("x", "y"))
    assert layer["loss_weight"][:4] == (1.0, 0.5, pytest.approx(1e-3), -math.inf)
    assert math.isnan(layer["loss_weight"][4])
    assert layer["loss_weight"][5:] == (2.0, 0.10000000149011612, math.inf)
    assert layer["propagate_down"] == (True, False, True, False)
    assert (layer["pooling_param"]["pool"], layer["pooling_param"]["round_mode"]) == ("AVE", "FLOOR")


def test_oddities_mean_what_protobuf_says() -> None:
    text = ODDITIES.replace("- 2", "-2")  # C++ protobuf takes the space, the Python one does not
    compare(prototxt.parse(text), text_format.Parse(text, message_class("NetParameter")()))


def test_places() -> None:
    tree = textformat.parse('a: 1\n  b {\n    c: ["x",\n  2] [d.e/f]: z\n  }', "f")
    a, b = tree.fields
    assert (a.line, a.column, a.values[0].line, a.values[0].column) == (1, 1, 1, 4)
    block = b.values[0]
    assert isinstance(block, textformat.MessageBlock)
    assert (b.line, b.column, block.line, block.column) == (2, 3, 2, 5)
    c, extension = block.fields
    assert [(v.line, v.column) for v in c.values] == [(3, 9), (4, 3)]
    assert (c.is_list, extension.name, extension.line) == (True, "[d.e/f]", 4)


MISTAKES = [
    ('name: "a', "1:7: this string is not closed on its line"),
    ("layer {\n  type: 'x'\n  concat_param {\n    axis: 3\n", "3:16: this { is never closed"),
    ('layer {\n name: "a"\n\nlayer {\n name: "b"\n}\n', "1:7: this { is never closed"),
    ('layer { name: "a" } }', "1:21: this } closes nothing"),
    ("layer { name: }", "1:15: a value is missing: found } after the colon"),
    ('layer { name "a" }', '1:14: name must be followed by a colon and a value, or by {, not by "a"'),
    ('layer { type = "b" }', "1:14: did not expect = here"),
    ('layer { name: "a" > }', "1:19: did not expect > here"),
    ("name:", "1:1: the text ends in the middle of a field"),
    ("input_dim: 1abc", "1:12: this is not a number"),
    ("layer {}\n=======\n", "2:1: this is the mark of an unfinished merge"),
    ("<<<<<<< HEAD\nlayer {}", "1:1: this is the mark of an unfinished merge"),
    ("input_dim: $N", "1:12: $ marks a place to fill in: this file is a template"),
    ("// net\nlayer {}", "1:1: this is no comment here"),
    ("", "1:1: this file is empty"),
    ("\n# nothing\n", "1:1: this file is empty"),
    ("<!DOCTYPE html>\n<html>", "1:1: this is an HTML page, not a prototxt"),
    ("404: Not Found", "1:1: this is a server's error message, not a prototxt"),
    ("version https://git-lfs.github.com/spec/v1\n", "1:1: this is a Git LFS pointer, not a prototxt"),
    ("\n\x05LeNet\x12\x00\x00\x00\x01\x02", "1:1: this is binary data, not a prototxt"),
    (b'name: "caf\xe9"', "1:7: this string is not UTF-8 text"),
    (b"caf\xe9: 1", "1:4: byte 0xE9 is not UTF-8 text"),
    (b"\x89HDF\r\n\x1a\n\0\0", "1:1: this is an HDF5 file, not a prototxt"),
    ("input_dim: 1.5", "1:12: input_dim takes a whole number, not 1.5"),
    ('input_dim: "3"', '1:12: input_dim takes a whole number, not "3"'),
    ("input_dim: 08", "1:12: input_dim takes a whole number, not 08"),
    ("input_dim: 2147483648", "1:12: input_dim takes a number from -2147483648 to 2147483647, not 2147483648"),
    ("name: LeNet", "1:7: name takes a text, not LeNet"),
    ("force_backward: TRUE", "1:17: force_backward takes true or false, not TRUE"),
    ("state: 1", "1:8: state takes a block, not 1"),
    ("name { }", "1:6: name takes a text, not a block"),
    ("state { phase: Test }", "1:16: phase cannot be Test"),
    ("state { phase: 2 }", "1:16: phase cannot be 2"),
    ('name: "a"\nname: "b"', "2:1: name is given twice; it is also on line 1"),
    ('name: ["a", "b"]', "1:1: name holds a single value, not a list"),
    ("state { } state { }", "1:11: state is given twice; it is also on line 1"),
    ("layer { clip_param { min: 1 } }", "1:20: ClipParameter needs max"),
    ('net: "a"\nlr_policy: "step"', "1:1: this is a solver's prototxt, not a net"),
]


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_mistakes_are_told(text: str | bytes, told: str) -> None:
    text = textformat.decode(text) if isinstance(text, bytes) else text
    with pytest.raises(CompileError) as e:
        prototxt.parse(text, "net.prototxt")
    assert str(e.value).startswith(f"net.prototxt:{told}\n"), str(e.value)
    assert e.value.advice or "takes a number" in told or "TRUE" in told or "1.5" in told or "08" in told
    str(e.value).encode()  # can be printed, whatever bytes the file holds


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(CompileErrors) as e:
        prototxt.parse("name: 3\nlayer {\n  pooling_param { pool: MAXX }\n  bottom: data\n}\nlayer: 5\n")
    assert [m.loc.line for m in e.value.errors if m.loc] == [1, 3, 4, 6]
    assert "Write pool: MAX." in str(e.value)


def test_bytes_that_are_no_utf8_are_accepted_in_comments() -> None:
    text = textformat.decode(b'# caf\xe9\nname: "x" # \xff\n')
    assert prototxt.parse(text)["name"] == "x"


def test_unknown_fields_are_kept_and_reported() -> None:
    text = 'layer {\n  convolution_param { kernel_sise: 3 }\n  my_param { a: [1, "b"] }\n}\n[x.y]: 1'
    net = prototxt.parse(text, "f")
    assert [str(u) for part in net.walk() for u in part.unknown] == [
        "f:5:1: NetParameter has no field [x.y]",
        "f:3:3: LayerParameter has no field my_param",
        "f:2:23: ConvolutionParameter has no field kernel_sise (is kernel_size meant?)",
    ]
    (kept,) = net["layer"][0].unknown
    block = kept.field.values[0]
    assert isinstance(block, textformat.MessageBlock)
    assert [getattr(v, "text", "") for v in block.fields[0].values] == ["1", "b"]


def test_defaults_and_places_of_a_message() -> None:
    net = prototxt.parse('layer {\n  name: "c" bottom: "a"\n  bottom: "b" }', "f")
    (layer,) = net["layer"]
    conv = layer["convolution_param"]
    assert (conv["bias_term"], conv["group"], conv["kernel_size"], conv["engine"]) == (True, 1, (), "DEFAULT")
    assert conv.loc == layer.loc and "convolution_param" not in layer and "group" not in conv
    assert layer["batch_norm_param"]["moving_average_fraction"] == 0.9990000128746033  # as a float32
    assert (str(layer.loc), str(layer.loc_of("bottom", 1)), str(layer.loc_of("top"))) == ("f:1:7", "f:3:3", "f:1:7")
    assert layer.written == ("name", "bottom")
    with pytest.raises(KeyError):
        layer["kernel_size"]
    told = str(layer.fault("no blob is called b", "bottom", "Write it.", index=1))
    assert told == 'f:3:3: no blob is called b\n      bottom: "b" }\n      ^\nWrite it.'


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="No such file"):
        prototxt.read(tmp_path / "deploy.prototxt")
    with pytest.raises(CompileError, match="directory"):
        prototxt.read(tmp_path)


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    for text in ("a {" * 5000, "a {" * 101 + "}" * 101):
        with pytest.raises(CompileError, match="nested deeper than 100"):
            textformat.parse(text)
    textformat.parse("a {" * 100 + "}" * 100)


PIECES = [
    "layer {",
    "}",
    "{",
    "<",
    ">",
    "name:",
    '"x"',
    "'",
    "1",
    "-",
    ".5e",
    "[",
    "]",
    ",",
    ";",
    "#",
    "\n",
    " ",
    "\x00",
    "=",
    "\udcff",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12))
def test_any_text_is_a_net_or_a_complaint(pieces: list[str]) -> None:
    try:
        prototxt.parse("".join(pieces))
    except CompileError as e:
        str(e)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=30), st.sampled_from("'\""))
def test_strings_mean_what_protobuf_says(text: str, quote: str) -> None:
    written = re.sub(r"[\\\n\r'\"\x00-\x1f\x7f]", lambda c: f"\\{ord(c[0]):03o}", text)
    assert prototxt.parse(f"name: {quote}{written}{quote}")["name"] == text


def published_files() -> list[Path]:
    if not ZOO.exists():
        return []
    index = json.loads((ZOO / "index.json").read_text())
    return [ZOO / "prototxt" / f"{entry['name']}.prototxt" for entry in index if not entry["template"]]


@pytest.mark.skipif(not ZOO.exists(), reason="the published files are not here")
def test_published_files_mean_what_protobuf_says() -> None:
    compared = 0
    for path in sorted(published_files(), key=lambda p: p.stat().st_size)[
        ::12
    ]:  # all 744 agree; a twelfth is enough each time
        text = textformat.decode(path.read_bytes())
        try:
            theirs = text_format.Parse(text, message_class("NetParameter")())
        except text_format.ParseError:  # another fork's field: ours keeps it
            textformat.parse(text)
            continue
        compare(prototxt.read(path), theirs)
        compared += 1
    assert compared > 40


@pytest.mark.skipif(not ZOO.exists(), reason="the published files are not here")
def test_the_longest_published_file_is_read_quickly() -> None:
    text = textformat.decode(max(published_files(), key=lambda p: p.stat().st_size).read_bytes())
    textformat.parse("a: 1")
    start = time.process_time()
    textformat.parse(text)
    assert time.process_time() - start < 2  # about 0.3 s on a free machine


def compare(ours: Message, theirs: Any, path: str = "net") -> None:
    """Every field of the schema, whether it was written, its values and their Python types."""
    for name, kind in field_types(ours.type).items():
        here = f"{path}.{name}"
        mine, other = ours[name], getattr(theirs, name)
        if not kind.repeated:
            assert (name in ours) == theirs.HasField(name), here
            if kind.message and name not in ours:
                continue
            mine, other = (mine,), (other,)
        assert len(mine) == len(other), here
        for a, b in zip(mine, other, strict=True):
            if kind.message:
                compare(a, b, here)
            elif kind.type == "enum":
                assert kind.numbers[a] == b, here
            else:
                assert type(a) is type(b) and (a == b or (a != a and b != b)), (here, a, b)
