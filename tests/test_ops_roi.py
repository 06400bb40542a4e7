"""Features inside boxes against numbers worked out by hand: by the reference, and by the runtime's primitive."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch

from cortado.compiler.op import Op
from cortado.compiler.ops.roi import PsRoiPool, RoiAlign, RoiGrid, RoiPool
from cortado.compiler.types import type_of
from cortado.runtime.primitives import IMPLEMENTATIONS, CallSite, Operand

from .small_nets import f32

ROIS: list[tuple[list[float], int, float, float, list[list[float]]]] = [  # x1 y1 x2 y2, bins along each axis, results
    # One bin of the whole map 1 ... 16, cut to it. Its first four pixels are the first row, 1 2 3 4, at -1, -1/3, 1/3
    # and 1 across and -1 down: the sample at ½ and -½ is ½ (2/6 + 3·5/6 + 4/2).
    ([0, 0, 3, 3], 1, 1.0, 0.0, [[29 / 12]]),
    # No width and no height: the bin is [1, 2] both ways, whose pixels 6 7 10 11 count a quarter each.
    ([1, 1, 1, 1], 1, 1.0, 0.0, [[8.5]]),
    ([2, 2, 2, 2], 1, 0.5, 0.0, [[8.5]]),
    # Beyond the map: pixel 16 alone, its three neighbours are not there.
    ([3, 3, 3, 3], 1, 1.0, 0.0, [[4]]),
    # A bin that is cut away to nothing is 0, also where all numbers are negative.
    ([9, 9, 9, 9], 1, 1.0, -100.0, [[0]]),
    # Bins of half a pixel: [1, 1.5] has pixel 1, [1.5, 2] has pixel 2.
    ([1, 1, 1, 1], 2, 1.0, 0.0, [[1.5, 1.75], [2.5, 2.75]]),
]


@pytest.mark.parametrize(("box", "bins", "scale", "shift", "expected"), ROIS)
def test_roi_align(box: list[float], bins: int, scale: float, shift: float, expected: list[list[float]]) -> None:
    op = RoiAlign(height=bins, width=bins, scale=scale)
    x, boxes = torch.arange(1.0, 17).reshape(1, 1, 4, 4) + shift, torch.tensor([[0, *box]])
    assert op.infer(f32(1, 1, 4, 4), f32(1, 5)) == f32(1, 1, bins, bins)
    wanted = torch.tensor([[expected]], dtype=torch.float32)
    assert_both(op, x, boxes, wanted)


def test_roi_align_refuses_bins_at_nan() -> None:
    """Of NaN, or of a corner that is infinite by the scale; before the map, and so far away, there is no pixel."""
    x = torch.ones(1, 1, 4, 4)
    for scale, boxes in ((1.0, [[0, 0, 0, 3, 3], [0, math.nan, 0, 3, 3]]), (1e38, [[0, 0, 0, 1, 1], [0, -9, 0, 1, 1]])):
        with pytest.raises(
            ValueError, match=r"box 1 cannot be divided into bins: by the scale it is from (nan|-inf) to"
        ):
            run_primitive(RoiAlign(height=2, width=2, scale=scale), x, torch.tensor(boxes))
    far = torch.tensor([[0, 2, 2, 3, 3]])
    assert_both(RoiAlign(height=1, width=1, scale=1e38), x, far.float(), torch.zeros(1, 1, 1, 1))


def assert_both(op: Op, x: torch.Tensor, boxes: torch.Tensor, wanted: torch.Tensor) -> None:
    """The reference gives these numbers, and so does the primitive."""
    torch.testing.assert_close(op.reference(x, boxes), wanted, equal_nan=True)
    torch.testing.assert_close(run_primitive(op, x, boxes), wanted, equal_nan=True)


def run_primitive(op: Op, x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    (made,) = op.infer_types([type_of(x), type_of(boxes)])
    result = torch.full(made.shape, torch.nan)
    operands = tuple(Operand(t.dtype, tuple(t.shape)) for t in (x, boxes))
    call = CallSite(op.all_attributes(), operands, (Operand(result.dtype, tuple(result.shape)),))
    shapes = IMPLEMENTATIONS[op.name].infer_shapes
    assert shapes and [*shapes(op.all_attributes(), [o.shape for o in operands], [made.shape])] == [made.shape]
    IMPLEMENTATIONS[op.name].prepare(call)([result], [x, boxes])
    return result


MAP = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
POOLS: list[tuple[list[float], int, float, float, list[list[float]]]] = [  # box, bins, scale, pad, results
    ([0, 0, 3, 3], 2, 1.0, 0.0, [[6, 8], [14, 16]]),
    # Three pixels in two bins, which share the middle one: rows 0 and 1, rows 1 and 2.
    ([0, 0, 2, 2], 2, 1.0, 0.0, [[6, 7], [10, 11]]),
    # Corners 0.5 and 1.25 become 1 and 1, one pixel, halves away from 0; -0.5 becomes -1, beyond the map.
    ([1, 1, 2.5, 2.5], 1, 0.5, 0.0, [[6]]),
    ([-1, -1, -1, -1], 1, 0.5, 0.0, [[0]]),
    # A maximum left of the minimum counts as one pixel.
    ([2, 1, 0, 0], 1, 1.0, 0.0, [[7]]),
    # A quarter of two pixels on each side: from 0.5 to 2.5, which become 1 and 3.
    ([1, 1, 2, 2], 1, 1.0, 0.25, [[16]]),
    # Two bins of half a pixel each: rows 3 and 4, of which the map has one.
    ([3, 3, 4, 4], 2, 1.0, 0.0, [[16, 0], [0, 0]]),
]


@pytest.mark.parametrize(("box", "bins", "scale", "pad", "expected"), POOLS)
def test_roi_pool(box: list[float], bins: int, scale: float, pad: float, expected: list[list[float]]) -> None:
    op = RoiPool(height=bins, width=bins, scale=scale, pad=pad)
    assert_both(op, MAP, torch.tensor([[0, *box]]), torch.tensor([[expected]], dtype=torch.float32))


def test_roi_pool_of_numbers_that_are_none() -> None:
    """Caffe's maximum starts at -FLT_MAX, and takes what is greater: not NaN, nor minus infinity."""
    x = torch.full((1, 1, 1, 3), -math.inf)
    x[..., 1:] = torch.tensor([math.nan, 2.0])
    lowest = torch.finfo(torch.float32).min
    assert_both(
        RoiPool(height=1, width=3), x, torch.tensor([[0, 0, 0, 2.0, 0]]), torch.tensor([[[[lowest, lowest, 2.0]]]])
    )


PSROIS: list[tuple[list[float], float, list[list[float]]]] = [  # box, scale, results
    # The whole map in two bins of two pixels: means of the corners, of maps that differ by 16.
    ([0, 0, 3, 3], 1.0, [[3.5, 21.5], [43.5, 61.5]]),
    # Corners 1.5 and 2.5 become 2 and 3, plus one: one pixel per bin.
    ([1.5, 1.5, 2.5, 2.5], 1.0, [[11, 28], [47, 64]]),
    # No size: 0.1 pixels from 1 on, of which both bins lie in the pixel 1.
    ([1, 1, 0, 0], 1.0, [[6, 22], [38, 54]]),
    # From 0 to 1.5 by 0.75: the bins are the pixels 0, and 0 and 1.
    ([0, 0, 2, 2], 0.5, [[1, 17.5], [35, 51.5]]),
    ([9, 9, 10, 10], 1.0, [[0, 0], [0, 0]]),
]


@pytest.mark.parametrize(("box", "scale", "expected"), PSROIS)
def test_psroi_pool(box: list[float], scale: float, expected: list[list[float]]) -> None:
    x = (MAP + 16 * torch.arange(4.0).reshape(4, 1, 1)).reshape(1, 4, 4, 4)
    op = PsRoiPool(channels=1, groups=2, scale=scale)
    assert_both(op, x, torch.tensor([[0, *box]]), torch.tensor([[expected]], dtype=torch.float32))


def test_psroi_pool_of_numbers_that_are_none() -> None:
    """They stay in their bins."""
    x = torch.tensor([math.inf, 1, -math.inf, math.inf, math.nan, 3]).reshape(1, 1, 1, 6)
    boxes = torch.tensor([[0, a, 0, b, 0] for a, b in ((0.0, 1.0), (1, 1), (1, 2), (2, 3), (4, 5), (5, 5))])
    wanted = torch.tensor([math.inf, 1, -math.inf, math.nan, math.nan, 3]).reshape(-1, 1, 1, 1)
    assert_both(PsRoiPool(channels=1, groups=1), x, boxes, wanted)


GRIDS: list[tuple[list[float], float, list[list[float]]]] = [  # box, pad, results
    # From -0.5 to 1.5 by 1: clamped to the map, then half way between pixels.
    ([0, 0, 2, 2], 0.0, [[1, 1.5, 2.5], [3, 3.5, 4.5], [7, 7.5, 8.5]]),
    # From 2.5 to 4.5 by 1: the pixels 2 and 3, then the last, then outside.
    ([3, 3, 5, 5], 0.0, [[13.5, 14, 0], [15.5, 16, 0], [0, 0, 0]]),
    ([1, 1, 1, 2], 0.0, [[0, 0, 0]] * 3),
    # 0.5 more on each side of [1, 2]: from 0 to 2.
    ([1, 1, 2, 2], 0.25, [[1, 2, 3], [5, 6, 7], [9, 10, 11]]),
]


@pytest.mark.parametrize(("box", "pad", "expected"), GRIDS)
def test_roi_grid(box: list[float], pad: float, expected: list[list[float]]) -> None:
    op = RoiGrid(height=2, width=2, pad=pad)
    assert_both(op, MAP, torch.tensor([[0, *box]]), torch.tensor([[expected]], dtype=torch.float32))


def test_many_boxes_in_several_images() -> None:
    """All windows of three images, in one call, are those of the same boxes one by one."""
    torch.manual_seed(1)
    x, ends = torch.randn(3, 8, 7, 9), torch.rand(40, 4) * 30 - 5
    boxes = torch.cat([torch.randint(0, 3, (40, 1)), ends], 1)
    for op in (
        RoiPool(height=3, width=2, scale=0.3),
        RoiAlign(height=3, width=2, scale=0.3),
        RoiGrid(height=2, width=3, scale=0.3, pad=0.1),
        PsRoiPool(channels=2, groups=2, scale=0.3),
    ):
        assert_both(op, x, boxes, torch.cat([op.reference(x, box[None]) for box in boxes]))


def test_no_boxes() -> None:
    for op in (RoiPool(height=1, width=1), PsRoiPool(channels=1, groups=1), RoiGrid(height=1, width=1)):
        made = run_primitive(op, MAP, torch.zeros(0, 5))
        assert made.shape[0] == 0


def test_what_is_refused() -> None:
    pool: dict[str, Any] = {"height": 1, "width": 1}
    for make, attributes, operands, sentence in (
        (RoiAlign, pool, (f32(1, 2, 4, 4), f32(3, 4)), "the boxes are [r, 5], not f32[3,4]"),
        (RoiPool, pool, (f32(1, 2, 4), f32(3, 5)), "takes images [n, c, h, w], not f32[1,2,4]"),
        (RoiGrid, pool | {"height": 0}, (f32(1, 2, 4, 4), f32(3, 5)), "height and width are 1 or more, not 0 and 1"),
        (RoiPool, pool | {"scale": math.inf}, (f32(1, 2, 4, 4), f32(3, 5)), "the scale of coordinates is finite"),
        (RoiGrid, pool | {"pad": math.nan}, (f32(1, 2, 4, 4), f32(3, 5)), "the enlargement of boxes is finite"),
        (PsRoiPool, {"channels": 0, "groups": 1}, (f32(1, 2, 4, 4), f32(3, 5)), "channels and groups are 1 or more"),
        (
            PsRoiPool,
            {"channels": 2, "groups": 3},
            (f32(1, 2, 4, 4), f32(3, 5)),
            "2 channels of 3 x 3 bins need 18 channels, and it has 2",
        ),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            make(**attributes).infer(*operands)
    with pytest.raises(ValueError, match="a box is in an image that is not there"):
        run_primitive(RoiPool(**pool), torch.zeros(2, 1, 4, 4), torch.tensor([[math.nan, 0, 0, 1, 1]]))
    x, boxes = torch.zeros(2, 1, 4, 4), torch.tensor([[2.0, 0, 0, 1, 1]])
    for op in (RoiAlign(**pool), RoiPool(**pool), RoiGrid(**pool), PsRoiPool(channels=1, groups=1)):
        with pytest.raises(ValueError, match="box 0 is in image 2, and there are 2"):
            op.reference(x, boxes)
        with pytest.raises(ValueError, match="a box is in an image that is not there: there are 2"):
            run_primitive(op, x, boxes)
