"""Classifier: a net for classes of images, with its preprocessing, as `caffe.Classifier`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .net import CaffeNet
from .pictures import oversample
from .proto.caffe_pb2 import TEST
from .resize import resize_image
from .transformer import Transformer

Array = np.ndarray[Any, Any]


class PreprocessingNet(CaffeNet):
    """A net with a Transformer for its first input; arguments that are None leave a step out."""

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        name = self.inputs[0]
        self.transformer = Transformer({name: self.blobs[name].shape})
        self.transformer.set_transpose(name, (2, 0, 1))
        if mean is not None:
            self.transformer.set_mean(name, mean)
        if input_scale is not None:
            self.transformer.set_input_scale(name, input_scale)
        if raw_scale is not None:
            self.transformer.set_raw_scale(name, raw_scale)
        if channel_swap is not None:
            self.transformer.set_channel_swap(name, channel_swap)

    def predict_blobs(self, images: Iterable[Array]) -> Array:
        """The first output for preprocessed images [H,W,K], each resized to the input."""
        name = self.inputs[0]
        prepared = np.stack([self.transformer.preprocess(name, image) for image in images])
        inputs: dict[str, Any] = {name: prepared}
        return self.forward_all(**inputs)[self.outputs[0]]


class Classifier(PreprocessingNet):
    """`caffe.Classifier`. `image_dims` (height, width) is what images are resized to before crops are cut of them.

    It is the input's size unless it is given; the crops have the input's size.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims: Sequence[int] | Array = (
            self.crop_dims if image_dims is None or not len(image_dims) else image_dims
        )

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """Scores [N, classes] of images [H,W,K]: the mean over ten crops of each, or, without, of the centre alone."""
        images = np.stack([resize_image(image, [int(d) for d in self.image_dims]) for image in inputs])
        if not oversample:
            return self.predict_blobs(centre_crops(images, self.crop_dims))
        scores = self.predict_blobs(crop_ten(images, self.crop_dims.tolist()))
        mean: Array = scores.reshape(len(images), 10, -1).mean(1)
        return mean


crop_ten = oversample  # `predict` has an argument of that name


def centre_crops(images: Array, size: Array) -> Array:
    """The middle of images [N,H,W,K], as pycaffe cuts it: an odd margin is larger at the bottom and right."""
    top, left = ((have - want) // 2 for have, want in zip(images.shape[1:3], size, strict=True))
    return images[:, top : top + size[0], left : left + size[1]]
