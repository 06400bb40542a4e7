"""What Caffe checks of every layer, whatever its type: counts, the lengths of lists, tops (net.cpp, layer.hpp)."""

from __future__ import annotations

from collections.abc import Mapping

from ...compiler.errors import CompileError
from .blobs import TrackedBlob
from .layer import MANY, Layer

UNIQUE_TOP_ADVICE = "Caffe refuses this too. Give the top another name, and have the layers that mean it read that."


def check_counts(layer: Layer) -> None:
    """Raise CompileError if the type does not accept this count of bottoms or tops, or a list has another count."""
    for noun, has, wanted in (
        ("bottom", len(layer.bottoms), layer.layer_type.bottoms),
        ("top", len(layer.tops), layer.layer_type.tops),
    ):
        if not wanted[0] <= has <= wanted[1]:
            raise layer.fault(f"it has {has} {noun}s, and takes {describe_range(wanted)}")
    message = layer.message
    # A loss without a top gets one from Caffe, which the list counts.
    for field, noun, count in (
        ("propagate_down", "bottom", len(layer.bottoms)),
        ("loss_weight", "top", layer_tops(layer)),
    ):
        given = len(message[field])
        if given not in (0, count):
            sentence = f"{layer.label}: {field} is given {given} times, and it has {count} {noun}{'s' * (count != 1)}"
            raise message.fault(sentence, field, f"Caffe refuses this too. Give one for each {noun}, or none.")


def describe_range(wanted: tuple[int, int]) -> str:
    """A least and a greatest count in words."""
    least, most = wanted
    return str(least) if least == most else f"{least} to {most}" if most < MANY else f"{least} or more"


def layer_tops(layer: Layer) -> int:
    """The count of tops that Caffe gives the layer: a loss has at least one."""
    return len(layer.tops) or min(1, layer.layer_type.tops[1])


def check_params(layer: Layer) -> None:
    """Raise CompileError if the layer has more `param` than learnt blobs, once its function has asked for them."""
    given = len(layer.message["param"])
    if given > layer.blobs:
        has = f"{layer.blobs or 'no'} learnt blob{'s' * (layer.blobs != 1)}"
        sentence = f"{layer.label}: param is given {given} times, and it has {has}"
        raise layer.message.fault(sentence, "param", "Caffe refuses this too. Remove those too many.", layer.blobs)


def check_tops(layer: Layer, blobs: Mapping[str, TrackedBlob]) -> None:
    """Check that each top is a new blob, or overwrites the bottom of the same index, which nothing else reads.

    So does Caffe (net.cpp, AppendTop). It renames the bottoms of a blob that is read more than once, by another layer,
    by this one, or as a loss (insert_splits.cpp): such a blob can no longer be written in place.
    """
    bottoms = layer.message["bottom"]
    for i, top in enumerate(layer.tops):
        blob = blobs.get(top)
        if top in layer.tops[:i]:
            raise multiple_sources(layer, i, f'it has the top "{top}" twice')
        if blob is None:
            continue
        if i >= len(bottoms) or bottoms[i] != top:
            raise multiple_sources(layer, i, f'"{top}" is already made by {blob.layer}')
        if bottoms.count(top) > 1:
            raise multiple_sources(layer, i, f'it writes "{top}" in place, and reads it twice')
        if blob.readers:
            raise multiple_sources(layer, i, f'it writes "{top}" in place, which {blob.readers[0]} reads')


def multiple_sources(layer: Layer, i: int, sentence: str) -> CompileError:
    """The error about top `i`, for the caller to raise."""
    sentence = f"{layer.label}: {sentence}: the blob would be produced by multiple sources"
    return layer.message.fault(sentence, "top", UNIQUE_TOP_ADVICE, i)
