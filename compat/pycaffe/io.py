"""`caffe.io`: images for a net, and arrays as Caffe's messages BlobProto and Datum."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import numpy as np

from .pictures import load_image as load_image
from .pictures import oversample as oversample
from .proto import caffe_pb2
from .resize import resize_image as resize_image
from .transformer import Transformer as Transformer

Array = np.ndarray[Any, Any]


def __getattr__(name: str) -> Any:
    """`caffe.io.skimage`, which scripts reach by way of pycaffe's import of it. ImportError if it is not installed."""
    if name != "skimage":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("skimage.io")
    return import_module("skimage")


def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """The data of a BlobProto (or its diff) as float64 in its shape, an old file's four numbers included.

    Unlike pycaffe's, which would return nothing, it reads blobs that hold doubles.
    """
    single, double = (blob.diff, blob.double_diff) if return_diff else (blob.data, blob.double_data)
    data = np.array(single if len(single) else double, np.float64)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return data.reshape(blob.num, blob.channels, blob.height, blob.width)
    return data.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: Array, diff: Array | None = None) -> Any:
    """An array, and a diff of the same shape, as a BlobProto."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """Arrays as the bytes of a BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector(blobs=map(array_to_blobproto, arraylist))
    data: bytes = vector.SerializeToString()
    return data


def blobprotovector_str_to_arraylist(str: bytes) -> list[Array]:
    """The arrays in the bytes of a BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: Array, label: int | None = None) -> Any:
    """An array [K,H,W] as a Datum: uint8 as bytes, all else as floats."""
    if arr.ndim != 3:
        raise ValueError(f"a Datum holds [channels, height, width], and this array is {list(arr.shape)}")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum: Any) -> Array:
    """The array [K,H,W] of a Datum, uint8 or float64. ValueError for a compressed picture, which is no array yet."""
    if datum.encoded:
        raise ValueError("this Datum holds a compressed picture; decode its data with Pillow or OpenCV")
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        return np.frombuffer(datum.data, np.uint8).copy().reshape(shape)
    return np.array(datum.float_data, np.float64).reshape(shape)
