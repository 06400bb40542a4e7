"""Reconstructs a net from a caffemodel alone, for models whose prototxt is lost.

A snapshot stores the trained net's settings beside the weights. They are printed as a prototxt, so that errors can
show it, and parsed again. Only unambiguous field numbers are accepted: Caffe's forks agree on the fields of
LayerParameter up to 146; a higher number is identified by the layer's type, where all forks with that type agree on
its settings. Any other field is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from google.protobuf.unknown_fields import UnknownFieldSet

from ...compiler.errors import CompileError, raise_all
from ..files import prototxt, wire
from ..files.caffemodel import COPY_AGAIN, LAST_COMMON_FIELD, LayerBlobs, Weights
from ..files.fork_schema import ForkSchema
from ..files.message import Message
from ..files.schema import CAFFE, descriptor, message_class
from . import data_layers as data_layers
from .reachability import LayerEdges, reaching

# By layer type: the name of its settings field, and that field's numbers in the forks. The settings mean the same.
SETTINGS_BY_TYPE = {
    "Swish": ("swish_param", (147,)),
    "Clip": ("clip_param", (148, 248)),
    "Permute": ("permute_param", (202, 224, 239)),
    "PriorBox": ("prior_box_param", (203, 240)),
    "DetectionOutput": ("detection_output_param", (204, 238)),
    "Normalize": ("norm_param", (206, 242)),
    "BN": ("bn_param", (45, 152, 200, 204)),  # 137 and 144 belong to forks with a different BN
    "Interp": ("interp_param", (143, 163, 205)),
    "Reverse": ("reverse_param", (143, 147, 261)),
    "Upsample": ("upsample_param", (137, 150, 177)),
    "UpsampleDarknet": ("upsample_darknet_param", (209,)),
    "Convolution3D": ("convolution3d_param", (6661,)),
    "Deconvolution3D": ("convolution3d_param", (6661,)),
    "Pooling3D": ("pooling3d_param", (266, 6662)),
    "Correlation": ("correlation_param", (150,)),
    "FlowWarp": ("flow_warp_param", (159,)),
    "Resample": ("resample_param", (155,)),
    "Lstm": ("lstm_param", (140,)),
    "Transpose": ("transpose_param", (142,)),
    "ShuffleChannel": ("shuffle_channel_param", (145, 166, 241)),
    "Reorg": ("reorg_param", (147, 149, 159, 197)),
    "SpatialDropout": ("spatial_dropout_param", (155,)),
    "Accum": ("accum_param", (160,)),
    "DepthToSpace": ("depth_to_space_param", (208,)),
    "ResizeNearestNeighbor": ("resize_nearest_neighbor_param", (210,)),
    "ReLU6": ("relu6_param", (211,)),
    "Flip": ("flip_param", (212,)),
    "InnerDistance": ("inner_distance_param", (213,)),
    "Pad": ("pad_param", (224,)),
    "ResizeBilinear": ("resize_bilinear_param", (226,)),
    "SeLU": ("selu_param", (232,)),
    "SeLUDropout": ("selu_dropout_param", (233,)),
    "BatchToSpaceND": ("batch_to_space_nd_param", (235,)),
    "SpaceToBatchND": ("space_to_batch_nd_param", (236,)),
    "ChannelScale": ("channel_scale_param", (237,)),
    "Squeeze": ("squeeze_param", (241,)),
    "HardSigmoid": ("hard_sigmoid_param", (258,)),
    "Mul": ("mul_param", (278,)),
}
SLOPE_FIELDS = {1: 7, 2: 8, 3: 9}  # slope_filler, bias_filler, momentum
# pad, kernel_size, stride; pad_h0 to pad_d1; kernel_h, _w, _d; stride_h, _w, _d; global_pooling, ceil_mode
SYNOPSYS_POOLING = {2: 4, 3: 2, 4: 3} | {
    theirs: 7000000 + ours for theirs, ours in enumerate((9, 10, 11, 12, 7, 8, 2, 3, 1, 5, 6, 4, 13, 14), 5)
}
# By layer type and field number, for forks with other numbers inside the settings: theirs to ours.
RENUMBERED_SETTINGS = {
    ("BN", 152): SLOPE_FIELDS,
    ("BN", 200): SLOPE_FIELDS,
    ("BN", 204): SLOPE_FIELDS,
    ("Pooling3D", 266): SYNOPSYS_POOLING,
}
LAST_GENERIC_FIELD = 101  # up to this number fields belong to all layer types, in every fork (but for the 45 above)
PROTOTXT_ADVICE = (
    "Give the prototxt that it was trained or deployed with: cortado compile net.prototxt net.caffemodel. "
    "Or give the fork's own caffe.proto: --proto caffe.proto."
)
FORK_ADVICE = "Give the caffe.proto of the very program that wrote the file."


def read_net(
    weights: Weights, path: str | Path, outputs: Sequence[str] = (), fork: ForkSchema | None = None
) -> Message:
    """The NetParameter that a caffemodel describes, reduced to the layers that `outputs` depend on if there are any.

    With a `fork`, the settings have the numbers of its caffe.proto. Raises CompileErrors for all settings in the file
    whose meaning is ambiguous.
    """
    errors: list[CompileError] = []
    whole = (fork.own if fork else CAFFE).message_class("NetParameter")()
    try:
        whole.MergeFromString(weights.settings)
    except DecodeError:
        raise CompileError(f"{path}: the net's settings are damaged", advice=COPY_AGAIN) from None
    errors.extend(find_unknown_fields(whole, "the net", path, fork))
    edges = [LayerEdges(layer.type, layer.bottoms, layer.tops) for layer in weights.layers]
    for layer, needed in zip(weights.layers, reaching(edges, outputs), strict=True):
        if not needed:
            continue
        try:
            part = parse_settings(layer, path, fork)
        except CompileError as e:
            errors.append(e)
            continue
        if layer.type not in data_layers.DATA_LAYERS:
            errors.extend(find_unknown_fields(part, f'layer "{layer.name}" ({layer.type})', path, fork))
        field: Any = getattr(whole, "layer" if layer.schema == "LayerParameter" else "layers")
        field.append(part)
    raise_all(errors)
    drop_rules(whole)
    return prototxt.parse(text_format.MessageToString(whole), f"{path} as text", schema=fork or CAFFE)


def parse_settings(layer: LayerBlobs, path: str | Path, fork: ForkSchema | None) -> Protobuf:
    """Parse a layer's settings, with field numbers above 146 mapped to our schema's. CompileError if damaged.

    Those of a fork whose caffe.proto is given are parsed as they are.
    """
    message = fork.layer_class(layer.schema)() if fork else message_class(layer.schema)()
    try:
        message.MergeFromString(layer.settings if fork else renumber_settings(layer, path))
    except (DecodeError, wire.Damaged):
        raise CompileError(f'{path}: layer "{layer.name}": its settings are damaged', advice=COPY_AGAIN) from None
    if layer.schema == "LayerParameter" and "phase" in message.DESCRIPTOR.fields_by_name:
        message.ClearField("phase")  # Caffe stores the phase in which it wrote the file
    return message


def renumber_settings(layer: LayerBlobs, path: str | Path) -> bytes:
    """The layer's settings with the field numbers of our schema. CompileError for an ambiguous number."""
    if layer.schema != "LayerParameter":
        return layer.settings
    data, result = memoryview(layer.settings), bytearray()
    name, numbers = SETTINGS_BY_TYPE.get(layer.type, ("", ()))
    for field in wire.walk(data, 0, len(data)):
        if field.number in numbers:
            here = descriptor("LayerParameter").fields_by_name[name].number
            inner = RENUMBERED_SETTINGS.get((layer.type, field.number), {})
            result += wire.encode_field(here, renumber_fields(data[field.start : field.stop], inner))
        elif field.number <= (LAST_GENERIC_FIELD if numbers else LAST_COMMON_FIELD):
            result += data[field.at : field.stop]
        elif layer.type in data_layers.DATA_LAYERS:
            continue  # settings for reading data: the caller feeds the net
        else:
            sentence = f"field {field.number} of its settings has different meanings in forks of Caffe"
            raise CompileError(f'{path}: layer "{layer.name}" ({layer.type}): {sentence}', advice=PROTOTXT_ADVICE)
    return bytes(result)


def renumber_fields(data: memoryview, numbers: Mapping[int, int]) -> bytes:
    """A serialized message with its field numbers mapped by `numbers`; others are unchanged."""
    result = bytearray()
    for field in wire.walk(data, 0, len(data)):
        result += wire.encode_varint(numbers.get(field.number, field.number) << 3 | field.wire_type)
        result += data[wire.decode_varint(data, field.at, field.stop)[1] : field.stop]
    return bytes(result)


def find_unknown_fields(
    message: Protobuf, label: str, path: str | Path, fork: ForkSchema | None = None
) -> Iterator[CompileError]:
    """Yield an error for each field, at any depth, that the schema lacks: another fork wrote the file."""
    fields: Any = UnknownFieldSet(message)
    for field in fields:
        type = message.DESCRIPTOR.name
        number = f"field {field.field_number} of {type}"
        known = f"{number} is not in {fork.name}" if fork else f"{number} is not Caffe's but a fork's"
        yield CompileError(f"{path}: {label}: {known}", advice=FORK_ADVICE if fork else PROTOTXT_ADVICE)
    for described, value in message.ListFields():
        if described.message_type is not None:
            for inner in value if described.is_repeated else (value,):
                yield from find_unknown_fields(inner, label, path, fork)


def drop_rules(net: Any) -> None:
    """Drop include and exclude rules unless one includes phase TEST: a snapshot holds the layers of TRAIN only."""
    known = net.DESCRIPTOR.fields_by_name
    every = [layer for name in ("layer", "layers") if name in known for layer in getattr(net, name)]
    layers = [layer for layer in every if "include" in layer.DESCRIPTOR.fields_by_name]
    if not any(is_for_test(rule) for layer in layers for rule in layer.include):
        for layer in layers:
            layer.ClearField("include")
            layer.ClearField("exclude")


def is_for_test(rule: Any) -> bool:
    """True if a rule names phase TEST."""
    phase = rule.DESCRIPTOR.fields_by_name.get("phase")
    if phase is None or phase.enum_type is None or not rule.HasField("phase"):
        return False
    return bool(phase.enum_type.values_by_number[rule.phase].name == "TEST")
