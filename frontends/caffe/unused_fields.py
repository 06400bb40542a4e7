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
from ..files.schema import field_types

# What says how data are read and prepared: whoever calls the net gives them ready.
DATA_MESSAGES = {
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
READ_BY_NET = {  # what the net's own rules read
    "LayerParameter": {"name", "type", "bottom", "top", "include", "exclude", "blobs"},
    "NetParameter": {"name", "layer", "input", "input_dim", "input_shape", "state"},
}
FILLERS_MATTER = {"DummyDataParameter", "BatchNormParameter"}  # where a filler is more than the start of a training
# The types in which NVCaffe computes, and the whole numbers in which Intel's fork may: float32 is no less exact.
PRECISION = {"forward_type", "forward_math", "default_forward_type", "default_forward_math", "quantization_param"}


@dataclass(frozen=True, slots=True)
class UnusedField:
    """A field without a say, and what there is to tell. `harmless`: the answer is Caffe's, so it is no error."""

    error: CompileError
    is_harmless: bool = False

    def __str__(self) -> str:
        return f"{self.error.loc}: {self.error.message}"


def find_unread(layer: Message, said: str, own: str | None = None) -> Iterator[UnusedField]:
    """What of a layer (or of the net itself) nobody has asked for.

    `said` is what people call it, `own` the field with the settings of its type.
    """
    for field in layer.written:
        if field == "phase" and layer["phase"] != "TEST":
            yield UnusedField(layer.fault(f"{said} is to work as in training, always", field, "Take phase: TRAIN out."))
        elif field in PRECISION and layer.values[field] != ("FLOAT",):
            sentence = f"{said} has {field}, for a fork that computes in fewer bits: here it is float32"
            yield UnusedField(layer.fault(sentence, field), is_harmless=True)
        elif field in READ_BY_NET[layer.type] or field in PRECISION or field == "phase" or has_no_effect(layer, field):
            continue
        elif field in ("param", own) or field in layer.read:
            for inner in layer.submessages(field):
                yield from find_unread_settings(inner, said)
        elif layer.submessages(field):
            sentence = f"{said} has {field}, which belongs to another type of layer: Caffe passes over it, too"
            yield UnusedField(layer.fault(sentence, field, "Take it out."), is_harmless=True)
        else:
            yield UnusedField(unsupported_field_error(layer, field, said))


def find_unread_settings(settings: Message, said: str) -> Iterator[UnusedField]:
    for field in settings.written:
        if has_no_effect(settings, field):
            continue
        if field not in settings.read and settings.type != "ParamSpec":
            yield UnusedField(unsupported_field_error(settings, field, said))
        for inner in settings.submessages(field):
            yield from find_unread_settings(inner, said)


def has_no_effect(message: Message, field: str) -> bool:
    """True of a field that changes no answer: training's, data's, an engine, a default said aloud."""
    kind = field_types(message.type)[field]
    if message.type in DATA_MESSAGES or kind.message in DATA_MESSAGES:
        return True
    if kind.message == "FillerParameter":
        return message.type not in FILLERS_MATTER
    if field in NO_EFFECT.get(message.type, ()) or (kind.type == "enum" and "CUDNN" in kind.numbers):
        return True
    return not kind.repeated and not kind.message and message.values[field] == (kind.default,)


def unsupported_field_error(message: Message, field: str, said: str) -> CompileError:
    advice = "If it does not matter for the answer, take it out, or be lenient: then it is passed over, with a warning."
    return message.fault(f"{said}: cortado does not compute {field} of {message.type}", field, advice)


def find_unknown(messages: Iterable[Message]) -> Iterator[UnusedField]:
    """Fields that Caffe's own schema lacks: they might change the answer, and we cannot know how."""
    for message in messages:
        for u in message.unknown:
            if message.type not in DATA_MESSAGES and u.name not in NO_EFFECT.get(message.type, ()):
                close = f"Did you mean {u.suggestion}? " if u.suggestion else ""
                advice = close + "If it does not matter for the answer, take it out, or be lenient."
                yield UnusedField(
                    CompileError(f"Caffe has no field {u.name} in {u.message}", u.loc, message.text, advice)
                )
