"""Region proposals (Ren et al. 2015): decodes the boxes of a grid of anchors, and selects the best that differ.

Caffe has three layers of this name, and the Python layer that they follow; `form` says which. It runs on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from heapq import heapify, heappushpop
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .primitive import CallSite, Primitive, Run, require
from .quick_order import partition_by_holes, partition_by_swaps, quick_order
from .suppression import Flags, Floats, Ints, Overlap, pixel_areas, pixel_overlap, pixel_overlap_of_touching, suppress


def prepare(call: CallSite) -> Run:
    """RoIs f32 [r, 5]: image, x0, y0, x1, y1; and with two results the scores, [r, 1] or [r]."""
    attributes = call.attributes
    form = attributes["form"]
    require(form in FORMS, f"unknown form {form!r}")
    scores, deltas, info = (o.shape for o in call.operands)
    require(len(attributes["anchors"]) > 0 and len(attributes["anchors"]) % 4 == 0, "anchors are fours of numbers")
    anchors = np.array(attributes["anchors"], np.float32).reshape(-1, 4)
    require(len(scores) == len(deltas) == 4 and scores[0] == deltas[0], "it takes scores and deltas of images")
    wanted = (2 * len(anchors), *scores[2:]), (4 * len(anchors), *scores[2:])
    require((tuple(scores[1:]), tuple(deltas[1:])) == wanted, f"it takes scores and deltas of {len(anchors)} anchors")
    require(prod(info) >= (4 if form == "happynear" else 3), "it takes the image's height, width and scale")
    select, rank = FORMS[form], 1 if form in QUICK else 2
    most = attributes["after"] if attributes["after"] > 0 else None

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> Sequence[Tensor]:
        probability, offsets, size = (o.contiguous().to(torch.float32).numpy() for o in operands)
        size, found, kept = size.reshape(-1), list[Floats](), list[Floats]()
        with np.errstate(all="ignore"):
            for image in range(len(probability)):
                boxes = decode(anchors, attributes["stride"], offsets[image], size, form)
                own = probability[image, len(anchors) :].transpose(1, 2, 0).reshape(-1)
                chosen, ranked = select(attributes, boxes, own, size, most)
                found.append(np.insert(boxes[chosen], 0, np.float32(image), 1))
                kept.append(ranked)
        made = [np.concatenate(found), np.concatenate(kept).reshape((-1, 1)[:rank])]
        return tuple(map(torch.from_numpy, made[: len(call.results)]))

    return run


def decode(anchors: Floats, stride: int, deltas: Floats, size: Floats, form: str) -> Floats:
    """Boxes [h w a, 4] from anchors [a, 4] at each cell and deltas [4 a, h, w], cut to the image."""
    height, width = deltas.shape[1:]
    x, y = np.arange(width, dtype=np.float32) * stride, np.arange(height, dtype=np.float32)[:, None] * stride
    corner = np.stack(np.broadcast_arrays(x, y), -1)[:, :, None].astype(np.float32)
    sides = anchors[:, 2:] - anchors[:, :2] + np.float32(1)
    centre = corner + anchors[:, :2] + np.float32(0.5) * sides
    move = deltas.transpose(1, 2, 0).reshape(height, width, -1, 4)
    centre = move[..., :2] * sides + centre
    half = np.float32(0.5) * (np.exp(move[..., 2:]) * sides)
    boxes: Floats = np.concatenate([centre - half, centre + half], -1).reshape(-1, 4)
    limit = (np.trunc(size) if form == "synopsys" else size)[[1, 0, 1, 0]] - np.float32(1)
    boxes = np.maximum(np.minimum(boxes, limit), np.float32(0))
    if form in QUICK:
        boxes[np.isnan(boxes)] = 0  # std::max(0, NaN)
    return boxes


Selected = tuple[Ints, Floats]
"""The indices of the boxes that are kept, in order, and their scores."""
Select = Callable[[Mapping[str, Any], Floats, Floats, Floats, int | None], Selected]


def large_enough(boxes: Floats, height: Any, width: Any) -> Flags:
    """Whether each box [n, 4] has these sides at least."""
    sides = boxes[:, 2:] - boxes[:, :2] + np.float32(1)
    made: Flags = (sides[:, 0] >= np.float32(width)) & (sides[:, 1] >= np.float32(height))
    return made


def select_python(
    attributes: Mapping[str, Any], boxes: Floats, scores: Floats, size: Floats, most: int | None
) -> Selected:
    """rpn/proposal_layer.py of py-faster-rcnn: too small boxes are removed; sorted twice by argsort()[::-1]."""
    least = attributes["min_size"] * size[2]
    candidates = np.flatnonzero(large_enough(boxes, least, least))
    order = candidates[np.argsort(scores[candidates], kind="stable")[::-1]]
    if attributes["before"] > 0:
        order = order[: attributes["before"]]
    order = order[np.argsort(scores[order], kind="stable")[::-1]]
    return keep(attributes, boxes, scores, order, pixel_overlap, most)


def select_synopsys(
    attributes: Mapping[str, Any], boxes: Floats, scores: Floats, size: Floats, most: int | None
) -> Selected:
    """synopsys-caffe: anchors are the first axis, and the last box is never too small; of equal scores the last first.

    All boxes go to the suppression: beyond the first `before` as std::partial_sort leaves them.
    """
    anchors = len(attributes["anchors"]) // 4
    by_anchor = np.arange(len(boxes)).reshape(-1, anchors).T.reshape(-1)
    least = attributes["min_size"] * size[2]
    fits = large_enough(boxes[by_anchor], least, least)
    fits[-1] = True
    order = by_anchor[fits]
    first = partial_order(scores[order], attributes["before"])
    return keep(attributes, boxes, scores, order[first], pixel_overlap, most)


def partial_order(scores: Floats, most: int) -> Ints:
    """libstdc++'s partial_sort of (score, index) by falling pairs: `most` sorted, the others as it leaves them.

    Its heap holds the best so far; a better one takes the place of the worst in it, which goes where that one was.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    if most >= len(scores):
        return np.lexsort((np.arange(len(scores)), scores))[::-1]
    pairs = list(zip(scores.tolist(), range(len(scores)), strict=True))
    heap = pairs[:most]
    heapify(heap)
    rest = [heappushpop(heap, pair) if heap else pair for pair in pairs[most:]]
    return np.array([i for _, i in sorted(heap, reverse=True) + rest], np.intp)


def select_quick(
    attributes: Mapping[str, Any],
    boxes: Floats,
    scores: Floats,
    size: Floats,
    most: int | None,
    order: Callable[[Floats, int], Ints],
    overlap: Overlap,
) -> Selected:
    """caffe-windows, pva-faster-rcnn and mini-caffe: a too small box has score 0; their own quicksorts."""
    height, width = attributes["min_size"] * size[[2, 3 if attributes["form"] == "happynear" else 2]]
    ranked = np.where(large_enough(boxes, height, width), scores, scores * np.float32(0))
    ranked = np.where(np.isnan(ranked), -np.inf, ranked).astype(np.float32)
    first = order(ranked, attributes["before"])[: attributes["before"]]
    return keep(attributes, boxes, ranked, first, overlap, most)


def keep(
    attributes: Mapping[str, Any], boxes: Floats, scores: Floats, order: Ints, overlap: Overlap, most: int | None
) -> Selected:
    """The boxes that survive the suppression, in this order, at most so many."""
    own = boxes[order]
    chosen = order[list(islice(suppress(own, pixel_areas(own), overlap, attributes["threshold"]), most))]
    return chosen, scores[chosen]


FORMS: Mapping[str, Select] = {
    "python": select_python,
    "synopsys": select_synopsys,
    "happynear": partial(
        select_quick, order=partial(quick_order, partition=partition_by_swaps), overlap=pixel_overlap_of_touching
    ),
    "mini": partial(select_quick, order=partial(quick_order, partition=partition_by_holes), overlap=pixel_overlap),
}
QUICK = ("happynear", "mini")  # their second top has one axis
PROPOSALS = Primitive(prepare, infer_shapes=None)
