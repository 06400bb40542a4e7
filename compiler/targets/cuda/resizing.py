"""Lowers what changes the size of an image without a weight: interpolation, and repeated pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...op import per_axis
from ...ops.resize import Interp, Upsample
from .arithmetic import ceil_div
from .copies import copy_range
from .kernel_spec import KernelProblem, KernelSpec, constexprs, extents, image_sizes, image_strides, rows_and_columns
from .parameters import Parameter, Pointer
from .windows import tile_rows_and_columns

READS = 2  # the elements of a tile are halved: four neighbours of each take registers


def lower_interp(work: KernelProblem) -> Sequence[KernelSpec]:
    op = work.anchor.op
    assert isinstance(op, Interp)
    x, y = work.operand(0)[1], work.results[0]
    kept = op.trimmed_ranges(x.shape[2:])
    if tuple(map(len, kept)) == y.shape[2:]:  # a copy, as in Caffe: no neighbour times 0
        return copy_range(work, 2, [places.start for places in kept])
    high, wide = rows_and_columns(tuple(map(len, kept)), 1)
    top, left = rows_and_columns(tuple(places.start for places in kept), 0)
    oh, ow = image_sizes(y)[2:]
    sizes = {**extents(N=y.shape[0], H=high, W=wide, OH=oh, OW=ow)}
    settings = constexprs(TOP=top, LEFT=left, SCALE_H=corner_scale(high, oh), SCALE_W=corner_scale(wide, ow))
    return [lower_pixels(work, "interp", sizes, settings)]


def corner_scale(size: int, count: int) -> float:
    """(size - 1) / (count - 1) as Caffe's f32 has it; 0 for a single element."""
    return float(np.float32(size - 1) / np.float32(count - 1)) if count > 1 else 0.0


def lower_upsample(work: KernelProblem) -> Sequence[KernelSpec]:
    op, y = work.anchor.op, work.results[0]
    assert isinstance(op, Upsample)
    sh, sw = rows_and_columns(per_axis(op.scale, len(y.shape) - 2, "scale"), 1)
    oh, ow = image_sizes(y)[2:]
    return [lower_pixels(work, "upsample", extents(N=y.shape[0], OH=oh, OW=ow), constexprs(SH=sh, SW=sw))]


def lower_pixels(
    work: KernelProblem, template: str, sizes: dict[str, Parameter], settings: dict[str, Parameter]
) -> KernelSpec:
    """The spec of a template whose programs compute tiles of pixels and channels."""
    (number, x), y = work.operand(0), work.results[0]
    n, c, oh, ow = image_sizes(y)
    rows, columns = tile_rows_and_columns(y, c, READS)
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", number), x),
        **sizes,
        **image_strides(y, "y"),
        **image_strides(x, "x"),
        **constexprs(C=c),
        **settings,
        **constexprs(ROWS=rows, COLUMNS=columns),
    }
    return KernelSpec(template, parameters, (ceil_div(n * oh * ow, rows), ceil_div(c, columns), 1))
