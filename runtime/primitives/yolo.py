"""YOLO's detections of version 2 and 3 (MobileNet-YOLO, yolo_detection_output_layer.cpp and yolov3_...)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .primitive import CallSite, Primitive, Run, require
from .std_sort import sort_falling
from .suppression import Floats, suppress

NO_DETECTION = -1.0


def prepare(call: CallSite) -> Run:
    """Detections f32 [1, 1, n, 7]: image 0, class + 1, score, box (x0, y0, x1, y1)."""
    attributes = call.attributes
    classes, scales, version = attributes["classes"], attributes["scales"], attributes["version"]
    require(version in (2, 3), f"there is no version {version}")
    require(len(scales) == len(call.operands), "there is one scale for each map")
    sizes = [np.array(attributes["anchors"], np.float32)]
    boxes = attributes["boxes"]
    for o, scale in zip(call.operands, scales, strict=True):
        require(
            len(o.shape) == 4 and o.shape[1] == boxes * (5 + classes), f"a map has {boxes * (5 + classes)} channels"
        )
        require(scale >= 1, "scales are 1 or more")
        require(version == 3 or o.shape[2] == o.shape[3], "maps of version 2 are square")
    require(len(attributes["anchors"]) == 2 * boxes * len(scales), "each map has two numbers for each box")
    anchors = sizes[0].reshape(len(scales), boxes, 2)
    threshold = np.float32(attributes["confidence"])

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> Sequence[Tensor]:
        found = list[Floats]()
        maps = [o.contiguous().to(torch.float32).numpy() for o in operands]
        with np.errstate(all="ignore"):
            for x, own, scale in zip(maps, anchors, scales, strict=True):
                found.append(decode(x, own, scale, classes, threshold, version))
            rows = np.concatenate(found)
            rows = rows[sort_falling(rows[:, 1])]
            chosen = list(
                suppress(rows[:, 2:], areas(rows[:, 2:]), overlap, attributes["nms_threshold"], at_threshold=False)
            )
        rows = rows[chosen]
        made = np.full((len(rows) or maps[0].shape[0], 7), NO_DETECTION, np.float32)
        if len(rows):
            half = rows[:, 4:6].astype(np.float64) / 2
            made[:, 0], made[:, 1:3] = 0, rows[:, :2]
            made[:, 3:5], made[:, 5:7] = rows[:, 2:4] - half, rows[:, 2:4] + half
        else:
            made[:, 0] = np.arange(len(made))
        return (torch.from_numpy(made)[None, None],)

    return run


def decode(x: Floats, anchors: Floats, scale: int, classes: int, threshold: np.float32, version: int) -> Floats:
    """The candidates [k, 6] of a map [n, boxes (5 + classes), h, w]: class + 1, score, the box's centre and size."""
    cells = x.reshape(x.shape[0], len(anchors), 5 + classes, *x.shape[2:]).transpose(0, 3, 4, 1, 2)
    sides = np.array([x.shape[3], x.shape[2]], np.float32)
    objectness = sigmoid(cells[..., 4])
    if version == 2:  # the best of the classes' softmax, which a later equal one does not replace
        power = np.exp(cells[..., 5:] - cells[..., 5:].max(-1, keepdims=True))
        share = power / np.cumsum(power, -1, dtype=np.float32)[..., -1:]
        best = share.argmax(-1)
        scores = objectness * np.take_along_axis(share, best[..., None], -1)[..., 0]
        at = np.nonzero(scores >= threshold)
        label, score = best[at], scores[at]
    else:
        scores = sigmoid(cells[..., 5:]) * objectness[..., None]
        *at_, label = np.nonzero(scores > threshold)
        at = tuple(at_)
        score = scores[(*at, label)]
    own, (_, row, column, box) = cells[at], at
    made = np.empty((len(own), 6), np.float32)
    made[:, 0], made[:, 1] = label + 1, score
    made[:, 2:4] = (np.stack([column, row], 1).astype(np.float32) + sigmoid(own[:, :2])) / sides
    made[:, 4:] = np.exp(own[:, 2:4]) * anchors[box] / (sides * np.float32(scale))
    return made


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x), rounded once."""
    made: Floats = (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)
    return made


def areas(boxes: Floats) -> Floats:
    made: Floats = boxes[:, 2] * boxes[:, 3]
    return made


def overlap(box: Floats, area: np.float32, boxes: Floats, areas: Floats) -> Floats:
    """Intersection over union of boxes of centre and size."""
    half, halves = box[2:, None] / 2, boxes[2:] / 2
    size = np.minimum(box[:2, None] + half, boxes[:2] + halves) - np.maximum(box[:2, None] - half, boxes[:2] - halves)
    both = np.where((size < 0).any(0), np.float32(0), size[0] * size[1])
    made: Floats = both / (area + areas - both)
    return made


YOLO_DETECTIONS = Primitive(prepare, infer_shapes=None)
