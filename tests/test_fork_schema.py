"""--proto: a fork's files are read with the numbers, types and defaults of its own caffe.proto, which decides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from google.protobuf import text_format

import cortado
from cortado.cli import main
from cortado.compat import opencv
from cortado.compat import pycaffe as caffe
from cortado.compiler.errors import CompileError
from cortado.driver import Options, read_net
from cortado.frontends.files import prototxt
from cortado.frontends.files.fork_schema import ForkSchema, read_fork_schema
from cortado.frontends.files.proto_language import parse_proto
from cortado.frontends.files.schema import CAFFE, file_descriptor, message_class

from .shared import ROOT

# Numbers collide with Caffe's: a convolution's settings are where Caffe has those of InnerProduct, and the other way.
FORK = """// a fork's, as people write them
syntax = 'proto2'; package forked;
import "nothing.proto";
option java_package = "x.y";
/* block
   comment */
message Shape { repeated int64 dim = 1 [packed=true]; }
message BlobProto {
  optional Shape shape = 9; repeated float data = 2 [packed = true, deprecated = false];
  extensions 100 to max;
}
message NetParameter {
  optional string name = 5;
  repeated LayerParameter layer = 1;
}
message LayerParameter {
  optional string name = 10; optional string type = 11; repeated string bottom = 12; repeated string top = 13;
  repeated BlobProto blobs = 14;
  optional InputSettings input_param = 100;
  optional ConvolutionParameter convolution_param = 117;
  optional Dense inner_product_param = 106;
  optional PoolingParameter pooling_param = 0x79;
  optional ReLUParameter relu_param = 3;
  optional GlowParameter glow_param = 4;
  optional LRNParameter lrn_param = 6;
  optional ConcatParameter concat_param = 8;
  oneof choice { float only_here = 7; bool nor_that = 15; }
}
message InputSettings { repeated Shape shape = 7; }
message ConvolutionParameter {
  optional uint32 num_output = 2; optional uint32 kernel_size = 1; optional bool bias_term = 3; reserved 9, 11 to 15;
  optional uint32 stride = 4 [default = 1];
}
message Dense { optional fixed32 num_output = 3; optional bool bias_term = 1 [default = false]; }
message PoolingParameter {
  enum Method { option allow_alias = true; AVE = 0; MAX = 1; MEDIAN = 2; MIDDLE = 2; NEGATIVE = -1; }
  optional Method pool = 3 [default = AVE];
  optional uint32 kernel_size = 2; optional uint32 stride = 1 [default = 2];
}
message ReLUParameter {
  optional float negative_slope = 5 [default = 5e-1]; optional double glow = 6 [default = -1.5f];
}
message GlowParameter { required int32 level = 1; optional GlowParameter deeper = 2; }
message LRNParameter {
  optional float local_size = 1 [default = 5]; repeated float alpha = 2; optional string beta = 3;
}
message ConcatParameter { repeated int32 axis = 2; }
"""
NET = """name: "n"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3 kernel_size: 3 CONV } }
layer { name: "r" type: "ReLU" bottom: "c" top: "r" RELU }
layer { name: "p" type: "Pooling" bottom: "r" top: "p" pooling_param { kernel_size: 2 POOL } }
layer { name: "d" type: "InnerProduct" bottom: "p" top: "d" inner_product_param { num_output: 2 DENSE } }
"""


def without_places(text: str) -> str:
    """The net without the words that a test has not replaced."""
    for word in ("CONV", "RELU", "POOL", "DENSE"):
        text = text.replace(f" {word}", "")
    return text


PLAIN = without_places(NET)
CAFFES = (  # the same net for Caffe, which has other defaults
    NET.replace("CONV", "bias_term: false")
    .replace("RELU", "relu_param { negative_slope: 0.5 }")
    .replace("POOL", "pool: AVE stride: 2")
    .replace("DENSE", "bias_term: false")
)
WEIGHTS = {"c": (3, 2, 3, 3), "d": (2, 12)}
X = np.random.default_rng(2).normal(size=(1, 2, 6, 6)).astype("f4")


@pytest.fixture
def fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForkSchema:
    monkeypatch.chdir(tmp_path)
    Path("fork.proto").write_text(FORK)
    return read_fork_schema("fork.proto")


def serialize(text: str, made: Any) -> bytes:
    """A net in text as the bytes of a message, with weights."""
    net, random = text_format.Parse(text, made), np.random.default_rng(1)
    for layer in net.layer:
        if layer.name in WEIGHTS:
            blob = layer.blobs.add()
            blob.shape.dim.extend(WEIGHTS[layer.name])
            blob.data.extend(random.normal(size=np.prod(WEIGHTS[layer.name])).astype("f4"))
    data: bytes = net.SerializeToString()
    return data


def run(*words: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


def expected() -> np.ndarray:
    Path("caffes.prototxt").write_text(CAFFES)
    Path("caffes.caffemodel").write_bytes(serialize(CAFFES, message_class("NetParameter")()))
    found: np.ndarray = cortado.compile("caffes.prototxt", "caffes.caffemodel")(x=X)["d"]
    return found


def test_a_forks_files_are_read_with_its_numbers_and_defaults(fork: ForkSchema) -> None:
    """A prototxt with its caffemodel, and the caffemodel alone; without the file both are refused."""
    Path("n.prototxt").write_text(PLAIN)
    Path("n.caffemodel").write_bytes(serialize(PLAIN, fork.own.message_class("NetParameter")()))
    wanted = expected()
    np.testing.assert_array_equal(cortado.compile("n.prototxt", "n.caffemodel", proto="fork.proto")(x=X)["d"], wanted)
    np.testing.assert_array_equal(cortado.compile("n.caffemodel", proto="fork.proto")(x=X)["d"], wanted)
    net = caffe.Net("n.prototxt", caffe.TEST, weights="n.caffemodel", proto="fork.proto")
    np.testing.assert_array_equal(net.forward(x=X)["d"], wanted)
    net.params["d"][0].data[...] = 0
    net.copy_from("n.caffemodel")
    np.testing.assert_array_equal(net.forward(x=X)["d"], wanted)
    contents = [Path(name).read_bytes() for name in ("n.prototxt", "n.caffemodel")]
    other = opencv.readNetFromCaffe(*contents, proto="fork.proto")
    other.setInput(X)
    np.testing.assert_array_equal(other.forward(), wanted)
    for files in (("n.prototxt", "n.caffemodel"), ("n.caffemodel",)):
        with pytest.raises(CompileError):
            cortado.compile(*files)


def test_the_given_numbers_of_an_enum_decide(fork: ForkSchema) -> None:
    (layer,) = prototxt.parse("layer { pooling_param { pool: 1 } }", schema=fork)["layer"]
    assert layer["pooling_param"].choice("pool", {"MAX": "max", "AVE": "ave"}, "l") == "max"  # 0 in Caffe
    assert layer["pooling_param"]["stride"] == 2 and layer["relu_param"]["glow"] == -1.5
    assert layer.field_types["inner_product_param"].message == "InnerProductParameter"
    assert CAFFE.field_types("PoolingParameter")["stride"].default == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("RELU", "relu_param { glow: 2 }"), "n.prototxt:4:66: layer \"r\" (ReLU): cortado does not compute glow"),
        (("RELU", 'relu_param { glow: "2" }'), "glow takes a number"),
        (("RELU", "glow_param { deeper { level: 1 } }"), "GlowParameter needs level"),
        (("RELU", "only_here: 1"), "cortado does not compute only_here of LayerParameter"),
        (("RELU", "never: 1"), "Caffe has no field never in LayerParameter"),
        (("POOL", "pool: MEDIAN"), 'layer "p" (Pooling): cortado does not compute pool: MEDIAN'),
        (('"ReLU" bottom: "c" top: "r" RELU', '"LRN" bottom: "c" top: "r" lrn_param { local_size: 5 }'),
         'n.prototxt:4:64: layer "r" (LRN): local_size of LRNParameter is a number in fork.proto, '
         "and cortado's layers read a whole number"),
        (('"ReLU" bottom: "c" top: "r" RELU', '"LRN" bottom: "c" top: "r" lrn_param { alpha: 1 alpha: 2 }'),
         "alpha of LRNParameter is a list in fork.proto, and cortado's layers read a single value"),
        (('"ReLU" bottom: "c" top: "r" RELU', '"LRN" bottom: "c" top: "r" lrn_param { beta: "3" }'),
         "beta of LRNParameter is a text in fork.proto, and cortado's layers read a number"),
    ],
)  # fmt: skip
def test_what_only_the_fork_computes_is_refused_by_name(change: tuple[str, str], said: str, fork: ForkSchema) -> None:
    text = NET.replace(*change)
    Path("n.prototxt").write_text(without_places(text))
    output = run("show", "n.prototxt", "--proto", "fork.proto", code=2).output
    assert said in output and output.count("n.prototxt:") == 1, output


def test_harmless_differences_are_read(fork: ForkSchema) -> None:
    """A list of one value, a default that is the same number, settings of another layer, with a warning."""
    layer = '"LRN" bottom: "c" top: "r" lrn_param { alpha: 2 } glow_param { level: 1 }'
    Path("n.prototxt").write_text(PLAIN.replace('"ReLU" bottom: "c" top: "r"', layer))
    done = run("show", "n.prototxt", "--proto", "fork.proto", "--after", "read")
    assert "r: f32[1,3,4,4] = lrn(c, alpha=2)" in done.stdout
    assert "glow_param, which belongs to another layer type" in done.stderr


def test_numbers_that_the_file_lacks_are_refused(fork: ForkSchema) -> None:
    net = fork.own.message_class("NetParameter")()
    data = serialize(PLAIN, net)
    other = FORK.replace("bias_term = 1", "bias_term = 44").replace("kernel_size = 2", "kernel_size = 77")
    Path("other.proto").write_text(other)
    stranger = read_fork_schema("other.proto").own.message_class("NetParameter")()
    Path("n.caffemodel").write_bytes(serialize(PLAIN, stranger))
    with pytest.raises(CompileError, match=r'layer "p" \(Pooling\): field 77 of PoolingParameter is not in fork.proto'):
        cortado.compile("n.caffemodel", proto="fork.proto")
    Path("n.caffemodel").write_bytes(data[:-4])
    with pytest.raises(CompileError, match="cut off or damaged"):
        cortado.compile("n.caffemodel", proto="fork.proto")


def test_layers_of_2014_and_of_2013_with_other_numbers(fork: ForkSchema) -> None:
    """As C3D has them: its LayerParameter stands for V1's, and its blobs have a length."""
    Path("old.proto").write_text("""package caffe;
message BlobProto { optional int32 num = 1; optional int32 channels = 2; optional int32 length = 3;
  optional int32 height = 4; optional int32 width = 5; repeated float data = 6; }
message NetParameter { optional string name = 1; repeated LayerParameter layers = 2; repeated string input = 3;
  repeated int32 input_dim = 4; }
message LayerParameter {
  enum LayerType { NONE = 0; GLOW = 1; RELU = 2; INNER_PRODUCT = 3; }
  optional Old layer = 7; repeated string bottom = 2; repeated string top = 3; optional string name = 4;
  optional LayerType type = 5; repeated BlobProto blobs = 6; optional bool shines = 30;
  optional InnerProductParameter inner_product_param = 31; }
message Old { optional string name = 1; optional string type = 2; optional uint32 num_output = 4;
  optional bool biasterm = 6; repeated BlobProto blobs = 5; }
message InnerProductParameter { optional uint32 num_output = 9; optional bool bias_term = 8 [default = true]; }
""")
    old = read_fork_schema("old.proto")
    head = 'name: "n" input: "x" input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1 '
    v1 = """layers { name: "d" type: INNER_PRODUCT bottom: "x" top: "d"
      inner_product_param { num_output: 1 bias_term: false } }"""
    v0 = 'layers { layer { name: "d" type: "innerproduct" num_output: 1 biasterm: false } bottom: "x" top: "d" }'
    for text in (v1, v0):
        net: Any = text_format.Parse(head + text, old.own.message_class("NetParameter")())
        layer = net.layers[0].layer if net.layers[0].HasField("layer") else net.layers[0]
        layer.blobs.add(num=1, channels=1, length=1, height=1, width=2, data=[2, 3])
        Path("n.caffemodel").write_bytes(net.SerializeToString())
        made = cortado.compile("n.caffemodel", proto="old.proto")
        assert made(x=np.array([[[[10]], [[100]]]]))["d"].tolist() == [[320]]
    Path("n.prototxt").write_text(head + v1.replace("INNER_PRODUCT", "GLOW"))
    said = run("show", "n.prototxt", "--proto", "old.proto", code=2).output
    assert "GLOW" in said and "layer type" in said
    Path("n.prototxt").write_text(head + v1.replace("inner_product_param", "shines: true inner_product_param"))
    assert (
        "does not compute shines of LayerParameter" in run("show", "n.prototxt", "--proto", "old.proto", code=2).output
    )


ROIS = "optional uint32 pooled_h = 1; optional uint32 pooled_w = 2; optional float spatial_scale = 3 [default = 1];"


@pytest.mark.parametrize(
    ("field", "settings", "dialect"),
    [
        ("roi_align_param", ROIS, "synopsys"),
        ("roi_pooling_param", ROIS, "mscnn"),
        ("other_param", "", ""),
    ],
)
def test_the_file_tells_dialects_apart(field: str, settings: str, dialect: str, fork: ForkSchema) -> None:
    """By the fields with settings that its layers have: what no layer of the fork is, is refused."""
    made = FORK.replace("optional ReLUParameter", f"optional Rois {field} = 55; optional ReLUParameter")
    Path("fork.proto").write_text(f"{made}message Rois {{ {settings} }}")
    inputs = NET.splitlines()[1].replace('top: "x"', 'top: "x" top: "r"').replace("6 }", "6 } shape { dim: 1 dim: 5 }")
    given = f"{field} {{ pooled_h: 2 pooled_w: 2 }}" if dialect else ""
    Path("n.prototxt").write_text(
        f'{inputs} layer {{ name: "a" type: "ROIAlign" bottom: "x" bottom: "r" top: "a" {given} }}'
    )
    options = Options(proto="fork.proto", outputs=("a",))
    if not dialect:
        with pytest.raises(CompileError, match=r"there is roi_align_param, and none in the caffe\.proto that is given"):
            read_net("n.prototxt", None, options)
        return
    (chosen,) = read_net("n.prototxt", None, options).dialects
    assert chosen.dialect == dialect


def test_a_default_of_the_fork_gives_way_to_the_other_form(fork: ForkSchema) -> None:
    """kernel and stride by height and width: stride has a default, which Caffe has not set then either."""
    Path("fork.proto").write_text(
        FORK.replace(
            "optional uint32 stride = 1 [default = 2];",
            """
      optional uint32 stride = 1 [default = 2]; optional uint32 stride_h = 4; optional uint32 stride_w = 5;""",
        )
    )
    Path("n.prototxt").write_text(without_places(NET.replace("POOL", "stride_h: 1 stride_w: 3")))
    assert "avg_pool(r, kernel=2, stride=[1, 3]" in run("show", "n.prototxt", "--proto", "fork.proto").stdout


def test_an_export_writes_out_what_the_fork_takes_as_given(fork: ForkSchema) -> None:
    Path("n.prototxt").write_text(PLAIN)
    Path("n.caffemodel").write_bytes(serialize(PLAIN, fork.own.message_class("NetParameter")()))
    run("export", "n.prototxt", "n.caffemodel", "--proto", "fork.proto", "--to", "caffe", "-o", "made")
    words = " ".join(Path("made.prototxt").read_text().split())
    for part in ("bias_term: false", "relu_param { negative_slope: 0.5 }", "stride: 2", "pool: AVE"):
        assert part in words
    wanted = expected()
    np.testing.assert_array_equal(cortado.compile("made.prototxt", "made.caffemodel")(x=X)["d"], wanted)
    np.testing.assert_array_equal(cortado.compile("made.caffemodel")(x=X)["d"], wanted)


def test_the_commands_take_it_and_keep_it(fork: ForkSchema) -> None:
    Path("n.prototxt").write_text(PLAIN)
    data = serialize(PLAIN, fork.own.message_class("NetParameter")())
    Path("n.caffemodel").write_bytes(data)
    np.save("x.npy", np.ones((1, 6, 6, 2)))
    run("check", "n.prototxt", "n.caffemodel", "--proto", "fork.proto")
    run("time", "n.prototxt", "n.caffemodel", "--proto", "fork.proto", "-iterations", "1")
    given = ("--proto", "fork.proto", "--raw-scale", 1, "--channel-swap", "0,1")
    assert "Prediction for x.npy[0]" in run("classify", "n.prototxt", "n.caffemodel", "x.npy", *given).stdout
    run("compile", "n.prototxt", "n.caffemodel", "--proto", "fork.proto", "-o", "n.cortado")
    said = run("compile", "n.prototxt", "n.caffemodel", "--proto", "fork.proto", "-o", "fork.proto", code=2).output
    assert "cannot be written" in said and Path("fork.proto").read_text() == FORK
    said = run("show", "n.cortado", "--proto", "fork.proto", code=2).output
    assert "--proto is for a prototxt" in " ".join(said.split())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("message Shape {", "message Shape ["), "fork.proto:7:15: '[' is not expected here"),
        (("package forked;", "package §;"), "fork.proto:2:28: this is not protobuf's schema language"),
        (("optional Shape shape = 9", "optional Shade shape = 9"), "fork.proto:9:12: there is no type Shade in it"),
        (("level = 1", "level = 0"), "a field's number is between 1 and 536870911, not 0"),
        (("level = 1", "level = 1.5"), "a whole number is wanted, not 1.5"),
        (("MAX = 1", "MAX = 4294967296"), "a number of 32 bits"),
        (("'proto2'", '"proto3"'), "of proto2"),
        (("message NetParameter", "message Network"), "there is no message NetParameter in it"),
        (("level = 1", "level = 2"), "the file contradicts itself: "),
        (("[default = AVE]", "[default = ROOT]"), "the file contradicts itself: "),
        (("repeated BlobProto blobs = 14;", ""), "its LayerParameter has no blobs"),
        ((FORK, ""), "there is no message NetParameter in it"),
        ((FORK, "{" * 1000), "nested deeper"),
        ((FORK, "\0\1\2"), "this is not protobuf's schema language"),
    ],
)  # fmt: skip
def test_what_is_no_caffe_proto_is_told(change: tuple[str, str], said: str, fork: ForkSchema) -> None:
    assert change[0] in FORK
    Path("fork.proto").write_text(FORK.replace(*change))
    Path("n.prototxt").write_text(PLAIN)
    output = run("show", "n.prototxt", "--proto", "fork.proto", code=2).output
    if "has no blobs" in said:  # a prototxt alone does not need them
        Path("n.caffemodel").write_bytes(b"\x0a\x00")
        output = run("show", "n.caffemodel", "--proto", "fork.proto", code=2).output
    assert said in output, output


def test_the_schema_of_cortado_itself_changes_nothing() -> None:
    """The larger grammar reads it as the smaller one, and no field of it is in conflict with itself."""
    import importlib.resources

    text = importlib.resources.files("cortado.frontends.files").joinpath("caffe.proto").read_text("utf-8")
    parsed, known = parse_proto(text, "caffe.proto"), file_descriptor()
    for ours, theirs in zip(parsed.message_type, known.message_type, strict=True):
        for enum in ours.enum_type:
            enum.ClearField("options")
        assert ours == theirs
    from cortado.frontends.files.schema import Schema

    same = ForkSchema(Schema(file_descriptor), "caffe.proto")
    for type in CAFFE.messages:
        for name, kind in CAFFE.field_types(type).items():
            found = same.field_types(type)[name]
            assert (found.default, found.type, found.conflict) == (kind.default, kind.type, ""), (type, name)


ASKED = [  # a field of which Caffe's C++ asks whether it is set, a default that a fork gives it, and a layer
    ("ArgMaxParameter", "axis", "1", 'type: "ArgMax" bottom: "x"'),
    ("ConcatParameter", "concat_dim", "2", 'type: "Concat" bottom: "x" bottom: "x"'),
    ("SliceParameter", "slice_dim", "2", 'type: "Slice" bottom: "x" top: "second"'),
    ("BatchNormParameter", "use_global_stats", "false", 'type: "BatchNorm" bottom: "x"'),
    ("LossParameter", "ignore_label", "0", 'type: "SoftmaxWithLoss" bottom: "s" bottom: "label"'),
    ("LossParameter", "normalize", "false", 'type: "SoftmaxWithLoss" bottom: "s" bottom: "label"'),
    ("AccuracyParameter", "ignore_label", "0", 'type: "Accuracy" bottom: "s" bottom: "label"'),
    ("PriorBoxParameter", "img_size", "300", 'type: "PriorBox" bottom: "x" bottom: "x" PRIOR'),
    ("PriorBoxParameter", "step_h", "3", 'type: "PriorBox" bottom: "x" bottom: "x" PRIOR'),
    ("InterpParameter", "zoom_factor", "3", 'type: "Interp" bottom: "x" interp_param { height: 3 width: 5 }'),
    ("InterpParameter", "zoom_factor", "3", 'type: "Interp" bottom: "x" interp_param { shrink_factor: 2 }'),
    ("InterpParameter", "height", "9", 'type: "Interp" bottom: "x" interp_param { zoom_factor: 2 }'),
    ("PoolingParameter", "stride_h", "3", 'type: "Pooling" bottom: "x" pooling_param { kernel_size: 2 stride: 2 }'),
    ("PoolingParameter", "kernel_h", "3", 'type: "Pooling" bottom: "x" pooling_param { global_pooling: true }'),
    ("ConvolutionParameter", "pad_h", "1", 'type: "Convolution" bottom: "x" CONV'),
]  # fmt: skip


@pytest.mark.parametrize(("message", "field", "default", "layer"), ASKED)
def test_a_default_is_not_what_the_file_sets(
    message: str, field: str, default: str, layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Caffe asks has_x(), a default of the fork's caffe.proto does not answer yes: the net is Caffe's."""
    monkeypatch.chdir(tmp_path)
    ours = (ROOT / "frontends" / "files" / "caffe.proto").read_text()
    block = re.search(rf"^message {message} {{.*?^}}", ours, re.DOTALL | re.MULTILINE)
    assert block is not None
    changed, count = re.subn(rf"(optional \w+ {field} = \d+)(?: \[[^]]*\])?;", rf"\1 [default = {default}];", block[0])
    assert count == 1
    Path("fork.proto").write_text(ours.replace(block[0], changed))
    Path("n.prototxt").write_text(
        f"""input: "x" input_shape {{ dim: 2 dim: 4 dim: 6 dim: 6 }} input: "s" input_shape {{ dim: 2 dim: 3 }}
        input: "label" input_shape {{ dim: 2 }} layer {{ name: "y" top: "y" {layer} }}""".replace(
            "PRIOR", "prior_box_param { min_size: 2 }"
        ).replace("CONV", "convolution_param { num_output: 2 kernel_size: 3 }")
    )
    words = ("show", "n.prototxt", "--output", "y")
    assert run(*words, "--proto", "fork.proto").stdout == run(*words).stdout
