"""Operators on boxes: decoding and non-maximum suppression of a single-shot detector's predictions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..op import Op, Trait, op
from ..types import AtMost, TensorType, upper_bound

CODES = ("corner", "center_size", "corner_size")
LOWEST_F32 = -3.4028234663852886e38  # -FLT_MAX: every score is above it


@op("detection_output", operands=(3, 5))
class DetectionOutput(Op):
    """Decode and select a single-shot detector's boxes (Liu et al. 2016; SSD fork, detection_output_layer.cpp).

    Operands, for p priors: locations [n, 4 p], or [n, 4 p classes] without `share_location`; scores [n, p classes]; the
    priors and their variances [1, 2, 4 p], as computed by prior_box. The result is [1, 1, found, 7]: rows of image,
    class, score, xmin, ymin, xmax, ymax, sorted by image, class and descending score; boxes with equal scores are in
    the order of their priors. If nothing is found in any image, there is one row per image: its index, then six times
    -1.

    For each image and each class except `background`, the scores above `confidence` are candidates, at most the `top_k`
    highest. In descending order of scores, a box is kept unless its intersection over union with a kept box of its
    class exceeds `nms_threshold`; the threshold is multiplied by `eta` after each kept box while it is above 0.5. At
    most `keep_top_k` boxes remain per image. -1 means no limit. `code` is the encoding of locations relative to priors,
    "corner", "center_size" or "corner_size" (bbox_util.cpp), scaled by the variances unless `variance_in_target`. The
    fork aborts at a prior of no width or height, which clipping can yield; here its predicted box has no size.

    RefineDet (Zhang et al. 2018) gives two more operands. The fourth is two scores of each prior, [n, 2 p]: where the
    second is below `objectness`, class 0 has the score 1, and all others 0. The fifth is locations [n, 4 p], from which
    the priors are decoded before the predictions are, with the same variances.
    """

    classes: int
    share_location: bool = True
    background: int = 0
    code: str = "corner"
    variance_in_target: bool = False
    nms_threshold: float = 0.3
    top_k: int = -1
    eta: float = 1.0
    keep_top_k: int = -1
    confidence: float = LOWEST_F32
    objectness: float = 0.01
    traits = frozenset({Trait.ROW_MAJOR_ONLY})
    # Without a kernel for GPUs: each decision depends on the boxes kept before it.

    def infer(
        self,
        loc: TensorType,
        conf: TensorType,
        prior: TensorType,
        objects: TensorType | None = None,
        first: TensorType | None = None,
    ) -> TensorType:
        if self.classes < 1:
            raise ValueError(f"classes is 1 or more, not {self.classes}")
        if self.code not in CODES:
            raise ValueError(f"code is one of {', '.join(CODES)}, not {self.code}")
        if self.nms_threshold < 0 or not 0 < self.eta <= 1:
            raise ValueError(
                f"nms_threshold is 0 or more and eta above 0 up to 1, not {self.nms_threshold} and {self.eta}"
            )
        if prior.rank not in (3, 4) or prior.dims[:2] != (1, 2) or prior.dims[3:] not in ((), (1,)):
            raise ValueError(f"the priors are [1, 2, 4 priors], not {prior}")
        numbers = prior.dims[2]
        if not isinstance(numbers, int) or numbers % 4:
            raise ValueError(f"the priors are [1, 2, 4 priors], not {prior}")
        priors = numbers // 4
        self.require_shape(loc, 4 * priors * self.location_classes, f"locations of {priors} priors")
        self.require_shape(conf, priors * self.classes, f"{self.classes} scores of {priors} priors")
        if loc.dims[0] != conf.dims[0]:
            raise ValueError(f"the locations are {loc}, the scores {conf}: their first dimensions differ")
        for x, each, what in ((objects, 2, "objectness scores"), (first, 4, "first locations")):
            if x is not None:
                self.require_shape(x, each * priors, f"{what} of {priors} priors")
            if x is not None and x.dims[0] != loc.dims[0]:
                raise ValueError(f"the locations are {loc}, the {what} {x}: their first dimensions differ")
        if first is not None and not self.share_location:
            raise ValueError("first locations of the priors are shared, and locations per class are not")
        images = upper_bound(loc.dims[0])
        return loc.with_shape(1, 1, AtMost(max(images * self.max_detections(priors), images)), 7)

    def require_shape(self, x: TensorType, count: int, what: str) -> None:
        """ValueError unless x is [n, count], optionally followed by dimensions of 1."""
        if x.rank < 2 or x.dims[1] != count or any(d != 1 for d in x.dims[2:]):
            raise ValueError(f"{what} are [n, {count}], not {x}")

    @property
    def location_classes(self) -> int:
        return 1 if self.share_location else self.classes

    @property
    def foreground_classes(self) -> list[int]:
        """All classes except the background."""
        return [c for c in range(self.classes) if c != self.background]

    def max_detections(self, priors: int) -> int:
        """The greatest number of boxes in one image."""
        each = priors if self.top_k < 0 else min(self.top_k, priors)
        found = each * len(self.foreground_classes)
        return found if self.keep_top_k < 0 else min(self.keep_top_k, found)

    def reference(
        self, loc: Tensor, conf: Tensor, prior: Tensor, objects: Tensor | None = None, first: Tensor | None = None
    ) -> Tensor:
        boxes, variances = prior.reshape(2, -1, 4)
        places = loc.reshape(loc.shape[0], len(boxes), self.location_classes, 4)
        scores = conf.reshape(conf.shape[0], len(boxes), self.classes)
        rows: list[Tensor] = []
        factor = 1.0 if self.variance_in_target else variances[:, None]
        for image in range(loc.shape[0]):
            own, priors = scores[image], boxes[:, None]
            if objects is not None:
                nothing = objects[image].reshape(-1, 2)[:, 1:] < self.objectness
                own = torch.where(nothing, torch.eye(self.classes, dtype=own.dtype)[0], own)
            if first is not None:
                priors = decode(self.code, priors, factor, first[image].reshape(-1, 1, 4))
            rows += self.detect_image(image, decode(self.code, priors, factor, places[image]), own)
        if not rows:
            rows = [loc.new_tensor([image] + [-1] * 6) for image in range(loc.shape[0])]
        return (torch.stack(rows) if rows else loc.new_zeros(0, 7))[None, None]

    def detect_image(self, image: int, boxes: Tensor, scores: Tensor) -> list[Tensor]:
        """The rows [7] of one image, from its boxes [p, 1 or classes, 4] and scores [p, classes]."""
        rows: list[Tensor] = []
        for c in self.foreground_classes:
            mine, its = boxes[:, 0 if self.share_location else c], scores[:, c]
            for i in self.non_max_suppression(mine, its):
                rows.append(torch.cat([its.new_tensor([image, c]), its[i, None], mine[i]]))
        if 0 <= self.keep_top_k < len(rows):
            best = torch.stack(rows)[:, 2].argsort(descending=True, stable=True)[: self.keep_top_k]
            rows = [rows[i] for i in sorted(best.tolist())]
        return rows

    def non_max_suppression(self, boxes: Tensor, scores: Tensor) -> list[int]:
        """The indices of the boxes of one class that are kept, in descending order of scores."""
        order = scores.argsort(descending=True, stable=True)
        candidates: Sequence[int] = order[scores[order] > self.confidence].tolist()
        kept: list[int] = []
        threshold = scores.new_tensor(self.nms_threshold)
        for i in candidates if self.top_k < 0 else candidates[: self.top_k]:
            if all(overlap <= threshold for overlap in intersection_over_union(boxes[i], boxes[kept])):
                kept.append(i)
                if self.eta < 1 and threshold > 0.5:
                    threshold = threshold * self.eta
        return kept


def decode(code: str, prior: Tensor, variance: Tensor | float, x: Tensor) -> Tensor:
    """Boxes [..., 4] from predictions relative to priors (DecodeBBox)."""
    x = x * variance
    if code == "corner":
        return prior + x
    size = prior[..., 2:] - prior[..., :2]
    if code == "corner_size":
        return prior + x * torch.cat([size, size], -1)
    centre = x[..., :2] * size + (prior[..., :2] + prior[..., 2:]) / 2
    half = x[..., 2:].exp() * size / 2
    return torch.cat([centre - half, centre + half], -1)


def intersection_over_union(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of a box [4] with each of others [k, 4]; 0 without an overlap (JaccardOverlap).

    Caffe's std::max and std::min keep the box's corner where the other's is NaN. The overlap with such a box is NaN.
    """
    corner = torch.where(box[:2] < others[:, :2], others[:, :2], box[:2])
    opposite = torch.where(others[:, 2:] < box[2:], others[:, 2:], box[2:])
    width, height = (opposite - corner).unbind(-1)
    both = width * height
    union = box_areas(box) + box_areas(others) - both
    return torch.where((width > 0) & (height > 0), both / union, torch.zeros_like(both))


def box_areas(boxes: Tensor) -> Tensor:
    """Areas of boxes [..., 4]; 0 if a maximum is below its minimum (BBoxSize)."""
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return torch.where((width < 0) | (height < 0), torch.zeros_like(width), width * height)
