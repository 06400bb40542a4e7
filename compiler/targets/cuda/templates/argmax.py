"""The index of the largest element of each row, as f32: of equal ones the greatest; NaN is larger than all numbers.

Rows are the axes before the searched one (strides `_o`) and after it (`_i`).
"""

import triton
import triton.language as tl


@triton.jit
def kernel(
    y, x, COUNT, INNER, y_o, y_i, x_o, x_i, x_a, AXIS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real, o, i = row < COUNT, row // INNER, row % INNER
    place = (x + o * x_o + i * x_i)[:, None]
    largest = tl.full((ROWS,), -float("inf"), tl.float32)
    index, not_a_number = tl.zeros((ROWS,), tl.int32), tl.full((ROWS,), -1, tl.int32)
    for start in range(0, AXIS, BLOCK):
        a = (start + tl.arange(0, BLOCK))[None, :]
        there = real[:, None] & (a < AXIS)
        value = tl.load(place + a * x_a, mask=there, other=-float("inf")).to(tl.float32)
        nan = value != value
        not_a_number = tl.maximum(not_a_number, tl.max(tl.where(nan, a, -1), 1))
        value = tl.where(nan, -float("inf"), value)
        here = tl.max(value, 1)
        last = tl.max(tl.where(there & (value == here[:, None]), a, -1), 1)
        index = tl.where(here >= largest, last, index)
        largest = tl.maximum(largest, here)
    index = tl.where(not_a_number >= 0, not_a_number, index)
    tl.store(y + o * y_o + i * y_i, index.to(tl.float32), mask=real)
