"""The runtime's preprocessing of pictures from command-line options, for an artifact or for one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..compiler.errors import CompileError
from ..compiler.preprocessing import attach_mean
from ..driver import NetFile
from ..frontends.files.caffemodel import read_mean as read_mean_blob
from ..runtime.artifact import Preprocessing
from ..runtime.preprocess import Array, picture_input, read_mean
from ..runtime.preprocessing import FIELDS, show_settings
from ..runtime.presets import PRESETS
from .options import PictureOptions


def merge_preprocessing(
    pictures: PictureOptions, kept: Preprocessing, image: Array | None
) -> tuple[Preprocessing, Array | None]:
    """`kept` or the preset, overridden by the options that are given, and the mean picture (None: there is none)."""
    if pictures.preset is not None:
        kept, image = PRESETS[pictures.preset], None
    given = {name: value for name in FIELDS if (value := getattr(pictures, name)) is not None}
    form = replace(kept, **given)
    if pictures.mean is None:
        return form, image
    mean = parse_mean(pictures.mean)
    if mean.ndim == 1:
        return replace(form, mean=tuple(mean.tolist()), mean_image=""), None
    return replace(form, mean=(), mean_image=""), mean


def parse_mean(text: str) -> Array:
    """`104,117,123` as f32 [C]; an .npy or .binaryproto as f32 [C] or [C,H,W]."""
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused where the input is known
            return np.array([float(word) for word in text.split(",")], np.float32)
    except ValueError:
        pass
    if text.endswith(".binaryproto"):
        return read_mean_blob(text)
    if not text.endswith((".npy", ".npz")):
        advice = "Write numbers with commas, one a channel (104,117,123), or name an .npy or .binaryproto file."
        raise CompileError(f"--mean {text}: these are not numbers", advice=advice)
    return read_mean(text)


def with_preprocessing(file: NetFile, pictures: PictureOptions, wanted: str | None) -> NetFile:
    """The net with its preprocessing overridden by the options, and a warning for each setting that differs."""
    inputs = {v.name: v.type.dims for v in file.graph.inputs}
    name = picture_input(inputs, wanted)
    kept = file.preprocessing.get(name, Preprocessing())
    image = file.mean_images[kept.mean_image].numpy() if kept.mean_image else None
    form, images = attach_mean(*merge_preprocessing(pictures, kept, image))
    warnings = [w for w in file.warnings if pictures.mean is None or w != file.missing_means.get(name)]
    warnings += describe_replaced(name, kept, form, pictures)
    if pictures.bgr is not None and len(inputs[name]) > 1 and inputs[name][1] == 1:
        warnings.append(f'--{"bgr" if pictures.bgr else "rgb"} has no effect: the input "{name}" has one channel')
    return replace(
        file,
        warnings=tuple(warnings),
        preprocessing={**file.preprocessing, name: form},
        mean_images={**file.mean_images, **images},
    )


def describe_replaced(name: str, kept: Preprocessing, form: Preprocessing, pictures: PictureOptions) -> Iterator[str]:
    """A sentence for each option that overrides a setting of the file."""
    now, plain = show_settings(form), show_settings(Preprocessing())
    for field, value in show_settings(kept).items():
        if now[field] != value != plain[field]:
            option = f"--{field.replace('_', '-')}"
            if getattr(pictures, field) is None:
                option, value = f"--preset {pictures.preset}", f"{field} {value}"
            yield f'{option} counts, and not what the file says of "{name}": {value}'
