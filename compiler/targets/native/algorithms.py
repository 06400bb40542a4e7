"""Which algorithm computes a convolution: the direct one, or a form of Winograd's where it pays and is exact enough.

What pays is a matter of sizes, and decides how wide a border the operand has. What is exact enough is measured on the
layer's own weights: Winograd's sums cancel, so its error depends on them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ....runtime.native.source import FORMS, choose_form, evaluate_form
from ...ir import Constant, Node
from ...ops.conv import Conv

LARGEST_ERROR = 1e-5  # of the largest result, as for every kernel
SAMPLE = 14  # pixels on each side of the image that the error is measured on
OUTPUTS = 16  # of the layer's outputs, evenly spread, that it is measured on


def form_that_pays(node: Node) -> str:
    """The form that needs the fewest cycles for these sizes; "" if the direct algorithm does."""
    if not isinstance(node.op, Conv):
        return ""
    x, w, y = node.inputs[0].type, node.inputs[1].type, node.results[0].type
    if x.rank != 4 or x.dtype != "f32" or not (x.is_static and y.is_static):
        return ""
    stride, _, dilation = node.op.geometry(2)
    if node.op.groups != 1 or {*stride, *dilation} != {1}:
        return ""
    return choose_form(w.shape, y.shape)


def choose_algorithm(node: Node) -> str:
    """The form that pays, or one that is more exact, or "" (direct), by the error on the node's own weights."""
    form = form_that_pays(node)
    weight = node.inputs[1] if form else None
    if not isinstance(weight, Constant) or not weight.is_bound:
        return ""
    for name in (form, "F2") if FORMS[form].window == 3 else (form,):
        if winograd_error(name, weight.data) <= LARGEST_ERROR:
            return name
    return ""


def winograd_error(form: str, weight: Tensor) -> float:
    """The largest error in f32, of the largest result, on random numbers and some of the outputs.

    `weight` is [outputs, channels, k, k].
    """
    weight = weight[:: max(len(weight) // OUTPUTS, 1)]
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, weight.shape[1], SAMPLE, SAMPLE, generator=random)
    exact = F.conv2d(x.double(), weight.double())
    found = torch.from_numpy(evaluate_form(form, x.numpy(), weight.numpy()))
    return float((found - exact).abs().max() / exact.abs().max().clamp(min=1e-30))
