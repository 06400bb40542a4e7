"""Windows over images, learnt and pooled: each operator against numbers worked out by hand, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cortado.compiler.ops.conv import Conv, Deconv, Im2col
from cortado.compiler.ops.norm import L2Normalize
from cortado.compiler.ops.pool import AvgPool, MaxPool, PyramidPool, StochasticPool
from cortado.runtime.primitive_table import PRIMITIVE_TABLE
from cortado.runtime.primitives import IMPLEMENTATIONS, CallSite, Operand, PackedWeights

from .small_nets import Nets, arange, data, f32, layer


@pytest.fixture(autouse=True)
def one_thread_and_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize(("wrong", "sentence"), [
    (lambda: Deconv().infer(f32(1, 3, 4), f32(2, 1, 3)), "the weight takes 2 channels, the data has 3"),
    (lambda: Deconv(groups=2).infer(f32(1, 3, 4), f32(3, 1, 3)), "cannot be divided into 2 groups"),
    (lambda: Deconv(pad=(9,)).infer(f32(1, 3, 4), f32(3, 1, 3)), "leaves nothing of the result"),
    (lambda: Deconv(stride=(0,)).infer(f32(1, 3, 4), f32(3, 1, 3)), "stride and dilation are 1 or more"),
    (lambda: Deconv(pad=(1, 2)).infer(f32(1, 3, 4), f32(3, 1, 3)), "pad has 2 numbers, the image 1 axes"),
    (lambda: Conv(pad=(0, -1)).infer(f32(1, 3, 4), f32(3, 3, 3)), "pad 0 and -1, dilation 1: stride and dilation are"),
    (lambda: AvgPool(kernel=(2,), pad=(0, 2)).infer(f32(1, 3, 4)), "pad 0 and 2: stride is 1 or more, pad is less"),
    (lambda: Im2col(kernel=(5,)).infer(f32(1, 3, 4)), "a window of 5 does not fit"),
    (lambda: Im2col(kernel=(2,), channels=5).infer(f32(1, 3, 4)), "have 6 channels, so there cannot be 5"),
    (lambda: PyramidPool(height=4).infer(f32(1, 1, 3, 3)), "cannot be divided by 4: a window would be empty"),
])  # fmt: skip
def test_what_cannot_be(wrong: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        wrong()


def test_padding_of_single_sides() -> None:
    """Two numbers for each axis: 1 before and 2 after three elements; 2 rows above and 1 column to the right."""
    x, ones = torch.tensor([[[1.0, 10.0, 100.0]]]), torch.ones(1, 1, 3)
    assert Conv(pad=(1, 2)).reference(x, ones).tolist() == [[[11, 111, 110, 100]]]
    assert Conv(pad=(1, 2)).infer(f32(1, 1, 3), f32(1, 1, 3)) == f32(1, 1, 4)
    assert Im2col(kernel=(3,), pad=(0, 1)).reference(x).tolist() == [[[1, 10], [10, 100], [100, 0]]]
    averages = AvgPool(kernel=(2,), stride=(2,), pad=(0, 1), round="down")
    assert averages.reference(x).tolist() == [[[5.5, 50]]]
    assert replace(averages, include_pad=False).reference(x).tolist() == [[[5.5, 100]]]
    assert replace(averages, pad=(1, 1)).reference(x).tolist() == [[[0.5, 55]]]
    image = torch.tensor([[[[1.0, 10.0]]]])
    made = Conv(pad=(2, 0, 0, 1)).reference(image, torch.tensor([[[[1.0, 2.0]]]]))
    assert made.tolist() == [[[[0, 0], [0, 0], [21, 10]]]]
    (largest,) = MaxPool(kernel=(1, 2), pad=(0, 0, 0, 1)).compute([image])
    assert largest.tolist() == [[[[10, 10]]]]


def test_columns_are_filled_up_with_zero_channels() -> None:
    """By the reference and by the primitive, whose memory holds something before."""
    x, op = torch.tensor([[[1.0, 10.0, 100.0]]]), Im2col(kernel=(2,), channels=4)
    expected = [[[1, 10], [10, 100], [0, 0], [0, 0]]]
    assert op.infer(f32(1, 1, 3)) == f32(1, 4, 2) and op.reference(x).tolist() == expected
    attributes = PRIMITIVE_TABLE["im2col"].complete(
        {"kernel": [2], "stride": [1], "pad": [0], "dilation": [1], "channels": 4}
    )
    operand, result = Operand(torch.float32, (1, 1, 3)), Operand(torch.float32, (1, 4, 2))
    made = torch.full((1, 4, 2), torch.nan)
    IMPLEMENTATIONS["im2col"].prepare(CallSite(attributes, (operand,), (result,)))([made], [x])
    assert made.tolist() == expected


def test_a_deconvolution_paints() -> None:
    x = torch.tensor([[[1.0, 10.0]]])
    w = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert Deconv(stride=(2,)).reference(x, w).tolist() == [[[1, 2, 3 + 10, 20, 30]]]
    assert Deconv(stride=(2,), pad=(1,)).reference(x, w).tolist() == [[[2, 13, 20]]]
    assert Deconv(dilation=(2,)).reference(x, w, torch.tensor([5.0])).tolist() == [[[6, 15, 7, 25, 8, 35]]]
    assert Deconv(stride=(2,)).infer(f32(1, 1, 2), f32(1, 1, 3)) == f32(1, 1, 5)


def test_groups_of_a_deconvolution_have_columns_of_their_own() -> None:
    x, w = torch.tensor([[[1.0], [10.0]]]), torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
    assert Deconv(groups=2).reference(x, w).flatten().tolist() == [1, 2, 30, 40]
    factors = Deconv(groups=2).factors((2, 2, 1), torch.tensor([1.0, 10.0, 100.0, 1000.0]))
    assert (w * factors).flatten().tolist() == [1, 20, 300, 4000]


def test_columns_of_an_image() -> None:
    made = Im2col(kernel=(2,), stride=(2,), pad=(1,)).reference(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    assert made.tolist() == [[[0, 2], [1, 0], [0, 4], [3, 0]]]
    image = arange(2, 3, 5, 6)
    made = Im2col(kernel=(3, 2), stride=(1, 2), dilation=(2, 1), pad=(1, 0)).reference(image)
    assert torch.equal(made.flatten(2), F.unfold(image, (3, 2), (2, 1), (1, 0), (1, 2)))


def run_deconv(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, layout: str, **attributes: Any) -> torch.Tensor:
    """The primitive, prepared and run as the runtime does, into memory full of NaN."""
    format = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    complete = PRIMITIVE_TABLE["deconv_packed"].complete({**attributes, "bias": True})
    shapes = IMPLEMENTATIONS["deconv_packed"].infer_shapes
    assert shapes is not None
    (shape,) = shapes(complete, [tuple(t.shape) for t in (x, w, b)], [()])
    result = torch.full(shape, torch.nan).to(memory_format=format)
    operands = (
        Operand(x.dtype, tuple(x.shape), layout),
        *(Operand(t.dtype, tuple(t.shape), data=t, handle=str(i)) for i, t in enumerate((w, b))),
    )
    run = IMPLEMENTATIONS["deconv_packed"].prepare(
        CallSite(complete, operands, (Operand(x.dtype, shape, layout),), PackedWeights())
    )
    with torch.inference_mode():
        run([result], [x.to(memory_format=format), w, b])
    return result


BILINEAR = torch.tensor([0.25, 0.75, 0.75, 0.25])
WAYS = {  # weight, stride, pad, dilation, groups
    "dense": (torch.randn(6, 4, 3, 2), (2, 1), (1, 0), (1, 2), 1),
    "grouped": (torch.randn(6, 2, 4, 4), (2, 2), (1, 1), (1, 1), 3),
    "depthwise": (torch.randn(6, 1, 4, 4), (2, 2), (1, 1), (1, 1), 6),
    "depthwise, gaps between the windows": (torch.randn(6, 1, 2, 3), (3, 4), (0, 1), (1, 1), 6),
    "depthwise, all at once": (torch.randn(6, 1, 3, 3), (1, 1), (1, 1), (1, 1), 6),
    "depthwise, dilated": (torch.randn(6, 1, 3, 3), (2, 2), (0, 0), (2, 2), 6),
    "depthwise, too many phases": (torch.randn(6, 1, 10, 12), (9, 8), (2, 3), (1, 1), 6),
    "bilinear": (torch.outer(BILINEAR, BILINEAR).expand(6, 1, 4, 4).contiguous(), (2, 2), (1, 1), (1, 1), 6),
    "a column times a row, scaled by channel": (
        torch.randn(6, 1, 1, 1) * torch.outer(torch.randn(12), torch.randn(16))[None, None],
        (6, 8), (3, 4), (1, 1), 6,
    ),
    "no rank at all": (torch.zeros(6, 1, 12, 12), (6, 6), (3, 3), (1, 1), 6),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("activation", ["", "relu", "leaky_relu"])
def test_every_way_to_deconvolve(way: str, layout: str, activation: str) -> None:
    weight, stride, pad, dilation, groups = WAYS[way]
    x, bias = torch.randn(2, 6, 5, 4), torch.randn(weight.shape[1] * groups)
    wanted = F.conv_transpose2d(x.double(), weight.double(), bias.double(), stride, pad, 0, groups, dilation)
    wanted = {"": wanted, "relu": wanted.relu(), "leaky_relu": F.leaky_relu(wanted, 0.25)}[activation]
    settings = {"stride": [*stride], "pad": [*pad], "dilation": [*dilation], "groups": groups}
    made = run_deconv(x, weight, bias, layout, **settings, activation=activation, slope=0.25)
    torch.testing.assert_close(made.double(), wanted, rtol=0, atol=2e-6 * wanted.abs().max().item() + 1e-7)


def test_windows_in_one_two_and_three_dimensions(nets: Nets) -> None:
    for axes, type in product((1, 2, 3), ("Convolution", "Deconvolution")):
        shape, weight = (
            (2, 3, *(5, 4, 3)[:axes]),
            torch.randn(*((4, 3) if type == "Convolution" else (3, 4)), *[2] * axes),
        )
        text = data(*shape) + layer(type, "convolution_param { num_output: 4 kernel_size: 2 stride: 2 pad: 1 }")
        x, bias = torch.randn(shape), torch.randn(4)
        function = getattr(F, f"conv{'' if type == 'Convolution' else '_transpose'}{axes}d")
        wanted = function(x, weight, bias, stride=2, padding=1)
        made = nets.run(text, {"data": x}, {"l:0": weight, "l:1": bias})["y"]
        np.testing.assert_allclose(made, wanted.numpy(), rtol=0, atol=1e-5)


def test_several_bottoms_and_channels_at_another_axis(nets: Nets) -> None:
    text = data(1, 2, 3, name="a") + data(1, 2, 3, name="b")
    text += layer(
        "Deconvolution", "convolution_param { num_output: 1 kernel_size: 1 bias_term: false }", "ab", ("c", "d")
    )
    made = nets.run(text, {"a": arange(1, 2, 3), "b": np.ones((1, 2, 3))}, {"l:0": [1, 10]})
    assert made["c"].tolist() == [[[30, 41, 52]]] and made["d"].tolist() == [[[11, 11, 11]]]
    text = data(2, 3, 2, 4) + layer("Im2col", "convolution_param { axis: 2 kernel_size: 2 }")
    x = arange(2, 3, 2, 4)
    made = nets.run(text, {"data": x})
    assert made["y"].shape == (2, 3, 4, 3)
    assert made["y"][1, 2].tolist() == [[40, 41, 42], [41, 42, 43], [44, 45, 46], [45, 46, 47]]


def test_bottoms_of_different_shapes_are_refused(nets: Nets) -> None:
    text = data(1, 2, 3, name="a") + data(1, 2, 4, name="b")
    said = nets.expect_refusal(
        text + layer("Convolution", "convolution_param { num_output: 1 kernel_size: 1 }", "ab", "cd")
    )
    assert 'layer "l" (Convolution): its bottoms have different shapes' in said
    assert '"a" f32[1,2,3]' in said and '"b" f32[1,2,4]' in said


def test_stochastic_pooling_when_testing() -> None:
    x = torch.tensor([[[[1.0, 3.0, 2.0], [0.0, 4.0, 2.0], [-1.0, -3.0, 0.0]]]])
    made = StochasticPool(kernel=(2,), stride=(2,)).reference(x)
    assert made.flatten().tolist() == [26 / 8, 2, 0, 0]  # a sum below 0 gives 0; windows at the rim are cut


def test_stochastic_pooling_of_a_net(nets: Nets) -> None:
    settings = "pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 %s }"
    x = torch.randn(2, 3, 6, 7)
    made = nets.run(data(2, 3, 6, 7) + layer("Pooling", settings % ""), {"data": x})["y"]
    np.testing.assert_allclose(made, StochasticPool(kernel=(3,), stride=(2,)).reference(x).numpy(), rtol=1e-4)
    said = nets.expect_refusal(data(2, 3, 6, 7) + layer("Pooling", settings % "pad: 1"))
    assert 'layer "l" (Pooling): STOCHASTIC pooling has no padding' in said


def test_an_average_without_padding() -> None:
    made = AvgPool(kernel=(3,), pad=(1,), include_pad=False).reference(torch.ones(1, 1, 4))
    assert made.tolist() == [[[1, 1, 1, 1]]]


def test_a_pyramid(nets: Nets) -> None:
    x = arange(1, 2, 3, 4)
    maxima = [11, 5, 7, 9, 11]  # 2 × 2 windows of 2 × 2: a row of padding below, so the lower ones hold one row
    text = data(1, 2, 3, 4) + layer("SPP", "spp_param { pyramid_height: 2 }")
    padded = PyramidPool(height=2).levels((3, 4))[1]
    assert (padded.kernel, padded.pad) == ((2,), (1, 0))
    maxima[1:] = [1, 3, 9, 11]  # the row of padding is above: (4 - 3 + 1) / 2 of it
    made = nets.run(text, {"data": x})["y"]
    assert made.tolist() == [[11, 23, *maxima[1:], *(m + 12 for m in maxima[1:])]]
    text = data(1, 1, 2, 2) + layer("SPP", "spp_param { pyramid_height: 1 pool: AVE }")
    assert nets.run(text, {"data": arange(1, 1, 2, 2)})["y"].tolist() == [[1.5]]
    said = nets.expect_refusal(data(1, 1, 2, 2) + layer("SPP", "spp_param { pyramid_height: 2 pool: STOCHASTIC }"))
    assert 'layer "l" (SPP): cortado does not compute pool: STOCHASTIC' in said


def test_lengths_become_one() -> None:
    x = torch.tensor([[[[3.0, 0.0]], [[4.0, 2.0]]]])
    assert L2Normalize(across=False, eps=0.0).reference(x).flatten().tolist() == pytest.approx([0.6, 0, 0.8, 1])
    assert L2Normalize(eps=7.0).reference(x).flatten().tolist() == pytest.approx([0.5, 0, 4 / 6, 2 / 6])


def test_normalize_scales_channels_and_refuses_what_it_does_not_know(nets: Nets) -> None:
    settings = "norm_param { across_spatial: false channel_shared: false eps: 0 }"
    made = nets.run(
        data(1, 2, 1, 2) + layer("Normalize", settings), {"data": [[[[3, 0]], [[4, 2]]]]}, {"l:0": [10, 20]}
    )
    np.testing.assert_allclose(made["y"].flatten(), [6, 0, 16, 20], rtol=1e-6)
    said = nets.expect_refusal(data(1, 2, 1, 2) + layer("Normalize", "norm_param { add_eps_before_sqrt: false }"))
    assert 'layer "l" (Normalize): add_eps_before_sqrt: false' in said
