"""Upgrades Caffe's first format, of 2013 (V0), to V1: flat settings in one message, and padding as a layer.

    layers { layer { name: "pad1" type: "padding" pad: 1 } bottom: "data" top: "pad1" }
    layers { layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 3 } bottom: "pad1" top: "conv1" }

becomes, as in Caffe's util/upgrade_proto.cpp (UpgradeV0Net),

    layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
      convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
"""

from __future__ import annotations

from collections.abc import Sequence

from ...compiler.errors import CompileError
from ...compiler.suggestion import did_you_mean
from ..files.message import Message
from ..files.schema import field_types
from .message_builder import MessageBuilder, replace_fields

TYPES = {
    "accuracy": "ACCURACY", "bnll": "BNLL", "concat": "CONCAT", "conv": "CONVOLUTION", "data": "DATA",
    "dropout": "DROPOUT", "euclidean_loss": "EUCLIDEAN_LOSS", "flatten": "FLATTEN", "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT", "im2col": "IM2COL", "images": "IMAGE_DATA", "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT", "lrn": "LRN", "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING", "relu": "RELU", "sigmoid": "SIGMOID", "softmax": "SOFTMAX", "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT", "tanh": "TANH", "window_data": "WINDOW_DATA",
}  # fmt: skip
CONV, FC, POOL = ("conv", "convolution_param"), ("innerproduct", "inner_product_param"), ("pool", "pooling_param")
DATA, IMAGES = ("data", "data_param"), ("images", "image_data_param")
HDF5, WINDOW = ("hdf5_data", "hdf5_data_param"), ("window_data", "window_data_param")
INFOGAIN, LRN = ("infogain_loss", "infogain_loss_param"), ("lrn", "lrn_param")
# Each flat field's current name, and the message it belongs to, by V0 layer type.
FIELDS: dict[str, tuple[str, dict[str, str]]] = {
    "num_output": ("num_output", dict((CONV, FC))),
    "biasterm": ("bias_term", dict((CONV, FC))),
    "weight_filler": ("weight_filler", dict((CONV, FC))),
    "bias_filler": ("bias_filler", dict((CONV, FC))),
    "pad": ("pad", dict((CONV, POOL))),
    "kernelsize": ("kernel_size", dict((CONV, POOL))),
    "group": ("group", dict((CONV,))),
    "stride": ("stride", dict((CONV, POOL))),
    "pool": ("pool", dict((POOL,))),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", dict((LRN,))),
    "alpha": ("alpha", dict((LRN,))),
    "beta": ("beta", dict((LRN,))),
    "k": ("k", dict((LRN,))),
    "source": ("source", dict((DATA, HDF5, IMAGES, WINDOW, INFOGAIN))),
    "batchsize": ("batch_size", dict((DATA, HDF5, IMAGES, WINDOW))),
    "rand_skip": ("rand_skip", dict((DATA, IMAGES))),
    "shuffle_images": ("shuffle", dict((IMAGES,))),
    "new_height": ("new_height", dict((IMAGES,))),
    "new_width": ("new_width", dict((IMAGES,))),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", dict((WINDOW,))),
    "det_bg_threshold": ("bg_threshold", dict((WINDOW,))),
    "det_fg_fraction": ("fg_fraction", dict((WINDOW,))),
    "det_context_pad": ("context_pad", dict((WINDOW,))),
    "det_crop_mode": ("crop_mode", dict((WINDOW,))),
}
TRANSFORMS = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}  # of any type


def fold_padding(net: Message, layers: Sequence[Message]) -> list[Message]:
    """Fold each padding layer into the convolution or pooling after it (UpgradeV0PaddingLayers). CompileError."""
    producer: dict[str, Message | None] = dict.fromkeys(net["input"])
    kept = []
    for layer in layers:
        if "layer" not in layer:
            raise layer.fault("a layer of another format among V0 layers (layers { layer { } })")
        own: Message = layer["layer"]
        for i, bottom in enumerate(layer["bottom"]):
            if bottom not in producer:
                raise CompileError(
                    f'layer "{own["name"]}" reads the blob "{bottom}", which no layer before it makes',
                    layer.loc_of("bottom", i),
                    layer.text,
                )
            pad = producer[bottom]
            if pad is None or pad["layer"]["type"] != "padding":
                continue
            if own["type"] not in ("conv", "pool"):
                sentence = f'"{bottom}" is padded, and layer "{own["name"]}" ({own["type"]}) is no conv or pool'
                raise layer.fault(sentence, "bottom", "Only those can take a padding layer's place.", i)
            if not len(layer["bottom"]) == len(pad["bottom"]) == len(pad["top"]) == 1:
                raise pad["layer"].fault("a padding layer, and the layer after it, have one bottom and one top")
            own = replace_fields(own, pad=(pad["layer"]["pad"],))
            layer = replace_fields(layer, layer=(own,), bottom=pad["bottom"])
        producer.update(dict.fromkeys(layer["top"], layer))
        if own["type"] != "padding":
            kept.append(layer)
    return kept


def upgrade_v0_layer(layer: Message, dropped: list[CompileError]) -> Message:
    """Upgrade a V0 layer to a V1 layer (UpgradeV0LayerParameter).

    A field that does not belong to the layer's type is appended to `dropped`: Caffe drops it with a warning.
    """
    own, result = layer["layer"], MessageBuilder("V1LayerParameter", layer)
    type, name = own["type"], own["name"]
    if type not in TYPES:
        raise own.fault(f'layer "{name}": Caffe had no layer type {type} in 2013{did_you_mean(type, TYPES)}', "type")
    result.unknown += own.unknown
    result.copy(layer, "bottom")
    result.copy(layer, "top")
    result.copy(own, "name")
    result.add("type", (TYPES[type],), (own.loc_of("type"),))
    settings: dict[str, MessageBuilder] = {}
    for field in own.written:
        if field in ("name", "type"):
            continue
        if field in ("blobs", "blobs_lr", "weight_decay") or (field == "hdf5_output_param" and type == "hdf5_output"):
            result.copy(own, field)
        elif field in TRANSFORMS:
            part = settings.setdefault("transform_param", MessageBuilder("TransformationParameter", empty_like(own)))
            part.copy(own, field, TRANSFORMS[field])
        elif field in FIELDS and type in FIELDS[field][1]:
            today, param = FIELDS[field][0], FIELDS[field][1][type]
            part = settings.setdefault(
                param, MessageBuilder(field_types("V1LayerParameter")[param].message, empty_like(own))
            )
            part.copy(own, field, today)
        else:
            sentence = f'layer "{name}": {type} has no {field}'
            dropped.append(own.fault(sentence, field, "Remove it: Caffe drops it."))
    for field in layer.written:
        if field not in ("layer", "bottom", "top"):
            dropped.append(layer.fault(f'layer "{name}": Caffe drops {field} of a file of 2013', field, "Remove it."))
    for param, part in settings.items():
        result.add(param, (part.build(),), (own.loc,))
    return result.build()


def empty_like(message: Message) -> Message:
    """An empty message of the same type, location and text."""
    return message.empty(message.type)
