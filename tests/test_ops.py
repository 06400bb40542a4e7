"""Each operator once against numbers worked out by hand, and what it refuses, with the sentence.

`reference` is the truth that every backend is compared with, so here nothing is compared with torch: the numbers are
in the test, small enough to follow with a pencil. Other families have files of their own, tests/test_ops_*.py.
"""

from __future__ import annotations

import re
from math import e, exp, inf, nan, sqrt, tanh
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cortado.compiler.op import REGISTRY, make_op
from cortado.compiler.ops.fused import Fused
from cortado.compiler.text import parse
from cortado.compiler.types import type_of


def compute(name: str, *operands: Tensor, **attributes: Any) -> list[Tensor]:
    """All results, after a proof that their types are those that `infer` says."""
    op = make_op(name, attributes)
    made = op.compute(operands)
    assert op.infer_types([type_of(t) for t in operands]) == tuple(map(type_of, made))
    return list(made)


def assert_result(expected: Any, name: str, *operands: Any, **attributes: Any) -> None:
    """The one result, to a few units in the last place; a NaN where a NaN is expected."""
    (got,) = compute(name, *map(f32, operands), **attributes)
    torch.testing.assert_close(got, f32(expected), rtol=1e-6, atol=1e-6, equal_nan=True)


def f32(numbers: Any) -> Tensor:
    return numbers if isinstance(numbers, Tensor) else torch.tensor(numbers, dtype=torch.float32)


def image(*rows: list[float]) -> Tensor:
    """One channel of one picture."""
    return f32([[list(rows)]])


def arange_from_one(*shape: int) -> Tensor:
    """1, 2, 3, ... in that shape."""
    return torch.arange(1, torch.Size(shape).numel() + 1, dtype=torch.float32).reshape(shape)


def test_conv_of_one_window() -> None:
    x, w = arange_from_one(1, 1, 3, 3), image([1, 0], [0, -1])
    assert_result([[[[-4, -4], [-4, -4]]]], "conv", x, w)
    assert_result([[[[6, 6], [6, 6]]]], "conv", x, w, [10])


def test_conv_strides_pads_and_dilates() -> None:
    x, w = arange_from_one(1, 1, 3, 3), image([1, 1], [1, 1])
    assert_result([[[[1, 5], [11, 28]]]], "conv", x, w, stride=2, pad=1)
    assert_result([[[[1 + 3 + 7 + 9]]]], "conv", x, w, dilation=2)
    assert_result([[[[12, 16]]]], "conv", x, w, stride=[2, 1])
    assert_result([[[[0, 0], [3, 5], [9, 11], [15, 17]]]], "conv", x, image([1, 1], [0, 0]), pad=[1, 0])


def test_conv_of_several_channels_and_groups() -> None:
    x = f32([[[[1, 2]], [[3, 4]]]])  # [1, 2, 1, 2]
    assert_result([[[[1 + 30, 2 + 40]], [[-2, -2]]]], "conv", x, f32([[1, 10], [1, -1]]).reshape(2, 2, 1, 1))
    w = f32([1, 2, 3, 4]).reshape(4, 1, 1, 1)
    assert_result([[[[1, 2]], [[2, 4]], [[9, 12]], [[12, 16]]]], "conv", x, w, groups=2)


def test_conv_along_one_axis_and_three() -> None:
    assert_result([[[3, 5, 7]]], "conv", [[[1, 2, 3, 4]]], [[[1, 1]]])
    assert_result([[[[[36.0]]]]], "conv", arange_from_one(1, 1, 2, 2, 2), torch.ones(1, 1, 2, 2, 2))
    assert_result([[[[[1.0]]], [[[8.0]]]]], "conv", [[[[[1]]], [[[4]]]]], [[[[[1]]], [[[0]]]], [[[[0]]], [[[2]]]]])


def test_max_pool() -> None:
    x = arange_from_one(1, 1, 3, 3)
    assert_result([[[[5, 6], [8, 9]]]], "max_pool", x, kernel=2)
    assert_result([[[[5, 6], [8, 9]]]], "max_pool", x, kernel=2, stride=2)  # Caffe rounds up: windows of 2, of 1
    assert_result([[[[5]]]], "max_pool", x, kernel=2, stride=2, round="down")
    assert_result([[[[1, 3], [7, 9]]]], "max_pool", x, kernel=2, stride=2, pad=1)
    assert_result([[[[9]]]], "max_pool", x)
    assert_result([[[[2, 3]]]], "max_pool", image([1, 2, 3]), kernel=[1, 2])
    assert_result([[[4, 4]]], "max_pool", [[[1, 4, 2]]], kernel=2)
    assert_result([[[[[8]]]]], "max_pool", arange_from_one(1, 1, 2, 2, 2), kernel=2)


def test_max_pool_drops_a_window_that_would_start_in_the_padding() -> None:
    # 2 + 2 - 2 = 2, / 2 rounded up + 1 = 2 windows; the second starts at 1, inside: it stays.
    assert_result([[[[1, 2]]]], "max_pool", image([1, 2]), kernel=[1, 2], stride=[1, 2], pad=[0, 1])
    # 3 + 2 - 2 = 3, / 3 rounded up + 1 = 2; the second starts at 2. With a pixel less it would start behind the image.
    assert_result([[[[1, 3]]]], "max_pool", image([1, 2, 3]), kernel=[1, 2], stride=[1, 3], pad=[0, 1])
    assert_result([[[[1]]]], "max_pool", image([1, 2]), kernel=[1, 2], stride=[1, 3], pad=[0, 1])


def test_max_pool_tells_where() -> None:
    largest, where = compute("max_pool", image([1, 5, 2], [5, 0, 7]), kernel=2, stride=1, mask=True)
    assert largest.tolist() == [[[[5, 7]]]]
    assert where.tolist() == [[[[1, 5]]]]  # the first of two fives, by rows
    two = torch.cat([image([1, 2]), image([2, 1])], 1)
    assert compute("max_pool", two, mask=True)[1].tolist() == [[[[1]], [[0]]]]
    assert compute("max_pool", image([-1, -2]), kernel=[1, 2], pad=[0, 1], mask=True)[1].tolist() == [[[[0, 0, 1]]]]


def test_avg_pool() -> None:
    x = arange_from_one(1, 1, 3, 3)
    assert_result([[[[3, 4], [6, 7]]]], "avg_pool", x, kernel=2)
    # Windows that hang over the far rim are divided by what they hold.
    assert_result([[[[3, 4.5], [7.5, 9]]]], "avg_pool", x, kernel=2, stride=2)
    assert_result([[[[5]]]], "avg_pool", x)
    # The window is cut to the padded image: 3 x 3 with pad 1 divides corners by 9 all the same.
    assert_result([[[[12 / 9, 16 / 9], [24 / 9, 28 / 9]]]], "avg_pool", x, kernel=3, stride=2, pad=1)
    # 4 wide, kernel 3, stride 3, pad 1: the second window starts at 2 and is cut to 2..5, the padding's end: 3 wide.
    x = image([1, 2, 3, 4])
    assert_result([[[[(0 + 1 + 2) / 3, (3 + 4 + 0) / 3]]]], "avg_pool", x, kernel=[1, 3], stride=[1, 3], pad=[0, 1])
    # 4 wide, kernel 3, stride 2, pad 1: the third starts at 3 and is cut to 3..5: 2 wide.
    assert_result([[[[1, 3, 2]]]], "avg_pool", x, kernel=[1, 3], stride=[1, 2], pad=[0, 1])


def test_lrn_across_channels() -> None:
    x = f32([1, 2, 3]).reshape(1, 3, 1, 1)
    expected = [1 / (1 + 5 / 3), 2 / (1 + 14 / 3), 3 / (1 + 13 / 3)]
    assert_result(f32(expected).reshape(1, 3, 1, 1), "lrn", x, size=3, alpha=1, beta=1)
    expected = [1 / sqrt(2 + 3 * 1), 2 / sqrt(2 + 3 * 4), 3 / sqrt(2 + 3 * 9)]
    assert_result(f32(expected).reshape(1, 3, 1, 1), "lrn", x, size=1, alpha=3, beta=0.5, k=2)


def test_lrn_within_a_channel() -> None:
    x = image([1, 2], [3, 4])
    scale = 1 + 9 / 9 * 30  # all four in every window
    assert_result(
        [[[[1 / scale, 2 / scale], [3 / scale, 4 / scale]]]], "lrn", x, size=3, alpha=9, beta=1, k=7, region="within"
    )


def test_softmax() -> None:
    total = 1 + e + e * e
    assert_result([[1 / total, e / total, e * e / total], [1 / 3] * 3], "softmax", [[0, 1, 2], [5, 5, 5]])
    assert_result([[0.5, 1 / (1 + e)], [0.5, e / (1 + e)]], "softmax", [[3, 1], [3, 2]], axis=0)
    assert_result([[0, 1]], "softmax", [[0, 200]])


def test_linear() -> None:
    x, w = f32([[1, 2, 3]]), f32([[1, 0, 0], [1, 1, 1]])
    assert_result([[1, 6]], "linear", x, w)
    assert_result([[11, 26]], "linear", x, w, [10, 20])
    assert_result([[1, 6]], "linear", x, w.T.contiguous(), transpose=True)
    assert_result([[1, 10]], "linear", arange_from_one(1, 2, 2), [[1, 0, 0, 0], [1, 1, 1, 1]])
    assert_result([[[3], [7]]], "linear", arange_from_one(1, 2, 2), [[1, 1]], axis=2)
    assert_result([[[3], [7]]], "linear", arange_from_one(1, 2, 2), [[1, 1]], axis=-1)
    assert_result([10], "linear", arange_from_one(2, 2), [[1, 1, 1, 1]], axis=0)


def test_batch_norm() -> None:
    x = f32([[1, 5], [3, 9]]).reshape(2, 2, 1)
    assert_result(f32([[0, 0], [1, 2]]).reshape(2, 2, 1), "batch_norm", x, [1, 5], [3, 3], eps=1)
    assert_result([[0.5, -3]], "batch_norm", [[2, -2]], [1, 1], [4, 1], eps=0)


def test_scale() -> None:
    x = arange_from_one(1, 2, 2)
    assert_result([[[10, 20], [300, 400]]], "scale", x, [10, 100])
    assert_result([[[11, 21], [302, 402]]], "scale", x, [10, 100], [1, 2])
    assert_result([[[10, 200], [30, 400]]], "scale", x, [10, 100], axis=2)
    assert_result([[[10, 200], [30, 400]]], "scale", x, [10, 100], axis=-1)
    assert_result([[[1, 4], [9, 16]]], "scale", x, [[1, 2], [3, 4]])
    assert_result([[[1, 4], [9, 16]]], "scale", x, arange_from_one(1, 2, 2), axis=0)
    assert_result([[[2, 4], [6, 8]]], "scale", x, 2.0)


def test_activations() -> None:
    x = [-2.0, -0.0, 0.5, inf]
    assert_result([0, 0, 0.5, inf], "relu", x)
    assert_result([-0.5, 0, 0.5, inf], "relu", x, slope=0.25)
    assert_result([exp(-2) - 1, 0, 0.5, inf], "elu", x)
    assert_result([3 * (exp(-2) - 1), 0, 0.5, inf], "elu", x, alpha=3)
    assert_result([1 / (1 + e * e), 0.5, 1 / (1 + exp(-0.5)), 1], "sigmoid", x)
    assert_result([tanh(-2), 0, tanh(0.5), 1], "tanh", x)
    assert_result([2, 0, 0.5, inf], "abs", x)
    assert_result(x, "dropout", x, ratio=0.9)


def test_at_least() -> None:
    x = [[-1.0, -20], [2, nan]]
    assert_result([[-1, -0.5], [2, nan]], "at_least", x, [-inf, -0.5])
    assert_result([[-1, -2], [3, nan]], "at_least", x, [-2, 3], axis=0)
    assert_result([[-inf, 0], [inf, 0]], "at_least", [[-inf, -inf], [inf, -0.0]], [-inf, 0])


def test_prelu() -> None:
    x = f32([[-1, -1], [2, -2]])
    assert_result([[-0.5, -10], [2, -20]], "prelu", x, [0.5, 10])
    assert_result([[-3, -3], [2, -6]], "prelu", x, 3.0)
    assert_result([[-0.5, -0.5], [2, -20]], "prelu", x, [0.5, 10], axis=0)


def test_arithmetic_of_two() -> None:
    assert_result([11, 22], "add", [1, 2], [10, 20])
    assert_result([-8, -16], "add", [1, 2], [10, 20], alpha=2, beta=-1)
    assert_result([10, 40], "mul", [1, 2], [10, 20])
    assert_result([5, 7, -1], "max", [5, -7, -1], [3, 7, -2])
    assert_result([2, nan], "max", [nan, 2], [2, nan])  # the second where they cannot be compared
    assert_result([3, -7, -2], "min", [5, -7, -1], [3, 7, -2])
    assert_result([2, nan], "min", [nan, 2], [2, nan])
    assert_result([0.5, -4, inf, -inf, nan], "div", [1, 8, 3, -3, 0], [2, -2, 0, 0, 0])


def test_power() -> None:
    assert_result([9, 1, 0], "power", [3, -1, 0], power=2)
    assert_result([7, -1], "power", [3, -1], scale=2, shift=1)
    assert_result([2, nan], "power", [4, -4], power=0.5)
    assert_result([0.5, inf], "power", [2, 0], power=-1)
    assert_result([343, -1], "power", [3, -1], power=3, scale=2, shift=1)
    assert_result([1, 1, 1], "power", [inf, nan, 0], power=0)
    assert_result([8, 8, 8], "power", [inf, nan, 0], power=3, scale=0, shift=2)


def test_concat() -> None:
    assert_result([[1, 2, 3], [4, 5, 6]], "concat", [[1], [4]], [[2, 3], [5, 6]])
    assert_result([[1], [4], [2]], "concat", [[1], [4]], [[2]], axis=0)
    assert_result([[1, 2]], "concat", [[1, 2]], axis=-1)


def test_slice() -> None:
    x = f32([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert [t.tolist() for t in compute("slice", x, parts=2)] == [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]
    assert [t.tolist() for t in compute("slice", x, points=(1, 3))] == [[[1], [5]], [[2, 3], [6, 7]], [[4], [8]]]
    assert [t.tolist() for t in compute("slice", x, axis=-2, points=(1,))] == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


def test_reshape_and_flatten() -> None:
    x = arange_from_one(2, 3, 4)
    shapes: dict[tuple[int, ...], dict[str, Any]] = {
        (2, 12): {"shape": (2, 12)},
        (2, 4, 3): {"shape": (0, -1, 3)},
        (6, 4): {"shape": (-1,), "axis": 0, "num_axes": 2},
        (2, 3, 2, 2): {"shape": (2, 2), "axis": 2},
        (2, 3, 4, 1): {"shape": (1,), "axis": -1, "num_axes": 0},
        (1, 2, 3, 4): {"shape": (1,), "axis": 0, "num_axes": 0},
    }
    for shape, attributes in shapes.items():
        assert_result(arange_from_one(*shape), "reshape", x, **attributes)
    assert_result(arange_from_one(2, 12), "flatten", x)
    assert_result(arange_from_one(6, 4), "flatten", x, axis=0, end_axis=1)
    assert_result(arange_from_one(24), "flatten", x, axis=0)
    assert_result(arange_from_one(2, 3, 4), "flatten", x, axis=-1)


def test_relayout_means_nothing() -> None:
    assert_result(arange_from_one(1, 2, 2, 2), "relayout", arange_from_one(1, 2, 2, 2))


def test_fused() -> None:
    body = parse("kernel k(a: f32[2], b: f32[2]) { c = add(a, b) d = relu(c) return d }")
    (result,) = Fused(body).compute([f32([1, -3]), f32([1, 1])])
    assert result.tolist() == [2, 0]
    assert Fused(body).pointwise_in(0) and Fused(body).pointwise_in(1)


def test_distance() -> None:
    x, centres = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0], [-2.0, 2.0], [0.0, 0.0]])
    (squared,), (absolute,) = (make_op("distance", {"norm": norm}).compute([x, centres]) for norm in (2, 1))
    assert squared.tolist() == [[4, 9, 5]] and absolute.tolist() == [[2, 3, 3]]


def test_every_operator_has_a_test() -> None:
    """By its name, quoted or as a call in a text, or by its class."""
    folder = Path(__file__).parent
    written = "".join(p.read_text("utf-8") for p in sorted(folder.glob("test_ops*.py")))
    here = [name for name, cls in REGISTRY.items() if cls.__module__.startswith("cortado.")]
    named = {name: rf"[\"'= ,(]{re.escape(name)}[\"'(]|\b{REGISTRY[name].__name__}\(" for name in here}
    missing = [name for name in here if not re.search(named[name], written)]
    assert not missing


def test_every_operator_has_a_manual_page() -> None:
    assert not [name for name, cls in REGISTRY.items() if not (cls.__doc__ or "").strip()]
