"""Pooling, and normalisation over neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CompileError
from ...ops.norm import Lrn
from ...ops.pool import AvgPool, MaxPool, Pool
from .draft import Draft, Work, blocks, constants, extents, image, pair, power_of_two, sizes
from .epilogue import write
from .parameters import Constant, Number, Parameter, Pointer, step
from .space import images
from .view import View

ELEMENTS = 1024  # that a program of four warps holds at a time: eight for each thread


def spread(view: View, channels: int, taps: int = 1) -> tuple[int, int]:
    """Rows and columns of a tile whose neighbours in memory are neighbours in the tile."""
    columns = power_of_two(channels, most=64) if view.strides[1] == 1 else 1
    return max(ELEMENTS // (columns * taps), 1), columns


def pool(work: Work) -> Sequence[Draft]:
    op = work.anchor.op
    assert isinstance(op, Pool)
    (number, x), y = work.operand(0), work.results[0]
    (n, c, h, w), (_, _, oh, ow) = sizes(x), sizes(y)
    windows = op.windows(x.shape[2:])
    r, s = pair(tuple(v.kernel for v in windows), 1)
    sh, sw = pair(tuple(v.stride for v in windows), 1)
    ph, pw = pair(tuple(v.pad for v in windows), 0)
    taps = 1 if r * s <= 16 else power_of_two(r * s, most=32)
    tall, columns = spread(x, c, taps)
    epilogue = write(work.kernel, images(y), work.views, work.anchor)
    pointers: dict[str, Parameter] = {"y": Pointer(("result", 0), y)}
    if isinstance(op, MaxPool):
        pointers["where"] = Pointer(("result", 1), alike(work.results[1], y)) if op.mask else Constant(None)
    padding = constants(PADDING=op.include_pad) if isinstance(op, AvgPool) else {}
    parameters = {
        **pointers,
        "x": Pointer(("operand", number), x),
        "extra": epilogue.extra,
        **extents(N=n, H=h, W=w, OH=oh, OW=ow),
        **image(y, "y"),
        **image(x, "x"),
        **constants(C=c, R=r, S=s, SH=sh, SW=sw, PH=ph, PW=pw),
        **padding,
        **constants(ROWS=tall, TAPS=taps, COLUMNS=columns),
    }
    template = "max_pool" if isinstance(op, MaxPool) else "avg_pool"
    return [Draft(template, parameters, (blocks(n * oh * ow, tall), blocks(c, columns), 1), epilogue=epilogue)]


def alike(mask: View, y: View) -> View:
    """The mask, which is written by the strides of the result. CompileError if it lies another way."""
    if mask.strides != y.strides:
        raise CompileError("a pooling's mask has to lie as its result does")
    return mask


def normalisation(work: Work) -> Sequence[Draft]:
    op = work.anchor.op
    assert isinstance(op, Lrn)
    (number, x), y = work.operand(0), work.results[0]
    pointers: dict[str, Parameter] = {"y": Pointer(("result", 0), y), "x": Pointer(("operand", number), x)}
    if op.region == "across":
        return [across(op, x, y, pointers)]
    n, c, h, w = sizes(x)
    tall, columns = spread(x, c)
    parameters = {
        **pointers,
        **extents(N=n, H=h, W=w),
        **image(y, "y"),
        **image(x, "x"),
        **constants(C=c, R=op.size if len(x.shape) == 4 else 1, S=op.size, ALPHA=op.alpha, BETA=op.beta),
        **constants(ROWS=tall, COLUMNS=columns),
    }
    return [Draft("lrn_within", parameters, (blocks(n * h * w, tall), blocks(c, columns), 1))]


def across(op: Lrn, x: View, y: View, pointers: dict[str, Parameter]) -> Draft:
    pixels = tuple(range(2, len(x.shape)))
    count = x.extent(pixels)
    tall, columns = spread(x, x.shape[1])
    parameters = {
        **pointers,
        **extents(N=x.shape[0], P=count),
        **plane(y, "y", pixels),
        **plane(x, "x", pixels),
        **constants(C=x.shape[1], SIZE=op.size, ALPHA=op.alpha, BETA=op.beta, K=op.k, ROWS=tall, COLUMNS=columns),
    }
    return Draft("lrn_across", parameters, (blocks(x.shape[0] * count, tall), blocks(x.shape[1], columns), 1))


def plane(view: View, name: str, pixels: tuple[int, ...]) -> dict[str, Parameter]:
    """The strides of pictures, pixels and channels. CompileError if the pixels cannot be run over as one axis."""
    along = view.along(pixels)
    if along is None:
        raise CompileError(f"the pixels of a value of shape {list(view.shape)} do not lie in a row")
    return {f"{name}_n": Number(view.strides[0], "i64"), f"{name}_p": step(along), f"{name}_c": step(view.strides[1])}
