"""Layers of mscnn and Cascade R-CNN: BoxOutput and DecodeBBox."""

from __future__ import annotations

import torch

from ....compiler.ir import Value
from ....compiler.ops.arithmetic import Add, Exp, Mul, Power
from ....compiler.ops.box_output import BoxOutput
from ....compiler.ops.channels import Scale
from ....compiler.ops.shape import Concat, Reshape, Slice
from ...files.message import Message
from ..layer import Layer, layer, shortest_decimal
from ..layer_types import MANY


@layer("BoxOutput", "box_output_param", bottoms=(1, MANY), tops=(1, 2))
def box_output(l: Layer, *maps: Value) -> tuple[Value, ...]:
    """The boxes of several maps that are likely no background (mscnn's box_output_layer.cpp)."""
    p = l.param
    for field in ("field_h", "field_w", "downsample_rate"):
        if len(p[field]) != len(maps):
            raise l.fault(f"{field} is given {len(p[field])} times, and it has {len(maps)} bottoms", field)
    mean, deviation = normalization(l)
    op = BoxOutput(
        field_width=p["field_w"],
        field_height=p["field_h"],
        rate=p["downsample_rate"],
        foreground=l.number("fg_thr"),
        threshold=l.number("iou_thr"),
        nms=p["nms_type"] if p["nms_type"] in ("IOMU", "IOFU") else "IOU",  # any other text is the union
        far=l.number("field_xyr"),
        large=l.number("field_whr"),
        before=p["max_nms_num"],
        after=p["max_post_nms_num"],
        min_size=l.number("min_size"),
        mean=mean,
        deviation=deviation,
        scores=len(l.tops) > 1,
    )
    return l.emit_all(op, *maps)


@layer("DecodeBBox", "bbox_reg_param", bottoms=2)
def decode_bbox(l: Layer, deltas: Value, rois: Value) -> Value:
    """Move boxes by the second four of eight numbers, the foreground's (Cascade R-CNN's decode_bbox_layer.cpp)."""
    flat = {}
    for name, x, wanted in (("deltas", deltas, 8), ("boxes", rois, 5)):
        if x.type.rank < 2 or x.type.dims[1] != wanted or any(d != 1 for d in x.type.dims[2:]):
            raise l.fault(f"the {name} are [r, {wanted}], not {x.type}")
        flat[name] = x if x.type.rank == 2 else l.emit(Reshape(shape=(0, 0)), x)
    mean, deviation = normalization(l)
    if not all(d > 0 for d in deviation):
        raise l.fault("bbox_std is above 0", "bbox_std")
    _, moves = l.emit_all(Slice(axis=1, points=(4,)), flat["deltas"])
    parts = [l.constant(torch.tensor(x), (4,), role) for x, role in ((deviation, "deviation"), (mean, "mean"))]
    shift, growth = l.emit_all(Slice(axis=1, points=(2,)), l.emit(Scale(axis=1), moves, *parts))
    image, low, high = l.emit_all(Slice(axis=1, points=(1, 3)), flat["boxes"])
    size = l.emit(Power(shift=1), l.emit(Add(beta=-1), high, low))
    centre = l.emit(Add(alpha=0.5, beta=0.5), high, low)
    own = l.emit(Mul(), size, l.emit(Exp(), growth))
    reach = l.emit(Power(shift=-1), own)
    corner = l.emit(Add(beta=-0.5), l.emit(Add(), l.emit(Mul(), shift, size), centre), reach)
    made = l.emit(Concat(axis=1), image, corner, l.emit(Add(), corner, reach))
    return l.emit(Reshape(shape=(0, 5, 1, 1)), made)


def normalization(l: Layer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and deviations of `bbox_reg_param`: 0 and 1 unless both are given, four each."""
    settings: Message = l.message["bbox_reg_param"]
    given = [tuple(map(shortest_decimal, settings[name])) for name in ("bbox_mean", "bbox_std")]
    if not all(given):
        return (0.0,) * 4, (1.0,) * 4
    if any(len(numbers) != 4 for numbers in given):
        raise l.fault(f"bbox_mean and bbox_std are four numbers each, not {len(given[0])} and {len(given[1])}")
    return given[0], given[1]
