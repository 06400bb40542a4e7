"""Anchors of region proposals: boxes of several ratios and scales around the first cell, as forks compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, inf, sqrt

import numpy as np

MAX_SIDE = 1 << 24  # pixels; larger whole numbers are not exact in float32

Sides = Callable[[float, float], tuple[float, float]]
"""(ratio of height to width, scale) -> width and height."""


def anchor_boxes(base: int, ratios: Sequence[float], scales: Sequence[float], sides: Sides) -> tuple[float, ...]:
    """xmin, ymin, xmax, ymax of each anchor, the ratios outermost, around the middle of pixels 0 ... base - 1.

    Sizes are max - min + 1. ValueError for an anchor with a side above MAX_SIDE.
    """
    middle, made = 0.5 * (base - 1), list[float]()
    for ratio in ratios:
        for scale in scales:
            width, height = finite_sides(sides, ratio, scale)
            half = (0.5 * (width - 1), 0.5 * (height - 1))
            made += [middle - half[0], middle - half[1], middle + half[0], middle + half[1]]
    return tuple(made)


def finite_sides(sides: Sides, ratio: float, scale: float) -> tuple[float, float]:
    """The sides of one anchor. ValueError for a side above MAX_SIDE."""
    try:
        with np.errstate(all="ignore"):
            found = sides(ratio, scale)
    except (OverflowError, ZeroDivisionError, ValueError):  # a whole number of infinity or NaN
        found = (inf, inf)
    if not max(found) <= MAX_SIDE:
        raise ValueError(f"the anchor of ratio {ratio:g} and scale {scale:g} has a side of more than {MAX_SIDE} pixels")
    return found


def rounded_sides(base: int, round: Callable[[float], float]) -> Sides:
    """A box of about base² pixels, with whole sides, then scaled (rpn/generate_anchors.py)."""

    def sides(ratio: float, scale: float) -> tuple[float, float]:
        width = round(sqrt(base * base / ratio))
        return width * scale, round(width * ratio) * scale

    return sides


def sides_of_scale(base: int) -> Sides:
    """About scale² pixels, whatever the base (caffe-windows' proposal_layer.cpp, which computes in float32)."""

    def sides(ratio: float, scale: float) -> tuple[float, float]:
        width = np.float32(np.sqrt(np.float32(base * base) / np.float32(ratio)))
        height = np.float32(width * np.float32(ratio))
        wide, high = (float(np.float32(side * np.float32(scale))) / base for side in (width, height))
        return int(wide - 1 + 0.5) + 1, int(high - 1 + 0.5) + 1

    return sides


def round_half_up(x: float) -> float:
    """C's round of a number that is not negative."""
    return floor(x + 0.5)
