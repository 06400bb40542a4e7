"""Prior boxes, which a detector's predictions are relative to."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from operator import le

import torch
from torch import Tensor

from ..op import Op, Trait, op
from ..types import Dim, TensorType


@op("prior_box", operands=2)
class PriorBox(Op):
    """Prior boxes around the centre of every cell of a feature map (Liu et al. 2016; SSD fork, prior_box_layer.cpp).

    Operands: the feature map [n, c, h, w], whose pixels are the cells, and the image [n, c, H, W]; only their sizes are
    used, and that of the image is `image` (height, width), if given. The result is [1, 2, 4 h w k], for k boxes per
    cell: in row 0 the boxes of all cells in row-major order, each xmin, ymin, xmax, ymax relative to the image size; in
    row 1 their variances, four per box.

    For each `min_size` (in pixels, truncated to an integer as in the fork) there is a square of that size; with
    `max_size`, a square of size √(min · max); and for each `aspect_ratio` other than 1, with `flip` also for its
    inverse, a box of that ratio of width to height and of min_size² pixels. The distance of cells is `step` (height,
    width) pixels, by default image size / cells; a centre is `offset` steps from the start of its cell. Where there are
    `offset_height` and `offset_width`, each box is repeated at each of these (TextBoxes). `clip` clips boxes to the
    image. `variance` is one number or four.
    """

    min_size: tuple[float, ...]
    max_size: tuple[float, ...] = ()
    aspect_ratio: tuple[float, ...] = ()
    flip: bool = True
    clip: bool = False
    variance: tuple[float, ...] = (0.1,)
    image: tuple[int, ...] = ()
    step: tuple[float, ...] = ()
    offset: float = 0.5
    offset_height: tuple[float, ...] = ()
    offset_width: tuple[float, ...] = ()
    traits = frozenset({Trait.SHAPE_ONLY})

    def infer(self, features: TensorType, image: TensorType) -> TensorType:
        if not self.min_size or not are_positive(self.min_size):
            raise ValueError(f"min_size {list(self.min_size)}: there is at least one, and all are above 0")
        if self.max_size and len(self.max_size) != len(self.min_size):
            raise ValueError(f"{len(self.max_size)} max_size for {len(self.min_size)} min_size: there is one for each")
        if not are_positive(self.max_size) or any(map(le, self.max_size, self.min_size)):
            raise ValueError(f"max_size {list(self.max_size)} has to be above min_size {list(self.min_size)}")
        if not are_positive(self.aspect_ratio):
            raise ValueError(f"aspect_ratio {list(self.aspect_ratio)}: ratios are above 0")
        if len(self.variance) not in (1, 4) or not are_positive(self.variance):
            raise ValueError(f"variance {list(self.variance)}: one number or four, above 0")
        for name, pair in (("image", self.image), ("step", self.step)):
            if pair and (len(pair) != 2 or not are_positive(pair)):
                raise ValueError(f"{name} {list(pair)} is a height and a width, above 0")
        if len(self.offset_height) != len(self.offset_width):
            raise ValueError(f"{len(self.offset_height)} offset_height for {len(self.offset_width)} offset_width")
        height, width = height_and_width(features)
        if not self.image:
            height_and_width(image)
        return features.with_shape(1, 2, height * width * self.boxes_per_cell * 4)

    @property
    def ratios(self) -> list[float]:
        """The ratios of width to height of all boxes except the squares, without duplicates."""
        known = [1.0]
        for ratio in self.aspect_ratio:
            if all(abs(ratio - k) >= 1e-6 for k in known):
                known += [ratio, 1 / ratio] if self.flip else [ratio]
        return known[1:]

    @property
    def boxes_per_cell(self) -> int:
        """The number of boxes per cell."""
        return (len(self.min_size) * (1 + len(self.ratios)) + len(self.max_size)) * len(self.offsets)

    @property
    def offsets(self) -> list[tuple[float, float]]:
        """Height and width, in steps, from the start of a cell to the centres of each of its boxes."""
        pairs = list(zip(self.offset_height, self.offset_width, strict=True))
        return pairs or [(self.offset, self.offset)]

    def box_sizes(self) -> list[tuple[float, float]]:
        """Width and height in pixels of each box of a cell, in order."""
        made = list[tuple[float, float]]()
        for i, small in enumerate(map(int, self.min_size)):
            made.append((small, small))
            if self.max_size:
                made.append((sqrt(small * int(self.max_size[i])),) * 2)
            made += [(small * sqrt(ratio), small / sqrt(ratio)) for ratio in self.ratios]
        return made

    def reference(self, features: Tensor, image: Tensor) -> Tensor:
        """In float32 up to the division by the image size, to be rounded as in the fork."""
        cells = features.shape[2:]
        extent = torch.tensor(self.image or tuple(image.shape[2:]), dtype=torch.float64)
        steps = torch.tensor(self.step) if self.step else extent.float() / torch.tensor(cells)
        offsets = torch.tensor(self.offsets)
        y, x = ((torch.arange(n)[:, None] + o) * s for n, o, s in zip(cells, offsets.T, steps, strict=True))
        y, x = y[:, None].expand(*cells, -1), x.expand(*cells, -1)
        centres = torch.stack([x, y], -1).double()[:, :, None]  # [h, w, 1, offsets, (x, y)]
        half = torch.tensor(self.box_sizes(), dtype=torch.float32).double()[:, None] / 2  # [k, 1, (x, y)]
        corners = torch.cat([centres - half, centres + half], -1) / extent.flip(0).repeat(2)
        priors = corners.float().clamp(0, 1) if self.clip else corners.float()
        variances = torch.tensor(self.variance).expand(priors.numel() // 4, 4)
        return torch.stack([priors.flatten(), variances.flatten()])[None].to(features.dtype)


def are_positive(numbers: Sequence[float]) -> bool:
    """True if all numbers are above 0 and finite; NaN is neither."""
    return all(0 < n < inf for n in numbers)


def height_and_width(x: TensorType) -> tuple[int, int]:
    """Height and width of `[n, c, h, w]`. ValueError for another rank, or if they have only a bound."""
    if x.rank != 4:
        raise ValueError(f"takes images [n, c, h, w], not {x}")
    fixed: tuple[Dim, ...] = x.dims[2:]
    height, width = TensorType(x.dtype, fixed).shape
    return height, width
