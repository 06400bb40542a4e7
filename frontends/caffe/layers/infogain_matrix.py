"""Reads the matrix of InfogainLoss from the binary file that its `source` names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ....compiler.ir import Constant
from ...files.blobs import BadBlob, parse_blob
from ...files.wire import Damaged
from ..layer import Layer


def infogain_matrix(l: Layer, source: str, classes: int) -> Constant:
    """A float32 constant [classes, classes] from the file `source`, a BlobProto of that many elements in any shape.

    The path is relative to the working directory, as in Caffe, or else to the prototxt's folder. CompileError if the
    file cannot be read, or has another count of elements.
    """
    if not source:
        advice = "Add infogain_loss_param { source: a file } or a third bottom."
        raise l.fault("it has no matrix of information gain", "source", advice)
    data = read_numbers(l, resolve_path(source, l.message.loc.file))
    if data.size != classes * classes:
        raise l.fault(f"{source} holds {data.size} numbers, and {classes} classes take {classes * classes}", "source")
    return l.constant(torch.from_numpy(data.reshape(classes, classes)), (classes, classes), "gain")


def resolve_path(source: str, prototxt: str) -> Path:
    """The file beside the prototxt if `source` exists there only, else `source` itself."""
    beside = Path(prototxt).parent / source
    return beside if beside.is_file() and not Path(source).is_file() else Path(source)


def read_numbers(l: Layer, path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Read the float32 data of a BlobProto. CompileError if it cannot be read."""
    try:
        content = memoryview(path.read_bytes())
        return parse_blob(content, 0, len(content)).data.astype(np.float32)
    except OSError as e:
        raise l.fault(f"its matrix {path} cannot be read: {e.strerror}", "source") from None
    except (BadBlob, Damaged) as e:
        raise l.fault(f"{path} is no blob in Caffe's binary format: {e}", "source") from None
