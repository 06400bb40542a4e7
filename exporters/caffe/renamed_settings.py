"""The operators that a layer of Caffe's computes by the same attributes under other names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ...compiler.float32 import round_to_float32

Simple = tuple[str, str, Callable[[Any], Mapping[str, Any]]]


def eltwise(operation: str) -> Simple:
    return "Eltwise", "eltwise_param", lambda op: {"operation": operation}


def euler(base: float) -> float:
    """The setting `base`: -1 is Euler's number."""
    return -1.0 if round_to_float32(base) == round_to_float32(math.e) else base


SIMPLE: dict[str, Simple] = {  # by operator: the layer, its field, and what the attributes are there
    "abs": ("AbsVal", "", lambda op: {}),
    "add": (
        "Eltwise",
        "eltwise_param",
        lambda op: {"coeff": [op.alpha, op.beta] if (op.alpha, op.beta) != (1, 1) else []},
    ),
    "bnll": ("BNLL", "", lambda op: {}),
    "clip": ("Clip", "clip_param", lambda op: {"min": op.low, "max": op.high}),
    "concat": ("Concat", "concat_param", lambda op: {"axis": op.axis}),
    "div": eltwise("DIV"),
    "dropout": ("Dropout", "dropout_param", lambda op: {"dropout_ratio": op.ratio}),
    "elu": ("ELU", "elu_param", lambda op: {"alpha": op.alpha}),
    "exp": ("Exp", "exp_param", lambda op: {"base": euler(op.base), "scale": op.scale, "shift": op.shift}),
    "filter": ("Filter", "", lambda op: {}),
    "flatten": ("Flatten", "flatten_param", lambda op: {"axis": op.axis, "end_axis": op.end_axis}),
    "hard_swish": ("HardSwish", "", lambda op: {}),
    "log": ("Log", "log_param", lambda op: {"base": euler(op.base), "scale": op.scale, "shift": op.shift}),
    "lrn": (
        "LRN",
        "lrn_param",
        lambda op: {
            "local_size": op.size, "alpha": op.alpha, "beta": op.beta, "k": op.k,
            "norm_region": {"across": "ACROSS_CHANNELS", "within": "WITHIN_CHANNEL"}[op.region],
        },
    ),
    "lstm_unit": ("LSTMUnit", "", lambda op: {}),
    "max": eltwise("MAX"),
    "min": eltwise("MIN"),
    "mish": ("Mish", "", lambda op: {}),
    "mul": eltwise("PROD"),
    "power": ("Power", "power_param", lambda op: {"power": op.power, "scale": op.scale, "shift": op.shift}),
    "pyramid_pool": (
        "SPP",
        "spp_param",
        lambda op: {"pyramid_height": op.height, "pool": {"max": "MAX", "avg": "AVE"}[op.mode]},
    ),
    "psroi_pool": (
        "PSROIPooling",
        "psroi_pooling_param",
        lambda op: {"spatial_scale": op.scale, "output_dim": op.channels, "group_size": op.groups},
    ),
    "reduce": (
        "Reduction",
        "reduction_param",
        lambda op: {"operation": op.how.upper(), "axis": op.axis, "coeff": op.coeff},
    ),
    "roi_align": (
        "ROIAlign",
        "roi_align_param",
        lambda op: {"pooled_h": op.height, "pooled_w": op.width, "spatial_scale": op.scale},
    ),
    "roi_pool": (
        "ROIPooling",
        "roi_pooling_param",
        lambda op: {"pooled_h": op.height, "pooled_w": op.width, "spatial_scale": op.scale, "pad_ratio": op.pad},
    ),
    "relu": ("ReLU", "relu_param", lambda op: {"negative_slope": op.slope}),
    "reorg": ("Reorg", "reorg_param", lambda op: {"stride": op.stride, "reverse": op.reverse}),
    "reshape": (
        "Reshape",
        "reshape_param",
        lambda op: {"shape": {"dim": [*op.shape]}, "axis": op.axis, "num_axes": op.num_axes},
    ),
    "sigmoid": ("Sigmoid", "", lambda op: {}),
    "slice": ("Slice", "slice_param", lambda op: {"axis": op.axis, "slice_point": [*op.points]}),
    "softmax": ("Softmax", "softmax_param", lambda op: {"axis": op.axis}),
    "squeeze": ("Squeeze", "squeeze_param", lambda op: {"axis": [*op.axes]}),
    "swish": ("Swish", "swish_param", lambda op: {"beta": op.beta}),
    "tanh": ("TanH", "", lambda op: {}),
    "threshold": ("Threshold", "threshold_param", lambda op: {"threshold": op.threshold}),
    "tile": ("Tile", "tile_param", lambda op: {"axis": op.axis, "tiles": op.tiles}),
    "transpose": ("Permute", "permute_param", lambda op: {"order": [*op.order]}),
}  # fmt: skip
