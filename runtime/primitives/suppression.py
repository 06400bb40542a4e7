"""Non-maximum suppression: of boxes by falling score, those that overlap too much with a better one are dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]
Overlap = Callable[[Floats, Any, Floats, Floats], Floats]
"""(box [4], its area, boxes [4, n], their areas) -> how much the box overlaps with each [n].

Each of the four numbers of all boxes is contiguous: so all boxes are compared by a few calls on vectors.
"""


def suppress(
    boxes: Floats, areas: Floats, overlap: Overlap, threshold: float, eta: float = 1.0, at_threshold: bool = True
) -> Iterator[int]:
    """The indices of the boxes that are kept, of boxes [n, 4] sorted by falling score; a lazy stream.

    A box is dropped if its overlap with a kept one is above `threshold`, or NaN, or equals it and not `at_threshold`.
    `left`: candidates that no kept box suppresses so far; `worst`: the largest overlap of each with a kept box. The
    threshold is multiplied by `eta` after each kept box while it is above 0.5; it never rises, so a suppressed box
    stays suppressed.
    """
    limit, factor = np.float32(threshold), np.float32(eta)
    left, columns, worst = np.arange(len(boxes)), np.ascontiguousarray(boxes.T), np.zeros(len(boxes), np.float32)
    while len(left):
        yield int(left[0])
        own, rest = overlap(columns[:, 0], areas[0], columns[:, 1:], areas[1:]), left[1:]
        if eta < 1:
            limit = np.float32(limit * factor) if limit > 0.5 else limit
            own = worst = np.maximum(worst[1:], own)
        stay = np.flatnonzero(own <= limit if at_threshold else own < limit)
        if len(stay) == len(rest):
            left, columns, areas = rest, columns[:, 1:], areas[1:]
        else:
            left, columns, areas = rest[stay], columns[:, 1:].take(stay, 1), areas[1:][stay]
            worst = worst[stay] if eta < 1 else worst


def jaccard_overlap(box: Floats, area: Any, boxes: Floats, areas: Floats) -> Floats:
    """Intersection over union (SSD fork, JaccardOverlap): 0 where boxes only touch."""
    sides = list[Floats]()
    for low, high in ((0, 2), (1, 3)):  # Caffe's std::max and std::min, where the kept box is NaN
        first = np.where(boxes[low] < box[low], box[low], boxes[low])
        sides.append(np.where(box[high] < boxes[high], box[high], boxes[high]) - first)
    both = sides[0] * sides[1]
    meet = (sides[0] > 0) & (sides[1] > 0)
    made: Floats = np.divide(both, area + areas - both, out=np.zeros_like(both), where=meet)
    return made


def pixel_overlap(box: Floats, area: Any, boxes: Floats, areas: Floats) -> Floats:
    """Intersection over union of boxes that include their last pixel (py_cpu_nms)."""
    both = pixel_side(box[0], box[2], boxes[0], boxes[2])
    both *= pixel_side(box[1], box[3], boxes[1], boxes[3])
    made: Floats = both / (area + areas - both)
    return made


def pixel_side(low: Any, high: Any, lows: Floats, highs: Floats) -> Floats:
    """How many pixels two ranges have in common."""
    side = np.minimum(high, highs)
    side -= np.maximum(low, lows)
    side += np.float32(1)
    made: Floats = np.maximum(side, np.float32(0), out=side)
    return made


def pixel_overlap_of_touching(box: Floats, area: Any, boxes: Floats, areas: Floats) -> Floats:
    """As pixel_overlap, but 0 for boxes that are less than a pixel apart (caffe-windows, nms.cpp)."""
    apart = (box[0] > boxes[2]) | (box[1] > boxes[3]) | (box[2] < boxes[0]) | (box[3] < boxes[1])
    made: Floats = np.where(apart, np.float32(0), pixel_overlap(box, area, boxes, areas))
    return made


def box_areas(boxes: Floats) -> Floats:
    """Areas [n]; 0 for a box of negative width or height (SSD fork, BBoxSize)."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    made: Floats = np.where((width < 0) | (height < 0), np.float32(0), width * height)
    return made


def pixel_areas(boxes: Floats) -> Floats:
    """Areas [n] of boxes that include their last pixel."""
    one = np.float32(1)
    made: Floats = (boxes[:, 2] - boxes[:, 0] + one) * (boxes[:, 3] - boxes[:, 1] + one)
    return made
