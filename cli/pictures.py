"""From what was said about pictures to what the runtime does with them; kept in the artifact, or for one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..compiler.errors import CompileError
from ..compiler.ir import handle
from ..compiler.types import type_of
from ..driver import NetFile
from ..runtime.artifact import Preprocessing
from ..runtime.preprocess import Array, read_mean
from .options import PictureOptions


def merge_preprocessing(
    pictures: PictureOptions, kept: Preprocessing, image: Array | None
) -> tuple[Preprocessing, Array | None]:
    """The preprocessing and its mean picture, if it has one: what was said now goes before what is `kept`."""
    form = replace(
        kept,
        scale=kept.scale if pictures.scale is None else pictures.scale,
        raw_scale=kept.raw_scale if pictures.raw_scale is None else pictures.raw_scale,
        bgr=kept.bgr if pictures.bgr is None else pictures.bgr,
        crop=pictures.crop or kept.crop,
        resize=pictures.resize or kept.resize,
    )
    if pictures.mean is None:
        return form, image
    mean = parse_mean(pictures.mean)
    if mean.ndim == 1:
        return replace(form, mean=tuple(mean.tolist()), mean_image=""), None
    return replace(form, mean=(), mean_image=""), mean


def parse_mean(text: str) -> Array:
    """`104,117,123` as f32 [C]; an .npy or .binaryproto as f32 [C] or [C,H,W]."""
    try:
        return np.array([float(word) for word in text.split(",")], np.float32)
    except ValueError:
        pass
    if not text.endswith(".binaryproto"):
        if not text.endswith((".npy", ".npz")):
            advice = "Write numbers with commas, one a channel (104,117,123), or name an .npy or .binaryproto file."
            raise CompileError(f"--mean {text}: these are no numbers", advice=advice)
        return read_mean(text)
    from ..frontends.files.caffemodel import read_blob

    blob = read_blob(text)
    mean = np.asarray(blob.data, np.float32)
    if mean.ndim == 4 and len(mean) == 1:
        mean = mean[0]
    if mean.ndim not in (1, 3):
        raise CompileError(f"{text}: a mean is one picture [C,H,W], and this is {list(blob.shape)}")
    return mean


def image_input(inputs: Mapping[str, Sequence[object]], wanted: str | None) -> str:
    """The input that pictures go to: the one that is named, or the first [N,C,H,W] of one or three channels."""
    described = ", ".join(f"{name} [{', '.join(map(str, dims))}]" for name, dims in inputs.items()) or "none"
    if wanted is not None and wanted not in inputs:
        raise CompileError(f'the net has no input "{wanted}" for pictures', advice=f"Its inputs are {described}.")
    images = [name for name, dims in inputs.items() if len(dims) == 4 and dims[1] in (1, 3)]
    if wanted is None and not images:
        advice = f"Pictures go to an input [N,C,H,W] of 1 or 3 channels; the inputs are {described}."
        raise CompileError("options for pictures are given, and the net takes none", advice=advice)
    return wanted or images[0]


def with_preprocessing(file: NetFile, pictures: PictureOptions, wanted: str | None) -> NetFile:
    """The net with what was said about its pictures, in place of what it kept, and with the mean picture."""
    form, images = make_preprocessing(pictures)
    name = image_input({v.name: v.type.dims for v in file.graph.inputs}, wanted)
    return replace(file, preprocessing={name: form}, mean_images=images)


def make_preprocessing(pictures: PictureOptions) -> tuple[Preprocessing, dict[str, torch.Tensor]]:
    """What was said about pictures; a mean picture by its handle, and under that beside it."""
    form, image = merge_preprocessing(pictures, Preprocessing(), None)
    if image is None:
        return form, {}
    tensor = torch.from_numpy(np.ascontiguousarray(image))
    form = replace(form, mean_image=handle(type_of(tensor), tensor))
    return form, {form.mean_image: tensor}
