"""`scipy.misc`'s functions for pictures, which SciPy removed: made of Pillow, as SciPy had them."""

from __future__ import annotations

import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..runtime.output import write_file

Array = np.ndarray[Any, Any]
FILTERS = {"nearest": "NEAREST", "lanczos": "LANCZOS", "bilinear": "BILINEAR", "bicubic": "BICUBIC", "cubic": "BICUBIC"}


def imread(name: str | Path, flatten: bool = False, mode: str | None = None) -> Array:
    """Read a picture file: uint8 [H,W] or [H,W,C] in its own mode or in `mode`; with `flatten`, float32 grey."""
    from PIL import Image

    with Image.open(name) as file:
        picture: Image.Image = file
        if mode or picture.mode in ("1", "P"):
            palette = "RGBA" if "transparency" in picture.info else "RGB"
            picture = picture.convert(mode or ("L" if picture.mode == "1" else palette))
        return np.asarray(picture.convert("F") if flatten else picture).copy()


def bytescale(
    data: Array, cmin: float | None = None, cmax: float | None = None, high: int = 255, low: int = 0
) -> Array:
    """Numbers as uint8: the smallest becomes `low`, the largest `high`. uint8 stays as it is."""
    if data.dtype == np.uint8:
        return data
    least, most = data.min() if cmin is None else cmin, data.max() if cmax is None else cmax
    scaled = (data - least) * ((high - low) / ((most - least) or 1)) + low
    return (scaled.clip(low, high) + 0.5).astype(np.uint8)


def toimage(arr: Array, high: int = 255, low: int = 0, cmin: float | None = None, cmax: float | None = None) -> Any:
    """An array [H,W], [H,W,3] or [3,H,W] as a picture of Pillow's; numbers other than uint8 are stretched."""
    from PIL import Image

    data = np.asarray(arr)
    if data.ndim == 3 and data.shape[2] not in (3, 4) and data.shape[0] in (3, 4):
        data = data.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(bytescale(data, cmin, cmax, high, low)))


def imresize(arr: Array, size: Any, interp: str = "bilinear", mode: str | None = None) -> Array:
    """A picture in another size: a percentage (int), a fraction (float), or (height, width); uint8."""
    from PIL import Image

    picture = Image.fromarray(np.asarray(arr, np.float32), "F") if mode == "F" else toimage(arr)
    if isinstance(size, int | np.integer):
        wanted = (int(picture.width * size / 100), int(picture.height * size / 100))
    elif isinstance(size, float | np.floating):
        wanted = (int(picture.width * size), int(picture.height * size))
    else:
        wanted = (int(size[1]), int(size[0]))
    return np.asarray(picture.resize(wanted, getattr(Image.Resampling, FILTERS[interp]))).copy()


def imsave(name: str | Path, arr: Array, format: str | None = None) -> None:
    """Write an array as a picture file; numbers other than uint8 are stretched to 0..255."""
    from PIL import Image

    kind = format or Image.registered_extensions().get(Path(name).suffix.lower())
    if kind is None:
        raise ValueError(f"{name}: the ending of its name is no kind of picture; give a format")
    made = BytesIO()
    toimage(arr).save(made, kind)
    write_file(name, made.getvalue())


def imshow(arr: Array) -> None:
    """Show an array as a picture."""
    toimage(arr).show()


def add_scipy_misc() -> None:
    """Make `scipy.misc` a module with these functions, where SciPy is installed and lacks them (from 1.3 on)."""
    try:
        parent: Any = import_module("scipy")
    except ImportError:
        return
    if hasattr(sys.modules.get("scipy.misc"), "imresize"):
        return
    misc: Any = ModuleType("scipy.misc")
    for function in (imread, bytescale, toimage, imresize, imsave, imshow):
        setattr(misc, function.__name__, function)
    sys.modules["scipy.misc"] = parent.misc = misc
