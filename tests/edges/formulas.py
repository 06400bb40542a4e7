"""Caffe's loops in numpy and float32: written from its C++ (each names its file), and using nothing of cortado."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
FLT_MAX = np.finfo(F).max


def std_max(a: Array, b: Any) -> Array:
    """std::max: the first where the two cannot be compared."""
    return np.where(a < b, F(b), a)


def std_min(a: Array, b: Any) -> Array:
    return np.where(b < a, F(b), a)


def std_max64(a: Array, b: float) -> Array:
    return np.where(a < b, b, a)


def std_min64(a: Array, b: float) -> Array:
    return np.where(b < a, b, a)


def powx(x: Array, exponent: float) -> Array:
    """C's powf for each (mkl_alternate.hpp): numpy would take a square root for 0.5, which is NaN for -inf."""
    return np.power(x, np.full_like(x, exponent))


def relu(x: Array, slope: float = 0.0) -> Array:
    """relu_layer.cpp."""
    return std_max(x, F(0)) + F(slope) * std_min(x, F(0))


def relu6(x: Array, slope: float = 0.0) -> Array:
    """MobileNet-YOLO's relu6_layer.cpp."""
    return std_min(relu(x, slope), F(6))


def limited_relu(x: Array, slope: float = 0.0, high: float = 6, low: float = 0) -> Array:
    """synopsys-caffe's relu_layer.cpp: relu6 or maximum, and minimum; there is no NaN."""
    made = relu(x, slope)
    made = std_min(np.where(np.isnan(made), F(0), made), F(high))
    return std_max(made, F(low)) if low else made


def selu(x: Array) -> Array:
    """synopsys-caffe's selu_layer.cpp."""
    scale, alpha = F(1.050700987), F(1.67326324)
    made: Array = np.where(x > 0, scale * x, scale * alpha * (np.exp(x) - F(1)))
    return made


def hard_sigmoid(x: Array) -> Array:
    """synopsys-caffe's hard_sigmoid_layer.cpp."""
    made = F(0.2) * x + F(0.5)
    return np.where(made <= 0, F(0), np.where(made > 1, F(1), made))


def prelu(x: Array, slope: Array) -> Array:
    """prelu_layer.cpp."""
    made: Array = std_max(x, F(0)) + slope.reshape(1, -1, *[1] * (x.ndim - 2)) * std_min(x, F(0))
    return made


def elu(x: Array, alpha: float = 1.0) -> Array:
    """elu_layer.cpp."""
    made: Array = std_max(x, F(0)) + F(alpha) * (np.exp(std_min(x, F(0))) - F(1))
    return made


def sigmoid(x: Array) -> Array:
    """sigmoid_layer.cpp."""
    return F(0.5) * np.tanh(F(0.5) * x) + F(0.5)


def hard_swish(x: Array) -> Array:
    """synopsys-caffe's hard_swish_layer.cpp, in double."""
    wide = x.astype(np.float64)
    return (wide * std_min64(std_max64(wide + 3, 0), 6) / 6).astype(F)


def mish(x: Array) -> Array:
    """synopsys-caffe's mish_layer.cpp."""
    plus = np.where(x > 20, x, np.where(x < -20, np.exp(x), np.log(np.exp(x) + F(1))))
    made: Array = x * (F(2) / (F(1) + np.exp(F(-2) * plus)) - F(1))
    return made


def bnll(x: Array) -> Array:
    """bnll_layer.cpp, which works in double where a literal is one."""
    wide = x.astype(np.float64)
    made: Array = np.where(x > 0, wide + np.log(1 + np.exp(-wide)), np.log(1 + np.exp(wide))).astype(F)
    return made


def clip(x: Array, low: float, high: float) -> Array:
    """clip_layer.cpp: std::max(min, std::min(x, max))."""
    below = std_min(x, F(high))
    return np.where(F(low) < below, below, F(low))


def threshold(x: Array, at: float) -> Array:
    """threshold_layer.cpp."""
    return np.where(x > F(at), F(1), F(0))


def power(x: Array, power: float = 1, scale: float = 1, shift: float = 0) -> Array:
    """power_layer.cpp."""
    if F(power) * F(scale) == 0:
        return np.full_like(x, F(1) if power == 0 else np.power(F(shift), F(power)))
    x = x * F(scale) if scale != 1 else x
    x = x + F(shift) if shift != 0 else x
    return powx(x, power) if power != 1 else x


def exponential(x: Array, base: float = -1, scale: float = 1, shift: float = 0) -> Array:
    """exp_layer.cpp."""
    log_base = F(1) if base == -1 else np.log(F(base))
    outer = F(1) if shift == 0 else np.exp(F(shift)) if base == -1 else np.power(F(base), F(shift))
    return np.exp(x * (log_base * F(scale))) * outer


def logarithm(x: Array, base: float = -1, scale: float = 1, shift: float = 0) -> Array:
    """log_layer.cpp."""
    inner = x if (scale, shift) == (1, 0) else x * F(scale) + F(shift)
    return np.log(inner) * (F(1) if base == -1 else F(1) / np.log(F(base)))


def batch_norm(x: Array, mean: Array, variance: Array, eps: float = 1e-5) -> Array:
    """batch_norm_layer.cpp, with global statistics."""
    axes = (1, -1, *[1] * (x.ndim - 2))
    return (x - mean.reshape(axes)) / np.sqrt(variance + F(eps)).reshape(axes)


def eltwise_sum(*terms: Array, coeff: tuple[float, ...] = ()) -> Array:
    """eltwise_layer.cpp; BLAS's saxpy returns at once where the coefficient is 0."""
    total = np.zeros_like(terms[0])
    for x, factor in zip(terms, coeff or (1,) * len(terms), strict=True):
        total = total + F(factor) * x if factor else total
    return total


def eltwise_max(a: Array, b: Array, *rest: Array) -> Array:
    """eltwise_layer.cpp: a later bottom is taken if it is above what was found."""
    found = np.where(a > b, a, b)
    for x in rest:
        found = np.where(x > found, x, found)
    return found


def eltwise_min(a: Array, b: Array, *rest: Array) -> Array:
    """synopsys-caffe's eltwise_layer.cpp."""
    found = np.where(a < b, a, b)
    for x in rest:
        found = np.where(x < found, x, found)
    return found


def softmax(x: Array, axis: int = 1) -> Array:
    """softmax_layer.cpp."""
    largest = np.take(x, [0], axis)
    for j in range(x.shape[axis]):
        largest = std_max(largest, np.take(x, [j], axis))
    raised = np.exp(x - largest)
    made: Array = raised / raised.sum(axis, keepdims=True, dtype=F)
    return made


def windows(x: Array, kernel: int, stride: int, pad: int) -> list[list[tuple[Array, int]]]:
    """Of each place of a pooling that rounds up its window [n, c, numbers] within the image, and its divisor."""
    size = x.shape[2]
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    if pad and (count - 1) * stride >= size + pad:
        count -= 1
    rows = []
    for i in range(count):
        row = []
        for j in range(count):
            top, left = i * stride - pad, j * stride - pad
            area = (min(top + kernel, size + pad) - top) * (min(left + kernel, size + pad) - left)
            inside = x[:, :, max(top, 0) : top + kernel, max(left, 0) : left + kernel]
            row.append((inside.reshape(*x.shape[:2], -1), area))
        rows.append(row)
    return rows


def pool(x: Array, kernel: int, stride: int, pad: int, work: Callable[[Array, int], Array]) -> Array:
    return np.stack([np.stack([work(*w) for w in row], -1) for row in windows(x, kernel, stride, pad)], -2)


def max_of_window(window: Array, area: int = 0) -> Array:
    """pooling_layer.cpp: the largest by `>`, from -FLT_MAX."""
    found = np.full(window.shape[:2], -FLT_MAX, F)
    for k in range(window.shape[2]):
        found = np.where(window[:, :, k] > found, window[:, :, k], found)
    return found


def mean_of_window(window: Array, area: int) -> Array:
    total = np.zeros(window.shape[:2], F)
    for k in range(window.shape[2]):
        total = total + window[:, :, k]
    return total / F(area)


def max_pool(x: Array, kernel: int, stride: int = 1, pad: int = 0) -> Array:
    return pool(x, kernel, stride, pad, max_of_window)


def average_pool(x: Array, kernel: int, stride: int = 1, pad: int = 0) -> Array:
    return pool(x, kernel, stride, pad, mean_of_window)


def lrn_across(x: Array, size: int, alpha: float, beta: float, k: float = 1) -> Array:
    """lrn_layer.cpp's sums, each worked out from its own window; Caffe's is the one before, plus and minus a square."""
    half, squares = size // 2, x * x
    sums = [squares[:, max(c - half, 0) : c + half + 1].sum(1, dtype=F) for c in range(x.shape[1])]
    return x * powx(F(k) + F(alpha) / F(size) * np.stack(sums, 1), -beta)


def lrn_within(x: Array, size: int, alpha: float, beta: float) -> Array:
    """lrn_layer.cpp: squares, AVE pooling, Power, product."""
    return x * powx(F(1) + F(alpha) * average_pool(x * x, size, 1, size // 2), -beta)


def standardize(x: Array, axes: tuple[int, ...], eps: float, in_variance: bool) -> Array:
    """mvn_layer.cpp, or batch_norm_layer.cpp without global statistics."""
    less = x - x.mean(axes, keepdims=True, dtype=F)
    variance = (less * less).mean(axes, keepdims=True, dtype=F)
    made: Array = less / (np.sqrt(variance + F(eps)) if in_variance else np.sqrt(variance) + F(eps))
    return made


def normalize(x: Array, axes: tuple[int, ...], eps: float = 1e-10) -> Array:
    """SSD's normalize_layer.cpp."""
    made: Array = x / np.sqrt((x * x).sum(axes, keepdims=True, dtype=F) + F(eps))
    return made


def convolution(x: Array, w: Array, b: Array, pad: int = 0) -> Array:
    """base_conv_layer.cpp: a sum of products over each window."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    k, size = w.shape[2], padded.shape[2] - w.shape[2] + 1
    made = np.zeros((x.shape[0], w.shape[0], size, size), F)
    for o, i, j in product(range(w.shape[0]), range(size), range(size)):
        made[:, o, i, j] = (padded[:, :, i : i + k, j : j + k] * w[o]).sum((1, 2, 3), dtype=F) + b[o]
    return made


def depthwise_deconvolution(x: Array, w: Array, stride: int, pad: int) -> Array:
    """deconv_layer.cpp, a group for each channel: each number adds its window to the result (im2col.cpp, col2im)."""
    n, c, size = x.shape[0], x.shape[1], x.shape[2]
    k = w.shape[2]
    whole = np.zeros((n, c, stride * (size - 1) + k, stride * (size - 1) + k), F)
    for i, j in product(range(size), range(size)):
        part = x[:, :, i, j, None, None] * w[None, :, 0]
        whole[:, :, i * stride : i * stride + k, j * stride : j * stride + k] += part
    return whole[:, :, pad : whole.shape[2] - pad, pad : whole.shape[3] - pad]


def reduction(x: Array, how: str, coeff: float = 1.0) -> Array:
    """reduction_layer.cpp, from axis 1 on."""
    rows = x.reshape(len(x), -1)
    each = np.abs(rows) if how == "ASUM" else rows * rows if how == "SUMSQ" else rows
    made: Array = each.sum(1, dtype=F) * (F(coeff) / F(rows.shape[1]) if how == "MEAN" else F(coeff))
    return made


def interp(x: Array, height: int, width: int) -> Array:
    """PSPNet's interp.cpp: both neighbours count, one of them perhaps times 0."""
    old = x.shape[2]
    if (height, width) == (old, old):
        return x
    made = np.zeros((*x.shape[:2], height, width), F)
    rows, columns = ([F(i) * F(F(old - 1) / F(size - 1)) for i in range(size)] for size in (height, width))
    for i, j in product(range(height), range(width)):
        (top, down), (left, right) = (split_place(a, old) for a in (rows[i], columns[j]))
        h, w, dh, dw = int(rows[i]), int(columns[j]), int(int(rows[i]) < old - 1), int(int(columns[j]) < old - 1)
        upper = left * x[:, :, h, w] + right * x[:, :, h, w + dw]
        made[:, :, i, j] = top * upper + down * (left * x[:, :, h + dh, w] + right * x[:, :, h + dh, w + dw])
    return made


def split_place(at: np.float32, size: int) -> tuple[np.float32, np.float32]:
    part = F(at - F(int(at)))
    return F(1) - part, part


def sigmoid_cross_entropy(x: Array, target: Array) -> Array:
    """sigmoid_cross_entropy_loss_layer.cpp, the sum of each row."""
    at_least = (x >= 0).astype(F)
    each = x * (target - at_least) - np.log(F(1) + np.exp(x - F(2) * x * at_least))
    made: Array = -each.reshape(len(x), -1).sum(1, dtype=F)
    return made


def hinge(x: Array, label: int) -> Array:
    """hinge_loss_layer.cpp, L1, with one label for all: std::max(0, 1 + margin), which is 0 for NaN."""
    margin = F(1) + np.where(np.arange(x.shape[1]) == label, -x, x)
    made: Array = np.where(margin > 0, margin, F(0)).sum(1, dtype=F)
    return made


def smooth_l1(x: Array, y: Array) -> Array:
    """SSD's smooth_L1_loss_layer.cpp, of each row."""
    difference = x - y
    far = np.abs(difference)
    each = np.where(far < 1, F(0.5) * difference * difference, far - F(0.5))
    made: Array = each.reshape(len(x), -1).sum(1, dtype=F)
    return made
