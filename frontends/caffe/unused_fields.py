"""Finds fields of a file that no code has read, and reports those that might change the result.

Layer functions read settings through Message, which records every access. A field that the file sets and no function
read is an error, unless the tables here list it as without effect on inference. So a layer that supports only part of
Caffe's settings cannot ignore one silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...compiler.errors import CompileError
from ..files.message import Message

# Messages about reading and preprocessing data: the caller feeds data that is ready.
DATA_MESSAGES = {
    "AnnotatedDataParameter", "DataParameter", "DenseImageDataParameter", "DistortionParameter", "ExpansionParameter",
    "HDF5DataParameter", "HDF5OutputParameter", "ImageDataParameter", "NoiseParameter", "ResizeParameter",
    "TransformationParameter", "VideoDataParameter", "WindowDataParameter",
}  # fmt: skip
NO_EFFECT = {
    # Training: learning rates, gradients, logging.
    "LayerParameter": {"propagate_down", "loss_weight", "engine", "backward_type", "backward_math"},
    "ParamSpec": {"lr_mult", "decay_mult"},
    "NetParameter": {
        "force_backward", "debug_info", "default_backward_type", "default_backward_math", "global_grad_scale",
        "global_grad_scale_adaptive", "reduce_buckets", "eltwise_mem_sharing", "engine", "multinode",
        "default_conv_algos_override", "default_cudnn_math_override", "bn_stats_batch_size",
    },
    "BatchNormParameter": {"moving_average_fraction", "update_global_stats", "stats_batch_size", "icnet"},
    "BNParameter": {"momentum", "frozen"},
    "EltwiseParameter": {"stable_prod_grad"},
    "RecurrentParameter": {"debug_info"},
    "LSTMParameter": {"clipping_threshold"},
    "AugmentationParameter": {  # without a crop nothing is augmented
        "augment_during_test", "chromatic_eigvec", "max_multiplier", "mode", "write_augmented", "write_mean",
    },
    "ResampleParameter": {"factor"},  # which no code of FlowNet 2 reads
    "DropoutParameter": {"random_seed"},  # NVCaffe
    "PythonParameter": {"share_in_parallel"},
    "SeLUDropoutParameter": {"alpha"},
    "InnerDistanceParameter": {"bias_term"},  # there is none in any case
    "ChannelScaleParameter": {"do_backward_feature", "do_backward_scale"},
    # Implementation choices: im2col or a library's algorithm.
    "ConvolutionParameter": {
        "force_nd_im2col", "cudnn_convolution_algo_seeker", "conv_algos_override",  # NVCaffe
        "conv_algorithm",  # Intel's fork
    },
    # Files and images that the SSD fork writes beside its result.
    "DetectionOutputParameter": {"save_output_param", "visualize", "visualize_threshold", "save_file"},
    "NonMaximumSuppressionParameter": {"theta"},  # of soft_nms, which is refused
    "YoloDetectionOutputParameter": {"side", "coords", "label_map_file"},
}  # fmt: skip
READ_BY_NET = {  # read by the importer itself
    "LayerParameter": {"name", "type", "bottom", "top", "include", "exclude", "blobs"},
    "NetParameter": {"name", "layer", "input", "input_dim", "input_shape", "state"},
}
FILLERS_MATTER = {"DummyDataParameter"}  # messages whose fillers affect inference
# NVCaffe's compute dtypes, and the integer quantization of Intel's fork: float32 is at least as exact.
PRECISION = {"forward_type", "forward_math", "default_forward_type", "default_forward_math", "quantization_param"}


@dataclass(frozen=True, slots=True)
class UnusedField:
    """A field that no code read. `is_harmless`: the result is Caffe's all the same, so it is only a warning."""

    error: CompileError
    is_harmless: bool = False

    def __str__(self) -> str:
        return f"{self.error.loc}: {self.error.message}"


def find_unread(layer: Message, label: str, own: str | None = None) -> Iterator[UnusedField]:
    """Yield the fields of a layer (or of the net) that no code has read and that might matter.

    `label` names the layer in messages, as in 'layer "conv1" (Convolution)'; `own` is the field with its settings.
    """
    for field in layer.written:
        if field == "phase" and layer["phase"] != "TEST":
            yield UnusedField(
                layer.fault(
                    f"{label} has phase: TRAIN, so it would always work as in training",
                    field,
                    "Remove it: then it works as at TEST.",
                )
            )
        elif field in PRECISION and layer.values[field] != ("FLOAT",):
            sentence = f"{label} has {field}, for lower precision in a fork: cortado computes in float32"
            yield UnusedField(layer.fault(sentence, field), is_harmless=True)
        elif field in READ_BY_NET[layer.type] or field in PRECISION or field == "phase" or has_no_effect(layer, field):
            continue
        elif field in ("param", own) or layer.was_read(field):
            for inner in layer.submessages(field):
                yield from find_unread_settings(inner, label)
        elif layer.submessages(field):
            sentence = f"{label} has {field}, which belongs to another layer type: Caffe ignores it too"
            yield UnusedField(layer.fault(sentence, field, "Remove it."), is_harmless=True)
        else:
            yield UnusedField(unsupported_field_error(layer, field, label))


def find_unread_settings(settings: Message, label: str) -> Iterator[UnusedField]:
    """Yield the unread fields of a settings message, nested messages included."""
    for field in settings.written:
        if has_no_effect(settings, field):
            continue
        if not settings.was_read(field) and settings.type != "ParamSpec":
            yield UnusedField(unsupported_field_error(settings, field, label))
        for inner in settings.submessages(field):
            yield from find_unread_settings(inner, label)


def has_no_effect(message: Message, field: str) -> bool:
    """True for a field that does not affect inference: for training or data, an engine, or set to its default."""
    field_type = message.field_types[field]
    if message.type in DATA_MESSAGES or field_type.message in DATA_MESSAGES:
        return True
    if field_type.message == "FillerParameter":
        return message.type not in FILLERS_MATTER
    if field in NO_EFFECT.get(message.type, ()) or (field_type.type == "enum" and "CUDNN" in field_type.numbers):
        return True
    return not field_type.repeated and not field_type.message and message.values[field] == (field_type.default,)


def unsupported_field_error(message: Message, field: str, label: str) -> CompileError:
    """The error for a field that cortado does not support."""
    advice = "If it does not affect the result, remove it, or be lenient: then it is ignored with a warning."
    kind = message.field_types[field]
    if kind.conflict:
        return message.fault(f"{label}: {field} of {message.type} {kind.conflict}", field, advice)
    value = f": {message[field]}" if kind.type == "enum" else ""
    return message.fault(f"{label}: cortado does not compute {field}{value} of {message.type}", field, advice)


def find_unknown(messages: Iterable[Message]) -> Iterator[UnusedField]:
    """Yield the fields that Caffe's schema lacks, and that might change the result.

    A filler's do not: where its blob is not stored, it is refused (fillers.py).
    """
    messages = list(messages)
    fillers = {f for m in messages if m.type in FILLERS_MATTER for name in m.written for f in m.submessages(name)}
    for message in messages:
        if message.type == "FillerParameter" and message not in fillers:
            continue
        for u in message.unknown:
            if message.type not in DATA_MESSAGES and u.name not in NO_EFFECT.get(message.type, ()):
                close = f"Did you mean {u.suggestion}? " if u.suggestion else ""
                advice = close + "If it does not affect the result, remove it, or be lenient."
                yield UnusedField(
                    CompileError(f"Caffe has no field {u.name} in {u.message}", u.loc, message.text, advice)
                )
