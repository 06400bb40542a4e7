"""What OpenCV's imread, pycaffe's load_image and cortado make of picture files of every kind.

    pip install scikit-image && python -m benchmarks.pictures     writes benchmarks/results/pictures.json

Each file is read in colour and in grey, and compared with the picture that it is meant to show (`picture_files`), in
numbers of 0..255. pycaffe's load_image is written out here: it is scikit-image's imread and img_as_float (caffe/io.py).
`make docs` puts the table into docs/pictures.md; tests/test_pictures.py holds cortado to it.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from cortado.benchmarks.picture_files import PictureFile, picture_files
from cortado.runtime.pictures import open_picture

RESULT = Path(__file__).with_name("results") / "pictures.json"
Array = np.ndarray[Any, Any]
Reader = Callable[[Path, bool], Array | None]  # the picture as [H,W,3] or [H,W], of 0..255; None for what is refused


def main() -> None:
    import cv2
    import skimage

    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    readers: dict[str, Reader] = {"opencv": read_opencv, "pycaffe": read_pycaffe, "cortado": read_cortado}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for file in picture_files():
            path = Path(folder, file.name)
            path.write_bytes(file.data)
            rows.append(
                {"file": file.name, "kind": file.kind}
                | {
                    name: {way: measure(read, path, file, way) for way in ("colour", "grey")}
                    for name, read in readers.items()
                }
            )
    versions = {"opencv": cv2.__version__, "scikit-image": skimage.__version__, "pillow": PIL.__version__}
    RESULT.write_text(json.dumps({"versions": versions, "files": rows}, indent=1) + "\n", "utf-8")


def measure(read: Reader, path: Path, file: PictureFile, way: str) -> float | str | None:
    """The largest difference from what is meant; another shape as text; None if the file is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = read(path, way == "colour")
        except Exception:  # whatever it raises is its refusal
            return None
    if got is None:
        return None
    if file.meant is None:
        return "read"
    meant = convert(file.meant, way == "colour")
    if got.shape != meant.shape:
        return "x".join(map(str, got.shape))
    return round(float(np.abs(got - meant).max()), 3)


def convert(meant: Array, colour: bool) -> Array:
    """In colour, or in grey of the weights that OpenCV and Pillow have for it (ITU-R BT.601)."""
    picture = Image.fromarray(meant).convert("RGB" if colour else "L")
    return np.asarray(picture, np.float64)


def read_opencv(path: Path, colour: bool) -> Array | None:
    import cv2

    found = cv2.imread(str(path), cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
    if found is None:
        return None
    return np.asarray(found[..., ::-1] if colour else found, np.float64)


def read_pycaffe(path: Path, colour: bool) -> Array:
    """caffe.io.load_image, times 255: `raw_scale` of its users."""
    import skimage
    import skimage.io

    image = skimage.img_as_float(skimage.io.imread(str(path), as_gray=not colour)).astype(np.float32)
    if image.ndim == 2:
        image = np.tile(image[:, :, np.newaxis], (1, 1, 3 if colour else 1))
    elif image.shape[2] == 4:
        image = image[:, :, :3]
    return np.asarray(image if colour else image.squeeze(), np.float64) * 255


def read_cortado(path: Path, colour: bool) -> Array:
    return np.asarray(open_picture(path, 3 if colour else 1), np.float64)


if __name__ == "__main__":
    main()
