"""A data layer's transform_param: how Caffe's data_transformer.cpp turns pictures into what is an input here.

Caffe reads pictures as blue, green, red, cuts crop_size from the middle (when not training), subtracts mean_value or
the same place of the mean picture, and multiplies by scale. All that is kept as the input's preprocessing. What Caffe
draws at random (mirror, the forks' distortions) is not, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.errors import CompileError
from ...compiler.preprocessing import Preprocessing
from ...compiler.types import TensorType
from ..files.caffemodel import read_mean
from ..files.message import Message
from .data_layers import DATA_LAYERS, crop_size

Array = np.ndarray[Any, Any]
Size = tuple[int, int]
RANDOM = ("mirror", "noise_param", "distort_param", "expand_param", "emit_constraint")  # drawn anew for each picture
UNTRANSFORMED = ("HDF5Data",)  # Caffe refuses transform_param there (hdf5_data_layer.cpp)
OWN_PARAMS = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}
OTHERWISE_TRANSFORMED = ("VideoData", "DenseImageData")  # layers of forks that interpret it differently


@dataclass(frozen=True, slots=True)
class InputTransform:
    """How pictures become an input; its mean picture, f32 [C,H,W], and its `file`; if that is missing why, else ""."""

    form: Preprocessing
    mean: Array | None = None
    missing: str = ""
    file: Path | None = None


def read_transforms(
    layers: Iterable[Message], inputs: Mapping[str, TensorType], folder: Path, warn: Callable[[str], None]
) -> dict[str, InputTransform]:
    """The transform of each input that a data layer makes, where it does anything; `folder` is that of the prototxt.

    `find_transform_faults` has found none.
    """
    made = {name: read_transform(layer, inputs[name], folder, warn) for name, layer in data_layers(layers, inputs)}
    return {name: transform for name, transform in made.items() if transform != InputTransform(Preprocessing())}


def find_transform_faults(layers: Iterable[Message], inputs: Mapping[str, TensorType]) -> Iterator[CompileError]:
    """Yield an error for each setting that Caffe refuses, or that contradicts the input's shape."""
    for name, layer in data_layers(layers, inputs):
        yield from find_faults(layer, inputs[name])


def data_layers(layers: Iterable[Message], inputs: Mapping[str, TensorType]) -> Iterator[tuple[str, Message]]:
    """The data layers whose first top, which pictures go to, is an input."""
    for layer in layers:
        if layer["type"] in DATA_LAYERS and layer["top"] and layer["top"][0] in inputs:
            yield layer["top"][0], layer


def find_faults(layer: Message, type: TensorType) -> Iterator[CompileError]:
    """The checks of DataTransformer's constructor and InferBlobShape, and of the layers that use it."""
    settings, label = layer["transform_param"], f'layer "{layer["name"]}" ({layer["type"]})'
    channels = type.dims[1] if type.rank > 1 else 1
    means = settings["mean_value"]
    if layer["type"] in UNTRANSFORMED and "transform_param" in layer:
        yield layer.fault(f"{label} does not transform its data", "transform_param", "Caffe refuses this. Take it out.")
    if "mean_file" in settings and means:
        yield settings.fault(f"{label} has both mean_file and mean_value", "mean_file", "Keep one of the two.")
    if layer["type"] in OTHERWISE_TRANSFORMED:
        return
    if means and isinstance(channels, int) and len(means) not in (1, channels):
        advice = "Write one for all channels, or one for each: Caffe refuses this too."
        yield settings.fault(f"{label} has {len(means)} mean_value, and {channels} channels", "mean_value", advice)
    if settings["force_color"] and settings["force_gray"]:
        yield settings.fault(f"{label} has both force_color and force_gray", "force_gray", "Keep one of the two.")
    for field, wanted in (("force_color", 3), ("force_gray", 1)):
        if settings[field] and channels != wanted:
            sentence = f"{label} has {field}, which makes {wanted} channels, and its input has {channels}"
            yield settings.fault(sentence, field, f"Give --shape {layer['top'][0]}=... with {wanted} channels.")


def read_transform(layer: Message, type: TensorType, folder: Path, warn: Callable[[str], None]) -> InputTransform:
    """The transform of a layer without faults, for an input of this type."""
    settings, label = layer["transform_param"], f'layer "{layer["name"]}" ({layer["type"]})'
    if layer["type"] in OTHERWISE_TRANSFORMED:
        if "transform_param" in layer:
            warn(f"{label}: its transform_param is not kept; --mean, --scale and the like say what pictures become")
        return InputTransform(Preprocessing())
    drawn = [name for name in RANDOM if name in settings and settings[name] is not False]
    if drawn:
        warn(f"{label}: {', '.join(drawn)} is drawn at random in Caffe, and is not done here")
    param = OWN_PARAMS.get(layer["type"])
    if param and (older := [field for field in ("scale", "mean_file", "mirror") if field in layer[param]]):
        warn(f"{label}: {', '.join(older)} of {param} has no effect in Caffe, which reads transform_param")
    form = Preprocessing(tuple(map(float, settings["mean_value"])), float(settings["scale"]))
    made = read_mean_file(settings["mean_file"], label, folder) if settings["mean_file"] else InputTransform(form)
    made = replace(made, form=form)
    size = picture_size(type)
    crop = crop_size(layer, 0)
    stored = (made.mean.shape[1], made.mean.shape[2]) if made.mean is not None else stored_size(layer, label, warn)
    if all(crop) and crop != size:
        warn(f"{label}: crop_size is {format_size(crop)}, and the input is {type}: that counts")
    elif all(crop) and stored is None:
        said = f"pictures are resized to the {format_size(crop)} that Caffe would cut from their middle"
        warn(f"{label}: it does not say how large its pictures are, so {said}; --resize says another size")
    form = replace(form, crop=crop if all(crop) and crop == size else None, resize=stored if stored != size else None)
    return replace(made, form=form)


def picture_size(type: TensorType) -> Size | None:
    """Height and width of an input of pictures; None where they are not fixed."""
    if type.rank == 4 and isinstance(type.dims[2], int) and isinstance(type.dims[3], int):
        return type.dims[2], type.dims[3]
    return None


def stored_size(layer: Message, label: str, warn: Callable[[str], None]) -> Size | None:
    """The size that pictures have before they are cut: SSD's resize_param, or the layer's new_height and new_width."""
    p = layer["image_data_param"]
    if layer["type"] == "ImageData" and p["new_height"] and p["new_width"]:
        return p["new_height"], p["new_width"]
    for resize in layer["transform_param"]["resize_param"]:
        if resize["resize_mode"] == "WARP" and resize["height"] and resize["width"]:
            return resize["height"], resize["width"]
        warn(
            f"{label}: resize_param of {resize['resize_mode']} is not kept: pictures are stretched to the input's size"
        )
    return None


def read_mean_file(name: str, label: str, folder: Path) -> InputTransform:
    """The mean picture, from the working directory, as Caffe takes it, or from the prototxt's folder."""
    plain, why, found = Preprocessing(), "is not here", None
    for path in (Path(name), folder / name):
        if path.is_file():  # no device and no pipe, which might not end
            try:
                return InputTransform(plain, read_mean(path), file=path)
            except CompileError as e:
                why, found = f"cannot be read ({e.message})", path
    sentence = f'{label}: its mean picture "{name}" {why}, so none is subtracted; give it by --mean FILE'
    return InputTransform(plain, missing=sentence, file=found)


def format_size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
