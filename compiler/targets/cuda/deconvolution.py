"""Lowers transposed convolution: an implicit GEMM for each remainder by the strides, or depthwise."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import Unsupported
from ...ops.conv import Deconv
from .arithmetic import ceil_div
from .convolution import precision_of
from .epilogue import Operand, make_epilogue
from .kernel_spec import KernelProblem, KernelSpec, constexprs, extents, image_sizes, image_strides, rows_and_columns
from .parameters import Pointer
from .product import pack_weight
from .space import image_space
from .tiles import MatmulProblem, rule_tile
from .windows import tile_rows_and_columns


def lower_deconvolution(work: KernelProblem) -> Sequence[KernelSpec]:
    """The spec for a transposed convolution with its epilogue. Unsupported with dilation."""
    op = work.anchor.op
    assert isinstance(op, Deconv)
    (x_number, x), (w_number, weight), y = work.operand(0), work.operand(1), work.results[0]
    (n, c, h, w), (_, o, oh, ow) = image_sizes(x), image_sizes(y)
    axes = len(x.shape) - 2
    (stride, _, dilation), (pad, _) = op.geometry(axes), op.pads(axes)
    if set(dilation) != {1}:
        raise Unsupported("the cuda target has no kernel for transposed convolutions with dilation")
    r, s = rows_and_columns(weight.shape[2:], 1)
    (sh, sw), (ph, pw) = rows_and_columns(stride, 1), rows_and_columns(pad, 0)
    precision, input_precision = precision_of(x, work.settings.strict)
    bias: Operand | None = (work.anchor.inputs[2], 1) if len(work.anchor.inputs) == 3 else None
    epilogue = make_epilogue(work.kernel, image_space(y), work.views, work.anchor, bias)
    window, groups = tuple(range(2, len(weight.shape))), op.groups
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", x_number), x),
        "weight": Pointer(("operand", w_number), weight),
        "extra": epilogue.extra,
        **extents(N=n, H=h, W=w, OH=oh, OW=ow),
        **image_strides(y, "y"),
        **image_strides(x, "x"),
    }
    geometry = constexprs(R=r, S=s, SH=sh, SW=sw, PH=ph, PW=pw)
    if groups == c > 1:
        rows, columns = tile_rows_and_columns(y, o)
        parameters |= {**constexprs(O=o, EACH=o // c), **geometry, **constexprs(ROWS=rows, COLUMNS=columns)}
        grid = (ceil_div(n * oh * ow, rows), ceil_div(o, columns), 1)
        packed = pack_weight(work, (*window, 0, 1), (r * s, o))
        return [KernelSpec("deconv_depthwise", parameters, grid, epilogue=epilogue, weight_packing=packed)]
    pixels = n * ceil_div(oh, sh) * ceil_div(ow, sw)  # of a phase, at most
    many = sh * sw * groups
    tile = rule_tile(MatmulProblem("deconv", precision, pixels, o // groups, c // groups, many=many))
    parameters |= {
        **constexprs(C=c // groups, O=o // groups, GROUPS=groups),
        **geometry,
        **constexprs(ROWS=tile.rows, COLUMNS=tile.columns, DEPTH=tile.depth, PRECISION=input_precision),
    }
    grid = (ceil_div(pixels, tile.rows), ceil_div(o // groups, tile.columns), many)
    packed = pack_weight(work, (*window, 1, 0), (r * s, o // groups, c))
    return [KernelSpec("deconv", parameters, grid, tile.warps, tile.stages, epilogue, weight_packing=packed)]
