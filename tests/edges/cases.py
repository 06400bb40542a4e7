"""The layers, each with a formula of Caffe's: an edge value stands at one place of each of six images.

Where cortado gives another number, `differs` says which and why; tests hold both sides to it, and docs/edge_values.md
shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from . import formulas as f
from .formulas import FLT_MAX, Array, F

EDGES: Mapping[str, float] = {
    "NaN": np.nan,
    "+inf": np.inf,
    "−inf": -np.inf,
    "−0": -0.0,
    "denormal": 1e-40,
    "FLT_MAX": float(FLT_MAX),
}
ANY_SIGN = "0 of either sign"
Cell = tuple[int, ...]


@dataclass(frozen=True)
class EdgeCase:
    """One layer: its prototxt's lines with bottoms x (and y) and top z, the blobs, and Caffe's formula.

    `cell` is the place of each image's result that the table shows. `differs`: by edge, what cortado has there. With
    `fuses` the layer is also tried behind a convolution, a matrix product and an Eltwise that it can be fused into.
    """

    layer: str
    formula: Callable[..., Array]
    shape: Cell = (2, 4, 4)
    cell: Cell = (0, 1, 1)
    differs: Mapping[str, float | str] = field(default_factory=dict)
    fuses: bool = False
    blobs: tuple[Array, ...] = ()
    others: Mapping[str, Cell] = field(default_factory=dict)  # further inputs, which are ordinary numbers
    edge_in: str = "x"
    alone: bool = False  # one image at a time, since the result mixes those of a batch


def ordinary(name: str, shape: Cell) -> Array:
    """Numbers between 0.25 and 1.25, by name and shape."""
    return np.random.RandomState(sum(map(ord, name)) + sum(shape)).uniform(0.25, 1.25, shape).astype(F)


def inputs_of(case: EdgeCase) -> dict[str, Array]:
    """The inputs, an image for each edge value, which stands at (0, 1, 1), or first in a row."""
    made = {
        name: ordinary(name, (len(EDGES), *shape)) for name, shape in ({"x": case.shape} | dict(case.others)).items()
    }
    for n, value in enumerate(EDGES.values()):
        made[case.edge_in][(n, *(0, 1, 1)[: len(case.shape)])] = value
    return made


def neuron(layer: str, formula: Callable[[Array], Array], blobs: tuple[Array, ...] = (), **differs: Any) -> EdgeCase:
    return EdgeCase(layer, formula, differs=differs.get("differs", {}), fuses=True, blobs=blobs)


def numbers(*values: float) -> Array:
    return np.array(values, F)


ONE = numbers(1)
KERNEL = ordinary("w", (3, 2, 3, 3)) - F(0.7)
BILINEAR = np.tile(np.outer(*[np.array([0.25, 0.75, 0.75, 0.25])] * 2).astype(F), (2, 1, 1, 1))
WIDE = np.tile(np.outer(*[np.bartlett(18)[1:-1]] * 2).astype(F), (2, 1, 1, 1))
TARGET = {"y": (2, 4, 4)}
RELU = {"−inf": 0.0, "−0": ANY_SIGN}  # 0 · −inf is NaN, which no user wants: see the page

CASES: dict[str, EdgeCase] = {
    "ReLU": neuron('type: "ReLU"', f.relu, differs=RELU),
    "ReLU, negative_slope 0.1": neuron(
        'type: "ReLU" relu_param { negative_slope: 0.1 }', partial(f.relu, slope=0.1), differs={"−0": ANY_SIGN}
    ),
    "ReLU6": neuron('type: "ReLU6"', f.relu6, differs=RELU),
    "ReLU6, negative_slope 0.1": neuron(
        'type: "ReLU6" relu6_param { negative_slope: 0.1 }', partial(f.relu6, slope=0.1), differs={"−0": ANY_SIGN}
    ),
    "ReLU, relu6": neuron('type: "ReLU" relu_param { relu6: true }', f.limited_relu, differs={"−0": ANY_SIGN}),
    "ReLU, limits and a slope": neuron(
        'type: "ReLU" relu_param { maximum: 2 minimum: -1 negative_slope: 0.1 }',
        partial(f.limited_relu, slope=0.1, high=2, low=-1),
        differs={"−0": ANY_SIGN},
    ),
    "SeLU": neuron('type: "SeLU"', f.selu, differs={"−0": ANY_SIGN}),
    "HardSigmoid": neuron('type: "HardSigmoid"', f.hard_sigmoid),
    "PReLU": neuron(
        'type: "PReLU"', lambda x: f.prelu(x, numbers(0.25, 0.5)), (numbers(0.25, 0.5),), differs={"−0": ANY_SIGN}
    ),
    "PReLU, slope 0": neuron('type: "PReLU"', lambda x: f.prelu(x, numbers(0, 0)), (numbers(0, 0),)),
    "ELU": neuron('type: "ELU" elu_param { alpha: 0.5 }', partial(f.elu, alpha=0.5), differs={"−0": ANY_SIGN}),
    "Sigmoid": neuron('type: "Sigmoid"', f.sigmoid),
    "TanH": neuron('type: "TanH"', np.tanh),
    "BNLL": neuron('type: "BNLL"', f.bnll),
    "AbsVal": neuron('type: "AbsVal"', np.abs),
    "Clip": neuron('type: "Clip" clip_param { min: -2 max: 2 }', partial(f.clip, low=-2, high=2)),
    "Clip, 0 to 6": neuron(
        'type: "Clip" clip_param { min: 0 max: 6 }', partial(f.clip, low=0, high=6), differs={"−0": ANY_SIGN}
    ),
    "Threshold": neuron('type: "Threshold" threshold_param { threshold: 0.1 }', partial(f.threshold, at=0.1)),
    "Power": neuron(
        'type: "Power" power_param { power: 3 scale: 2 shift: 1 }', partial(f.power, power=3, scale=2, shift=1)
    ),
    "Power, a root": neuron('type: "Power" power_param { power: 0.5 }', partial(f.power, power=0.5)),
    "Power, inverse": EdgeCase('type: "Power" power_param { power: -1 }', partial(f.power, power=-1)),
    "Power, scale 0": neuron(
        'type: "Power" power_param { scale: 0 shift: 2 power: 2 }', partial(f.power, scale=0, shift=2, power=2)
    ),
    "Power, infinite": neuron('type: "Power" power_param { power: -2 scale: 0 }', partial(f.power, power=-2, scale=0)),
    "Power, NaN": neuron(
        'type: "Power" power_param { power: 0.5 scale: 0 shift: -1 }', partial(f.power, power=0.5, scale=0, shift=-1)
    ),
    "Power, overflow": neuron(
        'type: "Power" power_param { power: 400 scale: 0 shift: 10 }', partial(f.power, power=400, scale=0, shift=10)
    ),
    "Exp": neuron('type: "Exp"', f.exponential),
    "Exp, shift 1000": neuron('type: "Exp" exp_param { shift: 1000 }', partial(f.exponential, shift=1000)),
    "Exp, base 2": neuron(
        'type: "Exp" exp_param { base: 2 scale: 0.5 shift: 3 }', partial(f.exponential, base=2, scale=0.5, shift=3)
    ),
    "Log": neuron('type: "Log"', f.logarithm),
    "Log, base 2": neuron(
        'type: "Log" log_param { base: 2 scale: 2 shift: 1 }', partial(f.logarithm, base=2, scale=2, shift=1)
    ),
    "Swish": neuron('type: "Swish"', lambda x: x * f.sigmoid(x)),
    "Mish": neuron('type: "Mish"', f.mish),
    "HardSwish": neuron('type: "HardSwish"', f.hard_swish),
    "Dropout": neuron('type: "Dropout"', lambda x: x),
    "BatchNorm": neuron(
        'type: "BatchNorm"',
        lambda x: f.batch_norm(x, numbers(0.5, 1), numbers(4, 0.25)),
        (numbers(0.5, 1), numbers(4, 0.25), ONE),
    ),
    "BatchNorm, variance below −eps": neuron(
        'type: "BatchNorm"',
        lambda x: f.batch_norm(x, numbers(0.5, 1), numbers(-2e-5, 0.25)),
        (numbers(0.5, 1), numbers(-2e-5, 0.25), ONE),
    ),
    "BatchNorm, variance −eps": neuron(
        'type: "BatchNorm"',
        lambda x: f.batch_norm(x, numbers(0.5, 1), numbers(-1e-5, 0.25)),
        (numbers(0.5, 1), numbers(-1e-5, 0.25), ONE),
    ),
    "BatchNorm of the batch": EdgeCase(
        'type: "BatchNorm" batch_norm_param { use_global_stats: false }',
        lambda x: f.standardize(x, (2, 3), 1e-5, True),
        blobs=(numbers(0, 0), numbers(0, 0), ONE),
        alone=True,
    ),
    "Scale": neuron(
        'type: "Scale" scale_param { bias_term: true }',
        lambda x: (
            x * numbers(2, 3).reshape(1, 2, *[1] * (x.ndim - 2)) + numbers(1, 0).reshape(1, 2, *[1] * (x.ndim - 2))
        ),
        (numbers(2, 3), numbers(1, 0)),
    ),
    "Scale by 0": neuron(
        'type: "Scale"', lambda x: x * numbers(0, 1).reshape(1, 2, *[1] * (x.ndim - 2)), (numbers(0, 1),)
    ),
    "Bias": neuron('type: "Bias"', lambda x: x + numbers(1, 2).reshape(1, 2, *[1] * (x.ndim - 2)), (numbers(1, 2),)),
    "Eltwise SUM": EdgeCase('type: "Eltwise" bottom: "y"', f.eltwise_sum, others=TARGET),
    "Eltwise SUM, coeff 0": EdgeCase(
        'type: "Eltwise" bottom: "y" eltwise_param { coeff: 0 coeff: 2 }',
        partial(f.eltwise_sum, coeff=(0, 2)),
        others=TARGET,
    ),
    "Eltwise PROD": EdgeCase(
        'type: "Eltwise" bottom: "y" eltwise_param { operation: PROD }', lambda x, y: x * y, others=TARGET
    ),
    "Eltwise MAX, in the first": EdgeCase(
        'type: "Eltwise" bottom: "y" eltwise_param { operation: MAX }', f.eltwise_max, others=TARGET
    ),
    "Eltwise MAX, in the second": EdgeCase(
        'type: "Eltwise" bottom: "y" eltwise_param { operation: MAX }', f.eltwise_max, others=TARGET, edge_in="y"
    ),
    "Eltwise MAX, in the third": EdgeCase(
        'type: "Eltwise" bottom: "y" bottom: "t" eltwise_param { operation: MAX }',
        f.eltwise_max,
        others=TARGET | {"t": (2, 4, 4)},
        edge_in="t",
    ),
    "Eltwise MIN, in the first": EdgeCase(
        'type: "Eltwise" bottom: "y" eltwise_param { operation: MIN }', f.eltwise_min, others=TARGET
    ),
    "Eltwise MIN, in the third": EdgeCase(
        'type: "Eltwise" bottom: "y" bottom: "t" eltwise_param { operation: MIN }',
        f.eltwise_min,
        others=TARGET | {"t": (2, 4, 4)},
        edge_in="t",
    ),
    "Eltwise DIV, by it": EdgeCase(
        'type: "Eltwise" bottom: "y" eltwise_param { operation: DIV }',
        lambda x, y: x / y,
        others=TARGET,
        edge_in="y",
    ),
    "Softmax": EdgeCase('type: "Softmax"', f.softmax, shape=(5,), cell=(0,)),
    "Softmax, the others": EdgeCase('type: "Softmax"', f.softmax, shape=(5,), cell=(3,)),
    "LRN": EdgeCase(
        'type: "LRN" lrn_param { local_size: 3 alpha: 0.5 }',
        partial(f.lrn_across, size=3, alpha=0.5, beta=0.75),
        shape=(5, 3, 3),
    ),
    "LRN, beside": EdgeCase(
        'type: "LRN" lrn_param { local_size: 3 alpha: 0.5 }',
        partial(f.lrn_across, size=3, alpha=0.5, beta=0.75),
        shape=(5, 3, 3),
        cell=(1, 1, 1),
    ),
    "LRN, WITHIN_CHANNEL": EdgeCase(
        'type: "LRN" lrn_param { local_size: 3 alpha: 2 norm_region: WITHIN_CHANNEL }',
        partial(f.lrn_within, size=3, alpha=2, beta=0.75),
    ),
    "MVN": EdgeCase('type: "MVN"', lambda x: f.standardize(x, (2, 3), 1e-9, False)),
    "Normalize": EdgeCase('type: "Normalize"', lambda x: f.normalize(x, (1, 2, 3)), blobs=(ONE,), cell=(0, 1, 1)),
    "Normalize, across_spatial false": EdgeCase(
        'type: "Normalize" norm_param { across_spatial: false }', lambda x: f.normalize(x, (1,)), blobs=(ONE,)
    ),
    "Pooling MAX": EdgeCase(
        'type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 2 }',
        partial(f.max_pool, kernel=2, stride=2),
        cell=(0, 0, 0),
    ),
    "Pooling MAX, overlapping": EdgeCase(
        'type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 }',
        partial(f.max_pool, kernel=3, pad=1),
        cell=(0, 2, 2),
    ),
    "Pooling MAX, windows of one": EdgeCase(
        'type: "Pooling" pooling_param { pool: MAX kernel_size: 1 }', partial(f.max_pool, kernel=1)
    ),
    "Pooling MAX, global": EdgeCase(
        'type: "Pooling" pooling_param { pool: MAX global_pooling: true }',
        partial(f.max_pool, kernel=4),
        cell=(0, 0, 0),
    ),
    "Pooling AVE": EdgeCase(
        'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }',
        partial(f.average_pool, kernel=3, stride=2, pad=1),
        cell=(0, 1, 1),
    ),
    "Pooling AVE, global": EdgeCase(
        'type: "Pooling" pooling_param { pool: AVE global_pooling: true }',
        partial(f.average_pool, kernel=4),
        cell=(0, 0, 0),
    ),
    "SPP": EdgeCase(
        'type: "SPP" spp_param { pyramid_height: 2 }',
        lambda x: np.concatenate([f.max_pool(x, k, k).reshape(len(x), -1) for k in (4, 2)], 1),
        cell=(2,),
    ),
    "Convolution": EdgeCase(
        'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 pad: 1 }',
        lambda x: f.convolution(x, KERNEL, numbers(1, 0, -1), 1),
        blobs=(KERNEL, numbers(1, 0, -1)),
    ),
    "InnerProduct": EdgeCase(
        'type: "InnerProduct" inner_product_param { num_output: 3 }',
        lambda x: np.stack([(x * w).sum(1, dtype=F) for w in KERNEL[:, 0, 0]], 1) + numbers(1, 0, -1),
        shape=(3,),
        cell=(0,),
        blobs=(KERNEL[:, 0, 0].copy(), numbers(1, 0, -1)),
    ),
    "Deconvolution": EdgeCase(
        'type: "Deconvolution" convolution_param { num_output: 2 group: 2 kernel_size: 4 stride: 2 pad: 1 '
        "bias_term: false }",
        lambda x: f.depthwise_deconvolution(x, BILINEAR, 2, 1),
        blobs=(BILINEAR,),
        cell=(0, 2, 2),
    ),
    "Deconvolution, stride 8": EdgeCase(
        'type: "Deconvolution" convolution_param { num_output: 2 group: 2 kernel_size: 16 stride: 8 pad: 4 '
        "bias_term: false }",
        lambda x: f.depthwise_deconvolution(x, WIDE, 8, 4),
        blobs=(WIDE,),
        cell=(0, 12, 12),
    ),
    "Reduction SUM": EdgeCase(
        'type: "Reduction" reduction_param { axis: 1 }', partial(f.reduction, how="SUM"), cell=()
    ),
    "Reduction ASUM": EdgeCase(
        'type: "Reduction" reduction_param { axis: 1 operation: ASUM }', partial(f.reduction, how="ASUM"), cell=()
    ),
    "Reduction SUMSQ": EdgeCase(
        'type: "Reduction" reduction_param { axis: 1 operation: SUMSQ coeff: 2 }',
        partial(f.reduction, how="SUMSQ", coeff=2),
        cell=(),
    ),
    "Reduction MEAN": EdgeCase(
        'type: "Reduction" reduction_param { axis: 1 operation: MEAN }', partial(f.reduction, how="MEAN"), cell=()
    ),
    "Interp": EdgeCase(
        'type: "Interp" interp_param { height: 7 width: 7 }', partial(f.interp, height=7, width=7), cell=(0, 2, 2)
    ),
    "Interp, the same size": EdgeCase(
        'type: "Interp" interp_param { height: 4 width: 4 }', partial(f.interp, height=4, width=4)
    ),
    "Interp, the same height": EdgeCase(
        'type: "Interp" interp_param { height: 4 width: 7 }', partial(f.interp, height=4, width=7), cell=(0, 1, 2)
    ),
    "Flatten": EdgeCase('type: "Flatten"', lambda x: x.reshape(len(x), -1), cell=(5,)),
    "Tile": EdgeCase('type: "Tile" tile_param { axis: 1 tiles: 2 }', lambda x: np.tile(x, (1, 2, 1, 1))),
    "Permute": EdgeCase(
        'type: "Permute" permute_param { order: 0 order: 2 order: 3 order: 1 }',
        lambda x: x.transpose(0, 2, 3, 1),
        cell=(1, 1, 0),
    ),
    "SigmoidCrossEntropyLoss": EdgeCase(
        'type: "SigmoidCrossEntropyLoss" bottom: "y" loss_param { normalization: NONE }',
        f.sigmoid_cross_entropy,
        others=TARGET,
        cell=(),
        alone=True,
    ),
    "EuclideanLoss": EdgeCase(
        'type: "EuclideanLoss" bottom: "y"',
        lambda x, y: ((x - y) ** 2).reshape(len(x), -1).sum(1, dtype=F) / F(2),
        others=TARGET,
        cell=(),
        alone=True,
    ),
    "SoftmaxWithLoss": EdgeCase(
        'type: "SoftmaxWithLoss" bottom: "label"',
        lambda x, label: -np.log(f.std_max(f.softmax(x)[:, 1], np.finfo(F).tiny)),
        shape=(5,),
        others={"label": ()},
        cell=(),
        alone=True,
    ),
    "HingeLoss": EdgeCase(
        'type: "HingeLoss" bottom: "label"',
        lambda x, label: f.hinge(x, 1),
        shape=(5,),
        others={"label": ()},
        cell=(),
        alone=True,
    ),
    "SmoothL1Loss": EdgeCase('type: "SmoothL1Loss" bottom: "y"', f.smooth_l1, others=TARGET, cell=(), alone=True),
}
