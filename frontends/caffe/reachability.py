"""Which layers the answer depends on, told from their bottoms and tops alone.

A net for training holds losses, labels and counts of hits beside what it is trained for. Who asks for some blobs only
needs neither the inputs nor the weights of the others, and what is wrong there is no concern.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

ALIASING_TYPES = ("split", "flatten", "reshape", "concat", "slice")  # types whose top may be their bottom's memory


class LayerEdges(NamedTuple):
    """A layer's type (as any generation of Caffe spells it), what it reads, what it makes."""

    type: str
    bottoms: Sequence[str]
    tops: Sequence[str]


def reaching(layers: Sequence[LayerEdges], blobs: Collection[str]) -> list[bool]:
    """For each layer whether one of `blobs` may depend on it; all of them, if none is asked for, or one nobody makes.

    A layer in place changes every name of its blob's memory, so names that may share memory are taken as one.
    """
    made = {name for layer in layers for name in (*layer.tops, *layer.bottoms)}
    if not blobs or not made.issuperset(blobs):
        return [True] * len(layers)
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while name in root:
            name = root[name]
        return name

    for layer in layers:
        if layer.type.lower() in ALIASING_TYPES and layer.bottoms:
            for top in layer.tops:
                if (a := find(top)) != (b := find(layer.bottoms[0])):
                    root[a] = b
    needed = {find(name) for name in blobs}
    kept = [False] * len(layers)
    for i in range(len(layers) - 1, -1, -1):
        if any(find(top) in needed for top in layers[i].tops):
            kept[i] = True
            needed.update(find(name) for name in layers[i].bottoms)
    return kept
