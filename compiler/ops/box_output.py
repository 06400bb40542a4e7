"""mscnn's boxes: decoded from maps of several scales, and suppressed all together."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from ..op import Op, op
from ..types import AtMost, TensorType, upper_bound
from .image import split_image_dims

WAYS = ("IOU", "IOMU", "IOFU")


@op("box_output", operands=(1, None))
class BoxOutput(Op):
    """The boxes of several maps that are likely no background (Cai et al. 2016, mscnn, box_output_layer.cpp).

    Operands: maps [n, classes + 4, h, w], of the scores of the classes, the background first, and of x, y, width and
    height. The results are [?, 5, 1, 1], rows of image, xmin, ymin, xmax, ymax, and with `scores` [?, 6, 1, 1], with
    the score beside them, image by image by falling score. If nothing is found in any image, there is one row: 0, 1, 1,
    10, 10 and all zeros.

    The score is the largest of the classes minus the background's, and has to be at least `foreground`. Cells of a map
    are `rate` pixels apart. The four numbers are multiplied by `deviation`, and `mean` is added. The centre is that of
    the cell, plus the first two, clipped to ±1 / `far`, times `field_width` and `field_height`; the size is exp of the
    others, clipped to ±log(`large`), times these. The corner is at least 0, and the box cut to the map's pixels. Sides
    are at least `min_size`. Of equal scores the last is first, in the order of maps and cells. Of the best `before` a
    box is kept unless its overlap with a kept one is above `threshold`, at most `after` of an image; 0 means no limit.
    An overlap is divided by the union (`nms` "IOU"), the smaller of both areas ("IOMU"), or that of the kept one
    ("IOFU").
    """

    field_width: tuple[int, ...]
    field_height: tuple[int, ...]
    rate: tuple[int, ...]
    foreground: float = 0.0
    threshold: float = 0.5
    nms: str = "IOU"
    far: float = 2.0
    large: float = 2.0
    before: int = 0
    after: int = 0
    min_size: float = 15.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    scores: bool = False
    # Without a kernel for GPUs: each decision depends on the boxes kept before it.

    def infer(self, *maps: TensorType) -> tuple[TensorType, ...]:
        if self.nms not in WAYS:
            raise ValueError(f"nms is one of {', '.join(WAYS)}, not {self.nms}")
        for name in ("field_width", "field_height", "rate"):
            if len(getattr(self, name)) != len(maps):
                raise ValueError(f"{name} has {len(getattr(self, name))} numbers for {len(maps)} maps")
        if len(self.mean) != 4 or len(self.deviation) != 4:
            raise ValueError(f"there are four means and deviations, not {len(self.mean)} and {len(self.deviation)}")
        if not self.far > 0 or not self.large > 0 or min(self.before, self.after) < 0:
            raise ValueError("far and large are above 0, before and after 0 or more")
        found = 0
        for x in maps:
            _, channels, sizes = split_image_dims(x)
            if len(sizes) != 2 or channels < 5 or x.dims[:2] != maps[0].dims[:2]:
                raise ValueError(f"maps are [n, classes + 4, h, w], of the same images and classes, not {x}")
            found += sizes[0] * sizes[1]
        for limit in (self.before, self.after):
            found = min(found, limit) if limit else found
        rows = AtMost(max(found * upper_bound(maps[0].dims[0]), 1))
        boxes = maps[0].with_shape(rows, 5, 1, 1)
        return (boxes, maps[0].with_shape(rows, 6, 1, 1)) if self.scores else (boxes,)

    def reference(self, *maps: Tensor) -> tuple[Tensor, ...]:
        rows = [
            row for image in range(maps[0].shape[0]) for row in self.detect(image, [x[image].float() for x in maps])
        ]
        made = torch.stack(rows) if rows else torch.tensor([[0.0, 1, 1, 10, 10, 0]])
        scores = made if rows else torch.zeros(1, 6)
        found = (made[:, :5], scores) if self.scores else (made[:, :5],)
        return tuple(x[:, :, None, None].to(maps[0].dtype) for x in found)

    def detect(self, image: int, maps: list[Tensor]) -> list[Tensor]:
        """The rows [6] of one image."""
        candidates = [row for i, x in enumerate(maps) for row in self.decode(i, x)]
        order = sorted(range(len(candidates)), key=lambda i: (float(candidates[i][4]), i), reverse=True)
        kept = list[Tensor]()
        for row in (candidates[i] for i in order[: self.before or None]):
            if len(kept) == self.after > 0:
                break
            if all(self.overlap(other, row) <= self.threshold for other in kept):
                kept.append(row)
        own = torch.tensor([float(image)])
        return [torch.cat([own, row[:2], row[:2] + row[2:4], row[4:]]) for row in kept]

    def decode(self, number: int, x: Tensor) -> list[Tensor]:
        """The candidates of a map [channels, h, w]: corner, size and score [5]."""
        rate, (height, width) = self.rate[number], x.shape[1:]
        field = torch.tensor([self.field_width[number], self.field_height[number]], dtype=torch.float32)
        end = torch.tensor([width * rate, height * rate], dtype=torch.float32)
        made = list[Tensor]()
        for h in range(height):
            for w in range(width):
                classes, move = x[:-4, h, w], x[-4:, h, w] * torch.tensor(self.deviation) + torch.tensor(self.mean)
                score = torch.cat([torch.tensor([torch.finfo(torch.float32).min]), classes[1:]]).max() - classes[0]
                size = field * move[2:].clamp(-log(self.large), log(self.large)).exp()
                centre = move[:2].clamp(-1 / self.far, 1 / self.far) * field + (torch.tensor([w, h]) + 0.5) * rate
                corner = (centre - size / 2).clamp(min=0)
                size = torch.minimum(size, end - corner)
                if score >= self.foreground and (size >= self.min_size).all():
                    made.append(torch.cat([corner, size, score[None]]))
        return made

    def overlap(self, a: Tensor, b: Tensor) -> Tensor:
        """How much a box overlaps with a better one, a; 0 for a box of no size."""
        size = torch.minimum(a[:2] + a[2:4], b[:2] + b[2:4]) - torch.maximum(a[:2], b[:2])
        if (size < 0).any() or (a[2:4] <= 0).any() or (b[2:4] <= 0).any():
            return torch.zeros(())
        both, areas = size.prod(), (a[2:4].prod(), b[2:4].prod())
        return both / {"IOU": areas[0] + areas[1] - both, "IOMU": torch.minimum(*areas), "IOFU": areas[0]}[self.nms]
