"""Every primitive against plain torch or numbers worked out by hand, in both layouts, on views, with odd shapes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cortado.runtime.arena import allocate, view
from cortado.runtime.artifact import ACTIVATIONS, EXPR_FUNCTIONS, PRIMITIVE_TABLE, Slot
from cortado.runtime.primitives import IMPLEMENTATIONS, CallSite, Operand, PackedWeights

LAYOUTS = ("nchw", "nhwc")


@pytest.fixture(autouse=True)
def one_thread_and_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def copy_to_layout(x: Tensor, layout: str = "nchw", spare: int = 0) -> Tensor:
    """A copy of x in that layout; with `spare` it is a view of some channels of a larger tensor."""
    channels = (spare, x.shape[1] + 2 * spare) if spare else None
    slot = Slot("f32", tuple(x.shape), layout, 0, channels)
    tensor = view(allocate(slot.nbytes).fill_(255), slot)  # 255s are NaN: what is not written is seen
    return tensor.copy_(x)


def call(
    primitive: str,
    attributes: dict[str, Any],
    operands: Sequence[Tensor],
    results: Sequence[Tensor],
    constants: Sequence[int] = (),
) -> None:
    """Prepare and run a step as the runtime does, after the same proof of shapes."""
    given = [Operand(x.dtype, tuple(x.shape), data=x if i in constants else None) for i, x in enumerate(operands)]
    complete = PRIMITIVE_TABLE[primitive].complete(attributes)
    shapes = IMPLEMENTATIONS[primitive].infer_shapes
    assert shapes is not None
    assert [*map(tuple, shapes(complete, [o.shape for o in given], [r.shape for r in results]))] == [
        r.shape for r in results
    ]
    made = tuple(Operand(r.dtype, tuple(r.shape)) for r in results)
    run = IMPLEMENTATIONS[primitive].prepare(CallSite(complete, tuple(given), made, PackedWeights()))
    for _ in range(2):  # nothing may be left over from a run
        with torch.inference_mode():
            run(results, operands)


def run_primitive(
    primitive: str, attributes: dict[str, Any], operands: Sequence[Tensor], like: Tensor, **kwargs: Any
) -> Tensor:
    result = copy_to_layout(torch.full_like(like, torch.nan))
    call(primitive, attributes, operands, [result], **kwargs)
    return result


def assert_close(found: Tensor, wanted: Tensor, tolerance: float = 1e-6) -> None:
    scale = max(1.0, wanted.abs().max().item()) if wanted.numel() else 1.0
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * scale, equal_nan=True)


def test_the_table_is_the_signatures() -> None:
    assert set(IMPLEMENTATIONS) | {"user", "launch", "view"} == set(PRIMITIVE_TABLE)


CONVOLUTIONS = [  # x, w, stride, pad, dilation, groups
    ((2, 3, 9, 11), (8, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 3, 23, 17), (5, 3, 7, 5), (2, 3), (3, 0), (1, 1), 1),
    ((2, 6, 7, 7), (9, 2, 3, 3), (1, 1), (2, 2), (2, 2), 3),
    ((3, 16, 8, 5), (16, 1, 3, 3), (2, 2), (1, 1), (1, 1), 16),
    ((2, 5, 6, 6), (10, 1, 3, 3), (1, 1), (0, 0), (1, 1), 5),
    ((2, 7, 5, 5), (3, 7, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 7, 5, 5), (3, 7, 1, 1), (2, 2), (1, 1), (1, 1), 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((4, 32, 1, 1), (17, 32, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((3, 5, 4, 6), (7, 5, 4, 6), (2, 2), (0, 0), (1, 1), 1),  # it covers its image, as do some of the next
    ((3, 6, 4, 3), (9, 2, 4, 3), (1, 1), (0, 0), (1, 1), 3),
    ((2, 4, 3, 3), (6, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 4, 13), (6, 4, 13), (1,), (0,), (1,), 1),
    ((2, 3, 2, 3, 2), (4, 3, 2, 3, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1),
    ((2, 4, 13), (6, 4, 3), (2,), (1,), (1,), 1),
    ((2, 4, 13), (6, 2, 3), (1,), (2,), (2,), 2),
    ((2, 3, 5, 6, 7), (4, 3, 3, 2, 3), (1, 2, 1), (1, 0, 1), (1, 1, 1), 1),
]
REFERENCE = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize(
    ("bias", "add", "spare"), [(False, False, 0), (True, False, 3), (True, True, 0), (False, True, 2)]
)
def test_convolution(case: Any, layout: str, bias: bool, add: bool, spare: int) -> None:
    shape, weight, stride, pad, dilation, groups = case
    x, w, b = torch.randn(shape), torch.randn(weight) * 0.3, torch.randn(weight[0])
    wanted = REFERENCE[len(shape)](x, w, b if bias else None, stride, pad, dilation, groups)
    r = torch.randn(wanted.shape)
    wanted = (wanted + r if add else wanted).relu()
    operands = [copy_to_layout(x, layout, spare), w, *[b] * bias, *[copy_to_layout(r, layout)] * add]
    attributes = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups, "bias": bias, "add": add}
    result = copy_to_layout(torch.full_like(wanted, torch.nan), layout, spare)
    call("conv_packed", attributes | {"activation": "relu"}, operands, [result], constants=[1, 2][: 1 + bias])
    assert_close(result, wanted, 3e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("constants", [[1], []], ids=["packed", "unpacked"])
@pytest.mark.parametrize("case", [(4, [1], [0, 2]), (5, [1, 2], [2, 0, 1, 3]), (6, [1, 1, 2], [0, 1, 2, 1, 0, 2])])
def test_a_convolution_with_more_padding_on_one_side(case: Any, constants: list[int], layout: str) -> None:
    size, stride, pad = case
    axes = len(stride)
    x, w = torch.randn(2, 3, *range(size, size + axes)), torch.randn(4, 3, *[3] * axes)
    edges = [n for i in reversed(range(axes)) for n in (pad[i], pad[axes + i])]
    wanted = REFERENCE[axes + 2](F.pad(x, edges), w, stride=stride)
    attributes = {"stride": stride, "pad": pad, "dilation": [1]}
    result = copy_to_layout(torch.full_like(wanted, torch.nan), layout)
    call("conv_packed", attributes, [copy_to_layout(x, layout), w], [result], constants=constants)
    assert_close(result, wanted, 3e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_residual_is_added_in_place(layout: str) -> None:
    x, w, r = torch.randn(2, 4, 6, 6), torch.randn(8, 4, 3, 3), torch.randn(2, 8, 6, 6)
    attributes = {"stride": [1], "pad": [1], "dilation": [1], "add": True}
    wanted = F.conv2d(x, w, None, 1, 1) + r
    place = copy_to_layout(r, layout, spare=4)
    given = [Operand(t.dtype, tuple(t.shape), data=w if t is w else None) for t in (x, w, r)]
    made = (Operand(r.dtype, tuple(r.shape)),)
    run = IMPLEMENTATIONS["conv_packed"].prepare(
        CallSite(PRIMITIVE_TABLE["conv_packed"].complete(attributes), tuple(given), made, PackedWeights())
    )
    run([place], [copy_to_layout(x, layout), w, place])
    assert_close(place, wanted, 3e-6)
    whole = place.as_strided((2, 16, 6, 6), place.stride(), 0)
    assert whole[:, :4].isnan().all() and whole[:, 12:].isnan().all(), "it wrote beside its channels"


TORCH_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "clip": lambda x: x.clamp(0.0, 6.0),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations(name: str, add: bool, dtype: torch.dtype) -> None:
    x, w, b = (torch.randn(s, dtype=dtype) for s in ((2, 4, 6, 6), (8, 4, 3, 3), (8,)))
    r = torch.randn(2, 8, 4, 4, dtype=dtype)
    attributes = {"stride": [1], "pad": [0], "dilation": [1], "bias": True, "activation": name}
    attributes |= {"slope": 0.1, "low": 0.0, "high": 6.0}
    result = torch.full_like(r, torch.nan)
    call("conv_packed", attributes | {"add": add}, [x, w, b, *[r] * add], [result], constants=[1, 2])
    assert_close(result, TORCH_ACTIVATIONS[name](F.conv2d(x, w, b) + (r if add else 0)))
    rows, matrix = torch.randn(3, 30, dtype=dtype), torch.randn(8, 30, dtype=dtype) * 0.2
    result = torch.full((3, 8), torch.nan, dtype=dtype)
    del attributes["stride"], attributes["pad"], attributes["dilation"]
    call("linear_packed", attributes, [rows, matrix, b], [result], constants=[1, 2])
    assert_close(result, TORCH_ACTIVATIONS[name](F.linear(rows, matrix, b)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 4, 5, 2), 1), ((1, 4, 5, 2), 1), ((2, 3, 4, 5), 2), ((2, 3, 4, 5), -1)]
)
def test_linear(shape: tuple[int, ...], axis: int, transpose: bool, layout: str) -> None:
    k = torch.Size(shape[axis:]).numel()
    x, w, b = torch.randn(shape), torch.randn(7, k), torch.randn(7)
    wanted = F.linear(x.reshape(*shape[: axis % 4], k), w, b)
    stored = w.t().contiguous() if transpose else w
    attributes = {"axis": axis, "transpose": transpose, "bias": True}
    assert_close(
        run_primitive("linear_packed", attributes, [copy_to_layout(x, layout), stored, b], wanted, constants=[1, 2]),
        wanted,
    )
    assert_close(
        run_primitive("linear_packed", attributes, [copy_to_layout(x, layout), stored, b], wanted), wanted
    )  # a computed weight


def caffe_pool(x: Tensor, kernel: int, stride: int, pad: int, up: bool, largest: bool) -> tuple[Tensor, Tensor]:
    """pooling_layer.cpp, loop by loop."""
    n, c, height, width = x.shape
    sizes = []
    for size in (height, width):
        room = size + 2 * pad - kernel
        count = (-(-room // stride) if up else room // stride) + 1
        sizes.append(count - 1 if pad and (count - 1) * stride >= size + pad else count)
    y, mask = torch.empty(n, c, *sizes), torch.full((n, c, *sizes), -1.0)
    for i, j, ph, pw in itertools.product(range(n), range(c), *map(range, sizes)):
        top, left = ph * stride - pad, pw * stride - pad
        area = (min(top + kernel, height + pad) - top) * (min(left + kernel, width + pad) - left)
        best, total = torch.finfo(torch.float32).min, 0.0
        for h in range(max(top, 0), min(top + kernel, height)):
            for w in range(max(left, 0), min(left + kernel, width)):
                value = x[i, j, h, w].item()
                total += value
                if value > best:
                    best, mask[i, j, ph, pw] = value, h * width + w
        y[i, j, ph, pw] = best if largest else total / area
    return y, mask


POOLS = [
    (5, 3, 2, 0),
    (7, 3, 2, 1),
    (8, 3, 2, 0),
    (6, 2, 2, 0),
    (6, 2, 2, 1),
    (9, 3, 3, 2),
    (4, 3, 1, 2),
    (5, 2, 3, 0),
    (4, 1, 3, 0),
    (3, 3, 2, 1),
    (4, 5, 2, 2),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize(("size", "kernel", "stride", "pad"), POOLS)
def test_pooling_is_caffes(size: int, kernel: int, stride: int, pad: int, up: bool, layout: str) -> None:
    x = torch.randint(-9, 9, (2, 3, size, size + 3)).float()  # equal numbers: the first has to win
    attributes = {"kernel": [kernel], "stride": [stride, stride], "pad": [pad, pad], "round": "up" if up else "down"}
    wanted, places = caffe_pool(x, kernel, stride, pad, up, True)
    result, mask = (
        copy_to_layout(torch.full_like(wanted, torch.nan), layout, spare=1),
        torch.full_like(wanted, torch.nan),
    )
    call("max_pool", attributes | {"mask": True}, [copy_to_layout(x, layout)], [result, mask])
    assert torch.equal(result, wanted) and torch.equal(mask, places)
    assert torch.equal(run_primitive("max_pool", attributes, [copy_to_layout(x, layout, spare=2)], wanted), wanted)
    wanted, _ = caffe_pool(x, kernel, stride, pad, up, False)
    assert_close(run_primitive("avg_pool", attributes, [copy_to_layout(x, layout)], wanted), wanted)


def test_a_window_that_begins_outside() -> None:
    """Kernel 2, stride 5 on 4 pixels: Caffe makes a second window out of nothing and starts its maximum at -FLT_MAX."""
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    wanted, places = torch.full((1, 1, 2, 2), torch.finfo(torch.float32).min), -torch.ones(1, 1, 2, 2)
    wanted[0, 0, 0, 0], places[0, 0, 0, 0] = 5, 5
    mask = torch.full_like(wanted, torch.nan)
    result = torch.full_like(wanted, torch.nan)
    call("max_pool", {"kernel": [2], "stride": [5], "mask": True}, [x], [result, mask])
    assert torch.equal(result, wanted) and torch.equal(mask, places)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stride", [[2], [3], [2, 1]], ids=str)
def test_max_pool_of_single_pixels_is_a_copy(stride: list[int], layout: str) -> None:
    x = torch.randn(2, 3, 7, 6)
    down, across = (*stride, *stride)[:2]
    attributes = {"kernel": [1], "stride": stride, "round": "down"}
    wanted = x[:, :, ::down, ::across]
    assert torch.equal(run_primitive("max_pool", attributes, [copy_to_layout(x, layout)], wanted), wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pooling_of_whole_images_and_of_one_and_three_axes(layout: str) -> None:
    x = torch.randn(2, 3, 5, 7)
    assert_close(
        run_primitive("avg_pool", {}, [copy_to_layout(x, layout)], x[..., :1, :1]), x.mean((2, 3), keepdim=True)
    )
    assert torch.equal(
        run_primitive("max_pool", {}, [copy_to_layout(x, layout)], x[..., :1, :1]), x.amax((2, 3), keepdim=True)
    )
    x = torch.randn(2, 3, 9)
    wanted = F.max_pool1d(x, 3, 2, 1, ceil_mode=True)
    attributes = {"kernel": [3], "stride": [2], "pad": [1]}
    assert torch.equal(run_primitive("max_pool", attributes, [copy_to_layout(x, layout)], wanted), wanted)
    assert_close(run_primitive("avg_pool", attributes, [x], wanted), F.avg_pool1d(x, 3, 2, 1, ceil_mode=True))
    x = torch.randn(2, 3, 4, 6, 5)
    wanted = F.max_pool3d(x, 2, 2, ceil_mode=True)
    assert torch.equal(run_primitive("max_pool", {"kernel": [2], "stride": [2]}, [x], wanted), wanted)
    assert_close(
        run_primitive("avg_pool", {"kernel": [2], "stride": [2]}, [x], wanted), F.avg_pool3d(x, 2, 2, ceil_mode=True)
    )


def test_averages_may_leave_the_padding_out() -> None:
    x = torch.tensor([[[[2.0, 4.0], [6.0, 8.0]]]])
    attributes = {"kernel": [2], "stride": [2], "pad": [1], "include_pad": False}
    wanted = torch.tensor([[[[2.0, 4.0], [6.0, 8.0]]]])
    assert_close(run_primitive("avg_pool", attributes, [x], wanted), wanted)
    assert_close(run_primitive("avg_pool", attributes | {"include_pad": True}, [x], wanted), wanted / 4)
    attributes = {"kernel": [3], "stride": [1], "pad": [2], "include_pad": False}  # more than half a window
    wanted = torch.tensor([[[[2.0, 3, 3, 4], [4, 5, 5, 6], [4, 5, 5, 6], [6, 7, 7, 8]]]])
    assert_close(run_primitive("avg_pool", attributes, [x], wanted), wanted)


def test_poolings_with_more_padding_on_one_side() -> None:
    """Rows -1, 0 and 1, columns 0, 1 and 2 (the last of the padding): windows of 2 at stride 1."""
    x = torch.tensor([[[[2.0, -4.0], [6.0, 8.0]]]])
    attributes = {"kernel": [2], "stride": [1], "pad": [1, 0, 0, 1]}
    wanted = torch.tensor([[[[-2 / 4, -4 / 4], [12 / 4, 4 / 4]]]])
    assert_close(run_primitive("avg_pool", attributes, [x], wanted), wanted)
    inner = torch.tensor([[[[-1.0, -4.0], [3.0, 2.0]]]])
    assert_close(run_primitive("avg_pool", attributes | {"include_pad": False}, [x], inner), inner)
    largest, places = torch.tensor([[[[2.0, -4], [8, 8]]]]), torch.tensor([[[[0.0, 1], [3, 3]]]])
    result, mask = torch.full_like(largest, torch.nan), torch.full_like(largest, torch.nan)
    call("max_pool", attributes | {"mask": True}, [x], [result, mask])
    assert torch.equal(result, largest) and torch.equal(mask, places)
    attributes = {"kernel": [2], "stride": [1], "pad": [0, 0, 1, 1]}  # a window of the whole image, and three behind it
    whole = torch.tensor([[[[12 / 4, 4 / 4], [14 / 4, 8 / 4]]]])
    assert_close(run_primitive("avg_pool", attributes, [x], whole), whole)


def test_lrn_by_hand() -> None:
    x = torch.tensor([1.0, 2, 3, 4]).reshape(1, 4, 1, 1)
    sums = torch.tensor([5.0, 14, 29, 25]).reshape(1, 4, 1, 1)  # of squares, three channels each
    attributes = {"size": 3, "alpha": 0.6, "beta": 0.75, "k": 2.0}
    wanted = x / (2 + 0.2 * sums) ** 0.75
    assert_close(run_primitive("lrn", attributes, [x], x), wanted)
    assert_close(run_primitive("lrn", attributes | {"beta": 0.5}, [x], x), x / (2 + 0.2 * sums) ** 0.5)
    x = torch.tensor([1.0, 2, 3, 4]).reshape(1, 1, 2, 2)
    wanted = x / (1 + 0.9 * 30 / 9) ** 0.75  # every window of three sees all four pixels; k is not used
    assert_close(run_primitive("lrn", attributes | {"alpha": 0.9, "region": "within"}, [x], x), wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lrn_like_torch(layout: str) -> None:
    x = torch.randn(2, 7, 5, 6) * 3
    for size in (1, 3, 5, 15):
        wanted = F.local_response_norm(x, size, 1e-1, 0.75, 1.5)
        attributes = {"size": size, "alpha": 1e-1, "beta": 0.75, "k": 1.5}
        result = copy_to_layout(torch.full_like(x, torch.nan), layout, spare=2)
        call("lrn", attributes, [copy_to_layout(x, layout, spare=1)], [result])
        assert_close(result, wanted)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_softmax(axis: int, layout: str) -> None:
    x = torch.randn(2, 5, 3, 4) * 50
    assert_close(run_primitive("softmax", {"axis": axis}, [copy_to_layout(x, layout)], x), x.softmax(axis))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat_and_slice_undo_each_other(axis: int, layout: str) -> None:
    whole = torch.randn(6, 6, 6, 6)
    parts = whole.split_with_sizes([1, 3, 2], axis)
    assert torch.equal(
        run_primitive("concat", {"axis": axis}, [copy_to_layout(p, layout) for p in parts], whole), whole
    )
    results = [copy_to_layout(torch.full_like(p, torch.nan), layout) for p in parts]
    call("slice", {"axis": axis, "points": [1, 4]}, [copy_to_layout(whole, layout)], results)
    assert all(map(torch.equal, results, parts))
    results = [torch.full_like(p, torch.nan) for p in whole.chunk(3, axis)]
    call("slice", {"axis": axis, "parts": 3}, [whole], results)
    assert all(map(torch.equal, results, whole.chunk(3, axis)))


def test_what_lies_in_its_place_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = copy_to_layout(torch.randn(2, 6, 3, 3), "nhwc")
    parts, flat = list(whole.split_with_sizes([2, 4], 1)), torch.randn(2, 6)

    def refuse(*_: object) -> None:
        raise AssertionError("a copy")

    monkeypatch.setattr(Tensor, "copy_", refuse)
    call("concat", {}, parts, [whole])
    call("slice", {"points": [2]}, [whole], parts)
    call("reshape", {}, [flat], [flat.view(2, 2, 3)])
    call("copy", {}, [whole], [whole])


@pytest.mark.parametrize(("source", "target"), [*itertools.product(LAYOUTS, LAYOUTS)])
def test_reshape_keeps_caffes_order(source: str, target: str) -> None:
    x = torch.arange(120.0).reshape(2, 3, 4, 5)
    result = copy_to_layout(torch.full((2, 6, 2, 5), torch.nan), target)
    call("reshape", {}, [copy_to_layout(x, source)], [result])
    assert torch.equal(result, x.reshape(2, 6, 2, 5))
    flat = torch.full((2, 60), torch.nan)
    call("reshape", {}, [copy_to_layout(x, source, spare=1)], [flat])
    assert torch.equal(flat, x.reshape(2, 60))
    result = copy_to_layout(torch.full_like(x, torch.nan), target)
    call("relayout", {"to": target}, [copy_to_layout(x, source)], [result])
    assert torch.equal(result, x)


BY_HAND: dict[str, tuple[Any, ...]] = {  # function: first operand, second operand, result
    "add": ([1.0, -2.0], [3.0, 5.0], [4.0, 3.0]),
    "sub": ([1.0, -2.0], [3.0, 5.0], [-2.0, -7.0]),
    "mul": ([1.0, -2.0], [3.0, 5.0], [3.0, -10.0]),
    "div": ([1.0, -2.0], [4.0, 0.0], [0.25, -torch.inf]),
    "pow": ([2.0, -2.0], [3.0, 0.5], [8.0, torch.nan]),
    "maximum": ([1.0, torch.nan], [3.0, 5.0], [3.0, torch.nan]),
    "minimum": ([1.0, torch.nan], [3.0, 5.0], [1.0, torch.nan]),
    "gt": ([1.0, 2.0], [1.0, 1.0], [0.0, 1.0]),
    "ge": ([1.0, 0.0], [1.0, 1.0], [1.0, 0.0]),
    "lt": ([1.0, 0.0], [1.0, 1.0], [0.0, 1.0]),
    "le": ([1.0, 2.0], [1.0, 1.0], [1.0, 0.0]),
    "eq": ([1.0, torch.nan], [1.0, torch.nan], [1.0, 0.0]),
    "neg": ([1.0, -2.0], None, [-1.0, 2.0]),
    "exp": ([0.0, 1.0], None, [1.0, 2.7182818]),
    "log": ([1.0, 0.0], None, [0.0, -torch.inf]),
    "log1p": ([0.0, 1e-8], None, [0.0, 1e-8]),
    "expm1": ([0.0, 1e-8], None, [0.0, 1e-8]),
    "sqrt": ([4.0, -1.0], None, [2.0, torch.nan]),
    "rsqrt": ([4.0, 0.0], None, [0.5, torch.inf]),
    "abs": ([-3.0, 0.0], None, [3.0, 0.0]),
    "tanh": ([0.0, 1.0], None, [0.0, 0.76159416]),
    "sigmoid": ([0.0, -100.0], None, [0.5, 3.78e-44]),
    "floor": ([-0.5, 1.5], None, [-1.0, 1.0]),
    "ceil": ([-0.5, 1.5], None, [-0.0, 2.0]),
    "round": ([0.5, 1.5], None, [0.0, 2.0]),
    "sign": ([-3.0, 0.0], None, [-1.0, 0.0]),
    "erf": ([0.0, 1.0], None, [0.0, 0.84270079]),
    "where": ([0.0, 2.0], [3.0, 5.0], [3.0, 2.0]),
}


@pytest.mark.parametrize("function", list(EXPR_FUNCTIONS))
def test_functions_by_hand(function: str) -> None:
    a, b, wanted = BY_HAND[function]
    operands = [torch.tensor(v) for v in (a, b) if v is not None]
    arguments = [0, 0, 1] if function == "where" else list(range(len(operands)))
    attributes = {"code": [[function, *arguments]], "axes": [None] * len(operands)}
    assert_close(run_primitive("expr", attributes, operands, operands[0]), torch.tensor(wanted))
    if b is not None and function != "where":  # constants on either side, and results that are used again
        for place in (0, 1):
            code = [
                [function, *[0 if place else {"c": 2.0}], *[{"c": 2.0} if place else 0]],
                ["add", 1, {"c": 0}],
                ["mul", 2, 2],
            ]
            other = torch.full((2,), 2.0)
            pair = [operands[0], other] if place else [other, operands[0]]
            torch_name = getattr(torch, function)
            found = run_primitive("expr", {"code": code, "axes": [None]}, operands[:1], operands[0])
            assert_close(found, torch_name(*pair).float() ** 2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_expr_with_operands_per_channel_in_place(layout: str) -> None:
    x, a, b, r = torch.randn(2, 3, 4, 5), torch.randn(3), torch.randn(3), torch.randn(2, 3, 4, 5)
    code = [["mul", 0, 1], ["add", 4, 2], ["add", 5, 3], ["gt", 6, {"c": 0}], ["exp", 6], ["where", 7, 6, 8]]
    t = x * a[:, None, None] + b[:, None, None] + r
    wanted = torch.where(t > 0, t, t.exp())
    axes = [None, 1, 1, None]
    for over in (None, 0, 3):
        operands = [copy_to_layout(x, layout), a, b, copy_to_layout(r, layout)]
        result = copy_to_layout(torch.full_like(x, torch.nan), layout) if over is None else operands[over]
        given = tuple(Operand(t.dtype, tuple(t.shape)) for t in operands)
        call_ = CallSite({"code": code, "axes": axes}, given, (Operand(x.dtype, tuple(x.shape)),))
        IMPLEMENTATIONS["expr"].prepare(call_)([result], operands)
        assert_close(result, wanted)
    a = torch.randn(2, 1, 4)
    found = run_primitive("expr", {"code": [["mul", 0, 1]], "axes": [None, 0]}, [copy_to_layout(x, layout), a], x)
    assert_close(found, x * a[..., None])
    found = run_primitive(
        "expr", {"code": [["mul", 0, 1]], "axes": [None, 1]}, [copy_to_layout(x, layout), torch.tensor(3.0)], x
    )
    assert_close(found, x * 3)


@pytest.mark.parametrize(
    "code", [[["maximum", 0, {"c": 0.0}]], [["gt", 0, {"c": 0}], ["mul", 0, {"c": 0.1}], ["where", 1, 0, 2]]]
)
def test_expr_knows_relu_when_it_sees_one(code: Any) -> None:
    x = torch.tensor([-2.0, 0.0, 3.0, torch.nan, torch.inf])
    slope = 0.1 if len(code) == 3 else 0.0
    wanted = torch.tensor([-2 * slope, 0, 3, torch.nan, torch.inf])
    assert_close(run_primitive("expr", {"code": code, "axes": [None]}, [x], x), wanted)
    result = x.clone()
    call("expr", {"code": [["add", 0, {"c": 0}], *shift_code(code)], "axes": [None]}, [x], [result])
    assert_close(result, wanted)


def shift_code(code: Any) -> Any:
    """The same code on the result of a line before it, so that it is not recognised."""
    return [[name, *[a + 1 if isinstance(a, int) else a for a in arguments]] for name, *arguments in code]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 3, 97, 101), (5, 64, 33, 17), (3, 70_001), (200_003,), (2, 3, 40, 30, 20)])
def test_large_tensors_are_computed_in_pieces(
    shape: tuple[int, ...], layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if layout == "nhwc" and len(shape) < 3:
        pytest.skip("no image")
    monkeypatch.setattr("cortado.runtime.primitives.chunks.CHUNK", 1 << 10)
    monkeypatch.setattr("cortado.runtime.primitives.chunks.GRAIN_SIZE", 1)
    x = torch.randn(shape)
    per_channel = torch.randn(shape[1:2] or shape)
    aligned = per_channel.reshape(-1, *[1] * (len(shape) - 2))
    code = [["mul", 0, 1], ["tanh", 2], ["add", 3, 0]]
    wanted = torch.tanh(x * (aligned if len(shape) > 1 else per_channel)) + x
    operand = copy_to_layout(x, layout)
    call_ = {"code": code, "axes": [None, 1 if len(shape) > 1 else 0]}
    assert_close(run_primitive("expr", call_, [operand, per_channel], x), wanted)
    if len(shape) > 1:
        assert_close(
            run_primitive("lrn", {"alpha": 0.1}, [operand], x), F.local_response_norm(x[..., None], 5, 0.1)[..., 0]
        )


def test_expr_chooses_to_the_bit() -> None:
    x = torch.tensor([0.0, -0.0, torch.nan, torch.inf, -1.0])
    y = torch.tensor([torch.nan, 5.0, -torch.inf, torch.nan, -0.0])
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        operands = [x.to(dtype), y.to(dtype), torch.tensor([1, 0, 1, 0, 0], dtype=dtype)]
        result = torch.zeros(5, dtype=dtype)
        call("expr", {"code": [["where", 2, 0, 1]], "axes": [None] * 3}, operands, [result])
        assert str(result) == str(torch.where(operands[2] > 0, *operands[:2]))
        code = [["gt", 2, {"c": 0.5}], ["where", 3, {"c": 7}, 0]]
        call("expr", {"code": code, "axes": [None] * 3}, operands, [result])
        assert str(result) == str(torch.where(operands[2] > 0, 7.0, operands[0]).to(dtype))


def test_prelu_is_recognised() -> None:
    x, slope = torch.randn(2, 3, 4, 4), torch.tensor([0.5, -1.0, 2.0])
    code = [["gt", 0, {"c": 0.0}], ["mul", 0, 1], ["where", 2, 0, 3]]
    assert_close(run_primitive("expr", {"code": code, "axes": [None, 1]}, [x, slope], x), F.prelu(x, slope))
    call("expr", {"code": code, "axes": [None, 1]}, [x.clone(), slope[0]], [result := torch.zeros_like(x)])
    assert_close(result, F.prelu(x, slope[:1]))


def test_expr_of_comparisons_and_constants_only() -> None:
    x = torch.tensor([1.0, 2.0])
    attributes = {"code": [["gt", 0, {"c": 1.5}], ["add", 1, 1]], "axes": [None]}
    assert run_primitive("expr", attributes, [x], x).tolist() == [0.0, 2.0]
    attributes = {"code": [["add", {"c": 1}, {"c": "inf"}]], "axes": []}
    assert run_primitive("expr", attributes, [], x).tolist() == [torch.inf, torch.inf]


WRONG: list[tuple[str, dict[str, Any], list[tuple[int, ...]], str]] = [
    ("conv_packed", {"stride": [1], "pad": [0], "dilation": [1]}, [(1, 3, 4, 4), (2, 4, 1, 1)], "groups do not fit"),
    ("conv_packed", {"stride": [0], "pad": [0], "dilation": [1]}, [(1, 3, 4, 4), (2, 3, 1, 1)], "are invalid"),
    ("conv_packed", {"stride": [1], "pad": [0], "dilation": [1]}, [(1, 3, 4, 4), (2, 3, 5, 5)], "does not fit"),
    ("linear_packed", {}, [(1, 3, 4), (5, 13)], "rows of 12 numbers"),
    ("max_pool", {"kernel": [2], "pad": [2]}, [(1, 1, 4, 4)], "are invalid"),
    ("concat", {}, [(1, 2, 3), (1, 2, 4)], "differ along axis 1 only"),
    ("slice", {"points": [3, 2]}, [(1, 4)], "the points"),
    ("reshape", {}, [(1, 4)], "cannot take the shape"),
    ("softmax", {"axis": 4}, [(1, 4)], "no axis 4"),
    ("lrn", {"size": 4}, [(1, 4, 2, 2)], "odd"),
]


@pytest.mark.parametrize(("primitive", "attributes", "operands", "sentence"), WRONG)
def test_shapes_that_do_not_fit_are_refused(primitive: str, attributes: Any, operands: Any, sentence: str) -> None:
    shapes = IMPLEMENTATIONS[primitive].infer_shapes
    assert shapes is not None
    with pytest.raises(ValueError, match=sentence):
        shapes(
            PRIMITIVE_TABLE[primitive].complete(attributes),
            operands,
            [(1, 5)] * 3 if primitive == "slice" else [(1, 5)],
        )


def test_a_convolution_is_packed_in_the_form_for_its_image() -> None:
    """oneDNN would repack any other at each run. Sizes that want the same form share one tensor."""
    weight, packed_weights = torch.randn(512, 256, 1, 1), PackedWeights()
    ones, zeros = [1, 1], [0, 0]
    form = torch.ops.mkldnn._get_mkldnn_serialized_md
    attributes = PRIMITIVE_TABLE["conv_packed"].complete({"stride": ones, "pad": zeros, "dilation": ones})
    wanted = set()
    for side in (7, 10, 19, 38, 19):
        x, y = (
            copy_to_layout(torch.randn(1, 256, side, side), "nhwc"),
            copy_to_layout(torch.zeros(1, 512, side, side), "nhwc"),
        )
        operands = (Operand(x.dtype, tuple(x.shape)), Operand(weight.dtype, tuple(weight.shape), "nchw", weight, "w"))
        run = IMPLEMENTATIONS["conv_packed"].prepare(
            CallSite(attributes, operands, (Operand(y.dtype, tuple(y.shape)),), packed_weights)
        )
        with torch.inference_mode():
            run([y], [x, weight])
        torch.testing.assert_close(y, F.conv2d(x, weight), atol=1e-3, rtol=1e-5)
        best = torch.ops.mkldnn._reorder_convolution_weight(weight, zeros, ones, ones, 1, x.shape)
        wanted.add(form(best).numpy().tobytes())
    held = [form(made).numpy().tobytes() for made in packed_weights.cache.values() if isinstance(made, Tensor)]
    assert len(held) == len(wanted) and set(held) == wanted
