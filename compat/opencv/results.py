"""What layers make, in OpenCV's shapes where these are others than Caffe's."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..live_layer import Key
from ..live_net import LiveNet

Array = np.ndarray[Any, Any]
COLUMNS = 7  # of a detection: image, label, score, box


def opencv_result(live: LiveNet, key: Key, made: Array, images: int) -> Array:
    """What a layer of this key makes, as OpenCV gives it, for a batch of so many images.

    Detections are filled up with rows of zeros to `keep_top_k` for each image; where there are none, Caffe has rows of
    -1, and OpenCV only the zeros. An array has two axes at least: a vector [n] is [n,1].
    """
    if (kept := kept_detections(live, key)) is not None and made.ndim == 4 and made.shape[-1] == COLUMNS:
        return fill_up(made, max(kept, 0) * images)
    if made.ndim < 2:
        return made.reshape(-1, 1)
    return made


def opencv_shape(live: LiveNet, key: Key, shape: tuple[int, ...], images: int) -> tuple[int, ...]:
    """The shape of what a layer of this key makes, as OpenCV tells it."""
    if (kept := kept_detections(live, key)) is not None:
        return 1, 1, max(kept, 0) * images or 1, COLUMNS
    return shape if len(shape) >= 2 else (prod(shape), 1)


def kept_detections(live: LiveNet, key: Key) -> int | None:
    """How many detections the DetectionOutput of this key keeps for each image; None for another layer."""
    layer = live.layers[key[0]] if isinstance(key, tuple) and isinstance(key[0], int) else None
    if layer is None or layer.type != "DetectionOutput":
        return None
    kept: int = layer.message["detection_output_param"]["keep_top_k"]
    return kept


def fill_up(rows: Array, count: int) -> Array:
    """Detections [1,1,n,7] without rows of -1, and with rows of zeros up to `count`, of which there is one at least."""
    flat = rows.reshape(-1, COLUMNS)
    found = flat[flat[:, 1] >= 0]
    filled = np.zeros((1, 1, max(len(found), count, 1), COLUMNS), np.float32)
    filled[0, 0, : len(found)] = found
    return filled
