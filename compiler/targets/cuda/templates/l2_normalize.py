"""Rows divided by their length: x / √(Σ x² + EPS). Rows are the axes before the summed ones (`_o`) and after (`_i`)."""

import triton
import triton.language as tl


@triton.jit
def kernel(
    y, x, COUNT, INNER, y_o, y_i, y_a, x_o, x_i, x_a,
    AXIS: tl.constexpr, EPS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real, o, i = (row < COUNT)[:, None], (row // INNER)[:, None], (row % INNER)[:, None]
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, AXIS, BLOCK):
        a = (start + tl.arange(0, BLOCK))[None, :]
        value = tl.load(x + o * x_o + i * x_i + a * x_a, mask=real & (a < AXIS), other=0.0).to(tl.float32)
        total += tl.sum(value * value, 1)
    length = tl.sqrt_rn(total + EPS)
    for start in range(0, AXIS, BLOCK):
        a = (start + tl.arange(0, BLOCK))[None, :]
        value = tl.load(x + o * x_o + i * x_i + a * x_a, mask=real & (a < AXIS), other=0.0).to(tl.float32)
        value = tl.div_rn(value, tl.broadcast_to(length[:, None], (ROWS, BLOCK)))
        tl.store(y + o * y_o + i * y_i + a * y_a, value, mask=real & (a < AXIS))
