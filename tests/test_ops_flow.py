"""Operators of optical flow against numbers worked out by hand, their primitives against them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cortado.compiler.errors import CompileError
from cortado.compiler.op import Op
from cortado.compiler.ops.flow import Correlation, FlowWarp, Resample
from cortado.compiler.types import TensorType
from cortado.runtime.primitive_table import PRIMITIVE_TABLE
from cortado.runtime.primitives import IMPLEMENTATIONS, CallSite, Operand

from .small_nets import Nets, data, f32, layer

TOLERANCE = 60 * 2.0**-24  # of the largest result: sums of up to 60 products, each rounded, in another order


def run_primitive(op: Op, *operands: torch.Tensor) -> torch.Tensor:
    types = [TensorType("f32", tuple(t.shape)) for t in operands]
    (made,) = op.infer_types(types)
    known = {name: list(v) if isinstance(v, tuple) else v for name, v in op.all_attributes().items()}
    attributes = PRIMITIVE_TABLE[op.name].complete(known)
    primitive = IMPLEMENTATIONS[op.name]
    assert primitive.infer_shapes is not None
    assert primitive.infer_shapes(attributes, [tuple(t.shape) for t in operands], [[*made.shape]]) == [made.shape]
    result = torch.full(made.shape, torch.nan)
    sites = tuple(Operand(torch.float32, tuple(t.shape)) for t in operands)
    primitive.prepare(CallSite(attributes, sites, (Operand(torch.float32, made.shape),)))([result], list(operands))
    return result


def both(op: Op, *operands: torch.Tensor) -> torch.Tensor:
    """The reference's result, which the primitive's is."""
    (due,) = op.compute(list(operands))
    most = float(due.nan_to_num(0, 0, 0).abs().max()) if due.numel() else 0.0
    torch.testing.assert_close(run_primitive(op, *operands), due, rtol=0, atol=TOLERANCE * max(most, 1), equal_nan=True)
    return due


def test_correlation_by_hand() -> None:
    """One row of three pixels: each times its left neighbour, itself and the right one, over two channels."""
    a, b = torch.tensor([[[[1.0, 2, 3]], [[0, 1, 0]]]]), torch.tensor([[[[4.0, 5, 6]], [[7, 8, 9]]]])
    made = both(Correlation(displacement=1, pad=1), a, b)
    assert made.shape == (1, 9, 1, 3)
    assert made[0, 3:6, 0].tolist() == [[0, (2 * 4 + 7) / 2, 15 / 2], [2, (2 * 5 + 8) / 2, 9], [2.5, (12 + 9) / 2, 0]]
    assert not made[0, :3].any() and not made[0, 6:].any()  # rows above and below are padding
    far = both(Correlation(displacement=1, pad=1, difference=True), a, b)
    assert far[0, 4, 0].tolist() == [(3 + 7) / 2, (3 + 7) / 2, (3 + 9) / 2]


def test_windows_and_steps_of_a_correlation() -> None:
    """Displacements of 0 and ±2, windows of 3 by 3, two apart."""
    a, b = torch.randn(2, 3, 9, 11), torch.randn(2, 3, 9, 11)
    made = both(Correlation(displacement=3, kernel=3, stride=2, step=2, pad=2), a, b)
    assert made.shape == (2, 9, 3, 4)
    inner = (a[1, :, 3:6, 5:8] * b[1, :, 1:4, 7:10]).sum() / 27  # the second row and third column, 2 up and 2 right
    assert float(made[1, 2, 1, 2] - inner).__abs__() < 1e-6
    both(Correlation(displacement=3, kernel=3, stride=2, step=2, pad=2, difference=True), a, b)


def test_a_warp_by_hand() -> None:
    image = torch.tensor([[[[1.0, 2, 4], [8, 16, 32]]]])
    flow = torch.zeros(1, 2, 2, 3)
    flow[0, 0] = torch.tensor([[1, 0.5, 0.5], [-1, 0, torch.nan]])
    flow[0, 1] = torch.tensor([[0, 0, 0.5], [0, -0.25, 0]])
    assert both(FlowWarp(), image, flow).tolist() == [[[[2, 3, 18], [0, 12.5, 0]]]]
    made = both(FlowWarp(fill="nan"), image, flow)
    assert made.isnan().tolist() == [[[[False, False, False], [True, False, True]]]]
    image[0, 0, 0, 1] = torch.inf  # a neighbour that counts 0 times, for the first pixel
    assert both(FlowWarp(), image, torch.zeros(1, 2, 2, 3)).isnan().sum() == 1


def test_resampling_by_hand() -> None:
    """Two pixels to four: places -1/4, 1/4, 3/4 and 5/4; the weights of those inside are divided by their sum."""
    x = torch.tensor([[[[0.0, 8], [0, 8]]]])
    assert both(Resample(sizes=(4, 4)), x)[0, 0, 2].tolist() == [0, 2, 6, 8]
    assert both(Resample(sizes=(4, 4), filter="nearest"), x)[0, 0, 2].tolist() == [0, 0, 8, 8]
    halved = both(Resample(sizes=(1, 1)), torch.tensor([[[[1.0, 2], [3, 6]]]]))  # place 1/2, weights 3/8 each
    assert halved.tolist() == [[[[3]]]]
    rows = torch.arange(4.0).reshape(1, 1, 4, 1).expand(1, 1, 4, 4)
    assert both(Resample(sizes=(2, 2), antialias=False), rows)[0, 0].tolist() == [[0.5, 0.5], [2.5, 2.5]]
    cubic = both(Resample(sizes=(4, 4), filter="cubic"), x)[0, 0, 1]
    weights = torch.tensor([0.8671875, 0.2265625])  # of distances 1/4 and 3/4: the pixels beyond are not there
    assert torch.allclose(cubic[1:3], 8 * torch.stack([weights[1], weights[0]]) / weights.sum())


def test_the_offsets_of_resampling_are_crossed() -> None:
    """Half as high and twice as wide: x is 1/2, 1, 3/2 and 2, and y is -1/4 and 7/4."""
    x = torch.arange(8.0).reshape(1, 1, 4, 2)
    assert both(Resample(sizes=(2, 4), antialias=False), x)[0, 0, :, 0].tolist() == [0.5, (2.5 + 3 * 4.5) / 4]
    assert both(Resample(sizes=(2, 4), filter="nearest"), x)[0, 0].tolist() == [[1, 1, 2, 2], [5, 5, 6, 6]]


@pytest.mark.parametrize("sizes", [(3, 4), (9, 12), (20, 7), (5, 40), (1, 1)], ids=str)
def test_resampling_like_the_reference(sizes: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 9, 12)
    for filter in ("linear", "cubic"):
        for antialias in (True, False):
            both(Resample(sizes=sizes, filter=filter, antialias=antialias), x)
    x[0, 0, 4, 5] = torch.nan
    both(Resample(sizes=sizes), x)


@pytest.mark.parametrize(("op", "operands", "words"), [
    (Correlation(displacement=1), (f32(1, 2, 4, 4), f32(1, 2, 4, 5)), "the images have one shape"),
    (Correlation(displacement=1, kernel=2), (f32(1, 2, 4, 4),) * 2, "the kernel is odd, not 2"),
    (Correlation(displacement=2), (f32(1, 2, 4, 4),) * 2, "the windows and displacements do not fit into images"),
    (Correlation(displacement=-1), (f32(1, 2, 4, 4),) * 2, "displacement and pad 0 or more"),
    (Correlation(displacement=1), (f32(1, 2, 4),) * 2, r"takes images \[n, c, h, w\]"),
    (FlowWarp(), (f32(1, 3, 4, 4), f32(1, 3, 4, 4)), r"the flow is \[n, 2, h, w\]"),
    (FlowWarp(fill="one"), (f32(1, 2, 4, 4), f32(1, 2, 4, 4)), 'fill is "zero" or "nan"'),
    (Resample(sizes=(0, 2)), (f32(1, 2, 4, 4),), "sizes are a height and a width of 1 or more"),
    (Resample(sizes=(2, 2), filter="box"), (f32(1, 2, 4, 4),), 'filter is "nearest", "linear" or "cubic"'),
    (Resample(sizes=(32, 1), filter="nearest"), (f32(1, 2, 4, 4),), "the fork reads outside of the image"),
])  # fmt: skip
def test_what_cannot_be(op: Op, operands: tuple[TensorType, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        op.infer_types(list(operands))


AUGMENTATION = layer("DataAugmentation", "augmentation_param { recompute_mean: 9 mean_per_pixel: false }")
FROM = {"l:0": [9], "l:1": [0] * 5, "l:2": [1, -2]}  # the second is of the size that it was trained on


def test_a_learnt_mean(tmp_path: Path) -> None:
    """It is subtracted once it is of as many batches as recompute_mean says; until then it would change."""
    nets, x = Nets(tmp_path), torch.zeros(1, 2, 2, 2)
    made = nets.run(data(1, 2, 2, 2) + AUGMENTATION, {"data": x}, FROM)["y"]
    assert made[0, :, 0, 0].tolist() == [-1, 2]
    with pytest.raises(CompileError, match="its mean is of 8 batches, and changes up to 9"):
        nets.compile(data(1, 2, 2, 2) + AUGMENTATION, {**FROM, "l:0": [8]})


def test_a_single_bottom_of_eltwise(tmp_path: Path) -> None:
    nets = Nets(tmp_path)
    made = nets.run(data(2) + layer("Eltwise", "eltwise_param { coeff: 0.5 }"), {"data": [1, -4]})["y"]
    assert made.tolist() == [0.5, -2]
    assert "it has 1 bottoms, and takes 2 or more" in nets.expect_refusal(data(2) + layer("Eltwise"))
    said = nets.expect_refusal(data(2) + layer("Eltwise", "eltwise_param { operation: MAX }"))
    assert "it has 1 bottoms, and takes 2 or more" in said


@pytest.mark.parametrize(("text", "words"), [
    (layer("Correlation", "correlation_param { kernel_size: 1 }", ("data", "data")), "it has no max_displacement"),
    (layer("Correlation", "correlation_param { max_displacement: 1 }", ("data", "data")), "it has no kernel_size"),
    (data(4, name="r") + layer("Resample", bottoms=("data", "r")), "the second bottom is an image [n, c, h, w], not"),
    (layer("DataAugmentation", "augmentation_param { recompute_mean: 2 }"), "the mean of each pixel is not supported"),
    (layer("DataAugmentation", "augmentation_param { mean: [1, 2, 3] mean_per_pixel: false }"), "of three channels"),
    (layer("Resample"), "sizes are a height and a width of 1 or more, not [0, 0]"),
])  # fmt: skip
def test_layers_that_cannot_be(tmp_path: Path, text: str, words: Any) -> None:
    said = Nets(tmp_path).expect_refusal(data(1, 2, 5, 5) + text)
    assert words in said and 'layer "l" (' in said
