"""Pictures as blobs without OpenCV: blobFromImage, blobFromImages, imagesFromBlob and NMSBoxes with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import BAD_SIZE, error

Array = np.ndarray[Any, Any]
CV_8U, CV_32F = 0, 5
BITS = 11  # of the fractions with which OpenCV resizes pictures of 8 bits


def blobFromImage(
    image: Array,
    scalefactor: Any = 1.0,
    size: Sequence[int] = (0, 0),
    mean: Any = (0, 0, 0),
    swapRB: bool = False,
    crop: bool = False,
    ddepth: int = CV_32F,
) -> Array:
    """A picture [h,w] or [h,w,c] as a blob [1,c,h,w]: see blobFromImages."""
    return blobFromImages([image], scalefactor, size, mean, swapRB, crop, ddepth)


def blobFromImages(
    images: Sequence[Array],
    scalefactor: Any = 1.0,
    size: Sequence[int] = (0, 0),
    mean: Any = (0, 0, 0),
    swapRB: bool = False,
    crop: bool = False,
    ddepth: int = CV_32F,
) -> Array:
    """Pictures of one number of channels as a blob [n,c,h,w] of float32, or with `ddepth` CV_8U of u8.

    They are resized to `size` (width, height), or with `crop` enlarged or reduced to cover it and cut in the middle;
    red and blue are swapped, the mean, in the order after that, is subtracted, and the rest multiplied by the scale.
    `error` for what is no picture, or for sizes that differ.
    """
    prepared = [prepare(np.asarray(image), (int(size[0]), int(size[1])), crop) for image in images]
    if len({picture.shape for picture in prepared}) != 1:
        raise error("a blob is made of pictures of one size and one number of channels, at least one", BAD_SIZE)
    blob = np.stack([np.moveaxis(picture, 2, 0) for picture in prepared])
    channels = blob.shape[1]
    if swapRB and channels >= 3:
        blob[:, [0, 2]] = blob[:, [2, 0]]
    means, factors = per_channel(mean, channels, 0.0), per_channel(scalefactor, channels, None)
    if ddepth == CV_8U:
        if blob.dtype != np.uint8 or means.any() or (factors != 1).any():
            raise error("a blob of CV_8U is made of pictures of 8 bits, without a mean and a scale")
        return blob
    made = blob.astype(np.float32)
    if means.any():
        made -= means
    if (factors != 1).any():
        made *= factors
    return made


def imagesFromBlob(blob_: Array) -> tuple[Array, ...]:
    """The pictures [h,w,c], float32, of a blob [n,c,h,w]."""
    return tuple(np.ascontiguousarray(np.moveaxis(image, 0, 2)) for image in np.asarray(blob_, np.float32))


def per_channel(given: Any, channels: int, rest: float | None) -> Array:
    """A number for each channel, [c,1,1]: one counts for all if there is no `rest`, which others then have."""
    numbers = np.atleast_1d(np.asarray(given, np.float32))[:channels]
    fill = numbers[0] if rest is None and len(numbers) else np.float32(rest or 0)
    made = np.full(channels, fill, np.float32)
    made[: len(numbers)] = numbers
    return made.reshape(-1, 1, 1)


def prepare(image: Array, size: tuple[int, int], crop: bool) -> Array:
    """A picture as [h,w,c], resized."""
    if image.ndim not in (2, 3) or not image.size or image.dtype.kind not in "uif":
        raise error(
            f"a picture is an array [h,w] or [h,w,c] of numbers, not {image.dtype} {list(image.shape)}", BAD_SIZE
        )
    picture = image[..., None] if image.ndim == 2 else image
    width, height = size
    if not (width and height) or picture.shape[:2] == (height, width):
        return picture
    if not crop:
        return resize(picture, width, height)
    old = np.array(picture.shape[:2], np.float32)
    factor = float((np.array([height, width], np.float32) / old).max())
    across, down = (int(np.rint(picture.shape[axis] * factor)) for axis in (1, 0))
    whole = resize(picture, across, down, factor)
    left, top = int(0.5 * (whole.shape[1] - width)), int(0.5 * (whole.shape[0] - height))
    return whole[top : top + height, left : left + width]


def resize(picture: Array, width: int, height: int, factor: float | None = None) -> Array:
    """A picture [h,w,c] of another size by bilinear interpolation, as cv2.resize with INTER_LINEAR.

    Pictures of 8 bits are interpolated in whole numbers. `factor`: that of both axes, instead of the sizes' own.
    """
    (top, bottom, down), (left, right, across) = (
        taps(old, new, factor) for old, new in zip(picture.shape[:2], (height, width), strict=True)
    )
    if picture.dtype != np.uint8:
        data = picture.astype(np.float64 if picture.dtype == np.float64 else np.float32)
        x, y = (w.astype(data.dtype) for w in (across[None, :, None], down[:, None, None]))
        rows = data[:, left] * (1 - x) + data[:, right] * x
        made = rows[top] * (1 - y) + rows[bottom] * y
        return np.asarray(made if picture.dtype.kind == "f" else np.rint(made), picture.dtype)
    scale = np.float32(1 << BITS)
    across = np.where(left == right, 0, across)  # at the edges, which OpenCV does along rows alone
    x1, y1 = (np.rint(w * scale).astype(np.int64) for w in (across, down))
    x0, y0 = (np.rint((1 - w) * scale).astype(np.int64) for w in (across, down))
    wide = picture.astype(np.int64)
    rows = wide[:, left] * x0[None, :, None] + wide[:, right] * x1[None, :, None]
    upper, lower = (rows[at] >> 4 for at in (top, bottom))
    summed: Array = ((y0[:, None, None] * upper) >> 16) + ((y1[:, None, None] * lower) >> 16)
    rounded: Array = ((summed + 2) >> 2).clip(0, 255).astype(np.uint8)
    return rounded


def taps(old: int, new: int, factor: float | None) -> tuple[Array, Array, Array]:
    """For each new pixel along an axis: the two old ones that it lies between, and its distance to the first, f32."""
    scale = 1 / factor if factor else old / new
    where = ((np.arange(new) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(where).astype(np.int64)
    part = (where - first.astype(np.float32)).astype(np.float32)
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), part


def NMSBoxes(
    bboxes: Sequence[Sequence[float]],
    scores: Sequence[float],
    score_threshold: float,
    nms_threshold: float,
    eta: float = 1.0,
    top_k: int = 0,
) -> Array:
    """The indices, i32, of the boxes (x, y, width, height) that are left, highest score first.

    A box is dropped whose overlap (intersection over union) with a better one is above `nms_threshold`; where `eta` is
    below 1 and the threshold above 0.5, that is multiplied by `eta` after each box that stays.
    """
    corners = np.asarray(bboxes, np.float64).reshape(-1, 4)
    corners = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)
    values = np.asarray(scores, np.float32)
    order = [int(i) for i in np.argsort(-values, kind="stable") if values[i] > np.float32(score_threshold)]
    kept, threshold = list[int](), nms_threshold
    for i in order[: top_k if top_k > 0 else None]:
        if all(overlap(corners[i], corners[k]) <= threshold for k in kept):
            kept.append(i)
            threshold *= eta if eta < 1 and threshold > 0.5 else 1
    return np.array(kept, np.int32)


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    size = (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(min=0)
    shared = float(size.prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared
    return shared / union if union > 0 else 0.0
