"""Runs one golden case in OpenCV's Caffe importer, which may crash; `opencv_layers` starts this as a process.

    python benchmarks/opencv_case.py net.prototxt net.caffemodel case.npz '{"blob": ["layer", 0], ...}'

case.npz holds `in:BLOB` and `out:BLOB`. Prints one line: "right", or what is wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

RIGHT_TOLERANCE, NEAR_TOLERANCE = 1e-5, 1e-3  # of the largest output


def run(net: Any, case: Mapping[str, np.ndarray], makers: Mapping[str, tuple[str, int]]) -> str:
    for key, values in case.items():
        if key.startswith("in:"):
            net.setInput(values, key[3:])
    expected = {key[4:]: values for key, values in case.items() if key.startswith("out:")}
    return verdict({blob: forward_blob(net, blob, *makers[blob]) for blob in expected}, expected)


def forward_blob(net: Any, blob: str, layer: str, i: int) -> Any:
    """A blob by the layer that produces it last or, if OpenCV does not know that, by its name."""
    try:
        return net.forwardAndRetrieve([layer])[0][i]
    except (cv2.error, IndexError):
        return net.forward(blob)


def verdict(got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> str:
    """The largest error of the outputs in words; shapes may differ if the numbers of elements are equal."""
    worst = 0.0
    for name, right in expected.items():
        values = np.asarray(got[name])
        if values.size != right.size:
            return f"wrong shape: {list(values.shape)} for {list(right.shape)}"
        if not np.isfinite(values).all():
            return "wrong: not finite"
        largest = float(np.abs(right).max(initial=1e-30))
        worst = max(worst, float(np.abs(values.reshape(-1) - right.reshape(-1)).max(initial=0.0)) / largest)
    if worst <= RIGHT_TOLERANCE:
        return "right"
    return f"near ({worst:.0e} off)" if worst <= NEAR_TOLERANCE else f"wrong ({worst:.0e} off)"


def first_line(error: Exception) -> str:
    """OpenCV's message without its source locations."""
    message = str(error).replace("\n", " ").split("error: ", 1)[-1]
    message = message.split(") ", 1)[-1] if message.startswith("(") else message
    return message.strip()[:90]


def main(prototxt: str, weights: str, numbers: str, makers: str) -> str:
    with np.load(numbers) as stored:
        case = {key: stored[key] for key in stored.files}
    try:
        net = cv2.dnn.readNetFromCaffe(prototxt, weights)
    except cv2.error as e:
        return f"refuses: {first_line(e)}"
    try:
        return run(net, case, json.loads(makers))
    except cv2.error as e:
        return f"fails: {first_line(e)}"


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
