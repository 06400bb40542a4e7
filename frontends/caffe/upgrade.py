"""Upgrades nets of Caffe's older formats to the current one, as Caffe does (util/upgrade_proto.cpp).

    layers { name: "c" type: CONVOLUTION blobs_lr: 2 ... }        2014: V1, an enum of types
    layer { name: "c" type: "Convolution" param { lr_mult: 2 } ... }

Every field keeps its line and column, so that errors about the upgraded net point at the original text.
The upgrade of input fields to Input layers is in `inputs.py`. BatchNorm's (lr_mult: 0) changes training only.
"""

from __future__ import annotations

from ...compiler.errors import CompileError, Loc
from ..files.generations import V1_TYPES
from ..files.message import Message
from ..files.schema import field_types
from .message_builder import MessageBuilder, replace_fields
from .upgrade_v0 import fold_padding, upgrade_v0_layer

DATA_PARAMS = {
    "DATA": "data_param",
    "IMAGE_DATA": "image_data_param",
    "WINDOW_DATA": "window_data_param",
    "VIDEO_DATA": "image_data_param",  # of C3D
}
# C3D's types of this generation: today's type, and its message in place of the one that 2-D layers have, too.
C3D_TYPES = {
    "CONVOLUTION3D": ("Convolution3D", "convolution_param", "convolution3d_param"),
    "DECONVOLUTION3D": ("Deconvolution3D", "convolution_param", "convolution3d_param"),
    "POOLING3D": ("Pooling3D", "pooling_param", "pooling3d_param"),
    "VIDEO_DATA": ("VideoData", "", ""),
}
UNCHANGED_FIELDS = (
    "name",
    "bottom",
    "top",
    "blobs",
    "loss_weight",
    "include",
    "exclude",
)  # fields with new numbers only


REWRITTEN_FIELDS = ("type", "param", "blob_share_mode", "blobs_lr", "weight_decay")


def upgrade_net(net: Message, dropped: list[CompileError]) -> Message:
    """Upgrade a V0 or V1 NetParameter to one with `layer` only. A current one is returned unchanged.

    CompileError where Caffe aborts. Fields that Caffe drops with a warning are appended to `dropped`.
    """
    if "layers" not in net:
        return net
    layers: tuple[Message, ...] = net["layers"]
    if any("layer" in layer for layer in layers):
        layers = tuple(upgrade_v0_layer(layer, dropped) for layer in fold_padding(net, layers))
    places = tuple(layer.loc for layer in layers)
    draft = MessageBuilder("NetParameter", net)
    for name in net.written:
        if name != "layers":
            draft.copy(net, name)
    draft.add("layer", tuple(upgrade_v1_layer(layer) for layer in layers), places)
    return draft.build()


def upgrade_v1_layer(layer: Message) -> Message:
    """Upgrade a V1 layer to a LayerParameter (UpgradeV1LayerParameter)."""
    layer = upgrade_transform(layer)
    draft = MessageBuilder("LayerParameter", layer)
    for field in UNCHANGED_FIELDS:
        draft.copy(layer, field)
    renamed, flat, videos = C3D_TYPES.get(layer["type"], ("", "", ""))
    if "type" in layer:
        draft.add("type", (renamed or V1_TYPES.get(layer["type"], layer["type"]),), (layer.loc_of("type"),))
    if specs := param_specs(layer):
        draft.add("param", specs)
    for field in layer.written:
        if field.endswith("_param") and field == flat:
            draft.add(
                videos, (retyped(layer[field], field_types("LayerParameter")[videos].message),), (layer.loc_of(field),)
            )
        elif field not in (*UNCHANGED_FIELDS, *REWRITTEN_FIELDS):
            draft.copy(layer, field)
    return draft.build()


def retyped(settings: Message, type: str) -> Message:
    """The settings as a message of another type. CompileError for a field that this one lacks."""
    draft = MessageBuilder(type, settings)
    for field in settings.written:
        if field not in settings.schema.field_types(type):
            raise settings.fault(f"Caffe has no field {field} in {type}", field, "Remove it.")
        draft.copy(settings, field)
    return draft.build()


def param_specs(layer: Message) -> tuple[Message, ...]:
    """V1's lists `param`, `blob_share_mode`, `blobs_lr` and `weight_decay` as one ParamSpec per blob."""
    lists = {"param": "name", "blob_share_mode": "share_mode", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
    specs: list[Message] = []
    for i in range(max(len(layer[old]) for old in lists)):
        places: dict[str, tuple[Loc, ...]] = {
            new: (layer.loc_of(old, i),) for old, new in lists.items() if i < len(layer[old])
        }
        values = {new: (layer[old][i],) for old, new in lists.items() if i < len(layer[old])}
        specs.append(Message("ParamSpec", first_loc(places), layer.text, values, places, schema=layer.schema))
    return tuple(specs)


def first_loc(places: dict[str, tuple[Loc, ...]]) -> Loc:
    """The first location of any field."""
    return next(iter(places.values()))[0]


def upgrade_transform(layer: Message) -> Message:
    """Move a data layer's scale, mean_file, crop_size, mirror to transform_param (UpgradeNetDataTransformation)."""
    param = DATA_PARAMS.get(layer["type"])
    moved = [f for f in ("scale", "mean_file", "crop_size", "mirror") if param and f in layer[param]]
    if param is None or not moved:
        return layer
    settings = layer[param]
    transform = MessageBuilder(
        "TransformationParameter", layer["transform_param"] if "transform_param" in layer else settings
    )
    if "transform_param" in layer:
        for field in layer["transform_param"].written:
            transform.copy(layer["transform_param"], field)
    for field in moved:
        transform.copy(settings, field)
    transform.unknown = () if "transform_param" not in layer else transform.unknown
    rest = replace_fields(settings, **dict.fromkeys(moved, ()))
    return replace_fields(layer, **{param: (rest,), "transform_param": (transform.build(),)})
