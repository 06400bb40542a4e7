"""The detections of a net: which of its outputs are rows of them, and those rows as labels, scores and boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .framing import Box
from .plan import Plan, Step

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """Which columns of a row are what; `box` is the first of xmin, ymin, xmax, ymax.

    `label` is None for detectors of one class. Boxes are in parts of the input if `parts`, else in pixels of it.
    `classes` is the number of labels, that of the background (0) included; 0 if there are none.
    """

    columns: int
    score: int
    box: int
    label: int | None = None
    parts: bool = False
    classes: int = 0


SSD = Rows(7, 2, 3, label=1, parts=True)  # image, label, score, box


def rows_of(step: Step) -> Rows | None:
    """How to read the rows that a step makes (detection_table.py), whoever runs it; None if it makes no detections."""
    match step.kind.rpartition(".")[2]:
        case "detection_output":
            return replace(SSD, classes=step.payload["classes"])
        case "yolo_detections":
            return replace(SSD, classes=step.payload["classes"] + 1)  # the background is none of its classes
        case "box_output":
            return Rows(6, 5, 1)  # image, box, score
    return None


@dataclass(frozen=True, slots=True)
class Detection:
    """What a net found in the picture `image` of a batch: class, score, and box in pixels of the net's input."""

    image: int
    label: int
    score: float
    box: Box


def rows_by_output(plan: Plan) -> dict[str, Rows]:
    """How to read the rows of each output that holds detections, by blob."""
    makers = {name: step for step in plan.steps for name in step.results}
    found = {blob: rows_of(makers[name]) for blob, name in plan.outputs if name in makers}
    return {blob: rows for blob, rows in found.items() if rows is not None}


def read_detections(array: Array, rows: Rows, size: tuple[int, int]) -> list[Detection] | None:
    """The detections of an output, by image, the best first; `size` is (height, width) of the net's input.

    Rows that stand for nothing found, with an image or a label of -1, are left out. None if the array has other rows.
    """
    flat = array.reshape(len(array), -1) if array.shape[1:2] == (rows.columns,) else array.reshape(-1, array.shape[-1])
    if flat.shape[1] != rows.columns:
        return None
    found = [read_row(row, rows, size) for row in flat.astype(np.float64)]
    return sorted((d for d in found if d.image >= 0 and d.label >= 0), key=lambda d: (d.image, -d.score))


def read_row(row: Array, rows: Rows, size: tuple[int, int]) -> Detection:
    height, width = size if rows.parts else (1, 1)
    xmin, ymin, xmax, ymax = row[rows.box : rows.box + 4].tolist()
    box = xmin * width, ymin * height, xmax * width, ymax * height
    return Detection(int(row[0]), 0 if rows.label is None else int(row[rows.label]), float(row[rows.score]), box)
