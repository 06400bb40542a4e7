"""Operators that propose regions: boxes decoded from a grid of anchors, the best of those that differ enough."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from ..op import Op, op
from ..types import AtMost, TensorType, upper_bound

FORMS = ("python", "synopsys", "happynear", "mini")


@op("proposals", operands=3)
class Proposals(Op):
    """The regions that are most likely objects (Ren et al. 2015, Faster R-CNN).

    Operands, for a anchors: scores [n, 2 a, h, w], of which the second half counts; deltas [n, 4 a, h, w]; and the
    image's height, width and scale, [1, 3] or more numbers. The results are boxes [?, 5] of image, xmin, ymin, xmax,
    ymax, by falling score, and with `scores` their scores.

    `anchors` are xmin, ymin, xmax, ymax of each anchor at the first cell; those of other cells are `stride` pixels
    apart. Sizes are max - min + 1. The deltas of an anchor move its centre by its size times the first two, and
    multiply its size by exp of the other two; the box is cut to 0 ... size - 1 of the image. A box is too small if a
    side is below `min_size` times the scale. Of the `before` boxes of the highest scores, one is kept if its
    intersection over union with no kept one is above `threshold`, at most `after`. Boxes are computed in float32.

    `form` tells what else differs:

    python       py-faster-rcnn's rpn/proposal_layer.py. Boxes are in the order of cells, then anchors. Too small ones
                 are removed. They are sorted by argsort()[::-1], before and after the cut at `before`, here stably.
                 `before` or `after` 0 means no limit. One image. Scores are [?, 1].
    synopsys     synopsys-caffe. Boxes are in the order of anchors, then cells; the image's sizes are truncated to
                 integers; the last box is never too small; of equal scores the last is first. If fewer than `after` of
                 the `before` best are kept, the others follow in the order in which std::partial_sort leaves them.
    happynear    caffe-windows, pva-faster-rcnn. Boxes as in python, but too small ones have score 0, and the order of
                 equal scores is that of the layer's quicksort. The scale is one number for the height and one for the
                 width. Boxes that do not touch do not overlap, though less than a pixel apart. Scores are [?].
    mini         mini-caffe: the same, with another quicksort, one scale, and no rule for boxes apart. One image.
    """

    anchors: tuple[float, ...]
    form: str
    stride: int = 16
    min_size: float = 16.0
    before: int = 6000
    after: int = 300
    threshold: float = 0.7
    scores: bool = False
    # Without a kernel for GPUs: each decision depends on the boxes kept before it.

    def infer(self, scores: TensorType, deltas: TensorType, info: TensorType) -> tuple[TensorType, ...]:
        if self.form not in FORMS:
            raise ValueError(f"form is one of {', '.join(FORMS)}, not {self.form}")
        if not self.anchors or len(self.anchors) % 4:
            raise ValueError(f"anchors are one or more boxes of four numbers, not {len(self.anchors)} numbers")
        if self.stride < 1 or (min(self.before, self.after) < 1 and self.form != "python"):
            raise ValueError("stride, before and after are 1 or more")
        count = len(self.anchors) // 4
        for name, x, each in (("scores", scores, 2), ("deltas", deltas, 4)):
            if x.rank != 4 or x.dims[1] != each * count:
                raise ValueError(f"{name} of {count} anchors are [n, {each * count}, h, w], not {x}")
        if (scores.dims[0], *scores.dims[2:]) != (deltas.dims[0], *deltas.dims[2:]):
            raise ValueError(f"the scores are {scores}, the deltas {deltas}: they are not of the same cells")
        if scores.dims[0] != 1 and self.form != "happynear":
            raise ValueError(f"it takes one image, not {scores.dims[0]}")
        if prod(info.shape) < (4 if self.form == "happynear" else 3):
            raise ValueError(f"the image's height, width and scale are three or four numbers, not {info}")
        boxes = count * prod(map(upper_bound, scores.dims[2:]))
        most = boxes if self.after < 1 else min(self.after, boxes)
        found = AtMost(most * upper_bound(scores.dims[0]))
        flat = self.form in ("happynear", "mini")
        kept = (scores.with_shape(found) if flat else scores.with_shape(found, 1),) if self.scores else ()
        return scores.with_shape(found, 5), *kept

    def reference(self, scores: Tensor, deltas: Tensor, info: Tensor) -> tuple[Tensor, ...]:
        size = info.reshape(-1).float()
        anchors = torch.tensor(self.anchors).reshape(-1, 4)
        rois, kept = list[Tensor](), list[Tensor]()
        for image in range(scores.shape[0]):
            boxes = decode(anchors, self.stride, deltas[image].float(), size, self.form)
            own = scores[image, len(anchors) :].permute(1, 2, 0).reshape(-1).float()
            order, own = self.order(boxes, own, size, len(anchors))
            chosen = self.keep(boxes, order)
            rois.append(torch.cat([torch.full((len(chosen), 1), float(image)), boxes[chosen]], 1))
            kept.append(own[chosen])
        flat = self.form in ("happynear", "mini")
        made = torch.cat(kept) if flat else torch.cat(kept)[:, None]
        return torch.cat(rois).to(scores.dtype), *((made.to(scores.dtype),) if self.scores else ())

    def order(self, boxes: Tensor, scores: Tensor, size: Tensor, anchors: int) -> tuple[list[int], Tensor]:
        """The candidates in the order of the suppression, and the scores of all boxes."""
        height, width = (self.min_size * size[[2, 3 if self.form == "happynear" else 2]]).float()
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        fits = (sides[:, 0] >= width) & (sides[:, 1] >= height)
        if self.form == "python":
            order = fits.nonzero()[:, 0]
            order = order[scores[order].argsort(stable=True)].flip(0)
            order = order[: self.before] if self.before > 0 else order
            return order[scores[order].argsort(stable=True)].flip(0).tolist(), scores
        if self.form == "synopsys":
            by_anchor = [c * anchors + a for a in range(anchors) for c in range(len(boxes) // anchors)]
            candidates = [i for i in by_anchor if fits[i] or i == by_anchor[-1]]
            own = scores[candidates].nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).tolist()
            return [candidates[i] for i in partial_sort(own, self.before)], scores
        scores = torch.where(fits, scores, scores * 0)
        scores = torch.where(scores.isnan(), -torch.inf, scores)
        partition = partition_by_swaps if self.form == "happynear" else partition_by_holes
        return quicksort(scores.tolist(), self.before, partition)[: self.before], scores

    def keep(self, boxes: Tensor, order: list[int]) -> list[int]:
        """The boxes that survive the suppression."""
        areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
        threshold, kept = torch.tensor(self.threshold), list[int]()
        for i in order:
            if len(kept) == self.after > 0:
                break
            low, high = torch.maximum(boxes[i, :2], boxes[kept, :2]), torch.minimum(boxes[i, 2:], boxes[kept, 2:])
            both = (high - low + 1).clamp(min=0).prod(1)
            overlap = both / (areas[i] + areas[kept] - both)
            if self.form == "happynear":
                overlap = torch.where((low > high).any(1), 0.0, overlap)
            if (overlap <= threshold).all():
                kept.append(i)
        return kept


def decode(anchors: Tensor, stride: int, deltas: Tensor, size: Tensor, form: str) -> Tensor:
    """Boxes [h w a, 4] from deltas [4 a, h, w], cut to the image; std::max(0, NaN) is 0, numpy's is NaN."""
    height, width = deltas.shape[1:]
    y, x = torch.meshgrid(torch.arange(height) * float(stride), torch.arange(width) * float(stride), indexing="ij")
    sides = anchors[:, 2:] - anchors[:, :2] + 1
    centre = torch.stack([x, y], -1)[:, :, None] + anchors[:, :2] + sides / 2
    move = deltas.permute(1, 2, 0).reshape(height, width, -1, 4)
    centre, half = move[..., :2] * sides + centre, move[..., 2:].exp() * sides / 2
    boxes = torch.cat([centre - half, centre + half], -1).reshape(-1, 4)
    limit = (size.trunc() if form == "synopsys" else size)[[1, 0, 1, 0]] - 1
    boxes = torch.minimum(boxes, limit).clamp(min=0)
    return torch.where(boxes.isnan(), 0.0, boxes) if form in ("happynear", "mini") else boxes


def partial_sort(scores: list[float], most: int) -> list[int]:
    """std::partial_sort of (score, index), falling: a better one takes the place of the worst of the best."""
    best, rest = sorted(zip(scores[:most], range(most), strict=False)), list[int]()
    for pair in zip(scores[most:], range(most, len(scores)), strict=True):
        insort(best, pair)
        rest.append(best.pop(0)[1])
    return [i for _, i in reversed(best)] + rest


Partition = Callable[[list[tuple[float, int]], int, int], int]


def quicksort(scores: list[float], most: int, partition: Partition) -> list[int]:
    """Indices by falling score, valid for the first `most`."""
    pairs, segments = list(zip(scores, range(len(scores)), strict=True)), [(0, len(scores) - 1)]
    while segments:
        start, end = segments.pop()
        middle = partition(pairs, start, end)
        if start < middle - 1:
            segments.append((start, middle - 1))
        if middle + 1 < most and middle + 1 < end:
            segments.append((middle + 1, end))
    return [i for _, i in pairs]


def partition_by_swaps(pairs: list[tuple[float, int]], start: int, end: int) -> int:
    """The place of the first element after those above it were swapped to its left (caffe-windows, sort_box)."""
    pivot, left, right = pairs[start][0], start + 1, end
    while left <= right:
        while left <= end and pairs[left][0] >= pivot:
            left += 1
        while right > start and pairs[right][0] <= pivot:
            right -= 1
        if left <= right:
            pairs[left], pairs[right] = pairs[right], pairs[left]
            left, right = left + 1, right - 1
    pairs[start], pairs[right] = pairs[right], pairs[start]
    return right


def partition_by_holes(pairs: list[tuple[float, int]], first: int, last: int) -> int:
    """The same, where each moved element leaves a hole for the next (mini-caffe, SortBBox)."""
    pivot = pairs[first]
    while first < last:
        while first < last and pairs[last][0] <= pivot[0]:
            last -= 1
        pairs[first] = pairs[last]
        while first < last and pairs[first][0] >= pivot[0]:
            first += 1
        pairs[last] = pairs[first]
    pairs[first] = pivot
    return first


@op("text_boxes", operands=2)
class TextBoxes(Op):
    """A box of every anchor at every cell, moved up or down (Tian et al. 2016, CTPN, text_proposal_layer.py).

    Operands, for a anchors: deltas [1, 2 a, h, w], and the image's height and width, the first of [1, 2] or more
    numbers. The result is [h w a, 4]: xmin, ymin, xmax, ymax. `anchors` are such boxes at the first cell; those of
    other cells are `stride` pixels apart. The height of an anchor is ymax - ymin + 1. The deltas move the middle of
    ymin and ymax by the height times the first, and the box is exp of the second times the height. It is cut to
    0 ... size - 1 of the image.
    """

    anchors: tuple[float, ...]
    stride: int = 16

    def infer(self, deltas: TensorType, info: TensorType) -> TensorType:
        if not self.anchors or len(self.anchors) % 4:
            raise ValueError(f"anchors are one or more boxes of four numbers, not {len(self.anchors)} numbers")
        count = len(self.anchors) // 4
        if deltas.rank != 4 or deltas.dims[:2] != (1, 2 * count):
            raise ValueError(f"deltas of {count} anchors are [1, {2 * count}, h, w], not {deltas}")
        if prod(info.shape) < 2:
            raise ValueError(f"the image's height and width are two numbers, not {info}")
        _, _, height, width = deltas.shape
        return deltas.with_shape(height * width * count, 4)

    def reference(self, deltas: Tensor, info: Tensor) -> Tensor:
        anchors, limit = deltas.new_tensor(self.anchors).reshape(-1, 4), info.reshape(-1)[:2] - 1
        _, _, height, width = deltas.shape
        rows = []
        for h in range(height):
            for w in range(width):
                move = deltas[0, :, h, w].reshape(-1, 2)
                box = anchors + deltas.new_tensor([w, h, w, h]) * self.stride
                side = box[:, 3] - box[:, 1] + 1
                high = move[:, 1].exp() * side
                top = move[:, 0] * side + (box[:, 1] + box[:, 3]) / 2 - high / 2
                rows.append(torch.stack([box[:, 0], top, box[:, 2], top + high], 1))
        return torch.minimum(torch.cat(rows), limit[[1, 0, 1, 0]]).clamp(min=0)
