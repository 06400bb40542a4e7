"""Lowers pooling, unfolded windows and local response normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import Unsupported
from ...op import per_axis
from ...ops.conv import Im2col
from ...ops.norm import Lrn
from ...ops.pool import AvgPool, MaxPool, Pool
from .arithmetic import ceil_div, next_power_of_two
from .epilogue import make_epilogue
from .kernel_spec import KernelProblem, KernelSpec, constexprs, extents, image_sizes, image_strides, rows_and_columns
from .parameters import Constexpr, Number, Parameter, Pointer, stride_parameter
from .space import image_space
from .view import View

TILE_ELEMENTS = 1024  # per program of four warps: eight per thread


def tile_rows_and_columns(view: View, channels: int, taps: int = 1) -> tuple[int, int]:
    """Rows (pixels) and columns (channels) of a tile, wide in whichever is innermost in memory."""
    columns = next_power_of_two(channels, most=64) if view.strides[1] == 1 else 1
    return max(TILE_ELEMENTS // (columns * taps), 1), columns


def lower_pool(work: KernelProblem) -> Sequence[KernelSpec]:
    op = work.anchor.op
    assert isinstance(op, Pool)
    (number, x), y = work.operand(0), work.results[0]
    (n, c, h, w), (_, _, oh, ow) = image_sizes(x), image_sizes(y)
    windows = op.windows(x.shape[2:])
    r, s = rows_and_columns(tuple(v.kernel for v in windows), 1)
    sh, sw = rows_and_columns(tuple(v.stride for v in windows), 1)
    ph, pw = rows_and_columns(tuple(v.pad for v in windows), 0)
    below, right = rows_and_columns(tuple(v.after for v in windows), 0)
    taps = 1 if r * s <= 16 else next_power_of_two(r * s, most=32)
    rows, columns = tile_rows_and_columns(x, c, taps)
    epilogue = make_epilogue(work.kernel, image_space(y), work.views, work.anchor)
    pointers: dict[str, Parameter] = {"y": Pointer(("result", 0), y)}
    if isinstance(op, MaxPool):
        pointers["where"] = (
            Pointer(("result", 1), require_same_strides(work.results[1], y)) if op.mask else Constexpr(None)
        )
    padding = constexprs(BELOW=below, RIGHT=right, PADDING=op.include_pad) if isinstance(op, AvgPool) else {}
    parameters = {
        **pointers,
        "x": Pointer(("operand", number), x),
        "extra": epilogue.extra,
        **extents(N=n, H=h, W=w, OH=oh, OW=ow),
        **image_strides(y, "y"),
        **image_strides(x, "x"),
        **constexprs(C=c, R=r, S=s, SH=sh, SW=sw, PH=ph, PW=pw),
        **padding,
        **constexprs(ROWS=rows, TAPS=taps, COLUMNS=columns),
    }
    template = "max_pool" if isinstance(op, MaxPool) else "avg_pool"
    return [KernelSpec(template, parameters, (ceil_div(n * oh * ow, rows), ceil_div(c, columns), 1), epilogue=epilogue)]


def require_same_strides(mask: View, y: View) -> View:
    """The mask, which the kernel writes with the strides of the result. Unsupported if its strides differ."""
    if mask.strides != y.strides:
        raise Unsupported("the mask of a max pool has to have the layout of its result")
    return mask


def lower_im2col(work: KernelProblem) -> Sequence[KernelSpec]:
    op = work.anchor.op
    assert isinstance(op, Im2col)
    (number, x), y = work.operand(0), work.results[0]
    (n, c, h, w), (_, channels, oh, ow) = image_sizes(x), image_sizes(y)
    axes = len(x.shape) - 2
    r, s = rows_and_columns(per_axis(op.kernel, axes, "kernel"), 1)
    (stride, _, dilation), (pad, _) = op.geometry(axes), op.pads(axes)
    (sh, sw), (dh, dw), (ph, pw) = (
        rows_and_columns(v, missing) for v, missing in ((stride, 1), (dilation, 1), (pad, 0))
    )
    rows, columns = tile_rows_and_columns(y, channels)
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", number), x),
        **extents(N=n, H=h, W=w, OH=oh, OW=ow),
        **image_strides(y, "y"),
        **image_strides(x, "x"),
        **constexprs(C=c, R=r, S=s, SH=sh, SW=sw, PH=ph, PW=pw, DH=dh, DW=dw, CHANNELS=channels),
        **constexprs(ROWS=rows, COLUMNS=columns),
    }
    return [KernelSpec("im2col", parameters, (ceil_div(n * oh * ow, rows), ceil_div(channels, columns), 1))]


def lower_lrn(work: KernelProblem) -> Sequence[KernelSpec]:
    op = work.anchor.op
    assert isinstance(op, Lrn)
    (number, x), y = work.operand(0), work.results[0]
    pointers: dict[str, Parameter] = {"y": Pointer(("result", 0), y), "x": Pointer(("operand", number), x)}
    if op.region == "across":
        return [lower_lrn_across(op, x, y, pointers)]
    n, c, h, w = image_sizes(x)
    rows, columns = tile_rows_and_columns(x, c)
    parameters = {
        **pointers,
        **extents(N=n, H=h, W=w),
        **image_strides(y, "y"),
        **image_strides(x, "x"),
        **constexprs(C=c, R=op.size if len(x.shape) == 4 else 1, S=op.size, ALPHA=op.alpha, BETA=op.beta),
        **constexprs(ROWS=rows, COLUMNS=columns),
    }
    return [KernelSpec("lrn_within", parameters, (ceil_div(n * h * w, rows), ceil_div(c, columns), 1))]


def lower_lrn_across(op: Lrn, x: View, y: View, pointers: dict[str, Parameter]) -> KernelSpec:
    pixels = tuple(range(2, len(x.shape)))
    count = x.extent(pixels)
    rows, columns = tile_rows_and_columns(x, x.shape[1])
    parameters = {
        **pointers,
        **extents(N=x.shape[0], P=count),
        **plane_strides(y, "y", pixels),
        **plane_strides(x, "x", pixels),
        **constexprs(C=x.shape[1], SIZE=op.size, ALPHA=op.alpha, BETA=op.beta, K=op.k, ROWS=rows, COLUMNS=columns),
    }
    return KernelSpec("lrn_across", parameters, (ceil_div(x.shape[0] * count, rows), ceil_div(x.shape[1], columns), 1))


def plane_strides(view: View, name: str, pixels: tuple[int, ...]) -> dict[str, Parameter]:
    """The strides of pictures, pixels and channels. Unsupported if the pixel axes have no common stride."""
    along = view.merged_stride(pixels)
    if along is None:
        raise Unsupported(f"the pixel axes of a value of shape {list(view.shape)} have no common stride")
    return {
        f"{name}_n": Number(view.strides[0], "i64"),
        f"{name}_p": stride_parameter(along),
        f"{name}_c": stride_parameter(view.strides[1]),
    }
