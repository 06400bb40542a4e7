"""Transformer: prepares images for a net's inputs, in the order in which pycaffe does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .resize import resize_image

Array = np.ndarray[Any, Any]


class Transformer:
    """Settings by input, and `preprocess` and `deprocess`, which apply them. `inputs` are shapes [N,K,H,W] by name.

    The steps: resize to the input's size, transpose, swap channels, multiply by the raw scale, subtract the mean,
    multiply by the input scale. The image that is given is never changed, which pycaffe does to f32 images of the
    input's size.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: Array) -> Array:
        """An image [H,W,K] as a blob without the batch axis: f32 [K,H,W] of the input's size."""
        shape = self.shape_of(in_)
        image = np.array(data, np.float32)
        if tuple(image.shape[:2]) != shape[2:]:
            image = resize_image(image, shape[2:])
        if in_ in self.transpose:
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            image *= self.raw_scale[in_]
        if in_ in self.mean:
            image -= self.mean[in_]
        if in_ in self.input_scale:
            image *= self.input_scale[in_]
        return image

    def deprocess(self, in_: str, data: Array) -> Array:
        """The image of a blob: the steps of `preprocess` undone, from the last to the first, without the resizing."""
        self.shape_of(in_)
        image: Array = np.array(data).squeeze()
        if in_ in self.input_scale:
            image /= self.input_scale[in_]
        if in_ in self.mean:
            image += self.mean[in_]
        if in_ in self.raw_scale:
            image /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of the image's axes in the blob: (2, 0, 1) makes [K,H,W] of [H,W,K]."""
        rank = len(self.shape_of(in_)) - 1
        if len(order) != rank:
            raise ValueError(f'the transpose of "{in_}" needs {rank} axes, and {len(order)} are given')
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of the image's channels in the blob: (2, 1, 0) makes blue, green, red of red, green, blue."""
        channels = self.shape_of(in_)[1]
        if len(order) != channels:
            raise ValueError(f'the input "{in_}" has {channels} channels, and the channel swap {len(order)}')
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """A factor before the mean is subtracted: 255 for images of 0..1 and nets that were trained on 0..255."""
        self.shape_of(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """What is subtracted: [K], or [K,H,W] or [H,W], resized to the input where its size is another."""
        mean, shape = np.asarray(mean), self.shape_of(in_)
        if mean.ndim == 1:
            if mean.shape[0] != shape[1]:
                raise ValueError(f'the input "{in_}" has {shape[1]} channels, and the mean {mean.shape[0]}')
            self.mean[in_] = mean[:, np.newaxis, np.newaxis]
            return
        if mean.ndim not in (2, 3):
            raise ValueError(f"a mean is [K], [H,W] or [K,H,W], not {list(mean.shape)}")
        picture = mean.reshape((1, *mean.shape)) if mean.ndim == 2 else mean
        if picture.shape != shape[1:]:
            mean = resize_mean(picture, shape[2:])
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """A factor behind the subtraction of the mean."""
        self.shape_of(in_)
        self.input_scale[in_] = scale

    def shape_of(self, in_: str) -> tuple[int, ...]:
        """The shape of an input. ValueError if there is none of that name."""
        if in_ not in self.inputs:
            raise ValueError(f'there is no input "{in_}"; the inputs are {", ".join(self.inputs)}')
        return tuple(self.inputs[in_])


def resize_mean(mean: Array, size: Sequence[int]) -> Array:
    """A mean picture [K,H,W] in another size."""
    least, most = mean.min(), mean.max()
    if not most > least:
        return np.full((len(mean), *size), least, np.float32)
    resized = resize_image(((mean - least) / (most - least)).transpose(1, 2, 0), size)
    made: Array = resized.transpose(2, 0, 1) * (most - least) + least
    return made
