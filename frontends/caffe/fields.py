"""Which fields of a file had no say in what was made of it: harmless, another layer's, or a reason to refuse the file.

A layer's function reads its settings through Message, which notes what was asked for. A field that the file gives and
nobody asked for has to be known, here, to change no answer at TEST; any other might, so it is an error. Thus a layer
that supports less than Caffe's cannot pass over a setting in silence, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...compiler.errors import CompileError
from ..files.message import Message
from ..files.schema import kinds

# What says how data are read and prepared: whoever calls the net gives them ready.
DATA = {
    "AnnotatedDataParameter", "DataParameter", "DenseImageDataParameter", "DistortionParameter", "ExpansionParameter",
    "HDF5DataParameter", "HDF5OutputParameter", "ImageDataParameter", "NoiseParameter", "ResizeParameter",
    "TransformationParameter", "VideoDataParameter", "WindowDataParameter",
}  # fmt: skip
NO_EFFECT = {
    # Training: how fast blobs learn, whence gradients come, what is printed.
    "LayerParameter": {"propagate_down", "loss_weight", "engine", "backward_type", "backward_math"},
    "ParamSpec": {"lr_mult", "decay_mult"},
    "NetParameter": {
        "force_backward", "debug_info", "default_backward_type", "default_backward_math", "global_grad_scale",
        "global_grad_scale_adaptive", "reduce_buckets", "eltwise_mem_sharing", "engine", "multinode",
        "default_conv_algos_override", "default_cudnn_math_override", "bn_stats_batch_size",
    },
    "BatchNormParameter": {"moving_average_fraction", "update_global_stats", "stats_batch_size"},
    "BNParameter": {"momentum", "frozen"},
    "EltwiseParameter": {"stable_prod_grad"},
    "RecurrentParameter": {"debug_info"},
    "DropoutParameter": {"random_seed"},  # NVCaffe
    "ChannelScaleParameter": {"do_backward_feature", "do_backward_scale"},
    # How, not what: columns of the image or a library's algorithm.
    "ConvolutionParameter": {
        "force_nd_im2col", "cudnn_convolution_algo_seeker", "conv_algos_override",  # NVCaffe
        "conv_algorithm",  # Intel's fork
    },
    # Files that the SSD fork writes beside its answer, and pictures that it draws; RefineDet's threshold for a fourth
    # bottom, which is refused.
    "DetectionOutputParameter": {
        "save_output_param", "visualize", "visualize_threshold", "save_file", "objectness_score",
    },
}  # fmt: skip
OWN = {  # what the net's own rules read
    "LayerParameter": {"name", "type", "bottom", "top", "include", "exclude", "blobs"},
    "NetParameter": {"name", "layer", "input", "input_dim", "input_shape", "state"},
}
FILLED = {"DummyDataParameter", "BatchNormParameter"}  # where a filler is more than the start of a training
# The types in which NVCaffe computes, and the whole numbers in which Intel's fork may: float32 is no less exact.
PRECISION = {"forward_type", "forward_math", "default_forward_type", "default_forward_math", "quantization_param"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A field without a say, and what there is to tell. `harmless`: the answer is Caffe's, so it is no error."""

    error: CompileError
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.error.loc}: {self.error.message}"


def unread(layer: Message, said: str, own: str | None = None) -> Iterator[Finding]:
    """What of a layer (or of the net itself) nobody has asked for.

    `said` is what people call it, `own` the field with the settings of its type.
    """
    for field in layer.written:
        if field == "phase" and layer["phase"] != "TEST":
            yield Finding(layer.fault(f"{said} is to work as in training, always", field, "Take phase: TRAIN out."))
        elif field in PRECISION and layer.values[field] != ("FLOAT",):
            sentence = f"{said} has {field}, for a fork that computes in fewer bits: here it is float32"
            yield Finding(layer.fault(sentence, field), harmless=True)
        elif field in OWN[layer.type] or field in PRECISION or field == "phase" or no_effect(layer, field):
            continue
        elif field in ("param", own) or layer.was_read(field):
            for inner in layer.inner(field):
                yield from unread_within(inner, said)
        elif layer.inner(field):
            sentence = f"{said} has {field}, which belongs to another type of layer: Caffe passes over it, too"
            yield Finding(layer.fault(sentence, field, "Take it out."), harmless=True)
        else:
            yield Finding(not_understood(layer, field, said))


def unread_within(settings: Message, said: str) -> Iterator[Finding]:
    for field in settings.written:
        if no_effect(settings, field):
            continue
        if not settings.was_read(field) and settings.type != "ParamSpec":
            yield Finding(not_understood(settings, field, said))
        for inner in settings.inner(field):
            yield from unread_within(inner, said)


def no_effect(message: Message, field: str) -> bool:
    """True of a field that changes no answer: training's, data's, an engine, a default said aloud."""
    kind = kinds(message.type)[field]
    if message.type in DATA or kind.message in DATA:
        return True
    if kind.message == "FillerParameter":
        return message.type not in FILLED
    if field in NO_EFFECT.get(message.type, ()) or (kind.type == "enum" and "CUDNN" in kind.numbers):
        return True
    return not kind.repeated and not kind.message and message.values[field] == (kind.default,)


def not_understood(message: Message, field: str, said: str) -> CompileError:
    advice = "If it does not matter for the answer, take it out, or be lenient: then it is passed over, with a warning."
    return message.fault(f"{said}: cortado does not compute {field} of {message.type}", field, advice)


def unknown(messages: Iterable[Message]) -> Iterator[Finding]:
    """Fields that Caffe's own schema lacks: they might change the answer, and we cannot know how."""
    for message in messages:
        for u in message.unknown:
            if message.type not in DATA and u.name not in NO_EFFECT.get(message.type, ()):
                close = f"Did you mean {u.suggestion}? " if u.suggestion else ""
                advice = close + "If it does not matter for the answer, take it out, or be lenient."
                yield Finding(CompileError(f"Caffe has no field {u.name} in {u.message}", u.loc, message.text, advice))
