"""An elementwise kernel: an epilogue without an anchor. Elements are in the memory order of y, at i, j, k, l."""

import triton
import triton.language as tl


@triton.jit
def epilogue(extra, i0, i1, i2, i3, real):
    (x,) = extra
    return tl.load(x + i0, mask=real)


@triton.jit
def kernel(y, extra, COUNT, J, K, L, y_i, y_j, y_k, y_l, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    i, j, k, l = at // (J * K * L), at // (K * L) % J, at // L % K, at % L
    real = at < COUNT
    tl.store(y + i * y_i + j * y_j + k * y_k + l * y_l, epilogue(extra, i, j, k, l, real), mask=real)
