"""upgrade_net_proto_text and upgrade_net_proto_binary: whole files in Caffe's current format, nothing left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from google.protobuf import text_format

from cortado.cli import main
from cortado.compiler.errors import CompileError
from cortado.driver import Options, compile_net
from cortado.frontends.caffe.upgrade_binary import upgrade_binary
from cortado.frontends.files import wire
from cortado.frontends.files.schema import message_class

V0 = """name: "old" force_backward: true
input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 6
layers { layer { name: "pad1" type: "padding" pad: 1 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 2 kernelsize: 3 blobs_lr: 1 blobs_lr: 2
  weight_filler { type: "gaussian" std: 0.01 } } bottom: "pad1" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
"""
V0_NOW = """name: "old" force_backward: true
layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 2 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
"""
V1 = """state { phase: TEST level: 3 }
layers { name: "d" type: DATA top: "data" top: "label" data_param { source: "x" batch_size: 4 scale: 0.5 mirror: true }
  include { phase: TRAIN } }
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" param: "w" param: "b" blobs_lr: 1 weight_decay: 0.5
  blob_share_mode: PERMISSIVE inner_product_param { num_output: 2 } loss_weight: 0.25
  exclude { stage: "s" min_level: 1 } }
"""
V1_NOW = """state { phase: TEST level: 3 }
layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "x" batch_size: 4 }
  transform_param { scale: 0.5 mirror: true } include { phase: TRAIN } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" loss_weight: 0.25
  param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0.5 } param { name: "b" }
  inner_product_param { num_output: 2 } exclude { stage: "s" min_level: 1 } }
"""
STATISTICS = """layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x"
  param { lr_mult: 0 } param { decay_mult: 2 } param { } }
layer { name: "bn2" type: "BatchNorm" bottom: "x" top: "x" param { lr_mult: 1 } }
"""
STATISTICS_NOW = STATISTICS.replace(
    "param { lr_mult: 0 } param { decay_mult: 2 } param { }", "param { lr_mult: 0 decay_mult: 0 } " * 3
)


def run(*words: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


def parse(text: str) -> Any:
    return text_format.Parse(text, message_class("NetParameter")())


@pytest.mark.parametrize(("old", "now"), [(V0, V0_NOW), (V1, V1_NOW), (STATISTICS, STATISTICS_NOW)])
def test_a_text_is_upgraded_as_caffe_does(old: str, now: str, tmp_path: Path) -> None:
    (tmp_path / "old.prototxt").write_text(old)
    done = run("upgrade_net_proto_text", tmp_path / "old.prototxt", tmp_path / "new.prototxt")
    assert done.stdout == f"Wrote upgraded NetParameter text proto to {tmp_path / 'new.prototxt'}\n"
    text = (tmp_path / "new.prototxt").read_text()
    assert parse(text) == parse(now)
    again = run("upgrade_net_proto_text", tmp_path / "new.prototxt", tmp_path / "again.prototxt")
    assert "File already in latest proto format" in again.stderr
    assert (tmp_path / "again.prototxt").read_text() == text


def test_fields_that_the_schema_lacks_stay(tmp_path: Path) -> None:
    """As they are written, in layers of any generation; comments go."""
    fork = 'mine_param { a: -0x1F b: "x\\ty" c: [1, 2] d { e: MAX } f { } } [my.extension]: 3.f'
    for old in (f'layers {{ name: "p" type: POOLING {fork} }}', f'layer {{ name: "p" type: "Pooling" {fork} }} # why'):
        (tmp_path / "old.prototxt").write_text(old)
        run("upgrade_net_proto_text", tmp_path / "old.prototxt", tmp_path / "new.prototxt")
        text = " ".join((tmp_path / "new.prototxt").read_text().split())
        own = 'mine_param { a: -0x1F b: "x\\ty" c: 1 c: 2 d { e: MAX } f { } } [my.extension]: 3.f'
        assert text == f'layer {{ name: "p" type: "Pooling" {own} }}'


def test_what_caffe_drops_is_told_and_the_answer_is_no(tmp_path: Path) -> None:
    (tmp_path / "old.prototxt").write_text(V0.replace('type: "relu"', 'type: "relu" num_output: 3'))
    done = run("upgrade_net_proto_text", tmp_path / "old.prototxt", tmp_path / "new.prototxt", code=1)
    assert "old.prototxt:6:" in done.stderr and "relu has no num_output" in done.stderr
    assert parse((tmp_path / "new.prototxt").read_text()) == parse(V0_NOW)


def test_inputs_without_sizes_stay_and_too_few_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.prototxt").write_text('input: "data" layer { name: "r" type: "ReLU" bottom: "data" top: "r" }')
    assert "already" in run("upgrade_net_proto_text", tmp_path / "a.prototxt", tmp_path / "b.prototxt").stderr
    assert 'input: "data"' in (tmp_path / "b.prototxt").read_text()
    (tmp_path / "a.prototxt").write_text('input: "x" input: "y" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4')
    said = run("upgrade_net_proto_text", tmp_path / "a.prototxt", tmp_path / "c.prototxt", code=2).stderr
    assert "a.prototxt:1:1: there are 2 inputs, and sizes of 1" in said and not (tmp_path / "c.prototxt").exists()


def add_blobs(layer: Any, *shapes: tuple[int, ...]) -> None:
    """Blobs as files of 2013 and 2014 have them, one of them with doubles."""
    random = np.random.default_rng(0)
    for i, (num, channels, height, width) in enumerate(shapes):
        blob = layer.blobs.add(num=num, channels=channels, height=height, width=width)
        numbers = random.normal(size=num * channels * height * width)
        (blob.data if i == 0 else blob.double_data).extend(numbers.astype("f4"))


def test_a_caffemodel_of_2013_keeps_its_blobs_and_its_numbers(tmp_path: Path) -> None:
    net = parse(V0)
    add_blobs(net.layers[1].layer, (2, 3, 3, 3), (1, 1, 1, 2))
    old, new = tmp_path / "old.caffemodel", tmp_path / "new.caffemodel"
    old.write_bytes(net.SerializeToString())
    run("upgrade_net_proto_binary", old, new)
    made: Any = message_class("NetParameter").FromString(new.read_bytes())
    assert list(made.layer[1].blobs) == list(net.layers[1].layer.blobs)
    del made.layer[1].blobs[:]
    assert made == parse(V0_NOW)
    x = np.random.default_rng(1).normal(size=(1, 3, 6, 6)).astype("f4")
    (tmp_path / "old.prototxt").write_text(V0)
    before, after = compile_net(tmp_path / "old.prototxt", old), compile_net(new, options=Options())
    assert (before.load()(data=x)["conv1"] == after.load()(data=x)["conv1"]).all()


def test_a_caffemodel_of_2014_keeps_all_that_it_says(tmp_path: Path) -> None:
    net = parse(V1)
    add_blobs(net.layers[1], (1, 1, 2, 5), (1, 1, 1, 2))
    (tmp_path / "old").write_bytes(net.SerializeToString())
    run("upgrade_net_proto_binary", tmp_path / "old", tmp_path / "new")
    made: Any = message_class("NetParameter").FromString((tmp_path / "new").read_bytes())
    assert list(made.layer[1].blobs) == list(net.layers[1].blobs)
    del made.layer[1].blobs[:]
    assert made == parse(V1_NOW)


def test_a_current_caffemodel_keeps_its_bytes(tmp_path: Path) -> None:
    """What a fork added too; but for inputs at the top and the rates of BatchNorm."""
    net = parse(STATISTICS)
    add_blobs(net.layer[0], (1, 1, 1, 4))
    foreign = wire.encode_field(9000, b"a fork's") + wire.encode_varint(9001 << 3) + b"\x07"
    data = net.SerializeToString() + wire.encode_field(100, net.layer[1].SerializeToString() + foreign) + foreign
    (tmp_path / "old").write_bytes(data)
    run("upgrade_net_proto_binary", tmp_path / "old", tmp_path / "new")
    made: Any = message_class("NetParameter").FromString((tmp_path / "new").read_bytes())
    assert (tmp_path / "new").read_bytes().count(foreign) == 2
    expected = parse(STATISTICS_NOW)
    expected.layer[0].blobs.extend(net.layer[0].blobs)
    expected.layer.append(net.layer[1])
    made.layer[2].DiscardUnknownFields()
    made.DiscardUnknownFields()
    assert made == expected
    assert "already" in run("upgrade_net_proto_binary", tmp_path / "new", tmp_path / "again").stderr
    assert (tmp_path / "again").read_bytes() == (tmp_path / "new").read_bytes()
    top = parse('input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4').SerializeToString()
    (tmp_path / "old").write_bytes(top + (tmp_path / "new").read_bytes())
    run("upgrade_net_proto_binary", tmp_path / "old", tmp_path / "inputs")
    layers = message_class("NetParameter").FromString((tmp_path / "inputs").read_bytes()).layer  # type: ignore[attr-defined]
    assert [layer.name for layer in layers] == ["input", "bn", "bn2", "bn2"]
    assert list(layers[0].input_param.shape[0].dim) == [1, 2, 3, 4]


def test_numbers_of_forks_in_older_layers_are_refused(tmp_path: Path) -> None:
    """No program could read them again: only the fork says what they are in the current format."""
    layer = parse(V1).layers[1].SerializeToString()
    (tmp_path / "old").write_bytes(wire.encode_field(2, layer + wire.encode_field(900, b"?")))
    with pytest.raises(CompileError, match=r'layer "ip" \(INNER_PRODUCT\): field 900 of V1LayerParameter is not Caffe'):
        upgrade_binary(tmp_path / "old")
    mixed = wire.encode_field(2, layer) + wire.encode_field(100, parse(V1_NOW).layer[1].SerializeToString())
    (tmp_path / "old").write_bytes(mixed)
    with pytest.raises(CompileError, match="of the current format, and others are older"):
        upgrade_binary(tmp_path / "old")
    c3d = parse('layers { name: "c" type: CONVOLUTION3D convolution_param { num_output: 1 } }')
    (tmp_path / "old").write_bytes(c3d.SerializeToString())
    with pytest.raises(CompileError, match=r'layer "c" .*'):
        upgrade_binary(tmp_path / "old")
