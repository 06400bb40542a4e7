"""Lowers convolution to one of three kernels: implicit GEMM, implicit GEMM with TMA loads (sm_90), or depthwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...errors import Unsupported
from ...ops.conv import Conv
from .epilogue import Operand, make_epilogue
from .kernel_spec import (
    NEWEST_ARCHITECTURE,
    OLDEST_ARCHITECTURE,
    KernelProblem,
    KernelSpec,
    ceil_div,
    constexprs,
    extents,
    image_sizes,
    image_strides,
    next_power_of_two,
    rows_and_columns,
)
from .parameters import Descriptor, Pointer
from .space import image_space
from .tiles import TileShape, matmul_tile, tile_count, tma_tile
from .view import View, contiguous

MIN_UNFLATTENED_CHANNELS = 16  # with fewer input channels, taps and channels are one flattened axis of the GEMM
MAX_TILE_WASTE = 1.6  # computed pixels / actual pixels above which TMA tiles are declined


def lower_convolution(work: KernelProblem) -> Sequence[KernelSpec]:
    """The specs for a convolution with its epilogue, the newest architecture first."""
    op = work.anchor.op
    assert isinstance(op, Conv)
    channels = image_sizes(work.operand(0)[1])[1]
    if op.groups == channels > 1:
        return [lower_depthwise(work, op)]
    implicit_gemm = lower_implicit_gemm(work, op)
    tiled = lower_tma_convolution(work, op)
    return [tiled, replace(implicit_gemm, architectures=(OLDEST_ARCHITECTURE,))] if tiled else [implicit_gemm]


class ConvolutionShape:
    """Sizes, window geometry, epilogue and common parameters of a convolution, for all three kernels.

    n, c, h, w: of the input; o, oh, ow: of the result; r, s: window rows and columns. pad: before the image; what is
    after it follows from the result's size.
    """

    def __init__(self, work: KernelProblem, op: Conv) -> None:
        (self.x_number, self.x), (self.w_number, weight) = work.operand(0), work.operand(1)
        self.y = work.results[0]
        self.n, self.c, self.h, self.w = image_sizes(self.x)
        # y holds the first y_channels of o; the other slices, if any, are stored by the epilogue
        _, self.y_channels, self.oh, self.ow = image_sizes(self.y)
        self.o = weight.shape[0]
        self.r, self.s = rows_and_columns(weight.shape[2:], 1)
        (stride, _, dilation), (pad, _) = op.geometry(len(self.x.shape) - 2), op.pads(len(self.x.shape) - 2)
        self.stride, self.pad, self.dilation = (
            rows_and_columns(stride, 1),
            rows_and_columns(pad, 0),
            rows_and_columns(dilation, 1),
        )
        self.weight, self.groups = weight, op.groups
        self.pixels = self.n * self.oh * self.ow
        self.space = image_space(contiguous(self.y.dtype, work.anchor.output.type.shape, innermost=1))
        bias: Operand | None = (work.anchor.inputs[2], 1) if len(work.anchor.inputs) == 3 else None
        self.epilogue = make_epilogue(work.kernel, self.space, work.views, work.anchor, bias, work.results[1:])

    def weight_packing(self, order: tuple[int, ...]) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
        """The axis order and shape that the weight is packed to; empty for a 1×1 window, which needs no packing."""
        shape = tuple(self.weight.shape[a] for a in order)
        return {} if self.r * self.s == 1 else {self.w_number: (order, shape)}

    @property
    def channels_last(self) -> tuple[int, ...]:
        return (0, *range(2, len(self.weight.shape)), 1)

    def pointers(self) -> dict[str, Pointer]:
        weight = contiguous(self.weight.dtype, self.weight.shape)
        return {
            "y": Pointer(("result", 0), self.y),
            "x": Pointer(("operand", self.x_number), self.x),
            "weight": Pointer(("operand", self.w_number), weight),
        }


def precision_of(view: View, strict: bool) -> tuple[str, str]:
    """(key into the tile table, Triton's input_precision). Unsupported for dtypes other than f32 and f16."""
    if view.dtype not in ("f32", "f16"):
        raise Unsupported(f"the cuda target multiplies f32 and f16, not {view.dtype}")
    return ("f16", "ieee") if view.dtype == "f16" else ("f32-strict", "ieee") if strict else ("f32", "tf32x3")


def lower_implicit_gemm(work: KernelProblem, op: Conv) -> KernelSpec:
    it = ConvolutionShape(work, op)
    c, o = it.c // it.groups, it.o // it.groups
    name, precision = precision_of(it.x, work.strict)
    flat = c < MIN_UNFLATTENED_CHANNELS
    tile = matmul_tile("conv", name, it.pixels, o, it.r * it.s * c if flat else c, it.groups)
    if flat and tile.depth > 16 and name == "f32":
        tile = replace(tile, depth=16, stages=2)  # addresses are computed per element, so registers are the limit
    parameters = {
        **it.pointers(),
        "extra": it.epilogue.extra,
        **extents(N=it.n, H=it.h, W=it.w, OH=it.oh, OW=it.ow),
        **image_strides(it.y, "y"),
        **image_strides(it.x, "x"),
        **constexprs(C=c, O=o, R=it.r, S=it.s, SH=it.stride[0], SW=it.stride[1], PH=it.pad[0], PW=it.pad[1]),
        **constexprs(DH=it.dilation[0], DW=it.dilation[1], ROWS=tile.rows, COLUMNS=tile.columns, DEPTH=tile.depth),
        **constexprs(OWN=it.y_channels, FLAT=flat, PRECISION=precision),
    }
    grid = (ceil_div(it.pixels, tile.rows), ceil_div(o, tile.columns), it.groups)
    packed = it.weight_packing(it.channels_last)
    return KernelSpec("conv", parameters, grid, tile.warps, tile.stages, it.epilogue, weight_packing=packed)


def lower_tma_convolution(work: KernelProblem, op: Conv) -> KernelSpec | None:
    """The spec with TMA loads; None if TMA cannot describe the image, or its tiles would waste too much work."""
    it = ConvolutionShape(work, op)
    name, precision = precision_of(it.x, work.strict)
    if name == "f32-strict" or it.groups > 1 or it.c < MIN_UNFLATTENED_CHANNELS:
        return None
    tile = matmul_tile("conv_tiled", name, it.pixels, it.o, it.c)
    described = image_descriptor(it, tile)
    if described is None:
        return None
    span = tma_tile(tile.rows, it.n, it.oh, it.ow)
    tiles = tile_count(span, it.n, it.oh, it.ow)
    if tiles * tile.rows > MAX_TILE_WASTE * ceil_div(it.pixels, tile.rows) * tile.rows:
        return None
    shape, steps = described
    box = (*span, tile.depth) if len(shape) == 4 else (span[0], span[1], 1, span[2], tile.depth)
    x = Descriptor(("operand", it.x_number), it.x.dtype, it.x.itemsize, shape, steps, box)
    taps = it.r * it.s
    w_shape, w_steps = (it.o, taps, it.c), (taps * it.c, it.c, 1)
    weight = Descriptor(
        ("operand", it.w_number), it.x.dtype, it.x.itemsize, w_shape, w_steps, (tile.columns, 1, tile.depth)
    )
    parameters = {
        "y": Pointer(("result", 0), it.y),
        "x": x,
        "weight": weight,
        "extra": it.epilogue.extra,
        **extents(N=it.n, OH=it.oh, OW=it.ow),
        **image_strides(it.y, "y"),
        **constexprs(C=it.c, O=it.o, R=it.r, S=it.s, STRIDE=it.stride[0], PH=it.pad[0], PW=it.pad[1]),
        **constexprs(DH=it.dilation[0], DW=it.dilation[1], TN=span[0], TH=span[1], TW=span[2]),
        **constexprs(OWN=it.y_channels, COLUMNS=tile.columns, DEPTH=tile.depth, PRECISION=precision),
    }
    grid = (tiles, ceil_div(it.o, tile.columns), 1)
    packed = it.weight_packing(it.channels_last)
    return KernelSpec(
        "conv_tiled", parameters, grid, tile.warps, tile.stages, it.epilogue, (NEWEST_ARCHITECTURE,), packed
    )


def image_descriptor(it: ConvolutionShape, tile: TileShape) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Shape and strides, in elements, of the TMA descriptor of the image; None if TMA cannot describe it.

    TMA requires that the address and every stride but the last are multiples of 16 bytes, and the last stride is 1
    (CUDA driver API, cuTensorMapEncodeTiled). Stride 2 is expressed by splitting rows and columns into pairs.
    """
    n, c, *spatial = it.x.strides
    h, w = spatial if len(spatial) == 2 else (it.w * spatial[0], spatial[0])
    describable = all(s * it.x.itemsize % 16 == 0 for s in (n, h, w, it.c)) and it.x.is_aligned and c == 1
    if not describable:
        return None
    if it.stride == (1, 1):
        return (it.n, it.h, it.w, it.c), (n, h, w, 1)
    if it.stride != (2, 2) or it.h % 2 or it.w % 2 or it.c % tile.depth or w != it.c:
        return None
    return (it.n, it.h // 2, 2, it.w // 2, 2 * it.c), (n, 2 * h, h, 2 * w, 1)


def lower_depthwise(work: KernelProblem, op: Conv) -> KernelSpec:
    it = ConvolutionShape(work, op)
    precision_of(it.x, work.strict)
    columns = next_power_of_two(it.o, most=64) if it.x.strides[1] == 1 else 1
    rows = 1024 // columns
    parameters = {
        **it.pointers(),
        "extra": it.epilogue.extra,
        **extents(N=it.n, H=it.h, W=it.w, OH=it.oh, OW=it.ow),
        **image_strides(it.y, "y"),
        **image_strides(it.x, "x"),
        **constexprs(O=it.o, EACH=it.o // it.c, R=it.r, S=it.s, SH=it.stride[0], SW=it.stride[1]),
        **constexprs(PH=it.pad[0], PW=it.pad[1], DH=it.dilation[0], DW=it.dilation[1], OWN=it.y_channels),
        **constexprs(ROWS=rows, COLUMNS=columns),
    }
    order = (*range(2, len(it.weight.shape)), 1, 0)
    grid = (ceil_div(it.pixels, rows), ceil_div(it.o, columns), 1)
    return KernelSpec("depthwise", parameters, grid, epilogue=it.epilogue, weight_packing=it.weight_packing(order))
