"""Looks at a caffemodel's numbers, blob by blob: what no training should end with, and what the net does not use.

Numbers are looked at as float32, which Caffe computes in. Blobs are views of a mapped file and are read in pieces, so
that a file larger than the memory can be checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....compiler.errors import CompileError
from ...files.blobs import Blob
from ...files.caffemodel import LayerBlobs, Weights
from .dataflow import Dataflow, LayerNode
from .findings import BlobNumbers, Finding
from .variances import find_statistics
from .zeros import find_zeros

Array = np.ndarray[Any, Any]
PIECE = 1 << 22  # elements that are checked at a time
LARGE = 1e8  # products of two such numbers leave float32's range soon
TINY = float(np.finfo(np.float32).tiny)  # below it numbers are denormal, and processors slow
DENORMAL_PART = 0.01  # of a blob: fewer do not show in the time
WEIGHTLESS = (  # types of BVLC Caffe that have no blobs
    "AbsVal", "ArgMax", "BNLL", "Concat", "Crop", "Dropout", "ELU", "Eltwise", "Exp", "Flatten", "LRN", "Log", "MVN",
    "Permute", "Pooling", "Power", "PriorBox", "ReLU", "Reduction", "Reshape", "Sigmoid", "Slice", "Softmax", "Split",
    "TanH", "Threshold", "Tile",
)  # fmt: skip
MAX_NAMED = 6  # layers that a sentence names


def number_findings(flow: Dataflow, weights: Weights, file: str) -> list[Finding]:
    """What is questionable about the numbers in `file`, by layer in the net's order; at the end what is not used."""
    stored = {layer.name: layer for layer in weights.layers if layer.blobs}  # of two of one name Caffe keeps the last
    found = list[Finding]()
    for layer in flow.layers:
        if (blobs := stored.get(layer.name)) is not None:
            found += find_in_layer(layer, blobs, file)
    return [*found, *find_unused(flow, stored, file)]


def find_in_layer(layer: LayerNode, stored: LayerBlobs, file: str) -> Iterator[Finding]:
    """The findings of one layer, without those that only follow from numbers that are not finite."""
    whole = True
    for index, blob in enumerate(stored.blobs):
        for finding in find_in_blob(layer, index, blob, file):
            whole = whole and finding.severity != "error"
            yield finding
    if whole:
        blobs = [None if blob.is_missing else blob for blob in stored.blobs]
        yield from find_statistics(layer, blobs, file)
        yield from find_zeros(layer, blobs, file)


KINDS: tuple[tuple[str, str, str, str, Callable[[Array], Array]], ...] = (
    ("not_a_number", "error", "NaN", "The training had diverged. Take an earlier snapshot.", np.isnan),
    (
        "infinite",
        "error",
        "infinite numbers",
        "The training had diverged, or the numbers of a float64 file do not fit float32.",
        np.isinf,
    ),
    (
        "large_numbers",
        "warning",
        f"numbers above {LARGE:g}",
        "Results soon leave the range of float32. Was the file damaged, or its byte order changed?",
        lambda x: (np.abs(x) > LARGE) & np.isfinite(x),
    ),
    (
        "denormal",
        "warning",
        "denormal numbers",
        "Processors are slow at them. Setting them to 0 changes no result that float32 can show.",
        lambda x: (x != 0) & (np.abs(x) < TINY),
    ),
)


def find_in_blob(layer: LayerNode, index: int, blob: Blob, file: str) -> Iterator[Finding]:
    """Numbers that are odd wherever they are."""
    counts, first = {kind[0]: 0 for kind in KINDS}, dict[str, int]()
    at = total = 0
    for piece in pieces(blob):
        total += len(piece)
        magnitude = np.abs(piece)
        most = float(magnitude.max(initial=0))  # NaN if there is one
        least = float(np.min(magnitude, initial=np.inf, where=magnitude > 0))
        if not most <= LARGE or least < TINY:
            for rule, *_, test in KINDS:
                hits = test(piece)
                if count := int(np.count_nonzero(hits)):
                    first.setdefault(rule, at + int(hits.argmax()))
                    counts[rule] += count
        at += len(piece)
    for rule, severity, words, advice, _ in KINDS:
        if not counts[rule] or (rule == "denormal" and counts[rule] < DENORMAL_PART * total):
            continue
        place = tuple(int(i) for i in np.unravel_index(first[rule], blob.shape))
        numbers = BlobNumbers(layer.name, index, counts[rule], place)
        sentence = f"blob {index} in {file} has {counts[rule]:,} {words}, the first at {list(place)}"
        yield Finding(rule, layer.message.fault(f"{layer.label}: {sentence}", "name", advice), severity, numbers)


def pieces(blob: Blob) -> Iterator[Array]:
    """The numbers of a blob in order, as float32; what does not fit is infinite, as in Caffe."""
    for array in blob.arrays:
        for at in range(0, len(array), PIECE):
            with np.errstate(over="ignore"):
                yield array[at : at + PIECE].astype(np.float32, copy=False)


def find_unused(flow: Dataflow, stored: dict[str, LayerBlobs], file: str) -> Iterator[Finding]:
    """Weights of layers that the net does not have, or whose type has none."""
    known = {layer.name for layer in flow.layers}
    if unused := [name for name in stored if name not in known]:
        listed = ", ".join(f'"{name}"' for name in unused[:MAX_NAMED])
        more = f" and {len(unused) - MAX_NAMED} more" if len(unused) > MAX_NAMED else ""
        layers = "layers that the net does not have" if len(unused) > 1 else "a layer that the net does not have"
        sentence = f"{file} has weights of {layers}: {listed}{more}"
        advice = "Caffe passes over them. Is a layer called otherwise here, or is it the file of another net?"
        numbers = BlobNumbers(unused[0], None, len(unused), ())
        yield Finding("unused_weights", CompileError(sentence, advice=advice), "warning", numbers)
    for layer in flow.layers:
        if layer.type in WEIGHTLESS and layer.name in stored:
            count = len(stored[layer.name].blobs)
            sentence = f"{layer.label} has no weights, and {file} has {count} blobs for it"
            advice = "Its type may be another one than in the net that was trained; Caffe refuses such a file."
            numbers = BlobNumbers(layer.name, 0, count, ())
            yield Finding("unused_weights", layer.message.fault(sentence, "type", advice), "error", numbers)
