"""Convolution with packed weights, and its fused ops: bias, addition of an operand, activation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Dim, Shape
from .activation import PACKABLE_DTYPES, activate_, post_op, store_activated
from .primitive import (
    CallSite,
    PackedWeights,
    Primitive,
    Run,
    is_same_view,
    padding_edges,
    pads_per_axis,
    per_axis,
    require,
)


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    require(len(operands) == 2 + attributes["bias"] + attributes["add"], "it takes x and w, b if `bias`, r if `add`")
    x, w, groups = operands[0], operands[1], attributes["groups"]
    require(3 <= len(x) <= 5 and len(w) == len(x), f"a weight {list(w)} does not fit data {list(x)}")
    require(
        groups >= 1 and x[1] == w[1] * groups and w[0] % groups == 0,
        f"{groups} groups do not fit {list(w)} and {list(x)}",
    )
    require(w[0] > 0 and w[1] > 0, f"a weight {list(w)} is empty")
    made = [x[0], w[0]]
    made += window_counts(attributes, x[2:], w[2:])
    if attributes["bias"]:
        require(operands[2] == (w[0],), f"a bias {list(operands[2])} does not fit {w[0]} channels")
    if attributes["add"]:
        require(operands[-1] == tuple(made), f"the added operand is {list(operands[-1])}, the result {made}")
    return [tuple(made)]


def window_counts(attributes: Mapping[str, Any], sizes: Shape, window: Sequence[int]) -> list[int]:
    """How many places a window has along each image axis. ValueError if the attributes do not fit."""
    axes, made = len(sizes), list[int]()
    stride, dilation = (per_axis(attributes[name], axes, 1, name) for name in ("stride", "dilation"))
    before, after = pads_per_axis(attributes["pad"], axes)
    for i, k, s, p, q, d in zip(sizes, window, stride, before, after, dilation, strict=True):
        sound = s >= 1 and d >= 1 and p >= 0 and q >= 0 and k >= 1
        require(sound, f"stride {s}, pad {p} and {q}, dilation {d}, window {k} are invalid")
        made.append((i + p + q - d * (k - 1) - 1) // s + 1)
        require(made[-1] >= 1, f"a window of {k} does not fit into an image of {i}")
    return made


def geometry(attributes: Mapping[str, Any], window: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Stride, pad and dilation, one number for each axis of the window.

    Dilating a window of 1 has no effect, and may crash oneDNN (torch 2.13): the dilation of that axis is 1.
    """
    axes = len(window)
    dilation = per_axis(attributes["dilation"], axes, 1, "dilation")
    return (
        per_axis(attributes["stride"], axes, 1, "stride"),
        per_axis(attributes["pad"], axes, 0, "pad"),
        [d if k > 1 else 1 for d, k in zip(dilation, window, strict=True)],
    )


def prepare(call: CallSite) -> Run:
    axes = len(call.operands[0].shape) - 2
    before, after = pads_per_axis(call.attributes["pad"], axes)
    if before != after:
        return prepare_unequally_padded(call, before, after)
    constant = all(o.data is not None for o in call.operands[1 : 2 + call.attributes["bias"]])
    packable = call.operands[0].dtype in PACKABLE_DTYPES and len({o.dtype for o in call.operands}) == 1
    if constant and packable and kernel_covers_input(call):
        return prepare_matmul(call)
    return prepare_packed(call, axes) if axes < 3 and constant and packable else prepare_unpacked(call, axes)


def prepare_unequally_padded(call: CallSite, before: Sequence[int], after: Sequence[int]) -> Run:
    """A convolution with more padding on one side, which libraries lack: that is added to the image first."""
    both = [min(sides) for sides in zip(before, after, strict=True)]
    edges = padding_edges(*([n - b for n, b in zip(side, both, strict=True)] for side in (before, after)))
    x = call.operands[0]
    image = [i + p + q - 2 * b for i, p, q, b in zip(x.shape[2:], before, after, both, strict=True)]
    padded = replace(x, shape=(*x.shape[:2], *image))
    attributes = {**call.attributes, "pad": both}
    convolve = prepare(replace(call, attributes=attributes, operands=(padded, *call.operands[1:])))

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        convolve(results, [F.pad(operands[0], edges), *operands[1:]])

    return run


def kernel_covers_input(call: CallSite) -> bool:
    """True if the window is the whole image, without padding: the convolution is then a matrix product."""
    image, window = call.operands[0].shape[2:], call.operands[1].shape[2:]
    attributes = call.attributes
    return image == window and attributes["groups"] == 1 and not any(attributes["pad"] or ()) and not attributes["add"]


def prepare_matmul(call: CallSite) -> Run:
    """A convolution whose kernel covers the input, as a matrix product; the weight is packed in the input's layout."""
    x, w = call.operands[:2]
    order = [0, *range(2, len(x.shape)), 1] if x.layout == "nhwc" else [*range(len(x.shape))]
    logical, bias = w.data, call.operands[2].data if call.attributes["bias"] else None
    assert logical is not None

    def pack() -> Tensor:
        made: Tensor = torch.ops.mkldnn._reorder_linear_weight(logical.permute(order).reshape(len(logical), -1))
        return made

    weight = call.packed_weights.get(("matmul", w.handle, w.shape, *order), pack)
    post = post_op(call.attributes)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        rows = operands[0].permute(order).flatten(1)
        made = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, *post)
        store_activated(results[0], made.view(results[0].shape), call.attributes)

    return run


def prepare_packed(call: CallSite, axes: int) -> Run:
    """One or two image axes, by oneDNN.

    torch has no operator that writes this convolution to given memory, so the result is copied; with an added operand
    oneDNN accumulates into the result in place.
    """
    attributes, operand = call.attributes, call.operands[1]
    stride, pad, dilation = (
        [*d] if axes == 2 else [u, *d] for d, u in zip(geometry(attributes, operand.shape[2:]), (1, 0, 1), strict=True)
    )
    groups = attributes["groups"]
    logical, bias = operand.data, call.operands[2].data if attributes["bias"] else None
    batch, channels, *image = call.operands[0].largest
    size = (batch, channels, *[1, *image][-2:])
    assert logical is not None

    def pack() -> Tensor:
        weight = logical if axes == 2 else logical.unsqueeze(2)
        made: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight.contiguous(), pad, stride, dilation, groups, size
        )
        return made

    weight = get_packed_weight(
        call.packed_weights, ("conv", operand.handle, operand.shape, *stride, *pad, *dilation, groups), size, pack
    )
    name, numbers, algorithm = post_op(attributes)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        x, result = (operands[0], results[0]) if axes == 2 else (operands[0].unsqueeze(2), results[0].unsqueeze(2))
        made = torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, pad, stride, dilation, groups, name, numbers, algorithm
        )
        store_activated(result, made, attributes)

    def run_adding(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        result, added = results[0], operands[-1]
        if not is_same_view(result, added):
            result.copy_(added)
        x, target = (operands[0], result) if axes == 2 else (operands[0].unsqueeze(2), result.unsqueeze(2))
        torch.ops.mkldnn._convolution_pointwise_.binary(
            target, x, weight, bias, pad, stride, dilation, groups, "add", 1.0, None, [], ""
        )
        activate_(result, attributes)

    return run_adding if attributes["add"] else run


def get_packed_weight(
    packed_weights: PackedWeights, key: tuple[Hashable, ...], size: Shape, pack: Callable[[], Tensor]
) -> Tensor:
    """The weight packed in the format that oneDNN prefers for this input size and number of threads.

    Equal formats are shared. In any other format oneDNN repacks the weight at every run.
    """
    packed = list[Tensor]()

    def pack_format() -> bytes:
        packed.append(pack())
        made: bytes = torch.ops.mkldnn._get_mkldnn_serialized_md(packed[0]).numpy().tobytes()
        return made

    preferred = packed_weights.get((*key, size, torch.get_num_threads()), pack_format)
    return packed_weights.get((*key, preferred), lambda: packed[0] if packed else pack())


def prepare_unpacked(call: CallSite, axes: int, transposed: bool = False) -> Run:
    """Torch's (de)convolution: for three image axes, dtypes that oneDNN lacks, or weights that are not constant."""
    attributes, groups = call.attributes, call.attributes["groups"]
    stride, pad, dilation = geometry(attributes, call.operands[1].shape[2:])
    output_pad = [0] * axes

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        bias = operands[2] if attributes["bias"] else None
        made = torch.convolution(operands[0], operands[1], bias, stride, pad, dilation, transposed, output_pad, groups)
        if attributes.get("add"):
            made += operands[-1]
        results[0].copy_(activate_(made, attributes))

    return run


CONV_PACKED = Primitive(prepare, infer_shapes)
