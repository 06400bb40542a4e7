"""Detector: scores of windows of images, as `caffe.Detector`, which is R-CNN's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .classifier import PreprocessingNet
from .errors import CaffeError
from .pictures import load_image
from .resize import resize_image

Array = np.ndarray[Any, Any]
Window = Sequence[float] | Array  # ymin, xmin, ymax, xmax in pixels


class Detector(PreprocessingNet):
    """`caffe.Detector`. `context_pad` pixels of the net's input, at each side, show what is around a window."""

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context, and what a crop shows outside of the image: the mean, before it was preprocessed.

        CaffeError if the context leaves no pixel of the net's input for the window, where pycaffe divides by 0 or less.
        """
        name, steps = self.inputs[0], self.transformer
        width = int(self.blobs[name].shape[3])
        if context_pad and 2 * context_pad >= width:
            sentence = (
                f"a context of {context_pad} pixels at each side leaves no room for the window in the net's input"
            )
            raise CaffeError(f"{sentence}, which is {width} pixels wide: give a context_pad below {(width + 1) // 2}")
        self.context_pad = context_pad
        self.crop_dims = np.array([*self.blobs[name].shape[2:], self.blobs[name].shape[1]])
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        mean = steps.mean.get(name)
        if context_pad and mean is not None:
            shown: Array = np.broadcast_to(mean, self.blobs[name].shape[1:]).transpose(1, 2, 0)
            if name in steps.channel_swap:
                shown = shown[:, :, np.argsort(steps.channel_swap[name])]
            self.crop_mean = (shown / steps.raw_scale.get(name, 1)).astype(np.float32)

    def detect_windows(self, images_windows: Iterable[tuple[str | Path, Iterable[Window]]]) -> list[dict[str, Any]]:
        """The first output for each window of each picture file: dicts of "window", "prediction" and "filename"."""
        pairs = [(filename, list(windows)) for filename, windows in images_windows]
        color = self.crop_dims[2] != 1
        crops = [self.crop(im, w) for name, windows in pairs for im in [load_image(name, color)] for w in windows]
        if not crops:
            return []
        scores = iter(self.predict_blobs(crops))
        return [
            {"window": window, "prediction": next(scores), "filename": filename}
            for filename, windows in pairs
            for window in windows
        ]

    def detect_selective_search(self, image_fnames: Sequence[str | Path]) -> list[dict[str, Any]]:
        """`detect_windows` on the windows that the package selective_search_ijcv_with_python proposes."""
        try:
            import selective_search_ijcv_with_python as selective_search
        except ImportError:
            sentence = "detect_selective_search needs selective_search_ijcv_with_python, which needs MATLAB"
            raise ImportError(f"{sentence}; give windows of another source to detect_windows") from None
        names = [str(Path(name).resolve()) for name in image_fnames]
        windows = selective_search.get_windows(names, cmd="selective_search_rcnn")
        return self.detect_windows(zip(names, windows, strict=True))

    def crop(self, im: Array, window: Window) -> Array:
        """The part of an image [H,W,K] in a window, with context around it if `context_pad` says so."""
        ymin, xmin, ymax, xmax = (int(edge) for edge in window)
        if not self.context_pad:
            if not (0 <= ymin < min(ymax, im.shape[0]) and 0 <= xmin < min(xmax, im.shape[1])):
                raise outside(window, im)
            return im[ymin:ymax, xmin:xmax]
        size = int(self.blobs[self.inputs[0]].shape[3])  # the input is square, as in pycaffe
        scale = size / (size - 2.0 * self.context_pad)
        half = np.array([(window[2] - window[0] + 1) / 2.0, (window[3] - window[1] + 1) / 2.0])
        centre = np.array([window[0], window[1]]) + half
        start, end = np.round(centre - scale * half), np.round(centre + scale * half)
        per_pixel = size / (end - start + 1)
        pad = np.round(np.maximum(0, -start) * per_pixel).astype(int)
        limits = np.array(im.shape[:2])
        start, end = np.clip(start, 0, limits), np.clip(end, 0, limits)
        wanted = np.minimum(np.round((end - start + 1) * per_pixel).astype(int), size - pad)
        if not (end > start).all() or not (wanted > 0).all():
            raise outside(window, im)
        (top, left), (bottom, right) = start.astype(int), end.astype(int)
        made = np.ones(self.crop_dims, np.float32) * self.crop_mean
        made[pad[0] : pad[0] + wanted[0], pad[1] : pad[1] + wanted[1]] = resize_image(
            im[top:bottom, left:right], wanted
        )
        return made


def outside(window: Window, im: Array) -> CaffeError:
    """The error for a window that no part of the image is in."""
    edges = ", ".join(f"{edge:g}" for edge in window)
    return CaffeError(f"the window {edges} lies outside of the image of {im.shape[0]}x{im.shape[1]} pixels")
