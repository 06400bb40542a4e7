"""For each operator that one of Caffe's layers computes: the layer's type, settings and learnt blobs.

The reverse of frontends/caffe/layers. Where a layer computes something else after all, for images of one axis say, that
is found when what is written is read again (proof.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...compiler.ir import Constant, Node
from ...compiler.op import pads_per_axis, per_axis
from ...compiler.ops.detection import LOWEST_F32
from .layer_draft import LayerDraft, NoLayer
from .renamed_settings import SIMPLE

LATE = {"fused": "fuse", "relayout": "assign_layout"}  # operators that passes for a target emit, and the passes


def draft_layer(node: Node) -> LayerDraft:
    """The layer that computes a node. Raises NoLayer."""
    name = node.op.name
    if name in SIMPLE:
        type, param, settings = SIMPLE[name]
        return LayerDraft(type, param, settings(node.op))
    if name in LATE:
        raise NoLayer(f"it is of a stage after {LATE[name]}; export an earlier one")
    if name not in DRAFTS:
        raise NoLayer(f"no layer of Caffe is {name} alone")
    return DRAFTS[name](node, node.op)


def convolution(node: Node, op: Any) -> LayerDraft:
    outputs, inner, *kernel = node.inputs[1].type.shape
    settings = {
        "num_output": outputs if op.name == "conv" else inner * op.groups,
        "bias_term": len(node.inputs) == 3,
        **{field: shortened(numbers) for field, numbers in window(op, kernel).items()},
        "group": op.groups,
    }
    type = "Convolution" if op.name == "conv" else "Deconvolution"
    return LayerDraft(type, "convolution_param", settings, (1, 2)[: len(node.inputs) - 1])


def im2col(node: Node, op: Any) -> LayerDraft:
    settings = {field: shortened(numbers) for field, numbers in window(op, op.kernel).items()}
    return LayerDraft("Im2col", "convolution_param", settings)


def window(op: Any, kernel: Sequence[int]) -> dict[str, Sequence[int]]:
    """Kernel, stride, dilation and padding, as repeated fields; other paddings by side."""
    numbers = {"kernel_size": kernel, "stride": op.stride, "dilation": op.dilation}
    before, after = pads_per_axis(op.pad, len(kernel))
    return numbers | ({"pad": before} if before == after else sides(before, after))


def sides(before: Sequence[int], after: Sequence[int]) -> dict[str, Any]:
    """The fields of synopsys-caffe for padding that differs by side."""
    if len(before) != 2:
        raise NoLayer("its padding differs by side, and it has not two image axes")
    return dict(zip(("pad_t", "pad_l", "pad_b", "pad_r"), (*before, *after), strict=True))


def shortened(numbers: Any) -> Any:
    """Numbers that are all equal as one."""
    return numbers if isinstance(numbers, int) else [*numbers][:1] if len(set(numbers)) == 1 else [*numbers]


def pooling(node: Node, op: Any) -> LayerDraft:
    axes = node.inputs[0].type.rank - 2
    method = {"max_pool": "MAX", "avg_pool": "AVE", "stochastic_pool": "STOCHASTIC"}[op.name]
    settings: dict[str, Any] = {"pool": method, "round_mode": {"up": "CEIL", "down": "FLOOR"}[op.round]}
    if op.kernel is None:
        settings["global_pooling"] = True
    else:
        settings |= pair("kernel_size", per_axis(op.kernel, axes, "kernel"))
    settings |= pair("stride", per_axis(op.stride, axes, "stride"))
    before, after = pads_per_axis(getattr(op, "pad", (0,)), axes)
    settings |= pair("pad", before) if before == after else sides(before, after)
    if not getattr(op, "include_pad", True):
        settings["avg_include_pad"] = False
    return LayerDraft("Pooling", "pooling_param", settings)


def pair(field: str, numbers: Sequence[int]) -> dict[str, int]:
    """A setting of an image of two axes: one number, or one for each as _h and _w."""
    if len(set(numbers)) == 1:
        return {field: numbers[0]}
    stem = field.removesuffix("_size")
    if len(numbers) != 2:
        raise NoLayer(f"its {stem} differs by axis, and it has not two image axes")
    return {f"{stem}_h": numbers[0], f"{stem}_w": numbers[1]}


def inner_product(node: Node, op: Any) -> LayerDraft:
    shape = node.inputs[1].type.shape
    settings = {
        "num_output": shape[1] if op.transpose else shape[0],
        "bias_term": len(node.inputs) == 3,
        "axis": op.axis,
        "transpose": op.transpose,
    }
    return LayerDraft("InnerProduct", "inner_product_param", settings, (1, 2)[: len(node.inputs) - 1])


def batch_norm(node: Node, op: Any) -> LayerDraft:
    settings = {"eps": op.eps, "use_global_stats": True}
    return LayerDraft("BatchNorm", "batch_norm_param", settings, (1, 2), (torch.ones(1),))  # the factor of both


def standardize(node: Node, op: Any) -> LayerDraft:
    if op.per == (1,) and op.eps_in == "variance" and op.scaled:
        channels = node.output.type.shape[1:2]
        zeros = (torch.zeros(channels), torch.zeros(channels), torch.zeros(1))  # which Caffe does not read
        return LayerDraft("BatchNorm", "batch_norm_param", {"eps": op.eps, "use_global_stats": False}, more=zeros)
    if op.eps_in != "deviation" or op.per not in ((0,), (0, 1)):
        raise NoLayer("Caffe's MVN is of each image or channel, and adds eps to the deviation")
    settings = {"normalize_variance": op.scaled, "across_channels": op.per == (0,), "eps": op.eps}
    return LayerDraft("MVN", "mvn_param", settings)


def scale(node: Node, op: Any) -> LayerDraft:
    learnt = tuple(i for i, value in enumerate(node.inputs) if i and isinstance(value, Constant))
    if len(node.inputs) == 3 and 2 not in learnt:
        raise NoLayer("its shift is computed, and Caffe's Scale has a learnt one")
    settings = {"axis": op.axis, "num_axes": node.inputs[1].type.rank, "bias_term": len(node.inputs) == 3}
    return LayerDraft("Scale", "scale_param", settings, learnt)


def bias(node: Node, op: Any) -> LayerDraft:
    learnt = (1,) if isinstance(node.inputs[1], Constant) else ()
    return LayerDraft("Bias", "bias_param", {"axis": op.axis, "num_axes": node.inputs[1].type.rank}, learnt)


def prelu(node: Node, op: Any) -> LayerDraft:
    if op.axis != 1:
        raise NoLayer("Caffe's PReLU has a slope for each channel, that is axis 1")
    return LayerDraft("PReLU", "prelu_param", {"channel_shared": node.inputs[1].type.rank == 0}, (1,))


def clipped_relu(node: Node, op: Any) -> LayerDraft:
    if op.keeps_nan and op.high == 6 and op.low == -math.inf:
        return LayerDraft("ReLU6", "relu6_param", {"negative_slope": op.slope})
    if op.keeps_nan or op.high <= 0:
        raise NoLayer("the limits are not those of ReLU6 or of synopsys-caffe's ReLU")
    settings = {"negative_slope": op.slope, "maximum": op.high, "minimum": 0.0 if op.low == -math.inf else op.low}
    return LayerDraft("ReLU", "relu_param", settings)


def gather(node: Node, op: Any) -> LayerDraft:
    table, _ = node.inputs
    if not isinstance(table, Constant):
        return LayerDraft("BatchReindex")
    if table.type.rank != 2:
        raise NoLayer("Caffe's Embed has a table [rows, columns]")
    rows, columns = table.type.shape
    return LayerDraft("Embed", "embed_param", {"input_dim": rows, "num_output": columns, "bias_term": False}, (0,))


def crop(node: Node, op: Any) -> LayerDraft:
    if len(node.inputs) != 2:
        raise NoLayer("Caffe's Crop takes its sizes from a second blob")
    return LayerDraft("Crop", "crop_param", {"axis": op.axis, "offset": [*op.offset]})


def argmax(node: Node, op: Any) -> LayerDraft:
    if op.numbers:
        raise NoLayer("Caffe's ArgMax has one top")
    return LayerDraft("ArgMax", "argmax_param", {"axis": op.axis, "top_k": op.top})


def accuracy(node: Node, op: Any) -> LayerDraft:
    ignored = {} if op.ignore is None else {"ignore_label": op.ignore}
    return LayerDraft("Accuracy", "accuracy_param", {"axis": op.axis, "top_k": op.top, **ignored})


def interp(node: Node, op: Any) -> LayerDraft:
    before, after = per_axis(op.trim, 2, "trim")
    settings: dict[str, int] = {"pad_beg": -before, "pad_end": -after}
    if op.sizes:
        settings |= dict(zip(("height", "width"), op.sizes, strict=True))
    elif op.times != 1:
        settings["full_zoom_factor"] = op.times
    else:
        settings |= {"shrink_factor": op.shrink} if op.shrink != 1 else {"zoom_factor": op.zoom}
        if op.shrink != 1 and op.zoom != 1:
            settings["zoom_factor"] = op.zoom
    if settings.get("zoom_factor") == 1:
        raise NoLayer("Caffe's Interp has a size or a factor")
    return LayerDraft("Interp", "interp_param", settings)


def unpool(node: Node, op: Any) -> LayerDraft:
    if op.sizes:
        return LayerDraft("Upsample", "upsample_param", dict(zip(("upsample_h", "upsample_w"), op.sizes, strict=True)))
    cut = dict(zip(("pad_out_h", "pad_out_w"), map(bool, per_axis(op.cut, 2, "cut")), strict=True))
    scale = dict(zip(("scale_h", "scale_w"), per_axis(op.scale, 2, "scale"), strict=True))
    return LayerDraft("Upsample", "upsample_param", scale | {name: value for name, value in cut.items() if value})


def upsample(node: Node, op: Any) -> LayerDraft:
    if len(set(op.scale)) != 1:
        raise NoLayer("Caffe's Upsample has one scale for both axes")
    return LayerDraft("Upsample", "upsample_param", {"scale": op.scale[0]})


def flip(node: Node, op: Any) -> LayerDraft:
    if node.inputs[0].type.rank != 4 or not set(op.axes) <= {2, 3}:
        raise NoLayer("Caffe's Flip is of the image axes, and what Reverse is depends on the fork")
    return LayerDraft("Flip", "flip_param", {"flip_height": 2 in op.axes, "flip_width": 3 in op.axes})


def prior_box(node: Node, op: Any) -> LayerDraft:
    settings: dict[str, Any] = {
        name: [*getattr(op, name)] for name in ("min_size", "max_size", "aspect_ratio", "variance")
    }
    settings |= {"flip": op.flip, "clip": op.clip, "offset": op.offset}
    settings |= {"offset_h": [*op.offset_height], "offset_w": [*op.offset_width]}
    for stem, numbers in (("img", op.image), ("step", op.step)):
        settings |= dict(zip((f"{stem}_h", f"{stem}_w"), numbers, strict=False))
    return LayerDraft("PriorBox", "prior_box_param", settings)


def detection_output(node: Node, op: Any) -> LayerDraft:
    limit = {} if op.confidence == LOWEST_F32 else {"confidence_threshold": op.confidence}
    nms = {"nms_threshold": op.nms_threshold, "eta": op.eta} | ({} if op.top_k == -1 else {"top_k": op.top_k})
    settings = {
        "num_classes": op.classes, "share_location": op.share_location, "background_label_id": op.background,
        "nms_param": nms, "code_type": op.code.upper(), "keep_top_k": op.keep_top_k,
        "variance_encoded_in_target": op.variance_in_target, "objectness_score": op.objectness, **limit,
    }  # fmt: skip
    return LayerDraft("DetectionOutput", "detection_output_param", settings)


DRAFTS: dict[str, Callable[[Node, Any], LayerDraft]] = {
    "accuracy": accuracy,
    "argmax": argmax,
    "avg_pool": pooling,
    "batch_norm": batch_norm,
    "bias": bias,
    "clipped_relu": clipped_relu,
    "conv": convolution,
    "crop": crop,
    "deconv": convolution,
    "detection_output": detection_output,
    "flip": flip,
    "gather": gather,
    "im2col": im2col,
    "interp": interp,
    "linear": inner_product,
    "max_pool": pooling,
    "prelu": prelu,
    "prior_box": prior_box,
    "scale": scale,
    "standardize": standardize,
    "stochastic_pool": pooling,
    "unpool": unpool,
    "upsample": upsample,
}
