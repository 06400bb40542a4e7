"""YOLO's detections: YoloDetectionOutput (version 2) and Yolov3DetectionOutput of MobileNet-YOLO."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.yolo import YoloDetections
from ..layer import Layer, layer, shortest_decimal
from ..layer_types import MANY


@layer("YoloDetectionOutput", "yolo_detection_output_param", bottoms=(1, 2))
def yolo_detection_output(l: Layer, *maps: Value) -> Value:
    """Decode boxes and suppress all that overlap: [1, 1, found, 7] (yolo_detection_output_layer.cpp).

    Both maps have the same biases; side is that of the map, and coords is not read.
    """
    check_classes(l)
    boxes, sizes = l.param["num_box"], biases(l)
    if len(sizes) < 2 * boxes:
        raise l.fault(f"biases are two for each of {boxes} boxes, not {len(sizes)}", "biases")
    op = YoloDetections(
        classes=l.param["num_classes"],
        anchors=sizes[: 2 * boxes] * len(maps),
        scales=(1,) * len(maps),
        version=2,
        boxes=boxes,
        confidence=l.number("confidence_threshold"),
        nms_threshold=l.number("nms_threshold"),
    )
    return l.emit(op, *maps)


@layer("Yolov3DetectionOutput", "yolov3_detection_output_param", bottoms=(1, MANY))
def yolov3_detection_output(l: Layer, *maps: Value) -> Value:
    """Decode boxes and suppress all that overlap: [1, 1, found, 7] (yolov3_detection_output_layer.cpp).

    `mask` lists the biases of each map, one group after the other.
    """
    check_classes(l)
    p, sizes = l.param, biases(l)
    if p["gaussian_box"]:
        raise l.fault("gaussian_box reads scores that the fork has not computed", "gaussian_box")
    groups = p["mask_group_num"]
    if groups != len(maps):
        raise l.fault(f"mask_group_num is {groups}, and there are {len(maps)} bottoms", "mask_group_num")
    each, scales, mask = len(p["mask"]) // groups, p["anchors_scale"], p["mask"]
    if each < p["num_box"]:
        raise l.fault(f"mask has {len(mask)} numbers, and {groups} maps of {p['num_box']} boxes", "mask")
    if len(scales) < groups:
        raise l.fault(f"anchors_scale has {len(scales)} numbers for {groups} maps", "anchors_scale")
    used = [mask[each * i + box] for i in range(groups) for box in range(p["num_box"])]
    if max(used, default=0) >= len(sizes) // 2:
        raise l.fault(f"mask has the box {max(used)}, and there are biases of {len(sizes) // 2}", "mask")
    op = YoloDetections(
        classes=p["num_classes"],
        anchors=tuple(size for box in used for size in sizes[2 * box : 2 * box + 2]),
        scales=tuple(scales[:groups]),
        boxes=p["num_box"],
        confidence=l.number("confidence_threshold"),
        nms_threshold=l.number("nms_threshold"),
    )
    return l.emit(op, *maps)


def check_classes(l: Layer) -> None:
    """CompileError unless there are classes, which the fork demands, and boxes."""
    if "num_classes" not in l.param:
        raise l.fault("it has no num_classes", advice="Add num_classes: and how many there are.")
    if l.param["num_box"] < 1:
        raise l.fault("num_box is 1 or more", "num_box")


def biases(l: Layer) -> tuple[float, ...]:
    """The widths and heights of boxes."""
    return tuple(map(shortest_decimal, l.param["biases"]))
