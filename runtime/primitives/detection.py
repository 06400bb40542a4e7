"""What a detector has found, from its predictions: boxes decoded, and those dropped that overlap a better one.

It runs on the host, in numpy: which box is kept depends on those kept before, and there are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .primitive import Call, Primitive, Run, insist

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]
NOTHING = -1.0


def prepare(call: Call) -> Run:
    """Rows [1, 1, found, 7] of image, class, score and box, as the SSD fork has them (detection_output_layer.cpp)."""
    attributes = call.attributes
    insist(attributes["code"] in DECODERS, f"there is no code {attributes['code']!r}")

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> Sequence[Tensor]:
        loc, conf, prior = (o.contiguous().to(torch.float32).numpy() for o in operands)
        images, classes = loc.shape[0], attributes["classes"]
        priors, variances = prior.reshape(2, -1, 1, 4)
        places = loc.reshape(images, len(priors), -1, 4)
        scores = conf.reshape(images, len(priors), classes)
        if not attributes["variance_in_target"]:
            places = places * variances
        decode = DECODERS[attributes["code"]]
        found = [rows(attributes, i, decode(priors, places[i]), scores[i]) for i in range(images)]
        made = np.concatenate(found) if found else np.empty((0, 7), np.float32)
        if not len(made):
            made = np.full((images, 7), NOTHING, np.float32)
            made[:, 0] = np.arange(images)
        return (torch.from_numpy(made)[None, None],)

    return run


def rows(attributes: Mapping[str, Any], image: int, boxes: Floats, scores: Floats) -> Floats:
    """What is kept of one image: boxes [p, 1 or classes, 4], scores [p, classes]."""
    each = list[tuple[int, Ints]]()
    above = scores > np.float32(attributes["confidence"])
    for c in np.flatnonzero(above.any(0)).tolist():
        if c == attributes["background"]:
            continue
        candidates = np.flatnonzero(above[:, c])
        best_first = candidates[np.argsort(-scores[candidates, c], kind="stable")]
        if attributes["top_k"] >= 0:
            best_first = best_first[: attributes["top_k"]]
        place = 0 if attributes["share_location"] else c
        kept = suppress(boxes[best_first, place], attributes["nms_threshold"], attributes["eta"])
        each.append((c, best_first[kept]))
    if not each:
        return np.empty((0, 7), np.float32)
    classes = np.repeat([c for c, _ in each], [len(kept) for _, kept in each])
    which = np.concatenate([kept for _, kept in each])
    most = attributes["keep_top_k"]
    if 0 <= most < len(which):
        best = np.sort(np.argsort(-scores[which, classes], kind="stable")[:most])
        which, classes = which[best], classes[best]
    made = np.empty((len(which), 7), np.float32)
    made[:, 0], made[:, 1], made[:, 2] = image, classes, scores[which, classes]
    made[:, 3:] = boxes[which, 0 if attributes["share_location"] else classes]
    return made


def suppress(boxes: Floats, threshold: float, eta: float) -> list[int]:
    """The places of the boxes that are kept, of boxes [n, 4] that come best first.

    `left` are the candidates that overlap no kept box too much so far, `worst` how much each does at most. The
    threshold only falls, so whatever is dropped once would be dropped later too.
    """
    limit, factor = np.float32(threshold), np.float32(eta)
    corner, opposite = boxes[:, :2], boxes[:, 2:]
    areas = area(boxes)
    left, worst = np.arange(len(boxes)), np.zeros(len(boxes), np.float32)
    kept = list[int]()
    while len(left):
        first, left = left[0], left[1:]
        kept.append(int(first))
        if eta < 1 and limit > 0.5:
            limit = np.float32(limit * factor)
        size = np.minimum(opposite[first], opposite[left]) - np.maximum(corner[first], corner[left])
        both = size[:, 0] * size[:, 1]
        meet = (size > 0).all(1)
        overlap = np.divide(both, areas[left] + areas[first] - both, out=np.zeros_like(both), where=meet)
        worst = np.maximum(worst[1:], overlap)
        stay = worst <= limit
        left, worst = left[stay], worst[stay]
    return kept


def area(boxes: Floats) -> Floats:
    """Nothing for a box that is turned inside out."""
    size = boxes[:, 2:] - boxes[:, :2]
    made: Floats = size[:, 0] * size[:, 1]
    made[(size < 0).any(1)] = 0
    return made


def corner(prior: Floats, x: Floats) -> Floats:
    return prior + x


def corner_size(prior: Floats, x: Floats) -> Floats:
    size = prior[..., 2:] - prior[..., :2]
    return prior + x * np.concatenate([size, size], -1)


def center_size(prior: Floats, x: Floats) -> Floats:
    size = prior[..., 2:] - prior[..., :2]
    centre = x[..., :2] * size + (prior[..., :2] + prior[..., 2:]) / 2
    half = np.exp(x[..., 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], -1)


DECODERS = {"corner": corner, "corner_size": corner_size, "center_size": center_size}
"""How locations, already scaled by the variances, become boxes [..., 4] (bbox_util.cpp, DecodeBBox)."""

DETECTION_OUTPUT = Primitive(prepare, shapes=None)
