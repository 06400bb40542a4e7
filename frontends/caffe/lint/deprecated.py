"""Fields that Caffe's schema marks as deprecated (caffe.proto), and their replacements."""

from __future__ import annotations

from collections.abc import Iterator

from ....compiler.errors import CompileError
from .dataflow import Dataflow

TRANSFORM = "Write it in transform_param."
FIELDS = {  # advice, by message type and field
    ("DataParameter", "scale"): TRANSFORM,
    ("DataParameter", "mean_file"): TRANSFORM,
    ("DataParameter", "crop_size"): TRANSFORM,
    ("DataParameter", "mirror"): TRANSFORM,
    ("ImageDataParameter", "scale"): TRANSFORM,
    ("ImageDataParameter", "mean_file"): TRANSFORM,
    ("ImageDataParameter", "crop_size"): TRANSFORM,
    ("ImageDataParameter", "mirror"): TRANSFORM,
    ("WindowDataParameter", "scale"): TRANSFORM,
    ("WindowDataParameter", "mean_file"): TRANSFORM,
    ("WindowDataParameter", "crop_size"): TRANSFORM,
    ("WindowDataParameter", "mirror"): TRANSFORM,
    ("DummyDataParameter", "num"): "Write shape { dim: ... } instead of num, channels, height and width.",
    ("ConcatParameter", "concat_dim"): "Write axis.",
    ("SliceParameter", "slice_dim"): "Write axis.",
    ("LossParameter", "normalize"): "Write normalization: VALID (true) or BATCH_SIZE (false).",
}
INPUT = 'Write layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 ... } } }.'


def find_deprecated(flow: Dataflow) -> Iterator[CompileError]:
    """Yield one error for each deprecated form, and for a deprecated field one in each layer."""
    net = flow.net
    if "input" in net:
        yield net.fault("`input` outside a layer is deprecated", "input", INPUT)
    if "layers" in flow.written:
        sentence = "`layers { type: CONVOLUTION }` is the V1 format, which Caffe upgrades on reading"
        advice = 'Write layer { type: "Convolution" ... }: Caffe\'s tool upgrade_net_proto_text does.'
        yield flow.written.fault(sentence, "layers", advice)
    for layer in flow.layers:
        for part in layer.message.walk():
            for field in part.written:
                if (part.type, field) in FIELDS:
                    sentence = f"{layer.label}: {field} of {part.type} is deprecated"
                    yield part.fault(sentence, field, FIELDS[part.type, field])
