"""Deconvolution with packed weights. Depthwise ones (upsampling) are convolutions by phase, or matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Dim, Shape
from .activation import IN_COPY, PACKABLE_DTYPES, activate_, post_op, store_activated
from .convolution import geometry, prepare_unpacked
from .primitive import CallSite, Primitive, Run, is_finite, require

ALSO_IN_COPY = IN_COPY | {"sigmoid"}  # of NaN, oneDNN's deconvolution makes 0, and its convolution NaN
MAX_PHASES = 64  # convolutions by phase; with more, one deconvolution by oneDNN is faster
MAX_PHASES_IF_SEPARABLE = 16  # with more, two matrix products are faster


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    require(len(operands) == 2 + attributes["bias"], "it takes x and w, and b if `bias`")
    x, w, groups = operands[0], operands[1], attributes["groups"]
    require(3 <= len(x) <= 5 and len(w) == len(x), f"a weight {list(w)} does not fit data {list(x)}")
    require(groups >= 1 and x[1] == w[0] and x[1] % groups == 0, f"{groups} groups do not fit {list(w)} and {list(x)}")
    require(min(w) > 0, f"a weight {list(w)} is empty")
    made = [x[0], w[1] * groups]
    for i, k, s, p, d in zip(x[2:], w[2:], *geometry(attributes, w[2:]), strict=True):
        require(s >= 1 and d >= 1 and p >= 0 and i >= 1, f"stride {s}, pad {p}, dilation {d} are invalid for {list(x)}")
        made.append(s * (i - 1) + d * (k - 1) + 1 - 2 * p)
        require(made[-1] >= 1, f"a pad of {p} leaves nothing of an image of {i}")
    if attributes["bias"]:
        require(operands[2] == (made[1],), f"a bias {list(operands[2])} does not fit {made[1]} channels")
    return [tuple(made)]


def prepare(call: CallSite) -> Run:
    """One or two image axes with constant weights by oneDNN; one axis is handled as an image of one row."""
    attributes, x, weight = call.attributes, call.operands[0], call.operands[1].data
    axes = len(x.shape) - 2
    constant = all(o.data is not None for o in call.operands[1:])
    if (
        weight is None
        or not constant
        or axes > 2
        or x.dtype not in PACKABLE_DTYPES
        or len({o.dtype for o in call.operands}) > 1
    ):
        return prepare_unpacked(call, axes, transposed=True)
    stride, pad, dilation = geometry(attributes, call.operands[1].shape[2:])
    image = x.shape[2:]
    if axes == 1:
        weight, image = weight.unsqueeze(2), (1, *image)
        stride, pad, dilation = [1, *stride], [0, *pad], [1, *dilation]
    bias = call.operands[2].data if attributes["bias"] else None
    job = DeconvolutionProblem(call, weight, bias, image, stride, pad, dilation)
    run = prepare_depthwise(job) or prepare_packed(job)
    if axes == 2:
        return run
    return lambda results, operands: run([results[0].unsqueeze(2)], [operands[0].unsqueeze(2)])


class DeconvolutionProblem(NamedTuple):
    """A deconvolution over two image axes, with the weight [c, o / groups, kh, kw]."""

    call: CallSite
    weight: Tensor
    bias: Tensor | None
    image: Shape
    stride: list[int]
    pad: list[int]
    dilation: list[int]

    def key(self, way: str) -> tuple[object, ...]:
        """The key of a packed weight: all that it depends on."""
        handle = self.call.operands[1].handle
        return way, handle, *self.weight.shape, *self.stride, *self.pad, *self.dilation, self.call.attributes["groups"]


def prepare_packed(job: DeconvolutionProblem) -> Run:
    """Any deconvolution, by oneDNN's operator."""
    _, weight, bias, _, stride, pad, dilation = job
    attributes, groups = job.call.attributes, job.call.attributes["groups"]

    def pack() -> Tensor:
        made: Tensor = torch.ops.mkldnn._reorder_convolution_transpose_weight(
            weight.contiguous(), pad, [0, 0], stride, dilation, groups
        )
        return made

    ready, post = job.call.packed_weights.get(job.key("deconv"), pack), post_op(attributes, ALSO_IN_COPY)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        made = torch.ops.mkldnn._convolution_transpose_pointwise(
            operands[0], ready, bias, pad, [0, 0], stride, dilation, groups, *post
        )
        store_activated(results[0], made, attributes, ALSO_IN_COPY)

    return run


def prepare_depthwise(job: DeconvolutionProblem) -> Run | None:
    """A depthwise deconvolution without dilation, by a faster method than oneDNN's; None for any other."""
    channels, per_group = job.weight.shape[:2]
    if per_group > 1 or job.call.attributes["groups"] != channels or set(job.dilation) != {1}:
        return None
    area = prod(job.stride)
    if area > MAX_PHASES_IF_SEPARABLE and (parts := separate_filters(job.weight)) is not None:
        return unless_nonfinite(job, prepare_by_axes(job, *parts))
    return unless_nonfinite(job, prepare_by_phases(job)) if area <= MAX_PHASES else None


def unless_nonfinite(job: DeconvolutionProblem, fast: Run) -> Run:
    """The fast method, which multiplies numbers by zeros beyond their window; oneDNN's where that would make NaN."""

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        (fast if is_finite(operands[0]) else prepare_packed(job))(results, operands)

    return run


def prepare_by_phases(job: DeconvolutionProblem) -> Run:
    """One convolution for each phase: the outputs whose position is the same modulo the stride."""
    call, weight, bias, _, stride, pad, _ = job
    channels = weight.shape[0]
    taps = [-(-k // s) for k, s in zip(weight.shape[2:], stride, strict=True)]
    edge = [t - 1 for t in taps]

    def pack(phase: Sequence[int]) -> Tensor:
        a, b = (slice(r, None, s) for r, s in zip(phase, stride, strict=True))
        part = weight[:, :, a, b]
        part = F.pad(part, [0, taps[1] - part.shape[3], 0, taps[0] - part.shape[2]]).flip(2, 3).contiguous()
        made: Tensor = torch.ops.mkldnn._reorder_convolution_weight(part, edge, [1, 1], [1, 1], channels)
        return made

    phases = []
    for phase in product(*map(range, stride)):
        ready = call.packed_weights.get((*job.key("phase"), *phase), lambda phase=phase: pack(phase))  # type: ignore[misc]
        first = [-((r - p) // s) for r, p, s in zip(phase, pad, stride, strict=True)]
        start = [s * q + r - p for r, p, s, q in zip(phase, pad, stride, first, strict=True)]
        phases.append((ready, first, start))
    post = post_op(call.attributes)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        for ready, (qy, qx), (y, x) in phases:
            target = results[0][:, :, y :: stride[0], x :: stride[1]]
            made = torch.ops.mkldnn._convolution_pointwise(
                operands[0], ready, bias, edge, [1, 1], [1, 1], channels, *post
            )
            store_activated(target, made[:, :, qy : qy + target.shape[2], qx : qx + target.shape[3]], call.attributes)

    return run


def separate_filters(weight: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """(column, row, factor per channel) if every filter is their product to rounding, as bilinear ones; else None."""
    filters = weight[:, 0]
    largest = int(filters[0].abs().argmax())
    y, x = divmod(largest, filters.shape[2])
    pivot = filters[0, y, x]
    if not pivot or not pivot.isfinite():
        return None
    column, row, factor = filters[0, :, x] / pivot, filters[0, y], filters[:, y, x] / pivot
    error = (filters - factor[:, None, None] * column[:, None] * row).abs().max()
    return (column, row, factor) if error <= 4e-7 * filters.abs().max() else None


def prepare_by_axes(job: DeconvolutionProblem, column: Tensor, row: Tensor, factor: Tensor) -> Run:
    """A separable deconvolution as two matrix products, one along each image axis."""
    wide, high = deconvolution_matrix(row, job, 1), deconvolution_matrix(column, job, 0)
    bias, (h, w) = job.bias, job.image
    scaled = bool((factor != 1).any())

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        n, c = operands[0].shape[:2]
        lines = torch.matmul(wide, operands[0].permute(0, 2, 3, 1).reshape(n * h, w, c)).view(n, h, -1)
        target = results[0].permute(0, 2, 3, 1)
        direct = target.is_contiguous()  # avoids a temporary of the size of the result
        made = torch.matmul(high, lines, out=target.view(n, len(high), -1)) if direct else torch.matmul(high, lines)
        made = made.view(target.shape)
        if scaled:
            made *= factor
        if bias is not None:
            made += bias
        activate_(made, job.call.attributes)
        if not direct:
            target.copy_(made)

    return run


def deconvolution_matrix(filter: Tensor, job: DeconvolutionProblem, axis: int) -> Tensor:
    """The deconvolution along one image axis as a matrix [result size, input size]."""
    unit = torch.eye(job.image[axis], dtype=filter.dtype).unsqueeze(1)
    made = F.conv_transpose1d(unit, filter.reshape(1, 1, -1), stride=job.stride[axis], padding=job.pad[axis])
    return made.squeeze(1).t().contiguous()


DECONV_PACKED = Primitive(prepare, infer_shapes)
