"""Layers on regions of interest: ROIPooling (Fast R-CNN), PSROIPooling (R-FCN), ROIAlign (synopsys-caffe, mscnn)."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.roi import PsRoiPool, RoiAlign, RoiGrid, RoiPool
from ..layer import Layer, layer

POOLING_FIELDS = ("pooled_h", "pooled_w", "spatial_scale", "pad_ratio")  # as in mscnn


@layer("ROIPooling", "roi_pooling_param", bottoms=2)
def roi_pooling(l: Layer, x: Value, rois: Value) -> Value:
    """The largest features in each bin of each box (roi_pooling_layer.cpp; pad_ratio is mscnn's)."""
    height, width = pooled_size(l)
    return l.emit(
        RoiPool(height=height, width=width, scale=l.number("spatial_scale"), pad=l.number("pad_ratio")), x, rois
    )


@layer("PSROIPooling", "psroi_pooling_param", bottoms=2)
def psroi_pooling(l: Layer, x: Value, rois: Value) -> Value:
    """The mean features in each bin of each box, a bin has its own channels (R-FCN's psroi_pooling_layer.cu)."""
    for field in ("spatial_scale", "output_dim", "group_size"):
        if field not in l.param:
            raise l.fault(f"it has no {field}", advice=f"Add {field}: and a number to psroi_pooling_param.")
    op = PsRoiPool(channels=l.param["output_dim"], groups=l.param["group_size"], scale=l.number("spatial_scale"))
    return l.emit(op, x, rois)


@layer("ROIAlign", "roi_align_param", bottoms=2, dialect="synopsys", fields=("pooled_h", "pooled_w", "spatial_scale"))
def roi_align(l: Layer, x: Value, rois: Value) -> Value:
    """The maximum of four samples in each bin of each box (synopsys-caffe's roi_align_layer.cpp)."""
    height, width = pooled_size(l)
    return l.emit(RoiAlign(height=height, width=width, scale=l.number("spatial_scale")), x, rois)


@layer("ROIAlign", "roi_pooling_param", bottoms=2, dialect="mscnn", fields=POOLING_FIELDS)
def roi_align_corners(l: Layer, x: Value, rois: Value) -> Value:
    """Samples at the corners of the bins of each box, one more than bins (mscnn's and Cascade R-CNN's ROIAlign)."""
    height, width = pooled_size(l)
    return l.emit(
        RoiGrid(height=height, width=width, scale=l.number("spatial_scale"), pad=l.number("pad_ratio")), x, rois
    )


def pooled_size(l: Layer) -> tuple[int, int]:
    """How many bins there are. CompileError if one of the two is 0, as it is by default."""
    for field in ("pooled_h", "pooled_w"):
        if l.param[field] < 1:
            raise l.fault(
                f"{field} is 1 or more", field, f"Give {l.layer_type.param} {{ pooled_h: ... pooled_w: ... }}."
            )
    return l.param["pooled_h"], l.param["pooled_w"]
