"""`--to caffe`: what is written reads as the same net, bit by bit, for cortado, protobuf's parser, and OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cortado
from cortado import driver
from cortado.compiler.errors import CompileError, Loc
from cortado.compiler.ir import Graph
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.text import parse
from cortado.exporters.caffe.proof import find_difference
from cortado.frontends.files import caffemodel, prototxt
from cortado.frontends.files.message import Message
from cortado.frontends.files.protobuf import has_own_numbers
from cortado.frontends.files.prototxt_writer import show_message
from cortado.frontends.files.schema import FieldType, descriptor, field_types, message_class
from cortado.version import VERSION

from .small_nets import data
from .test_goldens import CASES, GoldenCase


def official(text: str) -> Any:
    """A NetParameter, as protobuf's own parser reads it."""
    return text_format.Parse(text, message_class("NetParameter")())


def evaluate(graph: Graph, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return evaluate_blobs(graph, {v.name: inputs[v.name] for v in graph.inputs})


def write(folder: Path, text: str, weights: Any = None, **options: Any) -> str:
    """The prototxt that is written for a text."""
    (folder / "given.prototxt").write_text(text)
    made = cortado.export(folder / "given.prototxt", weights, to="caffe", out=folder / "made", **options)
    written = made.paths[-1].read_text()
    assert written.startswith(f"# written by cortado {VERSION}\n")
    official(written)
    return written


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_golden_cases_are_the_same_net(path: Path, tmp_path: Path) -> None:
    """Bit by bit; writing what was written changes nothing; protobuf reads it.

    The caffemodel alone is the same net, too. Where a fork's settings are missing in it, for which other programs know
    no number, it is not read as another one.
    """
    case = GoldenCase(path)
    try:
        first = driver.read_net(path, case.weights, driver.Options(dialects=case.dialects))
    except CompileError:
        pytest.skip("refused: see test_goldens")
    made = cortado.export(path, case.weights, to="caffe", out=tmp_path / "made", dialect=case.dialects)
    *_, text = made.paths
    model = tmp_path / "made.caffemodel"
    official(text.read_text())
    options = driver.Options(dialects=case.dialects)
    assert not find_difference(first.graph, driver.read_net(text, model, options).graph)
    stored = {layer.name: layer.blobs for layer in caffemodel.read(model).layers}
    # As copies, since what BLAS computes depends on how data is aligned, and in files it is not.
    again = driver.read_net(text, lambda layer, type, i, shape: np.array(stored[layer][i].data), options)
    inputs = {name: torch.from_numpy(x) for name, x in case.inputs.items()}
    given, got = evaluate(first.graph, inputs), evaluate(again.graph, inputs)
    assert [*given] == [*got]
    for name, wanted in given.items():
        assert wanted.shape == got[name].shape
        assert wanted.contiguous().numpy().tobytes() == got[name].contiguous().numpy().tobytes(), name
    try:
        assert not find_difference(first.graph, driver.read_net(model, None, options).graph)
    except CompileError:
        assert any(has_own_numbers(layer) for layer in prototxt.read(text)["layer"])
    cortado.export(text, model, to="caffe", out=tmp_path / "twice", dialect=case.dialects)
    assert (tmp_path / "twice.prototxt").read_text() == text.read_text()
    assert (tmp_path / "twice.caffemodel").read_bytes() == model.read_bytes()


V0 = """
name: "old" input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "c" type: "conv" num_output: 3 kernelsize: 3 blobs_lr: 1 blobs_lr: 2 } bottom: "pad" top: "c" }
layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }
"""
V1 = """
name: "old" input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2 param: "w"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 } include { phase: TEST } }
layers { name: "r" type: RELU bottom: "c" top: "c" }
layers { name: "t" type: RELU bottom: "c" top: "t" include { phase: TRAIN } }
"""
UPGRADED = """\
name: "old"
layer {{
  name: "data"
  type: "Input"
  top: "data"
  input_param {{
    shape {{
      dim: 1
      dim: 2
      dim: 4
      dim: 4
    }}
  }}
}}
layer {{
  name: "c"
  type: "Convolution"
  bottom: "data"
  top: "c"
  param {{
{0}    lr_mult: 1.0
  }}
  param {{
    lr_mult: 2.0
  }}
  convolution_param {{
    num_output: 3
    kernel_size: 3
    pad: 1
  }}
}}
layer {{
  name: "r"
  type: "ReLU"
  bottom: "c"
  top: "c"
}}
"""


@pytest.mark.parametrize(("old", "more"), [(V0, ""), (V1, '    name: "w"\n')], ids=["V0", "V1"])
def test_older_formats_are_upgraded(old: str, more: str, tmp_path: Path) -> None:
    written = write(tmp_path, old, lambda layer, type, index, shape: np.ones(shape, np.float32))
    assert written == f"# written by cortado {VERSION}\n" + UPGRADED.format(more)
    (layer, *others) = [l for l in caffemodel.read(tmp_path / "made.caffemodel").layers if l.blobs]
    assert others == [] and (layer.name, layer.type) == ("c", "Convolution")
    assert [(b.shape, b.legacy) for b in layer.blobs] == [((3, 2, 3, 3), False), ((3,), False)]


def test_legacy_shapes_doubles_and_halves_are_float32_in_shapes_of_today(tmp_path: Path) -> None:
    """The numbers are those that the reader gives the compiler: a double is rounded, a half is exact."""
    net = message_class("NetParameter")()
    layer: Any = net.layer.add(name="fc", type="InnerProduct")  # type: ignore[attr-defined]
    layer.blobs.add(num=1, channels=1, height=2, width=3).double_data.extend([0.1, 2, 3, 4, 5, 6])
    halves = np.array([0.1, 7], np.float16)
    layer.blobs.add(num=1, channels=1, height=1, width=2, raw_data_type=2, raw_data=halves.tobytes())
    (tmp_path / "given.caffemodel").write_bytes(net.SerializeToString())
    text = data(1, 3) + 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "y" ' \
        "inner_product_param { num_output: 2 } }"  # fmt: skip
    write(tmp_path, text, tmp_path / "given.caffemodel")
    (stored,) = [l.blobs for l in caffemodel.read(tmp_path / "made.caffemodel").layers if l.blobs]
    assert [b.data.dtype for b in stored] == [np.float32] * 2 and [b.shape for b in stored] == [(2, 3), (2,)]
    assert stored[0].data.reshape(-1).tolist() == np.array([0.1, 2, 3, 4, 5, 6], np.float32).tolist()
    assert stored[1].data.tolist() == halves.astype(np.float32).tolist()


def test_shared_and_filled_blobs_are_in_the_file(tmp_path: Path) -> None:
    """Caffe looks for all blobs of a layer, so a file has them even where the original's reader did not need them."""
    text = (
        data(1, 2, 4, 4)
        + """
        layer { name: "a" type: "Convolution" bottom: "data" top: "a" param { name: "w" }
          convolution_param { num_output: 2 kernel_size: 1 bias_term: false } }
        layer { name: "b" type: "Convolution" bottom: "a" top: "b" param { name: "w" }
          convolution_param { num_output: 2 kernel_size: 1 bias_term: false } }
        layer { name: "up" type: "Deconvolution" bottom: "b" top: "up" convolution_param { num_output: 2 group: 2
          kernel_size: 4 stride: 2 pad: 1 bias_term: false weight_filler { type: "bilinear" } } }"""
    )
    net = message_class("NetParameter")()
    layer: Any = net.layer.add(name="a", type="Convolution")  # type: ignore[attr-defined]
    blob = layer.blobs.add(data=[1, 2, 3, 4])
    blob.shape.dim.extend([2, 2, 1, 1])
    (tmp_path / "given.caffemodel").write_bytes(net.SerializeToString())
    write(tmp_path, text, tmp_path / "given.caffemodel")
    stored = {l.name: [b.data.reshape(-1).tolist() for b in l.blobs] for l in
              caffemodel.read(tmp_path / "made.caffemodel").layers if l.blobs}  # fmt: skip
    assert stored["a"] == stored["b"] == [[1, 2, 3, 4]]
    assert stored["up"][0][:4] == [0.0625, 0.1875, 0.1875, 0.0625]  # 0.25 · 0.25, 0.75 · 0.25


def test_data_layers_become_inputs(tmp_path: Path) -> None:
    text = """
        layer { name: "d" type: "Data" top: "data" top: "label" data_param { batch_size: 2 }
          transform_param { crop_size: 4 force_color: true scale: 0.5 } include { phase: TEST } }
        layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN } }
        layer { name: "r" type: "ReLU" bottom: "data" top: "r" }"""
    (tmp_path / "given.prototxt").write_text(text)
    made = cortado.export(tmp_path / "given.prototxt", to="caffe", out=tmp_path / "made")
    net = official(made.paths[0].read_text())
    assert [(l.name, l.type, [*l.top]) for l in net.layer] == [("d", "Input", ["data"]), ("r", "ReLU", ["r"])]
    assert [[*s.dim] for s in net.layer[0].input_param.shape] == [[2, 3, 4, 4]]
    assert len(made.notes) == 1 and "transform_param" in made.notes[0]


def test_a_net_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="there is no layer to write"):
        write(tmp_path, 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { batch_size: 2 } }')


def test_the_shape_that_is_given_is_written(tmp_path: Path) -> None:
    text = data(1, 3, 8, 8) + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    net = official(write(tmp_path, text, shapes={"data": (2, 3, 5, 7)}))
    assert [[*s.dim] for s in net.layer[0].input_param.shape] == [[2, 3, 5, 7]]
    with pytest.raises(CompileError, match="fixed sizes"):
        write(tmp_path, text, shapes={"data": ("?2", 3, 5, 7)})


def test_what_a_fork_has_is_written_and_told(tmp_path: Path) -> None:
    text = (
        data(1, 4, 4, 4)
        + """
        layer { name: "s" type: "ShuffleChannel" bottom: "data" top: "s" shuffle_channel_param { group: 2 } }
        layer { name: "p" type: "Pooling" bottom: "s" top: "p" engine: "MKL2017"
          pooling_param { kernel_size: 2 stride: 2 ceil_mode: false } }"""
    )
    (tmp_path / "given.prototxt").write_text(text)
    made = cortado.export(tmp_path / "given.prototxt", to="caffe", out=tmp_path / "made")
    written = made.paths[0].read_text()
    assert "group: 2" in written and "ceil_mode: false" in written
    assert "engine" not in written  # of a fork, and without effect
    assert made.notes == (
        'BVLC\'s Caffe has no layer type ShuffleChannel: "s"',
        'BVLC\'s Caffe has no field ceil_mode of PoolingParameter: "p"',
    )


def test_a_field_that_says_what_the_layer_is_stays(tmp_path: Path) -> None:
    """A filler has no effect, but by its filler NVCaffe's BatchNorm is known, which has two blobs more."""
    text = (
        data(1, 2, 4, 4)
        + """
        layer { name: "n" type: "BatchNorm" bottom: "data" top: "n"
          batch_norm_param { scale_filler { value: 1 } stats_batch_size: 32 } }"""
    )
    written = write(tmp_path, text, lambda layer, type, index, shape: np.ones(shape, np.float32))
    assert "scale_filler" in written and "stats_batch_size" not in written
    (stored,) = [l.blobs for l in caffemodel.read(tmp_path / "made.caffemodel").layers if l.blobs]
    assert len(stored) == 5


def test_a_caffemodel_without_a_forks_settings_is_no_net(tmp_path: Path) -> None:
    """Where it would be read alone, a ReLU without its maximum would be another layer."""
    text = (
        data(1, 2, 4, 4)
        + """
        layer { name: "r" type: "ReLU" bottom: "data" top: "r" relu_param { maximum: 6 } }"""
    )
    write(tmp_path, text, lambda layer, type, index, shape: np.ones(shape, np.float32))
    with pytest.raises(CompileError):
        driver.read_net(tmp_path / "made.caffemodel", None, driver.Options(shapes={"data": (1, 2, 4, 4)}))


def test_a_dialect_whose_caffe_has_no_input_layers_keeps_its_inputs(tmp_path: Path) -> None:
    """With Input layers, the file would be BVLC's, whose Crop has another offset."""
    text = """
        input: "data" input_dim: 1 input_dim: 1 input_dim: 9 input_dim: 9
        layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 3 stride: 1 } }
        layer { name: "c" type: "Crop" bottom: "data" bottom: "p" top: "c" }"""
    written = write(tmp_path, text, dialect="hed")
    assert "input_dim: 9" in written and "Input" not in written


PARTS = (
    data(1, 2, 4, 4)
    + data(1, 2, 2, 2, name="side")
    + """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "cut" type: "Slice" bottom: "conv" top: "left" top: "right" slice_param { axis: 3 } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "side" top: "sum" }
layer { name: "fc" type: "InnerProduct" bottom: "sum" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" concat_param { axis: 3 } }
"""
)


def random_weights(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([len(layer), index]).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("start", "inputs", "layers"),
    [
        ("conv", ["conv", "side"], ["cut", "sum", "fc", "both"]),
        ("sum", ["sum", "data"], ["conv", "relu", "cut", "fc", "both"]),
        ("right", ["right", "data", "side"], ["conv", "relu", "cut", "sum", "fc", "both", "silence"]),
    ],
)
def test_a_net_can_start_at_an_inner_blob(start: str, inputs: list[str], layers: list[str], tmp_path: Path) -> None:
    """As `compile --start-at` does it; a top that nobody reads any more is silenced, for it would be an output."""
    net = official(write(tmp_path, PARTS, random_weights, start_at=start))
    assert [l.name for l in net.layer if l.type == "Input"] == inputs
    assert [l.name for l in net.layer if l.type != "Input"] == layers
    options = driver.Options(start_at=(start,))
    whole = driver.read_net(tmp_path / "given.prototxt", random_weights, options).graph
    assert not find_difference(whole, driver.read_net(tmp_path / "made.prototxt", tmp_path / "made.caffemodel").graph)


def test_where_a_net_cannot_start(tmp_path: Path) -> None:
    for start, told in (("conv.0", "overwrites in place"), ("nothing", "no value"), ("data", "no layer computes")):
        with pytest.raises(CompileError, match=told):
            write(tmp_path, PARTS, random_weights, start_at=start)


def test_outputs_that_are_asked_for(tmp_path: Path) -> None:
    """Only the layers that they need; what is left over is no output, and one that is read is told."""
    net = official(write(tmp_path, PARTS, random_weights, outputs=("left", "sum")))
    assert [l.name for l in net.layer] == ["data", "side", "conv", "relu", "cut", "sum", "silence"]
    assert [*net.layer[-1].bottom] == ["right"]
    made = cortado.export(tmp_path / "given.prototxt", to="caffe", out=tmp_path / "made", outputs=("conv", "fc"))
    assert made.notes == ('"conv" is read by layers, so that Caffe does not count it as an output',)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("slope=0.5", "slope=0.25", "r = relu(...)"),
        ("y = add(r, c)", "y = add(c, r)", "y = add(...)"),
        ("return y", "return y, r", "the output r"),
        ("return y", "return r", "the output y"),
        ("conv(x, w)", "conv(x, v)", "c = conv(...)"),
        ("x: f32[1,2,4,4]", "x: f32[1,2,4,5]", "the input x"),
        ("r = relu", "t = tanh(c)\n    r = relu", "r = relu(...)"),
        ("return y", "t = tanh(c)\n    return y", "1 inputs and 4 operators, not 1 and 3"),
    ],
)
def test_another_graph_is_told(old: str, new: str, told: str) -> None:
    text = """
net n(x: f32[1,2,4,4]) {
    weight w: f32[1,2,1,1] = [1, 2]
    weight v: f32[1,2,1,1] = [1, 2.0000002]
    c = conv(x, w)
    r = relu(c, slope=0.5)
    y = add(r, c)
    return y
}
"""
    assert find_difference(parse(text), parse(text)) == ""
    assert find_difference(parse(text), parse(text.replace(old, new))) == told


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "float": st.floats(width=32),
    "double": st.floats(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
}
ALL_TYPES = sorted({m.name for m in descriptor("NetParameter").file.message_types_by_name.values()})


def values_of(type: FieldType, depth: int) -> st.SearchStrategy[Any]:
    if type.message:
        return messages(type.message, depth - 1)
    if type.type == "enum":
        return st.sampled_from(sorted(type.numbers))
    return SCALARS["string" if type.type == "bytes" else type.type]


def messages(type: str, depth: int = 2) -> st.SearchStrategy[Message]:
    """Messages with some of their fields, nested at most `depth` deep."""
    fields = {name: kind for name, kind in field_types(type).items() if not kind.message or depth > 0}
    required = {name: kind for name, kind in fields.items() if kind.required}
    lists = {
        name: st.lists(values_of(kind, depth), min_size=1, max_size=3 if kind.repeated else 1).map(tuple)
        for name, kind in fields.items()
    }
    few = st.sets(st.sampled_from(sorted(fields)), max_size=5) if fields else st.just(set[str]())
    return few.flatmap(
        lambda names: st.fixed_dictionaries({name: lists[name] for name in sorted({*names, *required})})
    ).map(lambda values: Message(type, Loc("", 1, 1), "", values))


def plain(message: Message) -> Any:
    """The values of a message, which compare as equal if NaN is where NaN was, and -0.0 where that was."""
    return {
        name: [plain(v) if isinstance(v, Message) else repr(v) for v in values]
        for name, values in message.values.items()
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('say "hi"\\', r'"say \"hi\"\\"'),
        ("a\n\tb\r", r'"a\n\tb\r"'),
        ("\x017\x7f", r'"\0017\177"'),  # three digits: the next character may be one, too
        ("\x85", r'"\302\205"'),
        ("größe → ∞", '"größe → ∞"'),
    ],
)
def test_texts_are_escaped(value: str, shown: str) -> None:
    message = Message("LayerParameter", Loc("", 1, 1), "", {"name": (value,)})
    assert show_message(message) == f"name: {shown}\n"
    assert prototxt.parse(show_message(message), type="LayerParameter")["name"] == value
    read: Any = text_format.Parse(f"name: {shown}", message_class("LayerParameter")())
    assert read.name == value


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ALL_TYPES).flatmap(messages))
def test_any_message_reads_back(message: Message) -> None:
    """By our reader and by protobuf's, all fields and values: escapes, floats of float32, empty blocks."""
    assume(not {"layer", "layers"} <= message.values.keys())  # which is refused: generations.py
    text = show_message(message)
    if not text:
        return
    again = prototxt.parse(text, type=message.type)
    assert plain(again) == plain(message) and not again.unknown
    assert show_message(again) == text
    read = text_format.Parse(text, message_class(message.type)())
    require_equal(message, read)


def require_equal(message: Message, read: Any) -> None:
    assert {f.name for f, _ in read.ListFields()} == {*message.values}
    for name, values in message.values.items():
        kind, found = field_types(message.type)[name], getattr(read, name)
        for value, other in zip(values, found if kind.repeated else [found], strict=True):
            if kind.message:
                require_equal(value, other)
            elif kind.type == "enum":
                assert kind.numbers[value] == other
            else:
                assert repr(value.encode() if kind.type == "bytes" else value) == repr(other)
