"""Statistics of batch normalizations in a caffemodel: negative variances, and factors of 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...files.blobs import Blob
from .dataflow import LayerNode
from .findings import BlobNumbers, Finding

Array = np.ndarray[Any, Any]
VARIANCES = {"BatchNorm": 1, "BN": 3}  # the blob of a type that holds them; BN's are PSPNet's four blobs
FACTOR = 2  # BatchNorm's blob that both statistics are divided by
RETRAINED = "The training had not got so far, or the file was written by another program than Caffe."

ROUNDED = "Results hang on their last digits. They come of rounding: 0 was meant."


def find_statistics(layer: LayerNode, blobs: Sequence[Blob | None], file: str) -> Iterator[Finding]:
    """Find a factor of 0, variances with variance + eps <= 0, and other negative ones (batch_norm_layer.cpp)."""
    index = VARIANCES.get(layer.type, len(blobs))
    if index >= len(blobs) or (stored := blobs[index]) is None or not uses_statistics(layer):
        return
    variance = np.asarray(stored.data, np.float32).reshape(-1)
    if layer.type == "BatchNorm":
        factor = read_factor(blobs)
        if factor is None:
            return
        if factor == 0:
            sentence = (
                f"blob {FACTOR} in {file}, the factor of its statistics, is 0: Caffe takes mean and variance for 0"
            )
            yield make(layer, "factor_of_zero", "error", sentence, RETRAINED, BlobNumbers(layer.name, FACTOR, 1, (0,)))
            return
        variance = variance * (np.float32(1) / factor)
    settings = layer.message["bn_param" if layer.type == "BN" else "batch_norm_param"]
    eps = np.float32(settings["eps"])
    words = f"variances in {file} of at most -eps ({-eps:g}), whose results are NaN or infinite"
    yield from report(layer, index, variance + eps <= 0, "error", words, RETRAINED)
    words = f"negative variances in {file}, which eps ({eps:g}) makes positive"
    yield from report(layer, index, (variance < 0) & (variance + eps > 0), "warning", words, ROUNDED)


def uses_statistics(layer: LayerNode) -> bool:
    """False if the layer normalizes by the batch's own statistics."""
    settings = layer.message["batch_norm_param"]
    return layer.type != "BatchNorm" or "use_global_stats" not in settings or settings["use_global_stats"]


def read_factor(blobs: Sequence[Blob | None]) -> Any:
    """The factor as float32; None if it is not there."""
    stored = blobs[FACTOR] if len(blobs) > FACTOR else None
    data = np.asarray(stored.data, np.float32).reshape(-1) if stored is not None else np.empty(0, np.float32)
    return data[0] if len(data) == 1 else None


def report(layer: LayerNode, index: int, hits: Array, severity: str, words: str, advice: str) -> Iterator[Finding]:
    """A finding for the channels that are hit, if any is."""
    if count := int(np.count_nonzero(hits)):
        first = int(hits.argmax())
        sentence = f"blob {index} has {count:,} {words}, the first at [{first}]"
        numbers = BlobNumbers(layer.name, index, count, (first,))
        yield make(layer, "negative_variance", severity, sentence, advice, numbers)


def make(layer: LayerNode, rule: str, severity: str, sentence: str, advice: str, numbers: BlobNumbers) -> Finding:
    return Finding(rule, layer.message.fault(f"{layer.label}: {sentence}", "name", advice), severity, numbers)
