"""Lowers convolution to an implicit GEMM, with TMA loads on sm_90, to a plain matrix product, or to depthwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...errors import Unsupported
from ...ops.conv import Conv
from .arithmetic import ceil_div, next_power_of_two
from .epilogue import Operand, make_epilogue
from .hardware import OLDEST_ARCHITECTURE
from .kernel_spec import (
    KernelProblem,
    KernelSpec,
    constexprs,
    extents,
    image_sizes,
    image_strides,
    rows_and_columns,
)
from .matmul_model import choose_tile
from .parameters import Constexpr, Descriptor, Parameter, Pointer
from .product import (
    ALIGNMENT,
    Product,
    WeightOperands,
    can_pack_parts,
    lower_product,
    make_tma_spec,
    pack_weight,
    split_parameters,
)
from .space import image_space, pixel_space
from .tiles import MatmulProblem, rule_tile, tile_count, tma_tile
from .view import View, contiguous

MIN_UNFLATTENED_CHANNELS = 16  # with fewer input channels, taps and channels are one flattened axis of the GEMM


def lower_convolution(work: KernelProblem) -> Sequence[KernelSpec]:
    """The specs for a convolution with its epilogue, the newest architecture first."""
    op = work.anchor.op
    assert isinstance(op, Conv)
    it = ConvolutionShape(work, op)
    if op.groups == it.c > 1:
        return [lower_depthwise(it)]
    newest = lower_pointwise(it) or lower_tma_convolution(it)
    if newest is None:
        return [lower_implicit_gemm(it, it.pointers())]
    older = lower_implicit_gemm(it, it.pointers() | it.weights.pointers())
    packing = newest.weight_packing
    return [newest, replace(older, architectures=(OLDEST_ARCHITECTURE,), weight_packing=packing)]


class ConvolutionShape:
    """Sizes, window geometry, epilogue and common parameters of a convolution, for all its kernels.

    n, c, h, w: of the input; o, oh, ow: of the result; r, s: window rows and columns. pad: before the image; what is
    after it follows from the result's size.
    """

    def __init__(self, work: KernelProblem, op: Conv) -> None:
        self.work, self.op = work, op
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
        self.weight = weight
        self.pixels = self.n * self.oh * self.ow
        self.space = image_space(contiguous(self.y.dtype, work.anchor.output.type.shape, innermost=1))
        self.bias: Operand | None = (work.anchor.inputs[2], 1) if len(work.anchor.inputs) == 3 else None
        self.epilogue = make_epilogue(work.kernel, self.space, work.views, work.anchor, self.bias, work.results[1:])
        self.taps = self.r * self.s
        self.precision, self.input_precision = precision_of(self.x, work.settings.strict)
        self.weights = WeightOperands(work, self.precision, self.taps_first, (self.taps, self.o, self.c))

    @property
    def fits_tensor_cores(self) -> bool:
        """True if a kernel with TMA loads may compute it, by sm_90's tensor cores: one group, and enough channels."""
        return self.precision != "f32-strict" and self.op.groups == 1 and self.c >= MIN_UNFLATTENED_CHANNELS

    @property
    def taps_first(self) -> tuple[int, ...]:
        """The order of the weight's axes in which it is packed: window, output channels, input channels."""
        return (*range(2, len(self.weight.shape)), 0, 1)

    def pointers(self) -> dict[str, Parameter]:
        return {
            "y": Pointer(("result", 0), self.y),
            "x": Pointer(("operand", self.x_number), self.x),
            "weight": Pointer(("operand", self.w_number), self.weight),
            "rest": Constexpr(None),
        }


def precision_of(view: View, strict: bool) -> tuple[str, str]:
    """(key into the tile table, Triton's input_precision). Unsupported for dtypes other than f32 and f16."""
    if view.dtype not in ("f32", "f16"):
        raise Unsupported(f"the cuda target multiplies f32 and f16, not {view.dtype}")
    return ("f16", "ieee") if view.dtype == "f16" else ("f32-strict", "ieee") if strict else ("f32", "tf32x3")


def lower_implicit_gemm(it: ConvolutionShape, pointers: Mapping[str, Parameter]) -> KernelSpec:
    """The spec with loads by `pointers`, for any geometry and architecture."""
    groups = it.op.groups
    c, o = it.c // groups, it.o // groups
    flat = c < MIN_UNFLATTENED_CHANNELS
    problem = MatmulProblem("conv", it.precision, it.pixels, o, it.taps * c if flat else c, many=groups)
    if not flat:
        problem = replace(problem, taps=it.taps, stride=it.stride)
    tile = rule_tile(problem)
    if flat and tile.depth > 16 and it.precision == "f32":
        tile = replace(tile, depth=16, stages=2)  # addresses are computed per element, so registers are the limit
    parameters = {
        **pointers,
        "extra": it.epilogue.extra,
        **extents(N=it.n, H=it.h, W=it.w, OH=it.oh, OW=it.ow),
        **image_strides(it.y, "y"),
        **image_strides(it.x, "x"),
        **constexprs(C=c, O=o, R=it.r, S=it.s, SH=it.stride[0], SW=it.stride[1], PH=it.pad[0], PW=it.pad[1]),
        **constexprs(DH=it.dilation[0], DW=it.dilation[1], ROWS=tile.rows, COLUMNS=tile.columns, DEPTH=tile.depth),
        **constexprs(OWN=it.y_channels, FLAT=flat, PRECISION=it.input_precision),
    }
    grid = (ceil_div(it.pixels, tile.rows), ceil_div(o, tile.columns), groups)
    packed = pack_weight(it.work, it.taps_first, (it.taps, it.o, c))
    return KernelSpec(
        "conv",
        parameters,
        grid,
        tile.warps,
        tile.stages,
        it.epilogue,
        weight_packing=packed,
        problem=problem,
        tile=tile,
    )


def lower_pointwise(it: ConvolutionShape) -> KernelSpec | None:
    """A convolution of single pixels as a matrix product with TMA loads; None if it is none, or TMA cannot read it."""
    is_pointwise = it.taps == 1 and it.stride == (1, 1) and it.pad == (0, 0) and (it.h, it.w) == (it.oh, it.ow)
    if not is_pointwise or not it.fits_tensor_cores:
        return None
    rank = len(it.x.shape)
    rows = (0, *range(2, rank))
    order = (0, 1, *range(2, rank))
    return lower_product(Product(it.work, it.precision, rows, (1,), 1, order, pixel_space(it.space.result), it.bias))


def lower_tma_convolution(it: ConvolutionShape) -> KernelSpec | None:
    """The spec with TMA loads; None if TMA cannot describe the image, or its tiles would waste too much work."""
    packable = it.fits_tensor_cores and can_pack_parts(it.work, it.precision)
    if not packable or it.c * it.x.itemsize % ALIGNMENT:
        return None
    sizes = (it.n, it.oh, it.ow)
    results = len(it.work.results)
    problem = MatmulProblem(
        "conv_tiled", it.precision, it.pixels, it.o, it.c, it.taps, it.stride, sizes, results=results
    )
    tile = it.work.settings.tile or choose_tile(problem)
    described = image_descriptor(it)
    if described is None or tile is None:
        return None
    span = tma_tile(tile.rows, *sizes)
    tiles = tile_count(span, *sizes)
    shape, steps = described
    box = (*span, tile.depth) if len(shape) == 4 else (span[0], span[1], 1, span[2], tile.depth)
    programs = tiles * ceil_div(it.o, tile.columns)
    parameters = {
        "y": Pointer(("result", 0), it.y),
        "x": Descriptor(("operand", it.x_number), it.x.dtype, it.x.itemsize, shape, steps, box),
        **it.weights.descriptors((1, tile.columns, tile.depth)),
        "extra": it.epilogue.extra,
        **split_parameters(tile, programs),
        **extents(N=it.n, OH=it.oh, OW=it.ow),
        **image_strides(it.y, "y"),
        **constexprs(C=it.c, O=it.o, R=it.r, S=it.s, SH=it.stride[0], SW=it.stride[1], PH=it.pad[0], PW=it.pad[1]),
        **constexprs(DH=it.dilation[0], DW=it.dilation[1], TN=span[0], TH=span[1], TW=span[2]),
        **constexprs(OWN=it.y_channels, COLUMNS=tile.columns, DEPTH=tile.depth, SPLIT=tile.split),
    }
    return make_tma_spec("conv_tiled", parameters, problem, tile, programs, it.epilogue, it.weights)


def image_descriptor(it: ConvolutionShape) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Shape and strides, in elements, of the TMA descriptor of the image; None if TMA cannot describe it.

    TMA requires that the address and every stride but the last are multiples of 16 bytes, and the last stride is 1
    (CUDA driver API, cuTensorMapEncodeTiled). A stride of the convolution is expressed by splitting rows and columns.
    """
    n, c, *spatial = it.x.strides
    h, w = spatial if len(spatial) == 2 else (it.w * spatial[0], spatial[0])
    (sh, sw), sizes = it.stride, (it.h, it.w)
    describable = all(s * it.x.itemsize % ALIGNMENT == 0 for s in (n, h, w)) and it.x.is_aligned and c == 1
    if not describable or it.h % sh or it.w % sw or (sw > 1 and w != it.c):
        return None
    if (sh, sw) == (1, 1):
        return (it.n, *sizes, it.c), (n, h, w, 1)
    return (it.n, it.h // sh, sh, it.w // sw, sw * it.c), (n, sh * h, h, sw * w, 1)


def lower_depthwise(it: ConvolutionShape) -> KernelSpec:
    pointers = {name: p for name, p in it.pointers().items() if name != "rest"}
    columns = next_power_of_two(it.o, most=64) if it.x.strides[1] == 1 else 1
    rows = 1024 // columns
    parameters = {
        **pointers,
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
    packed = pack_weight(it.work, order, (it.taps, it.o))
    return KernelSpec("depthwise", parameters, grid, epilogue=it.epilogue, weight_packing=packed)
