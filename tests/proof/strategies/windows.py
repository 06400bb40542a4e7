"""Strategies for pooling and local response normalization."""

from __future__ import annotations

from cortado.compiler.ir import Value
from cortado.compiler.ops.norm import Lrn
from cortado.compiler.ops.pool import AvgPool, MaxPool, PyramidPool, StochasticPool

from ..net_builder import NetBuilder, has_static_dims


def pool_window(d: NetBuilder, x: Value, padded: bool = True) -> dict[str, object]:
    """Kernel, stride and pad of a pooling; sometimes without a kernel, for global pooling."""
    axes = x.type.rank - 2

    def numbers(*choice: int) -> tuple[int, ...]:
        return tuple(d.dice.pick(choice) for _ in range(axes if d.dice.chance(0.3) else 1))

    made: dict[str, object] = {"round": d.dice.pick(("up", "down"))}
    if d.dice.chance(0.15):
        return made
    made |= {"kernel": numbers(1, 2, 2, 3, 3), "stride": numbers(1, 1, 2, 3)}
    if not padded or not d.dice.chance(0.5):
        return made
    sides = tuple(d.dice.between(0, 1) for _ in range(2 * axes)) if d.dice.chance(0.2) else numbers(0, 1)
    return made | {"pad": sides}


def max_pool(d: NetBuilder) -> object:
    x = d.image()
    mask = d.dice.chance(0.15) and x.type.is_static
    return d.add_all(MaxPool(mask=mask, **pool_window(d, x)), x)  # type: ignore[arg-type]


def avg_pool(d: NetBuilder) -> object:
    x = d.image()
    return d.add(AvgPool(include_pad=d.dice.chance(0.7), **pool_window(d, x)), x)  # type: ignore[arg-type]


def stochastic_pool(d: NetBuilder) -> object:
    x = d.image()
    return d.add(StochasticPool(**pool_window(d, x, padded=False)), x)  # type: ignore[arg-type]


def pyramid_pool(d: NetBuilder) -> object:
    return d.add(PyramidPool(height=d.dice.between(1, 2), mode=d.dice.pick(("max", "avg"))), d.image(4))


def lrn(d: NetBuilder) -> object:
    x = d.value(lambda v: v.type.rank >= 2 and has_static_dims(v, 1))
    region = "within" if x.type.rank > 2 and d.dice.chance(0.4) else "across"
    beta, alpha = d.dice.pick((0.75, 0.5)), d.dice.pick((1.0, 0.1))
    return d.add(Lrn(size=d.dice.pick((1, 3, 5)), alpha=alpha, beta=beta, k=d.dice.pick((1.0, 2.0)), region=region), x)


STRATEGIES = {
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    "stochastic_pool": stochastic_pool,
    "pyramid_pool": pyramid_pool,
    "lrn": lrn,
}
