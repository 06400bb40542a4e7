"""The registry of layer types: what computes each, and how many bottoms and tops it takes.

    @layer("ReLU", "relu_param")
    def relu(l: Layer, x: Value) -> Value:
        return l.emit(Relu(slope=l.number("negative_slope")), x)

A new layer is one such function and, if the language has no operators for it, a new operator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...compiler.ir import Value
from ...compiler.registry import Registry
from .forks import FORKS

Function = Callable[..., Value | tuple[Value, ...]]
MANY = 1 << 30


@dataclass(frozen=True, slots=True)
class LayerType:
    """A layer type: its function, the field with its settings, and the least and greatest count of bottoms and tops.

    A type that forks of Caffe define differently has an entry for each, by the fork's name, in `dialects`; counts and
    `fields` are then those of all of them, and dialects.py finds out which one a file means.
    """

    function: Function
    param: str | None
    bottoms: tuple[int, int]
    tops: tuple[int, int]
    shares: bool = False  # the tops alias the bottom's storage
    dialect: str = ""
    fields: frozenset[str] = frozenset()  # the settings that the dialect has
    against: Callable[[Any], str] | None = None  # why a layer cannot have the dialect, from more than fields and counts
    lacks: frozenset[str] = frozenset()  # layer types that speak against the dialect, wherever they are in the net
    on_request: bool = False  # the dialect is taken only if a user asks for it
    dialects: Mapping[str, LayerType] = field(default_factory=dict)

    @property
    def meanings(self) -> tuple[LayerType, ...]:
        """The entries of all dialects; of a type without dialects, this one."""
        return tuple(self.dialects.values()) or (self,)


LAYERS: Registry[LayerType] = Registry("layer type")


def layer(
    type: str,
    param: str | None = None,
    bottoms: int | tuple[int, int] = 1,
    tops: int | tuple[int, int] = 1,
    shares: bool = False,
    dialect: str = "",
    fields: Collection[str] = (),
    lacks: Collection[str] = (),
    on_request: bool = False,
    against: Callable[[Any], str] | None = None,
) -> Callable[[Function], Function]:
    """Register a function for layer type `type`. `bottoms` and `tops` are a count, or the least and greatest count.

    A type that forks of Caffe define differently is registered once for each, with the fork's name in FORKS as
    `dialect` and the `fields` of the settings that this fork has; `lacks`, layer types of which the fork's Caffe is
    known to have none; `on_request` if it is for users who ask for it alone, such as what the fork's code for another
    device computes; `against`, a function that tells why a layer cannot have the dialect, or "", if that takes more.
    The first sentence of the function's docstring tells a user who has to choose what the dialect does.

    ValueError if the type is registered already, or for this dialect.
    """

    def enter(function: Function) -> Function:
        counts = count_range(bottoms), count_range(tops)
        made = LayerType(function, param, *counts, shares, dialect, frozenset(fields), against, frozenset(lacks))
        made = replace(made, on_request=on_request)
        if dialect:
            enter_dialect(type, made)
        else:
            LAYERS.add(type, made)
        return function

    return enter


def enter_dialect(type: str, made: LayerType) -> None:
    """Enter one fork's meaning of a layer type beside those that are known. ValueError if it is known already."""
    known = LAYERS[type].meanings if type in LAYERS else ()
    if made.dialect in ("", *(kind.dialect for kind in known)) or any(not kind.dialect for kind in known):
        raise ValueError(f"layer type {type} is registered twice")
    if made.dialect not in FORKS:
        raise ValueError(f"{made.dialect} is not among the names in forks.py")
    several = (*known, made)
    bottoms, tops = widest([kind.bottoms for kind in several]), widest([kind.tops for kind in several])
    fields = made.fields.union(*(kind.fields for kind in known))
    dialects = {kind.dialect: kind for kind in several}
    LAYERS.replace(type, LayerType(call_undecided, several[0].param, bottoms, tops, fields=fields, dialects=dialects))


def widest(ranges: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The least and the greatest count of several ranges."""
    return min(least for least, _ in ranges), max(most for _, most in ranges)


def call_undecided(layer: Any, *bottoms: Value) -> Value:
    """Stands for the function of a type with dialects until one of them is chosen."""
    raise RuntimeError(f"no dialect of {layer.type} is chosen")


def count_range(count: int | tuple[int, int]) -> tuple[int, int]:
    """The least and greatest count from a count or a pair."""
    return (count, count) if isinstance(count, int) else count
