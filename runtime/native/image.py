"""Where the numbers of a value are, in floats: images with the channels innermost, and rows of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..plan import Slot
from .errors import NotNative

LARGEST_STEP = 1 << 16  # of a window, in pixels: kernels count in int


@dataclass(frozen=True, slots=True)
class Image:
    """A value as images of [height, width, channels].

    `at` is the place of the first number, counted from the arena's (or the input's) start. `col`, `row`, `image` are
    from one pixel, row, image to the next. `before` and `after` are the halo in pixels. `root` tells storages apart.
    """

    images: int
    channels: int
    height: int
    width: int
    at: int
    col: int
    row: int
    image: int
    before: int = 0
    after: int = 0

    @property
    def is_flat(self) -> bool:
        """True if all pixels are `col` apart, over rows and images."""
        return (self.height == 1 or self.row == self.width * self.col) and (
            self.images == 1 or self.image == self.height * self.width * self.col
        )

    @property
    def pixels(self) -> int:
        return self.images * self.height * self.width

    def flat(self) -> Image:
        """The same as one row of pixels."""
        assert self.is_flat
        width = self.pixels
        return replace(self, images=1, height=1, width=width, row=width * self.col, image=width * self.col)

    def step_shape(self) -> str:
        """For people: [images, height, width, channels]."""
        return f"[{self.images},{self.height},{self.width},{self.channels}]"


def image_of(slot: Slot) -> Image | None:
    """A float slot as images, or None if its channels are not innermost (or sizes are unknown).

    A value of rank 2 is images of one pixel, and one of rank 1 is that with one channel. Images of one pixel, and those
    of one channel, are the same bytes in both layouts.
    """
    if slot.dtype != "f32" or not slot.is_static or not slot.dims:
        return None
    dims = slot.bounds
    if len(dims) == 1:
        return Image(dims[0], 1, 1, 1, first_float(slot), 1, 1, 1)
    n, c, *sizes = dims
    total = slot.channels[1] if slot.channels else c
    first = slot.channels[0] if slot.channels else 0
    if len(sizes) > 2:
        return None
    h, w = (*sizes, 1, 1)[:2]
    innermost = slot.layout == "nhwc" or h * w == 1 or total == 1
    if not innermost or (slot.at or 0) % 4:
        return None
    before, after = slot.halo or (0, 0)
    row = (w + before + after) * total
    image = (h + before + after) * row
    return Image(n, c, h, w, first_float(slot) + before * (row + total) + first, total, row, image, before, after)


def first_float(slot: Slot) -> int:
    return (slot.at or 0) // 4


def pair(numbers: Sequence[int]) -> tuple[int, int]:
    """The numbers of a window by image axis: two, or one for both. NotNative if one is huge."""
    if any(abs(n) > LARGEST_STEP for n in numbers):
        raise NotNative(f"{list(numbers)} pixels are more than a kernel counts")
    a, b = [*numbers] * 2 if len(numbers) == 1 else numbers
    return a, b


def pads_of(numbers: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The padding before and after the rows and columns of an image: four numbers, or two for both sides, or one."""
    return (pair(numbers[:2]), pair(numbers[2:])) if len(numbers) == 4 else (pair(numbers),) * 2
