"""Classes of pictures by pycaffe's Classifier, with the preparation of each of Caffe's two classify tools."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...compat.opencv.images import resize
from ...compat.pycaffe import Classifier
from ...compat.pycaffe.io import load_image
from ...compat.pycaffe.mode import device_mode
from ...compiler.errors import CompileError
from ...runtime.pictures import open_picture
from ...runtime.preprocess import Array, picture_shape, read_array
from ..results import class_scores

Forks = tuple[Sequence[str], str | None]  # --dialect, --proto
CROPS = 10  # of each picture, where scores are averaged
IMAGES_DIM, RAW_SCALE, BGR = (256, 256), 255.0, (2, 1, 0)  # the defaults of classify.py


class Predictor(ABC):
    """A net with its preparation of pictures. CompileError or CaffeError for a net that is refused or fits no picture.

    `pictures_at_once` fill the net's batch.
    """

    pictures_at_once = 1

    def __init__(self, net: str, weights: str, gpu: bool, forks: Forks, **settings: Any) -> None:
        self.gpu, self.forks = gpu, forks
        with device_mode(gpu, *forks):
            self.net = Classifier(net, weights, **settings)
        if not self.net.inputs or not self.net.outputs:
            raise CompileError(f"{net}: the net has no input for pictures, or no output")
        self.input, self.output = self.net.inputs[0], self.net.outputs[0]
        self.batch, *_ = shape = self.net.blobs[self.input].shape
        self.channels, self.size = picture_shape(shape, net)

    def predict(self, files: Sequence[Path]) -> list[tuple[str, Array]]:
        """The scores [classes] of each picture, with its name. CompileError if the output holds none."""
        pictures = [pair for file in files for pair in self.read(file)]
        with device_mode(self.gpu, *self.forks):
            scores = self.compute([picture for _, picture in pictures])
        rows = class_scores(scores)
        if rows is None:
            shape = list(scores.shape)
            raise CompileError(f'the output "{self.output}" {shape} is not one score for each class and picture')
        return [(name, row) for (name, _), row in zip(pictures, rows, strict=True)]

    @abstractmethod
    def read(self, file: Path) -> list[tuple[str, Array]]:
        """The picture or pictures in a file, with a name each."""

    @abstractmethod
    def compute(self, pictures: Sequence[Array]) -> Array:
        """The net's output for pictures as `read` gives them."""


class WholePredictor(Predictor):
    """As cpp_classification: the whole picture, stretched as by cv2.resize, minus the mean of each channel."""

    def __init__(self, net: str, weights: str, mean: Array | None, gpu: bool, forks: Forks, **none: Any):
        super().__init__(net, weights, gpu, forks)
        self.pictures_at_once = max(self.batch, 1)
        self.means = np.zeros(self.channels, np.float32)
        if mean is not None:
            if len(mean) != self.channels:
                raise CompileError(f"the mean has {len(mean)} channels, and the net takes {self.channels}")
            self.means = mean.reshape(self.channels, -1).mean(1, dtype=np.float64).astype(np.float32)

    def read(self, file: Path) -> list[tuple[str, Array]]:
        """Blue, green, red, or grey, as f32 [C,H,W]."""
        pixels = np.asarray(open_picture(file, self.channels))
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels[..., ::-1]
        if pixels.shape[:2] != self.size:
            pixels = resize(pixels, self.size[1], self.size[0])
        return [(str(file), (pixels.astype(np.float32) - self.means).transpose(2, 0, 1))]

    def compute(self, pictures: Sequence[Array]) -> Array:
        blob = self.net.blobs[self.input]
        blob.reshape(len(pictures), *blob.shape[1:])  # Caffe's program, too, has a batch of what it is given
        inputs: dict[str, Any] = {self.input: np.stack(pictures)}
        return self.net.forward_all(**inputs)[self.output]


class CropPredictor(Predictor):
    """As classify.py: the mean over ten crops of the resized picture, or its middle."""

    def __init__(
        self,
        net: str,
        weights: str,
        mean: Array | None,
        gpu: bool,
        forks: Forks,
        oversample: bool | None,
        images_dim: tuple[int, int] | None,
        input_scale: float | None,
        raw_scale: float | None,
        channel_swap: tuple[int, ...] | None,
    ) -> None:
        super().__init__(
            net,
            weights,
            gpu,
            forks,
            image_dims=images_dim or IMAGES_DIM,
            mean=mean,
            input_scale=input_scale,
            raw_scale=RAW_SCALE if raw_scale is None else raw_scale,
        )
        if channel_swap or self.channels == len(BGR):
            self.net.transformer.set_channel_swap(self.input, channel_swap or BGR)
        self.crops = CROPS if oversample is not False else 1
        self.pictures_at_once = max(self.batch // self.crops, 1)

    def read(self, file: Path) -> list[tuple[str, Array]]:
        """Red, green, blue, or grey, as f32 [H,W,C] of 0..1; an .npy holds pictures [N,H,W,C] as they are."""
        if file.suffix.lower() == ".npy":
            array = read_array(file)
            if array.ndim != 4:
                raise CompileError(f"{file}: pictures are [count, height, width, channels], not {list(array.shape)}")
            return [(f"{file}[{i}]", picture) for i, picture in enumerate(array)]
        return [(str(file), load_image(file, color=self.channels != 1))]

    def compute(self, pictures: Sequence[Array]) -> Array:
        return self.net.predict(pictures, oversample=self.crops > 1)
