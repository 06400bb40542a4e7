"""COEFF times the sum of each row or, by HOW, of its absolute values ("asum") or squares ("sumsq"), or its "mean"."""

import triton
import triton.language as tl


@triton.jit
def kernel(
    y, x, COUNT, y_r, x_r, x_a, AXIS: tl.constexpr, HOW: tl.constexpr, COEFF: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, AXIS, BLOCK):
        a = (start + tl.arange(0, BLOCK))[None, :]
        real = (row < COUNT)[:, None] & (a < AXIS)
        value = tl.load(x + row[:, None] * x_r + a * x_a, mask=real, other=0.0).to(tl.float32)
        if HOW == "asum":
            value = tl.abs(value)
        if HOW == "sumsq":
            value = value * value
        total += tl.sum(value, 1)
    if HOW == "mean":
        total = tl.div_rn(total, tl.full((ROWS,), AXIS, tl.float32))
    tl.store(y + row * y_r, total * COEFF, mask=row < COUNT)
