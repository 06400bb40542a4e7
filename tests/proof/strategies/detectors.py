"""Strategies for prior boxes, detections and RoIs, and for recurrent operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cortado.compiler.ir import Value
from cortado.compiler.ops.box_output import WAYS, BoxOutput
from cortado.compiler.ops.detection import CODES, DetectionOutput
from cortado.compiler.ops.prior_box import PriorBox
from cortado.compiler.ops.proposal import FORMS, Proposals, TextBoxes
from cortado.compiler.ops.recurrent import Lstm, LstmUnit, Rnn
from cortado.compiler.ops.roi import PsRoiPool, RoiAlign, RoiGrid, RoiPool
from cortado.compiler.ops.yolo import YoloDetections

from ..net_builder import NetBuilder, has_static_dims
from .weighted import linear


def prior_box(d: NetBuilder) -> Value:
    features, image = d.image(4), d.image(4)
    small = d.dice.pick((2.0, 5.0))
    large = (small * 2,) if d.dice.chance(0.5) else ()
    ratios = tuple(d.dice.pick((1.0, 2.0, 3.0)) for _ in range(d.dice.between(0, 2)))
    size = (d.dice.between(5, 20), d.dice.between(5, 20)) if d.dice.chance(0.3) else ()
    variance = (0.1, 0.1, 0.2, 0.2) if d.dice.chance(0.5) else (0.1,)
    op = PriorBox(
        min_size=(small,), max_size=large, aspect_ratio=ratios, clip=d.dice.chance(0.5), image=size, variance=variance
    )
    return d.add(op, features, image)


def detection_output(d: NetBuilder) -> Value:
    """Locations and scores are matrix products of one value, the priors an input."""
    x = d.value(lambda v: v.type.rank > 1 and has_static_dims(v))
    count, classes, shared = d.dice.between(1, 6), d.dice.between(2, 3), d.dice.chance(0.7)
    where = linear(d, x, 4 * count * (1 if shared else classes))
    scores = linear(d, x, classes * count)
    priors = d.new_input("prior", 1, 2, 4 * count) if d.dice.chance(0.5) else d.weight("prior", 1, 2, 4 * count)
    arm = [d.new_input("x", where.type.shape[0], n * count) for n in (2, 4)][: d.dice.between(0, 2 if shared else 1)]
    op = DetectionOutput(
        classes=classes,
        share_location=shared,
        code=d.dice.pick(CODES),
        variance_in_target=d.dice.chance(0.2),
        nms_threshold=d.dice.pick((0.3, 0.6)),
        top_k=d.dice.pick((-1, 3)),
        keep_top_k=d.dice.pick((-1, 2)),
        confidence=d.dice.pick((0.0, 0.3, -1.0)),
        objectness=d.dice.pick((0.01, -0.5)),
    )
    return d.add(op, where, scores, priors, *(arm if d.dice.chance(0.3) else ()))


def boxes(d: NetBuilder, images: int) -> Value:
    return d.new_input(f"roi{images}", d.dice.between(1, 4), 5)


def on_boxes(make: type[RoiAlign] | type[RoiPool] | type[RoiGrid]) -> Callable[[NetBuilder], Value]:
    def draw(d: NetBuilder) -> Value:
        x = d.value(lambda v: v.type.rank == 4 and has_static_dims(v) and v.type.numel > 0)
        op = make(height=d.dice.between(1, 3), width=d.dice.between(1, 3), scale=d.dice.pick((1.0, 0.5, 0.3)))
        if not isinstance(op, RoiAlign) and d.dice.chance(0.5):
            op = replace(op, pad=0.2)
        return d.add(op, x, boxes(d, x.type.shape[0]))

    return draw


def psroi_pool(d: NetBuilder) -> Value:
    x = d.value(lambda v: v.type.rank == 4 and has_static_dims(v) and v.type.numel > 0)
    groups = 2 if x.type.shape[1] % 4 == 0 else 1
    op = PsRoiPool(channels=x.type.shape[1] // groups**2, groups=groups, scale=d.dice.pick((1.0, 0.5, 0.3)))
    return d.add(op, x, boxes(d, x.type.shape[0]))


def proposals(d: NetBuilder) -> object:
    """Scores are an input, so that no two are nearly equal in one precision only; deltas a product of a value."""
    form, count = d.dice.pick(FORMS), d.dice.between(1, 3)
    images = d.dice.between(1, 2) if form == "happynear" else 1
    size = (d.dice.between(1, 4), d.dice.between(1, 4))
    corners = [(-1.0 - i, -2.0, 4.0 + 3 * i, 5.0 + i) for i in range(count)]
    op = Proposals(
        anchors=tuple(x for box in corners for x in box),
        form=form,
        stride=d.dice.between(3, 8),
        min_size=d.dice.pick((0.0, 6.0)),
        before=d.dice.pick((5, 100)),
        after=d.dice.pick((2, 50)),
        threshold=d.dice.pick((0.3, 0.7)),
        scores=d.dice.chance(0.5),
    )
    scores = d.new_input("v", images, 2 * count, *size)
    return d.add_all(op, scores, d.new_input("w", images, 4 * count, *size), d.new_input("info", 1, 4))


def yolo_detections(d: NetBuilder) -> Value:
    classes, count, version = d.dice.between(1, 3), d.dice.between(1, 2), d.dice.between(2, 3)
    sizes = [
        (n := d.dice.between(1, 3), n if version == 2 else d.dice.between(1, 3)) for _ in range(d.dice.between(1, 2))
    ]
    maps = [d.new_input("x", d.dice.between(1, 2), count * (5 + classes), *size) for size in sizes]
    op = YoloDetections(
        classes=classes,
        anchors=tuple(d.dice.pick((8.0, 20.0)) for _ in range(2 * count * len(maps))),
        scales=tuple(d.dice.between(8, 16) for _ in maps),
        version=version,
        boxes=count,
        confidence=d.dice.pick((0.01, 0.3)),
        nms_threshold=d.dice.pick((0.3, 0.6)),
    )
    return d.add(op, *maps)


def box_output(d: NetBuilder) -> object:
    images, classes, count = d.dice.between(1, 2), d.dice.between(2, 3), d.dice.between(1, 2)
    maps = [d.new_input("x", images, classes + 4, d.dice.between(1, 3), d.dice.between(1, 3)) for _ in range(count)]
    op = BoxOutput(
        field_width=tuple(d.dice.between(20, 40) for _ in maps),
        field_height=tuple(d.dice.between(20, 40) for _ in maps),
        rate=tuple(d.dice.between(10, 30) for _ in maps),
        foreground=d.dice.pick((-1.0, 0.0)),
        threshold=d.dice.pick((0.3, 0.6)),
        nms=d.dice.pick(WAYS),
        before=d.dice.pick((0, 4)),
        after=d.dice.pick((0, 2)),
        min_size=d.dice.pick((5.0, 15.0)),
        scores=d.dice.chance(0.5),
    )
    return d.add_all(op, *maps)


def text_boxes(d: NetBuilder) -> Value:
    count = d.dice.between(1, 3)
    op = TextBoxes(anchors=(0.0, 2.0, 15.0, 12.0) * count, stride=d.dice.between(3, 16))
    deltas = d.new_input("x", 1, 2 * count, d.dice.between(1, 3), d.dice.between(1, 3))
    return d.add(op, deltas, d.new_input("info", 1, 3))


def sequence(d: NetBuilder, width: int) -> Value:
    """A sequence [t, n, width]: a value of rank 3, and a matrix product to this width."""
    x = d.value(lambda v: v.type.rank >= 3 and has_static_dims(v))
    return x if x.type.rank == 3 and x.type.dims[2] == width else linear(d, x, width, start=2)


def lstm(d: NetBuilder) -> object:
    width = d.dice.between(1, 4)
    gates = sequence(d, 4 * width)
    t, n, _ = gates.type.shape
    state = [d.new_input("x", 1, n, width), d.new_input("x", 1, n, width)] if d.dice.chance(0.4) else []
    op = Lstm(state=d.dice.chance(0.4))
    return d.add_all(op, gates, d.new_input("flag", t, n), d.weight("w", 4 * width, width), *state)


def rnn(d: NetBuilder) -> object:
    width = d.dice.between(1, 4)
    x = sequence(d, width)
    t, n, _ = x.type.shape
    state = [d.new_input("x", 1, n, width)] if d.dice.chance(0.4) else []
    return d.add_all(Rnn(state=d.dice.chance(0.4)), x, d.new_input("flag", t, n), d.weight("w", width, width), *state)


def lstm_unit(d: NetBuilder) -> object:
    streams, width = d.dice.between(1, 3), d.dice.between(1, 3)
    sizes = (
        d.new_input("x", 1, streams, width),
        d.new_input("x", 1, streams, 4 * width),
        d.new_input("flag", 1, streams),
    )
    return d.add_all(LstmUnit(), *sizes)


STRATEGIES = {
    "prior_box": prior_box,
    "detection_output": detection_output,
    "roi_align": on_boxes(RoiAlign),
    "roi_pool": on_boxes(RoiPool),
    "roi_grid": on_boxes(RoiGrid),
    "psroi_pool": psroi_pool,
    "proposals": proposals,
    "yolo_detections": yolo_detections,
    "box_output": box_output,
    "text_boxes": text_boxes,
    "lstm": lstm,
    "rnn": rnn,
    "lstm_unit": lstm_unit,
}
