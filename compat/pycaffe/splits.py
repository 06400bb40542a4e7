"""The layers of a net as Caffe lists them, with the Split layers that it inserts (insert_splits.cpp)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class LayerNames(Protocol):
    """What is read of a layer."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def bottoms(self) -> tuple[str, ...]: ...
    @property
    def tops(self) -> tuple[str, ...]: ...
    @property
    def loss_weights(self) -> Sequence[float]: ...


@dataclass(frozen=True)
class ListedLayer:
    """A layer as Caffe has it; `number` is its place in the file, -1 of one that Caffe inserts."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    number: int = -1


Place = tuple[int, int]  # a layer's number and the index of a top
ORIGIN = -1  # the layer that makes inputs which no layer declares


def insert_splits(inputs: Sequence[str], layers: Sequence[LayerNames]) -> Iterator[ListedLayer]:
    """Yield the layers, those of `inputs` first, with a Split behind each top that is read more than once.

    A top with a loss weight counts as read once more. `inputs` are those that the file declares outside of layers,
    for which Caffe makes one layer, "input".
    """
    names = [(ORIGIN, "input", "Input", (), tuple(inputs), ())] if inputs else []
    listed = [*names, *((n, l.name, l.type, l.bottoms, l.tops, l.loss_weights) for n, l in enumerate(layers))]
    sources, uses, losses = find_uses((n, bottoms, tops, weights) for n, _, _, bottoms, tops, weights in listed)
    taken = Counter(losses)
    makers = {n: name for n, name, *_ in listed}
    for n, name, type, bottoms, tops, _ in listed:
        read = list(bottoms)
        for index, bottom in enumerate(bottoms):
            place = sources.get((n, index))
            if place is not None and uses[place] > 1:
                read[index] = f"{split_name(makers[place[0]], bottom, place[1])}_{taken[place]}"
                taken[place] += 1
        yield ListedLayer(name, type, tuple(read), tops, n)
        for index, top in enumerate(tops):
            if uses[n, index] > 1:
                split = split_name(name, top, index)
                yield ListedLayer(split, "Split", (top,), tuple(f"{split}_{i}" for i in range(uses[n, index])))


def split_name(layer: str, blob: str, index: int) -> str:
    """The name of the Split behind a layer's top: `data_input_0_split`."""
    return f"{blob}_{layer}_{index}_split"


def find_uses(
    layers: Iterable[tuple[int, tuple[str, ...], tuple[str, ...], Sequence[float]]],
) -> tuple[dict[Place, Place], Counter[Place], set[Place]]:
    """Which top each bottom is, by (layer, index); how often each top is read; the tops with a loss weight."""
    last: dict[str, Place] = {}
    sources: dict[Place, Place] = {}
    uses, losses = Counter[Place](), set[Place]()
    for n, bottoms, tops, weights in layers:
        for index, bottom in enumerate(bottoms):
            if bottom in last:
                sources[n, index] = last[bottom]
                uses[last[bottom]] += 1
        last |= {top: (n, index) for index, top in enumerate(tops)}
        losses |= {last[top] for top, weight in zip(tops, weights, strict=False) if weight}
    uses.update(losses)
    return sources, uses, losses
