"""Scalar functions that Triton lacks or only approximates, accurate to a few units in the last place of f32.

`tl.exp` and `tl.log` are the hardware's approximations: their relative error grows with the argument, and is unbounded
where a logarithm is close to 0. The functions here are polynomials instead, so that the interpreter on a CPU
computes what the GPU does. Arguments and results are f32. A kernel's file holds a verbatim copy of those it calls.
"""

import triton
import triton.language as tl


@triton.jit
def copysign(magnitude, sign):
    """|magnitude| with the sign bit of `sign`, also where that is -0."""
    bits = magnitude.to(tl.int32, bitcast=True) & 0x7FFFFFFF | sign.to(tl.int32, bitcast=True) & -0x80000000
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def power_of_two(n):
    """2ⁿ for whole n in -126 … 127."""
    return (n.to(tl.int32) + 127 << 23).to(tl.float32, bitcast=True)


@triton.jit
def exp_minus_one_reduced(x):
    """(n, eʳ - 1) with x = n ln 2 + r and |r| <= ln 2 / 2: Cody and Waite's reduction, Cephes' expf polynomial."""
    n = tl.floor(x * 1.44269504088896341 + 0.5)
    r = x - n * 0.693359375 + n * 2.12194440e-4
    p = ((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2
    return n, ((p * r + 1.6666665459e-1) * r + 5.0000001201e-1) * r * r + r


@triton.jit
def exp(x):
    """eˣ. Beyond ±104 it is 0 and infinity; the scale is applied in halves so that tiny results stay exact."""
    n, p = exp_minus_one_reduced(tl.minimum(tl.maximum(x, -104.0), 89.0))
    half = tl.floor(n * 0.5)
    y = (p + 1.0) * power_of_two(half) * power_of_two(n - half)
    return tl.where(x != x, x, y)


@triton.jit
def expm1(x):
    """eˣ - 1, also where it is almost 0."""
    n, p = exp_minus_one_reduced(tl.minimum(tl.maximum(x, -20.0), 20.0))
    scale = power_of_two(n)
    y = tl.where(x > 20.0, exp(x), p * scale + (scale - 1.0))
    return tl.where((x != x) | (x == 0.0), x, y)


@triton.jit
def log(x):
    """The natural logarithm: Cephes' logf. -∞ at 0, NaN below."""
    tiny = x < 1.17549435e-38
    bits = tl.where(tiny, x * 8388608.0, x).to(tl.int32, bitcast=True)
    e = ((bits >> 23) - 126).to(tl.float32) - tl.where(tiny, 23.0, 0.0)
    m = (bits & 0x7FFFFF | 0x3F000000).to(tl.float32, bitcast=True)
    low = m < 0.707106781186547524
    e, m = tl.where(low, e - 1.0, e), tl.where(low, m + m, m) - 1.0
    z = m * m
    p = (((7.0376836292e-2 * m - 1.1514610310e-1) * m + 1.1676998740e-1) * m - 1.2420140846e-1) * m + 1.4249322787e-1
    p = (((p * m - 1.6668057665e-1) * m + 2.0000714765e-1) * m - 2.4999993993e-1) * m + 3.3333331174e-1
    y = m + (p * m * z - 2.12194440e-4 * e - 0.5 * z) + 0.693359375 * e
    y = tl.where(x == 0.0, -float("inf"), tl.where(x < 0.0, float("nan"), y))
    return tl.where((x != x) | (x == float("inf")), x, y)


@triton.jit
def log1p(x):
    """log(1 + x), also where x is almost 0 (Kahan: what 1 + x rounds away is made good by the quotient)."""
    u = 1.0 + x
    y = log(u) * tl.div_rn(x, u - 1.0)
    return tl.where((u == 1.0) | (x == float("inf")), x, tl.where(u == 0.0, -float("inf"), y))


@triton.jit
def sqrt(x):
    """The square root, rounded to nearest."""
    return tl.sqrt_rn(x)


@triton.jit
def rsqrt(x):
    """One over the square root."""
    return tl.div_rn(1.0, tl.sqrt_rn(x))


@triton.jit
def pow(x, y):
    """x to the power y, by f64 logarithms. As in C: NaN for a negative x with a fractional y, 1 where y is 0 or x 1."""
    y = tl.zeros_like(x) + y
    a, b = x.to(tl.float64), y.to(tl.float64)
    result = tl.exp(b * tl.log(tl.abs(a))).to(tl.float32)
    whole = tl.floor(y) == y
    odd = whole & (tl.floor(y * 0.5) * 2.0 != y) & (tl.abs(y) < 16777216.0)
    result = tl.where((y == 0.0) | (x == 1.0) | ((x == -1.0) & (tl.abs(y) == float("inf"))), 1.0, result)
    result = tl.where((x < 0.0) & (x != -float("inf")) & (y != 0.0) & (whole == 0), float("nan"), result)
    return tl.where(odd, copysign(result, x), result)


@triton.jit
def inverse_power(x, BETA: tl.constexpr):
    """x to the power -BETA; for ¾, which nets of 2012 to 2014 have, by square roots."""
    if BETA == 0.75:
        root = tl.sqrt_rn(x)
        result = tl.div_rn(1.0, root * tl.sqrt_rn(root))
    else:
        result = pow(x, -BETA)
    return result


@triton.jit
def maximum(x, y):
    """The larger; NaN if either is."""
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def minimum(x, y):
    """The smaller; NaN if either is."""
    return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def tanh(x):
    """The hyperbolic tangent: e²ˣ - 1 over e²ˣ + 1 of |x|, 1 from 10 on."""
    t = expm1(2.0 * tl.minimum(tl.abs(x), 10.0))
    return tl.where(x != x, x, copysign(tl.div_rn(t, t + 2.0), x))


@triton.jit
def sigmoid(x):
    """1 / (1 + e⁻ˣ)."""
    return tl.div_rn(1.0, 1.0 + exp(-x))


@triton.jit
def round(x):
    """To the nearest whole number, halves to the even one: adding 2²³ leaves no room for a fraction."""
    a = tl.abs(x)
    return tl.where(a < 8388608.0, copysign((a + 8388608.0) - 8388608.0, x), x)


@triton.jit
def sign(x):
    """1, 0 or -1; 0 for NaN."""
    return tl.where(x > 0.0, 1.0, 0.0) - tl.where(x < 0.0, 1.0, 0.0)
