"""Where a net's input lies in the picture that it was made of."""

from __future__ import annotations

from dataclasses import dataclass

from .preprocessing import Preprocessing, Size

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Framing:
    """A `picture` that is `resized`, and then `cut` from the middle; sizes are (height, width) in pixels."""

    picture: Size
    resized: Size
    cut: Size

    @classmethod
    def of(cls, picture: Size, form: Preprocessing, size: Size) -> Framing:
        """How `form` makes an input of `size` of a picture; its own sizes take precedence."""
        cut = form.crop or size
        return cls(picture, form.resize or cut, cut)

    def margins(self) -> Size:
        """The pixels above and left of what is cut; an odd margin is larger at the bottom and right (Caffe)."""
        return (self.resized[0] - self.cut[0]) // 2, (self.resized[1] - self.cut[1]) // 2

    def to_picture(self, box: Box) -> Box:
        """A box xmin, ymin, xmax, ymax in pixels of the net's input, in pixels of the picture."""
        (top, left), (height, width) = self.margins(), self.picture
        down, across = height / self.resized[0], width / self.resized[1]
        xmin, ymin, xmax, ymax = box
        return (xmin + left) * across, (ymin + top) * down, (xmax + left) * across, (ymax + top) * down

    def visible(self) -> tuple[int, int, int, int]:
        """The part of the picture that the net sees, in whole pixels: left, top, right, bottom."""
        left, top, right, bottom = map(round, self.to_picture((0, 0, self.cut[1], self.cut[0])))
        return left, top, right, bottom
