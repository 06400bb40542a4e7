"""Boxes of several scales, by suppression of all together (mscnn, box_output_layer.cpp)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .primitive import CallSite, Primitive, Run, require
from .suppression import Floats, suppress

NO_BOX = (0.0, 1.0, 1.0, 10.0, 10.0)  # the only row, if nothing is found


def prepare(call: CallSite) -> Run:
    """Boxes f32 [n, 5, 1, 1] of image, x0, y0, x1, y1; with a second result [n, 6, 1, 1], their scores beside them."""
    attributes, maps = call.attributes, call.operands
    require(attributes["nms"] in UNIONS, f"unknown way {attributes['nms']!r} to suppress boxes")
    for name in ("field_height", "field_width", "rate"):
        require(len(attributes[name]) == len(maps), f"{name} is one number for each map")
    require(all(len(o.shape) == 4 and o.shape[1] > 4 for o in maps), "maps are [n, 4 + classes, h, w]")
    require(len({(o.shape[0], o.shape[1]) for o in maps}) == 1, "maps are of the same images and classes")
    require(len(attributes["mean"]) == len(attributes["deviation"]) == 4, "there are four means and deviations")
    overlap = partial(measure_overlap, union=UNIONS[attributes["nms"]])

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> Sequence[Tensor]:
        found = [o.contiguous().to(torch.float32).numpy() for o in operands]
        with np.errstate(all="ignore"):
            rows = [detect_image(attributes, image, found, overlap) for image in range(found[0].shape[0])]
        made = np.concatenate(rows)
        if not len(made):
            made, scores = np.array([NO_BOX], np.float32), np.zeros((1, 6), np.float32)
        else:
            made, scores = made[:, :5], made
        return tuple(torch.from_numpy(x.copy())[:, :, None, None] for x in (made, scores)[: len(call.results)])

    return run


def detect_image(
    attributes: Mapping[str, Any], image: int, maps: Sequence[Floats], overlap: Callable[..., Floats]
) -> Floats:
    """Rows [k, 6] of image, x0, y0, x1, y1, score."""
    scales = zip(maps, attributes["field_width"], attributes["field_height"], attributes["rate"], strict=True)
    boxes = np.concatenate([decode(attributes, x[image], *scale) for x, *scale in scales])  # x, y, width, height, score
    boxes = boxes[np.lexsort((np.arange(len(boxes)), boxes[:, 4]))[::-1]]  # of equal scores the last is first
    if attributes["before"] > 0:
        boxes = boxes[: attributes["before"]]
    own, areas = boxes[:, :4], boxes[:, 2] * boxes[:, 3]
    kept = suppress(own, areas, overlap, attributes["threshold"])
    chosen = boxes[list(islice(kept, attributes["after"] or None))]
    corners = chosen[:, :2] + chosen[:, 2:4]
    return np.hstack([np.full((len(chosen), 1), image, np.float32), chosen[:, :2], corners, chosen[:, 4:]])


def decode(attributes: Mapping[str, Any], x: Floats, width: int, height: int, rate: int) -> Floats:
    """The candidates [k, 5] of a map [classes + 4, h, w], cell by cell: x, y, width, height, score."""
    f32, (rows, columns) = np.float32, x.shape[1:]
    scores = (x[1:-4].max(0, initial=np.finfo(f32).min) - x[0]).reshape(-1)
    chosen = np.flatnonzero(scores >= f32(attributes["foreground"]))
    move = x[-4:].reshape(4, -1)[:, chosen].T
    move = move * np.array(attributes["deviation"], f32) + np.array(attributes["mean"], f32)
    far, large = f32(1) / f32(attributes["far"]), np.log(f32(attributes["large"]))
    small = np.log(f32(1) / f32(attributes["large"]))
    at = np.stack([chosen % columns, chosen // columns], 1).astype(f32)
    field = np.array([width, height], f32)
    centre = np.clip(move[:, :2], -far, far) * field + (at + f32(0.5)) * f32(rate)
    size = field * np.exp(np.clip(move[:, 2:], small, large))
    corner = np.maximum(centre - size / f32(2), f32(0))
    size = np.minimum(size, np.array([columns * rate, rows * rate], f32) - corner)
    enough = (size >= f32(attributes["min_size"])).all(1)
    made: Floats = np.hstack([corner, size, scores[chosen, None]])[enough]
    return made


def measure_overlap(
    box: Floats, area: np.float32, boxes: Floats, areas: Floats, union: Callable[..., Floats]
) -> Floats:
    """The overlap of boxes of corner and size; 0 for a box of no size."""
    ends = (box[:2] + box[2:])[:, None]
    size = np.minimum(ends, boxes[:2] + boxes[2:]) - np.maximum(box[:2, None], boxes[:2])
    both = np.where((size < 0).any(0), np.float32(0), size[0] * size[1])
    empty = (box[2:] <= 0).any() | (boxes[2:] <= 0).any(0)
    made: Floats = np.where(empty, np.float32(0), both / union(area, areas, both))
    return made


UNIONS: Mapping[str, Callable[..., Floats]] = {
    "IOU": lambda area, areas, both: area + areas - both,
    "IOMU": lambda area, areas, both: np.minimum(area, areas),
    "IOFU": lambda area, areas, both: np.full_like(areas, area),
}
"""What an overlap is divided by: the union, the smaller of the two boxes, the better one."""

BOX_OUTPUT = Primitive(prepare, infer_shapes=None)
