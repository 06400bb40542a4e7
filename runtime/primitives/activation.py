"""Activations behind a convolution or linear: how oneDNN is asked for one, and how it is done without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

POST_OPS = {"": "none", "clip": "hardtanh"}
PACKABLE_DTYPES = (torch.float32, torch.bfloat16)  # what oneDNN computes on every processor that we know


def post_op(attributes: Mapping[str, Any]) -> tuple[str, list[float], str]:
    """oneDNN's name for the activation, its numbers, and the algorithm (none of ours has a choice)."""
    name, numbers = attributes["activation"], list[float]()
    if name == "leaky_relu":
        numbers = [float(attributes["slope"])]
    elif name == "clip":
        numbers = [float(attributes["low"]), float(attributes["high"])]
    return POST_OPS.get(name, name), numbers, ""


def activate_(x: Tensor, attributes: Mapping[str, Any]) -> Tensor:
    """The activation, in place."""
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
