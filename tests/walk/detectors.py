"""The walk of YOLO's, mscnn's and Cascade R-CNN's layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .harness import Array, Becomes, Golden, Nothing, Refused, Walk, f32

NONE = f32([0] + [-1] * 6).reshape(1, 1, 1, 7)


def maps(*channels: float) -> list[Array]:
    """One map of one cell."""
    return [f32(channels).reshape(1, -1, 1, 1)]


def found(*rows: list[float]) -> Array:
    return f32(rows).reshape(1, 1, -1, 7)


def sigmoid(x: float) -> float:
    return 1 / (1 + float(np.exp(-x)))


SMALL, WHOLE = [0.25, 0.375, 0.75, 0.625], [0, 0, 1, 1]  # a box of 1/2 x 1/4, and one of 1 x 1
TWO_BOXES = maps(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)  # the first has the higher objectness
V2 = Walk(
    maps(0, 0, 0, 0, 0, 0),
    {
        "num_classes": Becomes(
            {"num_classes": 2}, lambda t: found([0, 2, 0.375, *SMALL]), maps(0, 0, 0, 0, 0, 0, np.log(3))
        ),
        "num_box biases": Becomes(
            {"num_box": 2, "biases": [0.5, 0.25, 1, 1]},
            lambda t: found([0, 1, sigmoid(1), *SMALL], [0, 1, 0.5, *WHOLE]),
            TWO_BOXES,
        ),
        "confidence_threshold": Becomes({"confidence_threshold": 0.6}, lambda t: NONE),
        "nms_threshold": Becomes(
            {"nms_threshold": 0.125, "num_box": 2, "biases": [0.5, 0.25, 1, 1]},
            lambda t: found([0, 1, sigmoid(1), *SMALL]),
            TWO_BOXES,
        ),
        "side": Nothing("it is that of the map", [7]),
        "coords": Nothing("the fork has four", [3]),
        "label_map_file": Nothing("it has names, which are not written", ["names.txt"]),
    },
    {"num_classes": 1, "num_box": 1, "biases": [0.5, 0.25]},
)
V3 = Walk(
    maps(0, 0, 0, 0, 0, 0),
    {
        "num_classes": Becomes(
            {"num_classes": 2}, lambda t: found([0, 2, sigmoid(1) / 2, *SMALL]), maps(0, 0, 0, 0, 0, 0, 1)
        ),
        "num_box mask biases": Becomes(
            {"num_box": 2, "mask": [0, 1], "biases": [16, 8, 32, 32]},
            lambda t: found([0, 1, sigmoid(1) / 2, *SMALL], [0, 1, 0.25, *WHOLE]),
            TWO_BOXES,
        ),
        "mask_group_num anchors_scale": Golden("yolov3_detection_output_three_scales"),
        "confidence_threshold": Becomes({"confidence_threshold": 0.25}, lambda t: NONE),
        "nms_threshold": Becomes(
            {"nms_threshold": 1.5, "num_classes": 2},
            lambda t: found([0, 2, sigmoid(1) / 2, *SMALL], [0, 1, 0.25, *SMALL]),
            maps(0, 0, 0, 0, 0, 0, 1),
        ),
        "gaussian_box": Refused(True),
    },
    {"num_classes": 1, "num_box": 1, "mask_group_num": 1, "biases": [16, 8], "anchors_scale": [32], "mask": [0]},
)


def cells(*columns: list[float]) -> list[Array]:
    """A map of cells in a row: background, foreground, x, y, width, height."""
    return [f32(columns).T.reshape(1, 6, 1, -1)]


def proposed(*rows: Sequence[float]) -> list[Array]:
    """Both tops, from rows of xmin, ymin, xmax, ymax, score."""
    made = np.insert(f32(rows), 0, 0, 1)[:, :, None, None]
    return [made[:, :5], made]


BOXES = [5, 5, 45, 45, 2], [55, 5, 95, 45, 1]  # 40 x 40 pixels around the middles of cells of 50 x 50
WIDE = [0, 5, 60, 45, 2]  # which overlaps with that of the next cell by 15 x 40 pixels of 60 x 40 and 55 x 40
BOX_OUTPUT = Walk(
    cells([0, 2, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]),
    {
        "fg_thr": Becomes({"fg_thr": 1.5}, lambda t: proposed(BOXES[0])),
        "iou_thr": Becomes({"iou_thr": 0.1, "field_w": [60]}, lambda t: proposed(WIDE)),
        "nms_type": Becomes({"nms_type": "IOMU", "iou_thr": 0.2, "field_w": [60]}, lambda t: proposed(WIDE)),
        "field_h field_w downsample_rate": Golden("box_output"),
        "field_whr": Becomes(
            {"field_whr": 1.25}, lambda t: proposed([0, 5, 50, 45, 2]), cells([0, 2, 0, 0, 5, 0], [9, 0, 0, 0, 0, 0])
        ),
        "field_xyr": Becomes(
            {"field_xyr": 4}, lambda t: proposed([15, 5, 55, 45, 2]), cells([0, 2, 3, 0, 0, 0], [9, 0, 0, 0, 0, 0])
        ),
        "max_nms_num": Becomes({"max_nms_num": 1}, lambda t: proposed(BOXES[0])),
        "max_post_nms_num": Becomes({"max_post_nms_num": 1}, lambda t: proposed(BOXES[0])),
        "min_size": Becomes(
            {"min_size": 41},
            lambda t: [f32([0, 1, 1, 10, 10]).reshape(1, 5, 1, 1), np.zeros((1, 6, 1, 1), np.float32)],
        ),
    },
    {"field_h": [40], "field_w": [40], "downsample_rate": [50]},
    tops=2,
)
DECODE_BBOX = Walk(
    [f32([[9, 9, 9, 9, 1, 0, 0, np.log(2)]]), f32([[2, 0, 0, 9, 9]])],
    {
        # The centre 4.5 moves by 0.1 + 0.2 of 10 pixels across; down, the ten pixels are doubled.
        "bbox_mean bbox_std": Becomes(
            {"bbox_mean": [0.2, 0, 0, 0], "bbox_std": [0.1, 1, 1, 1]},
            lambda t: f32([2, 3, -5, 12, 14]).reshape(1, 5, 1, 1),
        ),
        "cls_aware": Refused(False),
    },
    {},
)
WALKS = {
    "BoxOutput": BOX_OUTPUT,
    "DecodeBBox": DECODE_BBOX,
    "YoloDetectionOutput": V2,
    "Yolov3DetectionOutput": V3,
}
