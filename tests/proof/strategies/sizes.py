"""Strategies for operators that resize images."""

from __future__ import annotations

from math import prod

from cortado.compiler.ir import Value
from cortado.compiler.ops.pool import MaxPool
from cortado.compiler.ops.resize import ALIGNMENTS, Interp, Resize, Unpool, Upsample

from ..net_builder import NetBuilder, Unfit
from .windows import pool_window


def interp(d: NetBuilder) -> Value:
    x = d.image()
    axes, trim = x.type.rank - 2, (d.dice.pick((0, 0, 0, 1)), d.dice.pick((0, 0, 1)))
    how = d.dice.pick(("sizes", "factors", "times"))
    if how == "sizes":
        return d.add(Interp(sizes=tuple(d.dice.between(1, 9) for _ in range(axes)), trim=trim), x)
    if how == "times":
        return d.add(Interp(times=d.dice.between(1, 3), trim=trim), x)
    return d.add(Interp(shrink=d.dice.between(1, 3), zoom=d.dice.between(1, 3), trim=trim), x)


def resize(d: NetBuilder) -> Value:
    """Resize one or two axes: to sizes, by factors, to a multiple, or to the sizes of other values."""
    x = d.image()
    axis = d.dice.between(2, x.type.rank - 1)
    axes, how = x.type.rank - axis, d.dice.pick(("linear", "nearest"))
    align = d.dice.pick(ALIGNMENTS[how])
    way = d.dice.pick(("sizes", "scale", "multiple", "like"))
    likes = [d.value(lambda v: v.type.rank >= axis + axes and v.type.is_static and min(v.type.shape, default=1) > 0)]
    op = Resize(
        how=how,
        align=align,
        axis=axis,
        axes=axes,
        sizes=tuple(d.dice.between(1, 7) for _ in range(axes)) if way == "sizes" else (),
        scale=tuple(d.dice.pick((1.0, 1.5, 2.0)) for _ in range(axes)) if way == "scale" else (),
        multiple=d.dice.between(1, 4) if way == "multiple" else 1,
        enlarge=d.dice.chance(0.3),
    )
    return d.add(op, x, *(likes if way == "like" else ()))


def upsample(d: NetBuilder) -> Value:
    x = d.image()
    axes = x.type.rank - 2
    return d.add(Upsample(scale=tuple(d.dice.between(1, 2) for _ in range(axes if d.dice.chance(0.5) else 1))), x)


def unpool(d: NetBuilder) -> Value:
    """Unpool by the mask of a pooling, of its result or of an image of the same size; or by random indices."""
    if d.dice.chance(0.6):
        whole = d.image()
        attributes = pool_window(d, whole, padded=False)
        pooled, mask = d.add_all(MaxPool(mask=True, **attributes), whole)  # type: ignore[arg-type]
        x = pooled if d.dice.chance(0.5) else d.value(lambda v: v.type == pooled.type)
        return d.add(Unpool(sizes=whole.type.bounds[2:]), x, mask)
    x = d.image()
    if not x.type.is_static:
        raise Unfit
    op = Unpool(scale=(2,), cut=(d.dice.pick((0, 1)),))
    plane = op.plane_sizes(x.type.shape[2:])
    return d.add(op, x, d.new_input(f"class{prod(plane)}", *x.type.shape))


STRATEGIES = {"interp": interp, "resize": resize, "upsample": upsample, "unpool": unpool}
