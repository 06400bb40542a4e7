"""Rows minus their mean and, with SCALED, divided by their standard deviation.

Rows are the axes before the averaged ones (strides `_o`) and after (`_i`). EPS is added to the standard deviation, or,
with IN_VARIANCE, to the variance. Deviations are summed after the mean is known, in a second pass.
"""

import triton
import triton.language as tl


@triton.jit
def kernel(
    y, x, COUNT, INNER, y_o, y_i, y_a, x_o, x_i, x_a,
    AXIS: tl.constexpr, EPS: tl.constexpr, IN_VARIANCE: tl.constexpr, SCALED: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real, o, i = (row < COUNT)[:, None], (row // INNER)[:, None], (row % INNER)[:, None]
    total, count = tl.zeros((ROWS,), tl.float32), tl.full((ROWS,), AXIS, tl.float32)
    for start in range(0, AXIS, BLOCK):
        a = (start + tl.arange(0, BLOCK))[None, :]
        value = tl.load(x + o * x_o + i * x_i + a * x_a, mask=real & (a < AXIS), other=0.0).to(tl.float32)
        total += tl.sum(value, 1)
    mean = tl.div_rn(total, count)[:, None]
    deviation = tl.full((ROWS,), 1.0, tl.float32)
    if SCALED:
        squares = tl.zeros((ROWS,), tl.float32)
        for start in range(0, AXIS, BLOCK):
            a = (start + tl.arange(0, BLOCK))[None, :]
            value = tl.load(x + o * x_o + i * x_i + a * x_a, mask=real & (a < AXIS), other=0.0).to(tl.float32)
            value = tl.where(a < AXIS, value - mean, 0.0)
            squares += tl.sum(value * value, 1)
        variance = tl.div_rn(squares, count)
        deviation = tl.sqrt_rn(variance + EPS) if IN_VARIANCE else tl.sqrt_rn(variance) + EPS
    for start in range(0, AXIS, BLOCK):
        a = (start + tl.arange(0, BLOCK))[None, :]
        value = tl.load(x + o * x_o + i * x_i + a * x_a, mask=real & (a < AXIS), other=0.0).to(tl.float32) - mean
        value = tl.div_rn(value, tl.broadcast_to(deviation[:, None], (ROWS, BLOCK))) if SCALED else value
        tl.store(y + o * y_o + i * y_i + a * y_a, value, mask=real & (a < AXIS))
