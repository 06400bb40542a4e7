"""OpenCV's cv2.dnn for nets of Caffe, which OpenCV 5 no longer reads.

    from cortado.compat import opencv
    net = opencv.readNetFromCaffe("deploy.prototxt", "net.caffemodel")
    net.setInput(opencv.blobFromImage(image, 1 / 127.5, (300, 300), 127.5))
    detections = net.forward()

`install()` puts these functions into cv2.dnn, and `python -m cortado.compat.opencv script.py` runs a script so. OpenCV
is not needed; where it is installed, errors are its `cv2.error`, and pictures become blobs by its functions.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from . import images
from .asynchronous import AsyncArray as AsyncArray
from .custom import register as dnn_registerLayer
from .custom import unregister as dnn_unregisterLayer
from .errors import error as error
from .install import install as install
from .install import uninstall as uninstall
from .layer import Layer as Layer
from .net import Net as Net
from .read import readNet as readNet
from .read import readNetFromCaffe as readNetFromCaffe

__all__ = [
    "AsyncArray", "Layer", "NMSBoxes", "Net", "blobFromImage", "blobFromImages", "dnn_registerLayer",
    "dnn_unregisterLayer", "error", "imagesFromBlob", "install", "readNet", "readNetFromCaffe", "uninstall",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """OpenCV's own functions on pictures where it has them, else those of `images`; and all its constants."""
    found = None
    with suppress(ImportError):
        import cv2

        found = getattr(cv2.dnn, name, None)
    if found is None and name in ("blobFromImage", "blobFromImages", "imagesFromBlob", "NMSBoxes"):
        found = getattr(images, name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
