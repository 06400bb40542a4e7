"""The layers of a net under the names and with the ids that OpenCV gives them when it reads Caffe's files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...frontends.caffe.data_layers import DATA_LAYERS
from ..live_layer import Key, LiveLayer

CONVOLUTIONS = ("Convolution", "ConvolutionDepthwise")


@dataclass(frozen=True)
class NamedLayer:
    """A layer as OpenCV has it: type, blobs that it reads and makes, and for each of those its key in the live net.

    `number` is that of the layer in the live net.
    """

    number: int
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    keys: tuple[Key, ...]


def name_layers(layers: Iterable[LiveLayer]) -> dict[str, NamedLayer]:
    """The layers in order, by OpenCV's names; ids count them from 1 on.

    Inputs are none. A convolution is named after its top, with several there is a layer for each; where others have
    one name, the later ones are called NAME_1, NAME_2. Silence passes its bottom on.
    """
    found, seen = dict[str, NamedLayer](), dict[str, int]()
    for layer in layers:
        number, name = layer.number, layer.name
        repeated = seen.get(name, 0)
        seen[name] = repeated + 1
        if layer.type == "Input" or layer.type in DATA_LAYERS:
            continue
        if layer.type in CONVOLUTIONS:
            for i, top in enumerate(layer.tops):
                bottoms = layer.bottoms[i : i + 1]
                found[top] = NamedLayer(number, "Convolution", bottoms, (top,), ((number, i),))
            continue
        keys: tuple[Key, ...] = tuple((number, i) for i in range(len(layer.tops)))
        tops = layer.tops
        if not tops:
            keys, tops = layer.bottoms, ("",) * len(layer.bottoms)
        found[f"{name}_{repeated}" if repeated else name] = NamedLayer(number, layer.type, layer.bottoms, tops, keys)
    return found
