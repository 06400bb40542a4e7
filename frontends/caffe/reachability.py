"""Selects the layers that given blobs depend on, from bottoms and tops alone.

A net for training also has losses, labels and accuracies. If only some blobs are requested, the other layers are not
imported: their inputs and weights are not needed, and their errors are not reported.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

ALIASING_TYPES = ("split", "flatten", "reshape", "concat", "slice")  # lower-case types whose top may alias their bottom


class LayerEdges(NamedTuple):
    """A layer's type (in the spelling of any format generation), and the names of its bottoms and tops."""

    type: str
    bottoms: Sequence[str]
    tops: Sequence[str]


def reaching(layers: Sequence[LayerEdges], blobs: Collection[str]) -> list[bool]:
    """For each layer, True if one of `blobs` may depend on it; all True if `blobs` is empty or names an unknown blob.

    An in-place layer changes all aliases of its blob, so blobs that may share storage are merged (union-find).
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
