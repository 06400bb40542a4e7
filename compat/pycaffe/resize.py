"""Resizes arrays as scikit-image's `resize` and SciPy's `zoom` do, which pycaffe calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
LINEAR = 1


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = LINEAR) -> Array:
    """Resize [H,W,K] to `new_dims` (height, width): f32 [height,width,K].

    As pycaffe does it: 1 or 3 channels by scikit-image without anti-aliasing (pixel centres correspond, and outside of
    the image is its smallest value), others by SciPy's zoom (the centres of the corner pixels correspond). Orders of
    interpolation other than 1 (linear) need the package scipy.
    """
    image = np.asarray(im)
    if image.ndim != 3:
        raise ValueError(f"an image is [height, width, channels], and this array is {list(image.shape)}")
    size = (int(new_dims[0]), int(new_dims[1]))
    if image.shape[2] not in (1, 3):
        return zoom(image, size, interp_order).astype(np.float32)
    least, most = image.min(), image.max()
    if not most > least:
        return np.full((*size, image.shape[2]), least, np.float32)
    unit = (image - least) / (most - least)
    resized: Array = resize_unit(unit, size, interp_order) * (most - least) + least
    return resized.astype(np.float32)


def resize_unit(image: Array, size: tuple[int, int], order: int) -> Array:
    """An image of numbers 0..1 in another size: the centres of pixels correspond, and outside of it is 0."""
    if order == LINEAR:
        for axis, (old, new) in enumerate(zip(image.shape, size, strict=False)):
            image = interpolate(image, axis, (np.arange(new) + 0.5) * (old / new) - 0.5)
        return image
    factors = (size[0] / image.shape[0], size[1] / image.shape[1], 1)
    made: Array = scipy_zoom()(image, factors, order=order, mode="grid-constant", grid_mode=True)
    return made.clip(0, 1)


def zoom(image: Array, size: tuple[int, int], order: int) -> Array:
    """An image in another size: the centres of its corner pixels correspond."""
    if order == LINEAR:
        for axis, (old, new) in enumerate(zip(image.shape, size, strict=False)):
            image = interpolate(image, axis, np.linspace(0, old - 1, new) if new > 1 else np.zeros(1))
        return image
    factors = (size[0] / image.shape[0], size[1] / image.shape[1], 1)
    made: Array = scipy_zoom()(image, factors, order=order)
    return made


def interpolate(image: Array, axis: int, places: Array) -> Array:
    """Linear interpolation along one axis at fractional indices; outside of the image is 0. float64."""
    left = np.floor(places).astype(int)
    share = (places - left).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
    made: Array = (1 - share) * taken(image, axis, left) + share * taken(image, axis, left + 1)
    return made


def taken(image: Array, axis: int, indices: Array) -> Array:
    """The elements at indices along an axis, and 0 where there are none."""
    size = image.shape[axis]
    inside = ((indices >= 0) & (indices < size)).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
    found: Array = image.take(indices.clip(0, size - 1), axis) * inside
    return found


def scipy_zoom() -> Any:
    """SciPy's `zoom`. ImportError, saying what to install, without it."""
    try:
        from scipy.ndimage import zoom as found
    except ImportError:
        raise ImportError(
            "orders of interpolation other than 1 need scipy: pip install cortado-caffe[pycaffe]"
        ) from None
    return found
