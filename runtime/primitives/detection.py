"""SSD's detection output: decodes predicted boxes and applies non-maximum suppression per class.

It runs on the host, in numpy: suppression is sequential, and the candidates are few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .primitive import CallSite, Primitive, Run, require
from .suppression import Floats, Ints, box_areas, jaccard_overlap, suppress

NO_DETECTION = -1.0


def prepare(call: CallSite) -> Run:
    """Detections f32 [1, 1, n, 7]: image, class, score, box (x0, y0, x1, y1); SSD fork, detection_output_layer.cpp."""
    attributes = call.attributes
    require(attributes["code"] in DECODERS, f"unknown code {attributes['code']!r}")
    check_shapes(call)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> Sequence[Tensor]:
        loc, conf, prior, *arm = (o.contiguous().to(torch.float32).numpy() for o in operands)
        images, classes = loc.shape[0], attributes["classes"]
        priors, variances = prior.reshape(2, -1, 1, 4)
        locations = loc.reshape(images, len(priors), -1, 4)
        scores = conf.reshape(images, len(priors), classes)
        factor = 1 if attributes["variance_in_target"] else variances
        decode = DECODERS[attributes["code"]]
        with np.errstate(all="ignore"):  # boxes may be infinite: comparisons handle infinities and NaN
            found = list[Floats]()
            for i in range(images):
                own = hide_background(scores[i], arm[0][i], attributes["objectness"]) if arm else scores[i]
                moved = decode(priors, arm[1][i].reshape(-1, 1, 4) * factor) if len(arm) > 1 else priors
                found.append(detect_image(attributes, i, decode(moved, locations[i] * factor), own))
        made = np.concatenate(found) if found else np.empty((0, 7), np.float32)
        if not len(made):
            made = np.full((images, 7), NO_DETECTION, np.float32)
            made[:, 0] = np.arange(images)
        return (torch.from_numpy(made)[None, None],)

    return run


def check_shapes(call: CallSite) -> None:
    """ValueError unless there is a location and a score for each prior box, image and class."""
    loc, conf, prior, *arm = (o.shape for o in call.operands)
    require(len(loc) > 0 and call.attributes["classes"] > 0, "there is nothing to detect")
    images, classes, priors = loc[0], call.attributes["classes"], prod(prior) // 8
    boxes = 1 if call.attributes["share_location"] else classes
    fits = (images * priors * boxes * 4, images * priors * classes, priors * 8)
    given = (prod(loc), prod(conf), prod(prior))
    require(given == fits, f"it has {given} numbers of locations, scores and boxes, and {fits} belong together")
    for each, shape in zip((2, 4), arm, strict=False):
        require(prod(shape) == images * priors * each, f"{each} numbers for each of {images} x {priors} priors")
    require(len(arm) < 2 or boxes == 1, "first locations of the priors are shared")


def hide_background(scores: Floats, objectness: Floats, least: float) -> Floats:
    """Scores [p, classes], those of class 0 alone for priors whose second of two objectness scores is below `least`."""
    nothing = objectness.reshape(-1, 2)[:, 1:] < np.float32(least)
    made: Floats = np.where(nothing, np.eye(1, scores.shape[1], dtype=np.float32), scores)
    return made


def detect_image(attributes: Mapping[str, Any], image: int, boxes: Floats, scores: Floats) -> Floats:
    """The detections [n, 7] of one image, from boxes [p, 1 or classes, 4] and scores [p, classes].

    Each class is a lazy stream of boxes by falling score; the merged stream ends after `keep_top_k`, so most candidates
    are never compared.
    """
    above = scores > np.float32(attributes["confidence"])
    wanted = [c for c in np.flatnonzero(above.any(0)).tolist() if c != attributes["background"]]

    def select_class(c: int) -> Iterator[tuple[float, int, int]]:
        order = sort_by_score(scores[:, c], np.flatnonzero(above[:, c]), attributes["top_k"])
        column = 0 if attributes["share_location"] else c
        mine = boxes[order, column]
        for i in suppress(mine, box_areas(mine), jaccard_overlap, attributes["nms_threshold"], attributes["eta"]):
            yield -float(scores[order[i], c]), c, int(order[i])

    best = merge(*map(select_class, wanted), key=itemgetter(0))  # of equal scores the lower class is first
    most = attributes["keep_top_k"]
    found = sorted(islice(best, most if most >= 0 else None), key=itemgetter(1))
    made = np.empty((len(found), 7), np.float32)
    for row, (score, c, i) in zip(made, found, strict=True):
        row[0], row[1], row[2] = image, c, -score
        row[3:] = boxes[i, 0 if attributes["share_location"] else c]
    return made


def sort_by_score(scores: Floats, candidates: Ints, most: int) -> Ints:
    """Candidates by falling score, at most `most` (all if negative); of equal scores the lower index first."""
    own = scores[candidates]
    if 0 < most < len(own):  # partition first: only the `most` best need sorting
        enough = own >= np.partition(own, len(own) - most)[len(own) - most]
        candidates, own = candidates[enough], own[enough]
    order: Ints = candidates[np.argsort(-own, kind="stable")]
    return order if most < 0 else order[:most]


def decode_corner(prior: Floats, x: Floats) -> Floats:
    return prior + x


def decode_corner_size(prior: Floats, x: Floats) -> Floats:
    size = prior[..., 2:] - prior[..., :2]
    made: Floats = prior + x * np.concatenate([size, size], -1)
    return made


def decode_center_size(prior: Floats, x: Floats) -> Floats:
    size = prior[..., 2:] - prior[..., :2]
    centre = x[..., :2] * size + (prior[..., :2] + prior[..., 2:]) / 2
    half = np.exp(x[..., 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], -1)


DECODERS = {"corner": decode_corner, "corner_size": decode_corner_size, "center_size": decode_center_size}
"""By code: boxes [..., 4] from prior boxes and locations scaled by the variances (bbox_util.cpp, DecodeBBox)."""

DETECTION_OUTPUT = Primitive(prepare, infer_shapes=None)
