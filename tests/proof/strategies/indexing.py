"""Strategies for operators that move elements: slices, concats, reshapes, permutations, gathers."""

from __future__ import annotations

from collections.abc import Callable

from cortado.compiler.ir import Value
from cortado.compiler.ops.indexing import Crop, Filter, Flip, Gather, Reorg, Tile, Transpose
from cortado.compiler.ops.shape import Concat, Flatten, Pad, Relayout, Reshape, Slice, Squeeze

from ..net_builder import NetBuilder, Unfit, has_static_dims
from .general import axis


def concat(d: NetBuilder) -> Value:
    """Most often along the channels; of values that differ only along that axis, sometimes with one of them twice."""
    x = d.value(lambda v: v.type.rank > 0)
    rank = x.type.rank
    along = 1 if rank > 1 and d.dice.chance(0.7) else d.dice.between(0, rank - 1)
    rest = (*x.type.dims[:along], *x.type.dims[along + 1 :])

    def joins(v: Value) -> bool:
        dims = v.type.dims
        return len(dims) == rank and (*dims[:along], *dims[along + 1 :]) == rest

    others = [d.value(joins) for _ in range(d.dice.pick((0, 1, 1, 1, 2, 3)))]
    if others and x.type.is_static and d.dice.chance(0.1):
        others[0] = d.weight("w", *x.type.shape)
    made = d.dice.shuffle([x, *others])
    return d.add(Concat(axis=along - rank if d.dice.chance(0.1) else along), *made)


def cut(d: NetBuilder, x: Value | None = None) -> tuple[Value, ...]:
    x = x or d.value(lambda v: v.type.rank > 0)
    along = 1 if x.type.rank > 1 and d.dice.chance(0.7) else d.dice.between(0, x.type.rank - 1)
    size = x.type.dims[along]
    if not isinstance(size, int) or size < 2:
        raise Unfit
    if d.dice.chance(0.5):
        parts = [n for n in range(1, size + 1) if size % n == 0][: d.dice.between(2, 3)]
        return d.add_all(Slice(axis=along, parts=parts[-1]), x)
    points = sorted({d.dice.between(1, size - 1) for _ in range(d.dice.between(1, 3))})
    return d.add_all(Slice(axis=along, points=tuple(points)), x)


def reshape(d: NetBuilder) -> Value:
    """Keep the first dimensions, and factorize the rest differently, or use -1 for it."""
    x = d.value(lambda v: v.type.rank > 0 and has_static_dims(v, 1))
    keep = d.dice.between(0 if x.type.is_static else 1, min(2, x.type.rank))
    left = x.type.with_shape(*x.type.dims[keep:]).numel
    shape, rest = [0] * keep, max(left, 1)
    for _ in range(d.dice.between(0, 2)):
        factor = d.dice.pick([n for n in range(1, rest + 1) if rest % n == 0])
        shape.append(factor)
        rest //= factor
    shape.append(-1 if d.dice.chance(0.5) else rest)
    return d.add(Reshape(shape=tuple(shape)), x)


def flatten(d: NetBuilder) -> Value:
    x = d.value(lambda v: v.type.rank > 0)
    if d.dice.chance(0.6):
        return d.add(Flatten(), x)
    first = d.dice.between(0, x.type.rank - 1)
    return d.add(Flatten(axis=first, end_axis=d.dice.between(first, x.type.rank - 1)), x)


def relayout(d: NetBuilder) -> Value:
    return d.add(Relayout(to=d.dice.pick(("nchw", "nhwc"))), d.image(4))


def transpose(d: NetBuilder) -> Value:
    x = d.value(lambda v: v.type.rank > 1)
    return d.add(Transpose(order=tuple(d.dice.shuffle(range(x.type.rank)))), x)


def flip(d: NetBuilder) -> Value:
    """Flip along one axis or several, counted from either end."""
    x = d.value(lambda v: any(isinstance(n, int) for n in v.type.dims))
    axes = [i - x.type.rank * d.dice.chance(0.3) for i, n in enumerate(x.type.dims) if isinstance(n, int)]
    return d.add(Flip(axes=tuple(d.dice.shuffle(axes)[: d.dice.between(1, 2)])), x)


def pad(d: NetBuilder) -> Value:
    """Pad some dimensions, or cut elements off them."""
    x = d.value(lambda v: v.type.rank > 0)
    before, after = list[int](), list[int]()
    for size in x.type.dims:
        known = isinstance(size, int) and d.dice.chance(0.6)
        before.append(d.dice.between(-1 if isinstance(size, int) and size > 2 else 0, 2) if known else 0)
        after.append(d.dice.between(-1 if isinstance(size, int) and size > 2 else 0, 2) if known else 0)
    return d.add(Pad(before=tuple(before), after=tuple(after), value=d.dice.pick((0.0, 1.5))), x)


def squeeze(d: NetBuilder) -> Value:
    """Drop one dimension of size 1, or all."""
    x = d.value(lambda v: 1 in v.type.dims)
    one = d.dice.pick([i for i, n in enumerate(x.type.dims) if n == 1])
    return d.add(Squeeze(axes=(one,) if d.dice.chance(0.5) else ()), x)


def reorg(d: NetBuilder) -> Value:
    """Reorganize by 2 if the sizes allow that, else by 1."""
    x = d.image(4)
    sizes = x.type.bounds[1:]
    back = d.dice.chance(0.3)
    fits = sizes[0] % 4 == 0 and (back or sizes[1] % 2 == sizes[2] % 2 == 0)
    return d.add(Reorg(stride=2 if fits else 1, reverse=back), x)


def crop(d: NetBuilder) -> Value:
    """Crop to the sizes of another value, or to given sizes."""
    x = d.value(lambda v: v.type.rank > 0)
    start = d.dice.between(min(2, x.type.rank - 1), x.type.rank - 1) if d.dice.chance(0.7) else axis(d, x) % x.type.rank
    if d.dice.chance(0.5):
        return d.add(Crop(axis=start), x, d.value(lambda v: v.type.rank >= x.type.rank))
    has = x.type.with_shape(*x.type.dims[start:])
    if not has.is_static:
        raise Unfit
    sizes = tuple(d.dice.between(1, max(n, 1)) for n in has.shape)
    room = [n - s for n, s in zip(has.shape, sizes, strict=True)]
    return d.add(Crop(axis=start, sizes=sizes, offset=tuple(d.dice.between(0, max(r, 0)) for r in room)), x)


def tile(d: NetBuilder) -> Value:
    x = d.value(lambda v: v.type.rank > 0)
    return d.add(Tile(tiles=d.dice.between(1, 3), axis=axis(d, x)), x)


def gather(d: NetBuilder) -> Value:
    table = d.value(lambda v: v.type.rank > 0 and has_static_dims(v))
    rows = table.type.shape[0]
    shape = [d.dice.between(1, 4) for _ in range(d.dice.between(0, 2))]
    if d.dice.chance(0.5):
        table = d.weight("w", rows, d.dice.between(1, 4))
    return d.add(Gather(), table, d.new_input(f"class{rows}", *shape))


def filter_rows(d: NetBuilder) -> tuple[Value, ...]:
    """Filter one or two values with equally many rows by a selector."""
    x = d.value(lambda v: v.type.rank > 0 and has_static_dims(v))
    rows = x.type.dims[0]
    more = [d.value(lambda v: v.type.rank > 0 and v.type.dims[0] == rows)] if d.dice.chance(0.3) else []
    return d.add_all(Filter(), x, *more, d.new_input("flag", rows, *[1] * d.dice.between(0, 3)))


STRATEGIES: dict[str, Callable[[NetBuilder], object]] = {
    "concat": concat,
    "slice": cut,
    "reshape": reshape,
    "flatten": flatten,
    "relayout": relayout,
    "transpose": transpose,
    "flip": flip,
    "pad": pad,
    "squeeze": squeeze,
    "reorg": reorg,
    "crop": crop,
    "tile": tile,
    "gather": gather,
    "filter": filter_rows,
}
