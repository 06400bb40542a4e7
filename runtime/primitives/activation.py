"""Activations fused into a convolution or linear: as a oneDNN post-op, and in place without oneDNN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

POST_OPS = {"": "none", "clip": "hardtanh"}
PACKABLE_DTYPES = (torch.float32, torch.bfloat16)  # what oneDNN computes on every supported processor


def post_op(attributes: Mapping[str, Any]) -> tuple[str, list[float], str]:
    """oneDNN's name for the activation, its parameters, and its algorithm, which is empty for all of these."""
    name, numbers = attributes["activation"], list[float]()
    if name == "leaky_relu":
        numbers = [float(attributes["slope"])]
    elif name == "clip":
        numbers = [float(attributes["low"]), float(attributes["high"])]
    return POST_OPS.get(name, name), numbers, ""


def activate_(x: Tensor, attributes: Mapping[str, Any]) -> Tensor:
    """Apply the activation in place, and return x."""
    match attributes["activation"]:
        case "relu":
            return x.relu_()
        case "leaky_relu":
            return torch.nn.functional.leaky_relu_(x, attributes["slope"])
        case "sigmoid":
            return x.sigmoid_()
        case "tanh":
            return x.tanh_()
        case "clip":
            return x.clamp_(attributes["low"], attributes["high"])
    return x
