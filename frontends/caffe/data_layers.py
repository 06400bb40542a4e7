"""Data layers (Data, ImageData, MemoryData, ...): their tops become inputs of the net.

The shapes come from the prototxt where it states them (data_layer.cpp, image_data_layer.cpp, ...). A DummyData is a
constant, as in Caffe. Programs that write into its top give the top a shape, which makes it an input.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...compiler.types import Dim
from ..files.message import Message
from .message_builder import replace_fields

Shape = Sequence[Dim]
Sizes = tuple[int, ...]  # n, c, h, w, of videos n, c, frames, h, w; 0 where the prototxt does not state one
EXAMPLE_SIZES = {4: (1, 3, 224, 224), 5: (1, 3, 16, 112, 112)}  # that the advice uses for unknown sizes


def memory_data_sizes(layer: Message) -> Sizes:
    p = layer["memory_data_param"]
    return p["batch_size"], p["channels"], p["height"], p["width"]


def database_sizes(layer: Message) -> Sizes:
    p = layer["data_param"]
    transform = layer["transform_param"]
    channels = 3 if transform["force_color"] else 1 if transform["force_gray"] else 0  # else those of the database
    return p["batch_size"], channels, *crop_size(layer, p["crop_size"])


def image_data_sizes(layer: Message) -> Sizes:
    p = layer["image_data_param"]
    high, wide = crop_size(layer, p["crop_size"])
    return p["batch_size"], 3 if p["is_color"] else 1, high or p["new_height"], wide or p["new_width"]


def window_data_sizes(layer: Message) -> Sizes:
    p = layer["window_data_param"]
    return p["batch_size"], 0, *crop_size(layer, p["crop_size"])


def hdf5_data_sizes(layer: Message) -> Sizes:
    return layer["hdf5_data_param"]["batch_size"], 0, 0, 0


def video_data_sizes(layer: Message) -> Sizes:
    """C3D's videos, whose older files have the settings of ImageData; those of the SSD fork state no size."""
    older = "image_data_param" in layer and "video_data_param" not in layer
    p = layer["image_data_param" if older else "video_data_param"]
    if "new_length" not in p:
        return unknown_sizes(layer)
    high, wide = crop_size(layer, p["crop_size"])
    channels = 3 if p["is_color"] else 1
    return p["batch_size"], channels, p["new_length"], high or p["new_height"], wide or p["new_width"]


def unknown_sizes(layer: Message) -> Sizes:
    return 0, 0, 0, 0


def crop_size(layer: Message, older: int) -> tuple[int, int]:
    """Height and width after cropping by transform_param, or else by the layer's older crop_size, `older`; 0: none."""
    p = layer["transform_param"]
    square = p["crop_size"] or older
    return p["crop_h"] or square, p["crop_w"] or square


DATA_LAYERS: Mapping[str, Callable[[Message], Sizes]] = {
    "MemoryData": memory_data_sizes,
    "Data": database_sizes,
    "ImageData": image_data_sizes,
    "WindowData": window_data_sizes,
    "HDF5Data": hdf5_data_sizes,
    "AnnotatedData": database_sizes,
    "VideoData": video_data_sizes,
    "DenseImageData": unknown_sizes,
}
LABELLED_LAYERS = (
    "MemoryData",
    "Data",
    "ImageData",
    "WindowData",
    "VideoData",
)  # the second top is one label per image


def top_shapes(layer: Message, given: Mapping[str, Shape]) -> list[Shape | None]:
    """The shape of each top, from `given` or the prototxt; None if unknown. Labels have the batch of the images."""
    made = list[Shape | None]()
    for i, top in enumerate(layer["top"]):
        sizes = DATA_LAYERS[layer["type"]](layer)
        shape: Shape | None = given.get(top)
        if shape is None and i == 0 and all(sizes):
            shape = sizes
        if shape is None and i == 1 and layer["type"] in LABELLED_LAYERS and made[0]:
            shape = made[0][:1]
        made.append(shape)
    return made


def without_tops(layer: Message, removed: Collection[str]) -> Message | None:
    """A DummyData without some of its tops, their shapes and their fillers; None if no top is left.

    CompileError for settings that do not fit the tops; those of the tops that are left are read by the layer itself.
    """
    tops, settings = layer["top"], layer["dummy_data_param"]
    kept = [i for i, top in enumerate(tops) if top not in removed]
    if not kept:
        return None
    fields = {}
    for name in settings.written:
        values: tuple[Any, ...] = settings[name]
        fields[name] = tuple(values[i] for i in kept) if len(values) == len(tops) else values
    return replace_fields(
        layer, top=tuple(tops[i] for i in kept), dummy_data_param=(replace_fields(settings, **fields),)
    )


def constant_warnings(layers: Iterable[Message]) -> Iterator[str]:
    """For a net without inputs: that it always computes the same, and how a DummyData becomes an input."""
    for layer in layers:
        if layer["type"] == "DummyData":
            for top, dims in zip(layer["top"], dummy_shapes(layer), strict=True):
                sentence = f'layer "{layer["name"]}" (DummyData) makes "{top}" a constant, as in Caffe'
                yield f"{layer.loc}: {sentence}; --shape {top}={','.join(map(str, dims))} makes it an input"


def shape_advice(layer: Message, top: str) -> str:
    """Advice for a top whose shape is unknown: the --shape option with the sizes that are known."""
    if layer["type"] in DATA_LAYERS and top == layer["top"][0]:
        sizes = DATA_LAYERS[layer["type"]](layer)
        example = ",".join(str(n or usual) for n, usual in zip(sizes, EXAMPLE_SIZES[len(sizes)], strict=True))
    else:
        example = "1"
    return f"Make it an input, with the sizes that it has: --shape {top}={example}; or use the deploy prototxt."


def dummy_shapes(layer: Message) -> list[Sizes]:
    """The shape of each top of a DummyData: `shape`, or the older num, channels, height, width, given once or per top.

    CompileError if both forms are given, the count is neither 1 nor that of the tops, or a size is below 1.
    """
    p, count = layer["dummy_data_param"], len(layer["top"])
    old = [p[field] for field in ("num", "channels", "height", "width")]
    given = [tuple(s["dim"]) for s in p["shape"]] or list(zip(*old, strict=False))
    label = f'layer "{layer["name"]}" (DummyData): '
    if p["shape"] and any(old):
        raise layer.fault(f"{label}shape and num, channels, height, width are both given", None, "Keep shape.")
    if len(given) not in (1, count) or any(len(n) != len(given) for n in old if n):
        raise layer.fault(f"{label}it has {len(given)} shapes, and {count} tops")
    if bad := [s for s in given if any(d < 1 for d in s)]:
        raise layer.fault(f"{label}a shape is {list(bad[0])}: every size is at least 1")
    return given * count if len(given) == 1 else given
