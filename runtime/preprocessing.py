"""How pictures become a net's input: what a compiled file keeps of it, and whether that fits the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Size = tuple[int, int]
LARGEST_F32 = 3.4028234663852886e38  # FLT_MAX
FIELDS = ("scale", "raw_scale", "bgr", "crop", "resize")  # the settings beside the mean


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes a net's input, in the order of pycaffe's io.Transformer.

    Resize to `resize` (height, width; None: the net's own size), cut `crop` (height, width; None: the net's own size)
    from the middle, take the channels in the order blue, green, red if `bgr`, stretch 0..1 to 0..`raw_scale`,
    subtract `mean` (one number per channel, in the net's order) or the picture whose handle is `mean_image` (f32
    [C,H,W]), multiply by `scale`.
    """

    mean: tuple[float, ...] = ()
    scale: float = 1.0
    bgr: bool = True
    crop: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None
    raw_scale: float = 255.0
    mean_image: str = ""

    def require_fits(self, name: str, dims: Sequence[object], mean_image: Sequence[int] | None = None) -> None:
        """ValueError, one sentence, if it is nothing for the input `name` of these dims (of which only ints are known).

        `mean_image` is the shape of the mean picture, if there is one.
        """
        for word, number in (("scale", self.scale), ("raw scale", self.raw_scale), *(("mean", m) for m in self.mean)):
            if not abs(number) <= LARGEST_F32:
                raise ValueError(f'the {word} of the input "{name}" is {number}, and has to be finite as an f32')
        if self.raw_scale <= 0:
            raise ValueError(f'the raw scale of the input "{name}" is {self.raw_scale:g}, and has to be above 0')
        channels = dims[1] if len(dims) > 1 else None
        known = isinstance(channels, int)
        if known and len(self.mean) not in (0, 1, channels):
            raise ValueError(f'there are {len(self.mean)} mean values, and "{name}" has {channels} channels')
        crop = self.crop or picture_size(dims)
        resized = self.resize or crop
        if crop and resized and (crop[0] > resized[0] or crop[1] > resized[1]):
            raise ValueError(
                f'pictures of "{name}" are resized to {show(resized)}, of which {show(crop)} cannot be cut'
            )
        if mean_image is None:
            return
        if known and mean_image[0] != channels:
            raise ValueError(f'the mean picture has {mean_image[0]} channels, and "{name}" has {channels}')
        size = (mean_image[1], mean_image[2])
        larger = self.resize is None and crop is not None and size[0] >= crop[0] and size[1] >= crop[1]
        if crop and size not in (crop, resized) and not larger:
            before = f"{show(resized)} before they are cut and " if resized and resized != crop else ""
            raise ValueError(f'the mean picture is {show(size)}, and pictures of "{name}" are {before}{show(crop)}')


def picture_size(dims: Sequence[object]) -> Size | None:
    """Height and width of [N,C,H,W]; None if they are not fixed."""
    if len(dims) == 4 and isinstance(height := dims[2], int) and isinstance(width := dims[3], int):
        return height, width
    return None


def show(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def show_settings(form: Preprocessing) -> dict[str, str]:
    """The value of each option as it is written on the command line; "" for no mean, "None" for no size."""
    mean = f"a mean picture ({form.mean_image})" if form.mean_image else ",".join(f"{m:g}" for m in form.mean)
    return {"mean": mean} | {field: show_value(getattr(form, field)) for field in FIELDS}


def show_value(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def describe_preprocessing(form: Preprocessing, dims: Sequence[object]) -> str:
    """The preprocessing for an input of these dims, in order of execution, on one line."""
    shown, parts = show_settings(form), list[str]()
    if form.resize or form.crop:
        parts.append(f"resized to {shown['resize'] if form.resize else shown['crop']}")
    if form.resize and form.crop != form.resize:
        parts.append(f"{shown['crop'] if form.crop else 'the input'} cut from the middle")
    if len(dims) < 2 or dims[1] != 1:
        parts.append("blue, green, red" if form.bgr else "red, green, blue")
    if form.raw_scale != Preprocessing().raw_scale:
        parts.append(f"numbers of 0 to {shown['raw_scale']}")
    if shown["mean"]:
        parts.append(f"minus {shown['mean']}")
    if form.scale != 1:
        parts.append(f"times {shown['scale']}")
    return "; ".join(parts) or "as they are"
