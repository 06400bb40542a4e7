"""Softmax along an axis. Rows are the axes before it (strides `_o`) and after it (`_i`).

Online softmax over blocks of BLOCK elements (Milakov and Gimelshein 2018): one pass for maximum and sum, a second one
for the results.
"""

import triton
import triton.language as tl

from .functions import exp


@triton.jit
def kernel(
    y, x, COUNT, INNER, y_o, y_i, y_a, x_o, x_i, x_a, AXIS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real, o, i = (row < COUNT)[:, None], (row // INNER)[:, None], (row % INNER)[:, None]
    largest, total = tl.full((ROWS,), -float("inf"), tl.float32), tl.zeros((ROWS,), tl.float32)
    for start in range(0, AXIS, BLOCK):
        a = (start + tl.arange(0, BLOCK))[None, :]
        value = tl.load(x + o * x_o + i * x_i + a * x_a, mask=real & (a < AXIS), other=-float("inf")).to(tl.float32)
        larger = tl.maximum(largest, tl.max(value, 1))
        sum_so_far = total * exp(largest - larger) + tl.sum(exp(value - larger[:, None]), 1)
        total = tl.where(larger == -float("inf"), total, sum_so_far)  # minus infinities alone count as nothing yet
        largest = larger
    for start in range(0, AXIS, BLOCK):
        a = (start + tl.arange(0, BLOCK))[None, :]
        value = tl.load(x + o * x_o + i * x_i + a * x_a, mask=real & (a < AXIS), other=0.0).to(tl.float32)
        value = tl.div_rn(exp(value - largest[:, None]), tl.broadcast_to(total[:, None], (ROWS, BLOCK)))
        tl.store(y + o * y_o + i * y_i + a * y_a, value, mask=real & (a < AXIS))
