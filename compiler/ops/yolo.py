"""YOLO's detections: boxes decoded from one or more maps, suppressed all together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..op import Op, op
from ..std_sort import std_sort
from ..types import AtMost, TensorType, upper_bound
from .image import split_image_dims

Detection = tuple[int, Tensor, Tensor]
"""Label, score, and centre and size of the box [4]."""


@op("yolo_detections", operands=(1, None))
class YoloDetections(Op):
    """Decode and select YOLO's boxes (Redmon and Farhadi 2017, 2018; MobileNet-YOLO, yolo_detection_output_layer.cpp).

    Operands: maps [n, boxes (5 + classes), h, w]. A box has x, y, width, height, objectness, and a number for each
    class. The result is [1, 1, found, 7]: rows of image, class + 1, score, xmin, ymin, xmax, ymax, relative to the
    image, by falling score. The image is always 0: the fork mixes those of a batch. If nothing is found, there is a row
    per image of the first map: its index, then six times -1.

    Version 2: the score is the sigmoid of the objectness times the largest of the classes' softmax, the first of equal
    ones, and has to be at least `confidence`; maps are square. Version 3: each class has a score, the sigmoid of its
    number times that of the objectness, and each that is above `confidence` counts. The centre is (cell + sigmoid) /
    cells of the map. The size is exp times `anchors`, a width and a height for each box of each map, / (cells of the
    map times the map's scale in `scales`).

    Candidates are in the order of maps, images, cells, boxes and classes, sorted by std::sort. In this order a box is
    kept if its intersection over union with each kept one, of any class, is below `nms_threshold`.
    """

    classes: int
    anchors: tuple[float, ...]
    scales: tuple[int, ...]
    version: int = 3
    boxes: int = 3
    confidence: float = 0.01
    nms_threshold: float = 0.45
    # Without a kernel for GPUs: each decision depends on the boxes kept before it.

    def infer(self, *maps: TensorType) -> TensorType:
        if self.version not in (2, 3):
            raise ValueError(f"version is 2 or 3, not {self.version}")
        if self.classes < 1 or self.boxes < 1 or min(self.scales, default=0) < 1:
            raise ValueError(
                f"classes, boxes and scales are 1 or more, not {self.classes}, {self.boxes}, {self.scales}"
            )
        if len(self.scales) != len(maps):
            raise ValueError(f"there are {len(maps)} maps, and {len(self.scales)} scales")
        if len(self.anchors) != 2 * self.boxes * len(maps):
            raise ValueError(f"{self.boxes} boxes of {len(maps)} maps have two anchors each, not {len(self.anchors)}")
        found = 0
        for x in maps:
            images, channels, sizes = split_image_dims(x)
            if len(sizes) != 2 or channels != self.boxes * (5 + self.classes):
                wanted = f"[n, {self.boxes * (5 + self.classes)}, h, w]"
                raise ValueError(f"{self.boxes} boxes of {self.classes} classes are maps {wanted}, not {x}")
            if self.version == 2 and sizes[0] != sizes[1]:
                raise ValueError(f"maps of version 2 are square, not {x}")
            each = self.classes if self.version == 3 else 1
            found += upper_bound(images) * self.boxes * sizes[0] * sizes[1] * each
        return maps[0].with_shape(1, 1, AtMost(max(found, upper_bound(maps[0].dims[0]))), 7)

    def reference(self, *maps: Tensor) -> Tensor:
        candidates = [row for i, x in enumerate(maps) for image in x.float() for row in self.decode(i, image)]
        order = std_sort([float(score.nan_to_num(nan=-torch.inf)) for _, score, _ in candidates])
        rows, kept = list[Tensor](), list[Tensor]()
        for label, score, box in (candidates[i] for i in order):
            if all(intersection_over_union(other, box) < self.nms_threshold for other in kept):
                kept.append(box)
                corners = torch.cat([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2])
                rows.append(torch.cat([torch.tensor([0.0, label]), score[None], corners]))
        if not rows:
            rows = [torch.tensor([image] + [-1.0] * 6) for image in range(maps[0].shape[0])]
        return torch.stack(rows)[None, None].to(maps[0].dtype)

    def decode(self, number: int, x: Tensor) -> Iterator[Detection]:
        """The candidates of one image, from the map [channels, h, w] of this number."""
        height, width = x.shape[1:]
        cells = torch.tensor([width, height], dtype=torch.float32)
        anchors = torch.tensor(self.anchors).reshape(-1, self.boxes, 2)[number]
        for place in range(height * width):
            at = torch.tensor([place % width, place // width], dtype=torch.float32)
            for box, own in enumerate(x.reshape(self.boxes, -1, height * width)[:, :, place]):
                size = own[2:4].exp() * anchors[box] / (cells * self.scales[number])
                where = torch.cat([(at + own[:2].sigmoid()) / cells, size])
                if self.version == 2:
                    share, label = own[5:].softmax(0).max(0)
                    scores = {int(label): own[4].sigmoid() * share}
                else:
                    scores = dict(enumerate(own[5:].sigmoid() * own[4].sigmoid()))
                for label, score in scores.items():
                    if score > self.confidence or (self.version == 2 and score == self.confidence):
                        yield int(label) + 1, score, where


def intersection_over_union(box: Tensor, other: Tensor) -> Tensor:
    """Of boxes of centre and size."""
    low = torch.maximum(box[:2] - box[2:] / 2, other[:2] - other[2:] / 2)
    size = torch.minimum(box[:2] + box[2:] / 2, other[:2] + other[2:] / 2) - low
    both = torch.zeros(()) if (size < 0).any() else size.prod()
    return both / (box[2:].prod() + other[2:].prod() - both)
