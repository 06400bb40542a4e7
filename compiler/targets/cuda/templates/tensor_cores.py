"""Functions for kernels that multiply matrices on the tensor cores of sm_90. A kernel's file holds a verbatim copy.

Operands come from shared memory, where TMA has put them: `a` is [rows, depth] and `b` is [columns, depth].
"""

import triton
import triton.language as tl


@triton.jit
def multiply(acc, a, b, rest):
    """acc plus the product of a tile: of f16 acc is [columns, rows], of f32 [rows, columns], and `rest` is not None.

    f16: tensor cores read both tiles from shared memory, which Triton arranges with b on the left only. f32: a sum of
    three products of tf32 numbers. b and `rest` are the two parts of the weight; a is divided in registers, and of an
    infinity only the first part is used.
    """
    if rest is None:
        acc = tl.dot(b, a.T, acc)
    else:
        finite = tl.abs(a) < float("inf")
        big = (a.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
        acc = tl.dot(tl.where(finite, a - big, 0.0), b.T, acc, input_precision="tf32")
        acc = tl.dot(tl.where(finite, big, 0.0), rest.T, acc, input_precision="tf32")
        acc = tl.dot(big, b.T, acc, input_precision="tf32")
    return acc


@triton.jit
def is_last_part(acc, partial, counters, SPLIT: tl.constexpr):
    """Write a part of a tile's sum, and return True in the program that writes the last one; its counter is 0 again.

    The SPLIT programs of a tile are along the second axis of the grid.
    """
    tl.store(part_address(acc, partial, tl.program_id(1), SPLIT), acc)
    tl.debug_barrier()  # all threads have written before one of them counts
    last = tl.atomic_add(counters + tl.program_id(0), 1, sem="acq_rel", scope="gpu") == SPLIT - 1
    tl.store(counters + tl.program_id(0), 0, mask=last)
    return last


@triton.jit
def sum_parts(acc, partial, SPLIT: tl.constexpr):
    """The sum of a tile's parts, in their order, so that every run rounds alike."""
    acc = tl.load(part_address(acc, partial, 0, SPLIT), cache_modifier=".cg")
    for part in tl.static_range(1, SPLIT):
        acc += tl.load(part_address(acc, partial, part, SPLIT), cache_modifier=".cg")
    return acc


@triton.jit
def part_address(acc, partial, part, SPLIT: tl.constexpr):
    """The addresses of a part, which is as large as acc."""
    HEIGHT: tl.constexpr = acc.shape[0]
    WIDTH: tl.constexpr = acc.shape[1]
    number = tl.program_id(0).to(tl.int64) * SPLIT + part
    return partial + number * (HEIGHT * WIDTH) + tl.arange(0, HEIGHT)[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
