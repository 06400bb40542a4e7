"""The primitives of detectors: boxes, their features, and what is found. Part of the table in primitive_table.py."""

from __future__ import annotations

from collections.abc import Mapping

from .primitive_schema import FLAG, MANY, Attribute, PrimitiveSchema, number_or

ROI_BINS = {"height": Attribute("a whole number"), "width": Attribute("a whole number"), "scale": number_or(1.0)}

DETECTION_PRIMITIVES: Mapping[str, PrimitiveSchema] = {
    "roi_align": PrimitiveSchema(
        "x [N,C,H,W], boxes [R,5] of image, xmin, ymin, xmax, ymax, times `scale`; the result is [R,C,height,width]",
        (2, 2),
        ROI_BINS,
    ),
    "roi_pool": PrimitiveSchema(
        "as roi_align, with boxes enlarged by `pad` times their size: the largest feature of each bin",
        (2, 2),
        {**ROI_BINS, "pad": number_or(0.0)},
    ),
    "roi_grid": PrimitiveSchema(
        "as roi_pool, but bilinear samples at the corners of the bins: [R,C,height+1,width+1]",
        (2, 2),
        {**ROI_BINS, "pad": number_or(0.0)},
    ),
    "psroi_pool": PrimitiveSchema(
        "x [N,channels*groups^2,H,W], boxes [R,5] as for roi_align: the mean of each bin, which has its own channels: "
        "[R,channels,groups,groups]",
        (2, 2),
        {
            "channels": Attribute("a whole number"),
            "groups": Attribute("a whole number"),
            "scale": number_or(1.0),
        },
    ),
    "detection_output": PrimitiveSchema(
        "loc [N,4P] or [N,4P*classes], conf [N,P*classes], priors with variances [1,2,4P], optionally RefineDet's "
        "scores [N,2P] and locations [N,4P] of the priors; the result is [1,1,found,7]",
        (3, 5),
        {
            "classes": Attribute("a whole number"),
            "share_location": Attribute("a truth value", True),
            "background": Attribute("a whole number", 0),
            "code": Attribute("a text", "corner"),
            "variance_in_target": FLAG,
            "nms_threshold": number_or(0.3),
            "top_k": Attribute("a whole number", -1),
            "eta": number_or(1.0),
            "keep_top_k": Attribute("a whole number", -1),
            "confidence": Attribute("a number"),
            "objectness": number_or(0.01),
        },
    ),
    "proposals": PrimitiveSchema(
        "scores [N,2A,H,W], deltas [N,4A,H,W], the image's height, width and scale; results: boxes [found,5] of image, "
        "xmin, ymin, xmax, ymax, and optionally their scores",
        (3, 3),
        {
            "anchors": Attribute("a list of numbers"),
            "form": Attribute("a text"),
            "stride": Attribute("a whole number", 16),
            "min_size": number_or(16.0),
            "before": Attribute("a whole number", 6000),
            "after": Attribute("a whole number", 300),
            "threshold": number_or(0.7),
            "scores": FLAG,
        },
        (1, 2),
    ),
    "text_boxes": PrimitiveSchema(
        "deltas [1,2A,H,W], the image's height and width; the result is boxes [H*W*A,4] of xmin, ymin, xmax, ymax",
        (2, 2),
        {"anchors": Attribute("a list of numbers"), "stride": Attribute("a whole number", 16)},
    ),
    "yolo_detections": PrimitiveSchema(
        "maps [N,boxes*(5+classes),H,W]; the result is [1,1,found,7]",
        (1, MANY),
        {
            "classes": Attribute("a whole number"),
            "anchors": Attribute("a list of numbers"),
            "scales": Attribute("a list of whole numbers"),
            "version": Attribute("a whole number", 3),
            "boxes": Attribute("a whole number", 3),
            "confidence": number_or(0.01),
            "nms_threshold": number_or(0.45),
        },
    ),
    "box_output": PrimitiveSchema(
        "maps [N,classes+4,H,W]; results: boxes [found,5,1,1] of image, xmin, ymin, xmax, ymax, and optionally with "
        "their scores [found,6,1,1]",
        (1, MANY),
        {
            "field_width": Attribute("a list of whole numbers"),
            "field_height": Attribute("a list of whole numbers"),
            "rate": Attribute("a list of whole numbers"),
            "foreground": number_or(0.0),
            "threshold": number_or(0.5),
            "nms": Attribute("a text", "IOU"),
            "far": number_or(2.0),
            "large": number_or(2.0),
            "before": Attribute("a whole number", 0),
            "after": Attribute("a whole number", 0),
            "min_size": number_or(15.0),
            "mean": Attribute("a list of numbers", (0.0, 0.0, 0.0, 0.0)),
            "deviation": Attribute("a list of numbers", (1.0, 1.0, 1.0, 1.0)),
            "scores": FLAG,
        },
        (1, 2),
    ),
}
