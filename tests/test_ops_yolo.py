"""YOLO's and mscnn's detections: the primitives against the references, and the order of equal scores."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cortado.compiler.op import Op
from cortado.compiler.ops.box_output import WAYS, BoxOutput
from cortado.compiler.ops.yolo import YoloDetections
from cortado.compiler.std_sort import std_sort
from cortado.compiler.types import AtMost, type_of
from cortado.runtime.primitives import IMPLEMENTATIONS, CallSite, Operand
from cortado.runtime.primitives.std_sort import introsort, sort_falling

from .small_nets import f32


def run_both(op: Op, *operands: Tensor) -> list[Tensor]:
    """The results of the runtime's primitive, proved equal to the reference's."""
    types = op.infer_types([type_of(x) for x in operands])
    given = tuple(Operand(x.dtype, tuple(x.shape)) for x in operands)
    call = CallSite(op.all_attributes(), given, tuple(Operand(torch.float32, t.bounds) for t in types))
    made = list(IMPLEMENTATIONS[op.name].prepare(call)([], operands) or ())
    for type, a, b in zip(types, made, op.compute(operands), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        (found,) = (i for i, d in enumerate(type.dims) if isinstance(d, AtMost))
        assert a.shape[found] <= type.bounds[found] and a.ndim == type.rank
    return made


@pytest.mark.parametrize("version", [2, 3])
def test_yolo(version: int) -> None:
    """Maps of several sizes and images; rounded scores, so that many are equal."""
    dice = np.random.default_rng(version)
    for number in range(30):
        classes, boxes, count = int(dice.integers(1, 4)), int(dice.integers(1, 3)), int(dice.integers(1, 3))
        if number % 2 and version == 2:
            classes = 1  # whose softmax is 1, in any order of additions
        sizes = [dice.integers(1, 5, 2) for _ in range(count)]
        shapes = [(int(dice.integers(1, 3)), boxes * (5 + classes), h, h if version == 2 else w) for h, w in sizes]
        op = YoloDetections(
            classes=classes,
            anchors=tuple(dice.uniform(5, 30, 2 * boxes * count).round(1).tolist()),
            scales=tuple(dice.integers(8, 17, count).tolist()),
            version=version,
            boxes=boxes,
            confidence=0.3,
            nms_threshold=0.4,
        )
        draw = dice.integers(-3, 3, 1000).astype(np.float32) if number % 2 else dice.standard_normal(1000)
        maps = [torch.from_numpy(dice.choice(draw, shape).astype(np.float32)) for shape in shapes]
        (rows,) = run_both(op, *maps)
        scores = rows[0, 0, :, 2]
        assert (scores[1:] <= scores[:-1]).all()


def test_yolo_finds_nothing() -> None:
    """One row for each image of the first map."""
    op = YoloDetections(classes=1, anchors=(1, 1) * 2, scales=(1, 1), boxes=1, confidence=1.0)
    (rows,) = run_both(op, torch.zeros(2, 6, 1, 1), torch.zeros(1, 6, 2, 2))
    assert rows.tolist() == [[[[0] + [-1] * 6, [1] + [-1] * 6]]]


def test_an_overlap_at_the_threshold_suppresses() -> None:
    """Two boxes alike but for the size: 1/2 x 1/4 and 1 x 1, an overlap of 1/8."""
    x = torch.tensor([0.0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 9]).reshape(1, 12, 1, 1)
    for threshold, kept in ((0.125, 1), (0.126, 2)):
        op = YoloDetections(classes=1, anchors=(16, 8, 32, 32), scales=(32,), boxes=2, nms_threshold=threshold)
        assert run_both(op, x)[0].shape[2] == kept


def test_box_output() -> None:
    dice = np.random.default_rng(0)
    for number in range(40):
        images, classes, count = int(dice.integers(1, 3)), int(dice.integers(2, 4)), int(dice.integers(1, 3))
        op = BoxOutput(
            field_width=tuple(dice.integers(20, 50, count).tolist()),
            field_height=tuple(dice.integers(20, 50, count).tolist()),
            rate=tuple(dice.integers(8, 20, count).tolist()),
            foreground=float(dice.uniform(-1, 1)),
            threshold=0.4,
            nms=WAYS[number % 3],
            before=int(dice.integers(0, 2)) * 7,
            after=int(dice.integers(0, 2)) * 3,
            min_size=10.0,
            mean=tuple(dice.uniform(-0.1, 0.1, 4).tolist()),
            deviation=tuple(dice.uniform(0.2, 2, 4).tolist()),
            scores=True,
        )
        shapes = [(images, classes + 4, *map(int, dice.integers(1, 6, 2))) for _ in range(count)]
        maps = [torch.from_numpy(dice.standard_normal(shape).astype(np.float32)) for shape in shapes]
        if number % 4 == 0:
            maps = [x.round() for x in maps]  # equal scores
        run_both(op, *maps)


def test_the_order_of_std_sort() -> None:
    """As std::sort of g++ 12.2 with > left these keys."""
    keys = [3.0, 1, 2, 0, 3, 1, 2, 0, 3, 1, 2, 0, 3, 1, 2, 0, 3, 1]
    expected = [16, 4, 8, 0, 12, 2, 14, 6, 10, 9, 17, 13, 5, 1, 11, 7, 15, 3]
    assert std_sort(keys) == introsort(keys) == expected
    assert sort_falling(np.array(keys, np.float32)).tolist() == expected
    dice = np.random.default_rng(0)
    for _ in range(200):
        drawn = dice.integers(0, dice.integers(1, 50), dice.integers(0, 300)).astype(float).tolist()
        assert std_sort(drawn) == introsort(drawn)
        assert [drawn[i] for i in std_sort(drawn)] == sorted(drawn, reverse=True)
    fives = [float(i % 5) for i in range(16)]
    assert std_sort(fives) == sorted(range(16), key=lambda i: -fives[i])  # by insertion, which is stable
    uneven = [-float(k) // 3 for k in killer(200)]
    assert std_sort(uneven) == introsort(uneven)
    assert [uneven[i] for i in introsort(uneven)] == sorted(uneven, reverse=True)


def killer(n: int) -> list[int]:
    """Musser's sequence, whose median of three is always among the smallest: the sort falls back on a heap."""
    half = n // 2
    first = [i if i % 2 == 0 else half + i - (half % 2 == 0) for i in range(half)]
    return first + [2 * (i + 1) for i in range(half)]


def test_what_is_refused() -> None:
    yolo: dict[str, Any] = {"classes": 1, "anchors": (1, 1), "scales": (1,), "boxes": 1}
    boxes: dict[str, Any] = {"field_width": (9,), "field_height": (9,), "rate": (9,)}
    for make, attributes, operands, sentence in (
        (YoloDetections, yolo | {"version": 1}, (f32(1, 6, 2, 2),), "version is 2 or 3, not 1"),
        (YoloDetections, yolo | {"boxes": 0}, (f32(1, 6, 2, 2),), "classes, boxes and scales are 1 or more"),
        (YoloDetections, yolo, (f32(1, 6, 2, 2),) * 2, "there are 2 maps, and 1 scales"),
        (
            YoloDetections,
            yolo | {"anchors": (1,)},
            (f32(1, 6, 2, 2),),
            "1 boxes of 1 maps have two anchors each, not 1",
        ),
        (YoloDetections, yolo, (f32(1, 7, 2, 2),), "1 boxes of 1 classes are maps [n, 6, h, w], not f32[1,7,2,2]"),
        (YoloDetections, yolo | {"version": 2}, (f32(1, 6, 2, 3),), "maps of version 2 are square"),
        (BoxOutput, boxes | {"nms": "AREA"}, (f32(1, 6, 2, 2),), "nms is one of IOU, IOMU, IOFU, not AREA"),
        (BoxOutput, boxes | {"rate": ()}, (f32(1, 6, 2, 2),), "rate has 0 numbers for 1 maps"),
        (BoxOutput, boxes | {"mean": (0,)}, (f32(1, 6, 2, 2),), "there are four means and deviations, not 1 and 4"),
        (BoxOutput, boxes | {"far": 0}, (f32(1, 6, 2, 2),), "far and large are above 0"),
        (BoxOutput, boxes, (f32(1, 4, 2, 2),), "maps are [n, classes + 4, h, w]"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            make(**attributes).infer(*operands)
