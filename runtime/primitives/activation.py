"""Activations fused into a convolution or linear: as a oneDNN post-op, in the copy to the result, or in place.

NaN stays NaN, as in Caffe, but for a clip, which makes its lower bound of it (clip_layer.cpp). oneDNN's ReLU would make
0 of NaN; torch's, in the copy that follows the product anyway, keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import inf
from typing import Any

import torch
from torch import Tensor

POST_OPS = {"": "none", "clip": "hardtanh"}  # oneDNN's names, where they are others
IN_COPY = frozenset({"relu"})  # activations that are computed in the copy
PACKABLE_DTYPES = (torch.float32, torch.bfloat16)  # what oneDNN computes on every supported processor


def post_op(attributes: Mapping[str, Any], in_copy: Set[str] = IN_COPY) -> tuple[str, list[float], str]:
    """oneDNN's name for the activation, its parameters, and its algorithm, which is empty for all of these.

    Activations `in_copy` are left to `store_activated`.
    """
    name, numbers = attributes["activation"], list[float]()
    if name == "leaky_relu":
        numbers = [float(attributes["slope"])]
    elif name == "clip":
        numbers = [float(attributes["low"]), float(attributes["high"])]
    return "none" if name in in_copy else POST_OPS.get(name, name), numbers, ""


def store_activated(result: Tensor, made: Tensor, attributes: Mapping[str, Any], in_copy: Set[str] = IN_COPY) -> None:
    """Copy to the result what oneDNN computed with `post_op`, and apply what that left to the copy."""
    if attributes["activation"] == "relu":
        torch.clamp(made, min=0, out=result)
    elif attributes["activation"] in in_copy:
        result.copy_(activate_(made, attributes))
    else:
        result.copy_(made)


def activate_(x: Tensor, attributes: Mapping[str, Any]) -> Tensor:
    """Apply the activation in place, and return x."""
    match attributes["activation"]:
        case "relu":
            return x.clamp_(min=0)
        case "leaky_relu":
            return torch.nn.functional.leaky_relu_(x, attributes["slope"])
        case "sigmoid":
            return x.sigmoid_()
        case "tanh":
            return x.tanh_()
        case "clip":
            return x.nan_to_num_(nan=attributes["low"], posinf=inf, neginf=-inf).clamp_(
                attributes["low"], attributes["high"]
            )
    return x
