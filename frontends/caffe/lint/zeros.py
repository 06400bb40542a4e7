"""Weights of 0 in a caffemodel: layers that were never filled, and channels whose result is always 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...files.blobs import Blob
from .dataflow import LayerNode
from .findings import BlobNumbers, Finding

Array = np.ndarray[Any, Any]
WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct", "Scale")  # types whose blob 0 scales, and 1 is added
UNFILLED = {  # advice for a layer whose weights are all 0, and how bad that is
    "Deconvolution": ("error", "Published FCN nets fill it by a bilinear weight_filler, and keep the 0s in the file."),
}
ALL_ZERO = ("warning", "Was it never trained, or zeroed on purpose?")
DEAD = "They cost time and change nothing: training may have killed them, or pruning."


def find_zeros(layer: LayerNode, blobs: Sequence[Blob | None], file: str) -> Iterator[Finding]:
    """Yield a finding for weights that are all 0, or else for channels without weights and bias."""
    if layer.type not in WEIGHTED or not blobs or (stored := blobs[0]) is None or not stored.data.size:
        return
    live = live_channels(layer, stored)
    if live is None:
        return
    if not live.any():
        severity, advice = UNFILLED.get(layer.type, ALL_ZERO)
        sentence = f"all {stored.data.size:,} weights in {file} are 0 (blob 0), so its result is 0 or its bias"
        yield make(layer, "all_zero", severity, sentence, advice, stored.data.size, 0)
        return
    bias = blobs[1] if len(blobs) > 1 else None
    if bias is not None and bias.data.size == live.size:
        live = live | (np.asarray(bias.data).reshape(-1) != 0)
    if dead := int(np.count_nonzero(~live)):
        first = int((~live).argmax())
        sentence = f"{dead:,} of {live.size:,} channels have weights of 0 in {file} (blob 0) and no bias"
        yield make(layer, "dead_channels", "warning", f"{sentence}, the first is {first}", DEAD, dead, first)


def live_channels(layer: LayerNode, blob: Blob) -> Array | None:
    """For each channel of the result whether a weight is not 0; None if the blob has not the layer's shape."""
    weights = blob.data
    if layer.type == "Scale":
        return np.asarray(weights.reshape(-1) != 0)
    if layer.type == "InnerProduct":
        matrix = weights.reshape(-1, weights.shape[-1])
        return np.asarray(matrix.any(axis=0 if layer.message["inner_product_param"]["transpose"] else 1))
    if weights.ndim < 3:
        return None
    if layer.type == "Convolution":
        return np.asarray(weights.reshape(len(weights), -1).any(axis=1))
    groups = layer.message["convolution_param"]["group"]
    if len(weights) % groups:
        return None
    per_group = weights.reshape(groups, len(weights) // groups, weights.shape[1], -1)  # [in, out / groups, h, w]
    return np.asarray(per_group.any(axis=(1, 3))).reshape(-1)


def make(layer: LayerNode, rule: str, severity: str, sentence: str, advice: str, count: int, first: int) -> Finding:
    numbers = BlobNumbers(layer.name, 0, count, (first,))
    return Finding(rule, layer.message.fault(f"{layer.label}: {sentence}", "name", advice), severity, numbers)
