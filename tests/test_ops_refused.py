"""What each operator refuses, with the sentence that says why."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cortado.compiler.errors import CompileError
from cortado.compiler.op import make_op
from cortado.compiler.text import parse
from cortado.compiler.types import AtMost, TensorType

T = TensorType
IMAGE = T("f32", (1, 4, 5, 5))
REFUSED: list[tuple[str, dict[str, Any], tuple[TensorType, ...], str]] = [
    ("conv", {}, (T("f32", (1, 4)), T("f32", (1, 4))), "takes images [n, c, ...], not f32[1,4]"),
    ("conv", {}, (IMAGE, T("f32", (8, 4, 3))), "a weight of 3 dimensions does not fit data of 4"),
    ("conv", {}, (IMAGE, T("f32", (8, 3, 3, 3))), "the weight takes 3 channels, the data has 4"),
    ("conv", {"groups": 2}, (IMAGE, T("f32", (8, 1, 3, 3))), "the weight takes 2 channels, the data has 4"),
    (
        "conv", {"groups": 2}, (IMAGE, T("f32", (5, 2, 3, 3))),
        "5 output channels cannot be divided into 2 groups",
    ),
    (
        "conv", {}, (IMAGE, T("f32", (8, 4, 3, 3)), T("f32", (4,))),
        "the bias is f32[4], and there are 8 output channels",
    ),
    ("conv", {}, (IMAGE, T("f32", (8, 4, 7, 3))), "a window of 7 does not fit into an image of 5 padded to 5"),
    (
        "conv", {"dilation": 3}, (IMAGE, T("f32", (8, 4, 3, 3))),
        "a window of 7 does not fit into an image of 5 padded to 5",
    ),
    ("conv", {"stride": 0}, (IMAGE, T("f32", (8, 4, 3, 3))), "stride and dilation are 1 or more, pad 0 or more"),
    ("conv", {"pad": (1, 2, 3)}, (IMAGE, T("f32", (8, 4, 3, 3))), "pad has 3 numbers, the image 2 axes"),
    ("conv", {}, (IMAGE,), "takes 2 to 3 operands, not 1"),
    (
        "conv", {}, (T("f32", (1, AtMost(4), 5, 5)), T("f32", (8, 4, 3, 3))),
        "dimension 1 of f32[1,?4,5,5] has to be known before the net runs",
    ),
    ("max_pool", {"kernel": 6}, (IMAGE,), "a window of 6 does not fit into an image of 5 padded to 5"),
    ("max_pool", {"kernel": 2, "pad": 2}, (IMAGE,), "stride is 1 or more, pad is less than the kernel"),
    ("avg_pool", {"kernel": 2, "stride": 0}, (IMAGE,), "stride is 1 or more, pad is less than the kernel"),
    ("avg_pool", {"round": "near"}, (IMAGE,), 'round is "up" or "down", not "near"'),
    ("avg_pool", {"kernel": (1, 2, 3)}, (IMAGE,), "kernel has 3 numbers, the image 2 axes"),
    ("lrn", {"size": 4}, (IMAGE,), "size is odd, not 4"),
    ("lrn", {"region": "around"}, (IMAGE,), 'region is "across" or "within", not "around"'),
    ("lrn", {"region": "within"}, (T("f32", (1, 4)),), "takes images [n, c, ...], not f32[1,4]"),
    ("softmax", {"axis": 4}, (IMAGE,), "there is no axis 4 in f32[1,4,5,5]"),
    ("softmax", {"axis": -5}, (IMAGE,), "there is no axis -5 in f32[1,4,5,5]"),
    ("linear", {}, (IMAGE, T("f32", (3, 99))), "the weight takes 99 numbers, a row of the data has 100"),
    (
        "linear", {"transpose": True}, (IMAGE, T("f32", (3, 100))),
        "the weight takes 3 numbers, a row of the data has 100",
    ),
    ("linear", {}, (IMAGE, T("f32", (100,))), "the weight is a matrix, not f32[100]"),
    ("linear", {}, (IMAGE, T("f32", (3, 100)), T("f32", (1,))), "the bias is f32[1], and there are 3 outputs"),
    (
        "batch_norm", {}, (IMAGE, T("f32", (5,)), T("f32", (5,))),
        "operand 2 is f32[5], which does not match f32[1,4,5,5] from axis 1 on",
    ),
    (
        "scale", {"axis": 4}, (IMAGE, T("f32", (4,))),
        "operand 2 is f32[4], which does not match f32[1,4,5,5] from axis 4 on",
    ),
    (
        "scale", {"axis": -9}, (IMAGE, T("f32", (4,))),
        "operand 2 is f32[4], which does not match f32[1,4,5,5] from axis -9 on",
    ),
    ("prelu", {}, (IMAGE, T("f32", (1,))), "operand 2 is f32[1], which does not match f32[1,4,5,5] from axis 1 on"),
    ("relu", {}, (IMAGE, IMAGE), "takes 1 operand, not 2"),
    ("elu", {}, (), "takes 1 operand, not 0"),
    ("add", {}, (IMAGE, T("f32", (1, 4, 5, 6))), "operand 2 is f32[1,4,5,6], the first is f32[1,4,5,5]"),
    ("mul", {}, (IMAGE, T("f32", (4,))), "operand 2 is f32[4], the first is f32[1,4,5,5]"),
    ("max", {}, (IMAGE,), "takes 2 operands, not 1"),
    (
        "concat", {}, (IMAGE, T("f32", (1, 4, 5, 6))),
        "operand 2 is f32[1,4,5,6], the first f32[1,4,5,5]: they may differ along axis 1 only",
    ),
    ("concat", {}, (IMAGE, T("f32", (1, 4, 5))), "they may differ along axis 1 only"),
    ("concat", {"axis": 7}, (IMAGE,), "there is no axis 7 in f32[1,4,5,5]"),
    ("concat", {}, (), "takes 1 or more operands, not 0"),
    ("slice", {"parts": 3}, (IMAGE,), "4 cannot be split into 3 equal parts"),
    ("slice", {"points": (2, 2)}, (IMAGE,), "the points [2, 2] do not increase between 0 and 4"),
    ("slice", {"points": (4,)}, (IMAGE,), "the points [4] do not increase between 0 and 4"),
    ("slice", {"parts": 0}, (IMAGE,), "4 cannot be split into 0 equal parts"),
    ("reshape", {"shape": (3, -1)}, (IMAGE,), "f32[1,4,5,5] cannot take the shape [3, -1]: 100 elements, not 3"),
    ("reshape", {"shape": (99,)}, (IMAGE,), "f32[1,4,5,5] cannot take the shape [99]: 100 elements, not 99"),
    ("reshape", {"shape": (-1, -1)}, (IMAGE,), "shape [-1, -1]: sizes are 0 or more, and at most one is -1"),
    ("reshape", {"shape": (-2,)}, (IMAGE,), "shape [-2]: sizes are 0 or more, and at most one is -1"),
    ("reshape", {"shape": (1, 1, 1, 1, 0)}, (IMAGE,), "copies dimension 4, and f32[1,4,5,5] has none"),
    ("reshape", {"shape": (1,), "axis": 3, "num_axes": 2}, (IMAGE,), "f32[1,4,5,5] has no 2 dimensions from axis 3 on"),
    (
        "reshape", {"shape": (7,)}, (T("f32", (AtMost(7),)),),
        "f32[?7] has a dimension that is known only when the net runs",
    ),
    (
        "reshape", {"shape": (-1, 4)}, (T("f32", (AtMost(7), 6)),),
        "f32[?7,6] cannot take the shape [-1, 4]: 6 is not a multiple of 4",
    ),
    ("flatten", {"axis": 2, "end_axis": 1}, (IMAGE,), "axis 2 comes after end_axis 1 in f32[1,4,5,5]"),
    ("flatten", {"axis": 9}, (IMAGE,), "there is no axis 9 in f32[1,4,5,5]"),
    ("relayout", {"to": "chwn"}, (IMAGE,), 'to is "nchw" or "nhwc", not "chwn"'),
    ("relayout", {}, (T("f32", (4,)),), "only images [n, c, h, w] have layouts, not f32[4]"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "attributes", "types", "sentence"), REFUSED)
def test_refused(name: str, attributes: dict[str, Any], types: tuple[TensorType, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make_op(name, attributes).infer_types(types)


def test_attributes_are_what_their_fields_say() -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("relu", {"slope": "steep"}, "slope is a number, not 'steep'"),
        ("conv", {"groups": 1.5}, "groups is a whole number, not 1.5"),
        ("conv", {"groups": True}, "groups is a whole number, not True"),
        ("conv", {"pad": (1, "2")}, "pad is a whole number or a list of them, not (1, '2')"),
        ("max_pool", {"mask": 1}, "mask is a bool, not 1"),
        ("lrn", {"region": 1}, "region is a str, not 1"),
        ("slice", {"points": 1.5}, "points is a whole number or a list of them, not 1.5"),
    ]
    for name, given, sentence in cases:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            make_op(name, given)
    assert make_op("conv", {"pad": (1, 1)}) == make_op("conv", {"pad": 1})
    assert make_op("relu", {"slope": 0}).attributes() == {}


def test_both_producers_are_named() -> None:
    with pytest.raises(CompileError, match=r"operands: a f32\[1,4,5,5\], b f32\[1,4,3,3\]"):
        parse("net t(x: f32[1,4,5,5]) { a = relu(x) b = max_pool(x, kernel=3) y = add(a, b) return y }")
