"""Detection layers of Caffe's forks: PriorBox and DetectionOutput (SSD)."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.detection import LOWEST_F32, DetectionOutput
from ....compiler.ops.prior_box import PriorBox
from ...files.message import Message
from ..layer import Layer, layer, shortest_decimal


@layer("PriorBox", "prior_box_param", bottoms=2)
def prior_box(l: Layer, features: Value, image: Value) -> Value:
    """Prior boxes from the shapes of a feature map and of the image; their data are not read (prior_box_layer.cpp)."""
    p = l.param
    if not p["min_size"]:
        raise l.fault("it has no min_size", advice="Add min_size: and a number of pixels.")
    offsets = {name: tuple(map(shortest_decimal, p[name])) for name in ("offset_h", "offset_w")}
    if len(offsets["offset_h"]) != len(offsets["offset_w"]):
        raise l.fault("offset_h and offset_w go together", "offset_h" if offsets["offset_h"] else "offset_w")
    if p["denser_prior_boxes"]:  # TextBoxes++: each box also at the end of its cell
        offsets = {"offset_h": (l.number("offset"), 1.0), "offset_w": (l.number("offset"),) * 2}
    several = {name: tuple(map(shortest_decimal, p[name])) for name in ("min_size", "max_size", "aspect_ratio")}
    op = PriorBox(
        **several,
        flip=p["flip"],
        clip=p["clip"],
        variance=tuple(map(shortest_decimal, p["variance"])) or (0.1,),
        image=tuple(map(int, read_pair(l, "img_size", "img"))),
        step=tuple(map(shortest_decimal, read_pair(l, "step", "step"))),
        offset=l.number("offset"),
        offset_height=offsets["offset_h"],
        offset_width=offsets["offset_w"],
    )
    return l.emit(op, features, image)


def read_pair(l: Layer, both: str, stem: str) -> tuple[float, ...]:
    """A setting for height and width: one number for both, or _h and _w; () if neither is set."""
    p, high, wide = l.param, f"{stem}_h", f"{stem}_w"
    if not p.is_set(high) and not p.is_set(wide):
        return (p[both],) * 2 if p.is_set(both) else ()
    if p.is_set(both):
        raise l.fault(f"{both} and {high}/{wide} are both given", high, "Keep one of the two forms.")
    if not (p.is_set(high) and p.is_set(wide)):
        raise l.fault(f"{high} and {wide} go together", high if p.is_set(high) else wide)
    return p[high], p[wide]


@layer("DetectionOutput", "detection_output_param", bottoms=(3, 5))
def detection_output(l: Layer, *bottoms: Value) -> Value:
    """Decode boxes and apply non-maximum suppression: [1, 1, found, 7] (detection_output_layer.cpp).

    The fourth and fifth bottom are RefineDet's objectness scores and first locations. With `visualize`, the fourth is
    SSD's image, on which boxes are drawn. save_output_param and visualize do not affect the top.
    """
    p = l.param
    nms: Message = p["nms_param"]
    if not p.is_set("num_classes"):
        raise l.fault("it has no num_classes", advice="Add num_classes: and how many there are, with the background.")
    if nms["soft_nms"]:
        raise l.fault("soft_nms is a fork's own, and not among those that cortado computes", "nms_param")
    if p["visualize"] and len(bottoms) == 4:
        bottoms = bottoms[:3]
    if p["use_polygon"]:
        raise l.fault("use_polygon is TextBoxes++'s own", "use_polygon", "cortado finds upright boxes, as SSD does.")
    op = DetectionOutput(
        classes=p["num_classes"],
        share_location=p["share_location"],
        background=p["background_label_id"],
        code=l.choice("code_type", {name: name.lower() for name in ("CORNER", "CENTER_SIZE", "CORNER_SIZE")}),
        variance_in_target=p["variance_encoded_in_target"],
        nms_threshold=shortest_decimal(nms["nms_threshold"]),
        top_k=nms["top_k"] if nms.is_set("top_k") else -1,
        eta=shortest_decimal(nms["eta"]),
        keep_top_k=p["keep_top_k"],
        confidence=l.number("confidence_threshold") if p.is_set("confidence_threshold") else LOWEST_F32,
        objectness=l.number("objectness_score"),
    )
    return l.emit(op, *bottoms)
