"""readNetFromCaffe and readNet: from paths or contents to a net."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...frontends.files.file_sniffing import PROTOTXT
from ..live_net import LiveNet
from .errors import UNSPECIFIED, as_opencv, error
from .net import Net

Given = Any  # a path, or contents: bytes, bytearray, memoryview, an array of u8
PROTOTXT_ENDINGS = (".prototxt", ".prototxt.txt", ".pt")
CAFFEMODEL_ENDINGS = (".caffemodel", ".caffemodel.h5")


def readNetFromCaffe(
    prototxt: Given = None,
    caffeModel: Given = None,
    *,
    bufferProto: Given = None,
    bufferModel: Given = None,
    dialect: str | Sequence[str] = (),
    proto: str | Path | None = None,
) -> Net:
    """A net from its prototxt and its caffemodel: paths, or contents as bytes, bytearray or an array of u8.

    Bytes that are no prototxt are a path, as for OpenCV. Without a caffemodel, the net's layers can be asked for, and
    their blobs set. `dialect` is the fork of Caffe that is meant, where forks differ, and `proto` the caffe.proto of
    one (`cortado.compile`). `error` if a file cannot be read; what is wrong with layers is told when the net runs,
    since layers may be registered until then.
    """
    net, weights = (given if given is not None else buffer
                    for given, buffer in ((prototxt, bufferProto), (caffeModel, bufferModel)))  # fmt: skip
    contents = path_or_bytes(net)
    if contents is None:
        raise error("readNetFromCaffe takes a prototxt, and a caffemodel")
    with as_opencv():
        live = LiveNet.read(contents, path_or_bytes(weights), fills=False, dialect=dialect, proto=proto, warn=warn)
    return Net(live)


def readNet(*given: Any, dialect: str | Sequence[str] = (), proto: str | Path | None = None, **named: Any) -> Net:
    """A net of Caffe's from two files, in either order; or, after the word "caffe", from a caffemodel and a prototxt.

    The arguments are OpenCV's: (model, config, framework) for files, (framework, bufferModel, bufferConfig) for
    contents. `error` for other frameworks' files: `install` leaves those to OpenCV.
    """
    files = caffe_files(given, named)
    if files is None:
        raise error("cortado reads nets of Caffe: a .prototxt and its .caffemodel")
    return readNetFromCaffe(*files, dialect=dialect, proto=proto)


def caffe_files(given: Sequence[Any], named: Mapping[str, Any]) -> tuple[Given, Given] | None:
    """Prototxt and caffemodel, from the arguments of readNet in any of its forms; None for another framework's."""
    contents = bool({"bufferModel", "bufferConfig"} & named.keys()) or any(not is_text(x) for x in given[1:])
    names = ("framework", "bufferModel", "bufferConfig") if contents else ("model", "config", "framework")
    values = dict(zip(names, given, strict=False)) | dict(named)
    framework = str(values.get("framework") or "").lower()
    if contents:
        return (values.get("bufferConfig"), values.get("bufferModel")) if framework == "caffe" else None
    files = [file for file in (values.get("model"), values.get("config")) if file is not None and str(file)]
    nets = [file for file in files if str(file).lower().endswith(PROTOTXT_ENDINGS)]
    weights = [file for file in files if str(file).lower().endswith(CAFFEMODEL_ENDINGS)]
    if len(nets) == 1 and len(nets) + len(weights) == len(files):
        return nets[0], weights[0] if weights else None
    if framework == "caffe" and files:
        others = [file for file in files if file not in nets and file not in weights]
        return (nets or others)[0], (weights or others)[-1] if len(files) > 1 else None
    if weights and len(files) == len(weights):
        raise error(f"{weights[0]}: the prototxt that belongs to it is missing")
    return None


def is_text(given: Given) -> bool:
    return isinstance(given, str | os.PathLike)


def path_or_bytes(given: Given) -> Path | bytes | None:
    """What LiveNet reads. `error` for anything but a path or contents."""
    if given is None or (isinstance(given, str) and not given) or (not is_text(given) and not len(given)):
        return None
    if is_text(given):
        return Path(given)
    if isinstance(given, np.ndarray):
        if given.dtype not in (np.uint8, np.int8):
            raise error(f"contents are an array of u8, not of {given.dtype}", UNSPECIFIED)
        return given.tobytes()
    data = bytes(given)
    is_path = len(data) < 4096 and b"\0" not in data and not PROTOTXT.match(data) and Path(os.fsdecode(data)).exists()
    return Path(os.fsdecode(data)) if is_path else data


def warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=6)
