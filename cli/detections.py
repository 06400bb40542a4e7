"""Rows of detections [1,1,rows,7] (image, label, score, box) of OpenCV, in the form in which Caffe gives them."""

from __future__ import annotations

import numpy as np

from ..runtime.preprocess import Array

COLUMNS = 7


def caffe_rows(rows: Array, images: int) -> Array:
    """OpenCV's rows without those of zeros that it fills up with, sorted by image, label and score as Caffe's are.

    Where nothing is left there is a row of -1 for each of the `images`, numbered (detection_output_layer.cpp).
    """
    if rows.ndim != 4 or rows.shape[-1] != COLUMNS:
        return rows
    flat = rows.reshape(-1, COLUMNS)
    flat = flat[flat.any(axis=1)]
    if not len(flat):
        flat = np.full((images, COLUMNS), -1, rows.dtype)
        flat[:, 0] = np.arange(images)
    order = np.lexsort((-flat[:, 2], flat[:, 1], flat[:, 0]))
    return np.ascontiguousarray(flat[order]).reshape(1, 1, -1, COLUMNS)


def pair_rows(rows: Array, wanted: Array) -> Array:
    """The rows in the order of `wanted`: of one image and label each goes to the nearest one.

    Scores that differ in their last digit may change the order. As they are, if the two hold different counts.
    """
    if rows.shape != wanted.shape or rows.shape[-1] != COLUMNS:
        return rows
    theirs, ours = rows.reshape(-1, COLUMNS), wanted.reshape(-1, COLUMNS)
    paired, free = np.empty_like(theirs), np.ones(len(theirs), bool)
    for i, row in enumerate(ours):
        distance = np.abs(theirs - row).max(axis=1)
        distance[~free | (theirs[:, :2] != row[:2]).any(axis=1)] = np.inf
        nearest = int(distance.argmin())
        if not np.isfinite(distance[nearest]):
            return rows
        paired[i], free[nearest] = theirs[nearest], False
    return paired.reshape(rows.shape)
