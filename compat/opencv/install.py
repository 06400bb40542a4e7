"""Puts the stand-in into cv2, so that scripts which call cv2.dnn.readNetFromCaffe run as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import custom, images
from .errors import error
from .read import caffe_files, readNetFromCaffe

REPLACED: list[tuple[Any, str, Any]] = []  # module, name, and what was there before, or None
BLOB_FUNCTIONS = ("blobFromImage", "blobFromImages", "imagesFromBlob", "NMSBoxes")


def install(force: bool = False) -> None:
    """Give cv2.dnn the readNetFromCaffe that OpenCV 5 lacks, and readNet the nets of Caffe; in this process only.

    An OpenCV that reads Caffe's files itself is left as it is, unless `force`. `cv2.dnn_registerLayer` then registers
    for both. `error` if OpenCV is not installed: call cortado.compat.opencv itself instead.
    """
    try:
        import cv2
    except ImportError:
        sentence = "OpenCV (cv2) is not installed: call cortado.compat.opencv.readNetFromCaffe itself"
        raise error(sentence) from None
    dnn: Any = cv2.dnn
    if REPLACED or (hasattr(dnn, "readNetFromCaffe") and not force):
        return
    replace(dnn, "readNet", wrap_read_net(getattr(dnn, "readNet", None)))
    replace(dnn, "readNetFromCaffe", readNetFromCaffe)
    for name in BLOB_FUNCTIONS:
        if not hasattr(dnn, name):
            replace(dnn, name, getattr(images, name))
    for name, ours in (("dnn_registerLayer", custom.register), ("dnn_unregisterLayer", custom.unregister)):
        replace(cv2, name, call_both(ours, getattr(cv2, name, None)))


def wrap_read_net(former: Callable[..., Any] | None) -> Callable[..., Any]:
    """readNet for nets of Caffe, and OpenCV's own for all others."""

    def readNet(*given: Any, **named: Any) -> Any:
        files = caffe_files(given, named)
        if files is not None:
            return readNetFromCaffe(*files)
        if former is None:
            raise error("this OpenCV reads no nets")
        return former(*given, **named)

    return readNet


def call_both(ours: Callable[..., None], theirs: Callable[..., Any] | None) -> Callable[..., None]:
    """A function that calls ours, and then OpenCV's if there is one."""

    def call(*given: Any) -> None:
        ours(*given)
        if theirs is not None:
            theirs(*given)

    return call


def uninstall() -> None:
    """Undo `install`."""
    while REPLACED:
        module, name, former = REPLACED.pop()
        if former is None:
            delattr(module, name)
        else:
            setattr(module, name, former)


def replace(module: Any, name: str, new: Any) -> None:
    REPLACED.append((module, name, getattr(module, name, None)))
    setattr(module, name, new)
