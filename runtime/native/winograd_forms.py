"""Winograd's forms of a convolution: their matrices, the transformed weights, and what a form computes in f32."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from .site import Floats


@dataclass(frozen=True, slots=True)
class Form:
    """F(made x made, window x window): a tile of `side` pixels, and the matrix G [side, window] for the weights."""

    name: str
    code: int
    window: int
    made: int
    g: tuple[tuple[float, ...], ...]
    cycles_in: float  # to transform a vector of channels of one tile
    cycles_out: float

    @property
    def side(self) -> int:
        return self.made + self.window - 1

    def halo_after(self, out: int, size: int, pad: int) -> int:
        """Pixels beyond the image that the last tile of an axis reads."""
        return ceil(out / self.made) * self.made + self.window - 1 - pad - size


SIXTH, TWELFTH = 1 / 6, 1 / 12
FORMS = {
    "F2": Form("F2", 2, 3, 2, ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)), 75, 60),
    "F4": Form(
        "F4", 4, 3, 4,
        (
            (1 / 4, 0, 0), (-SIXTH, -SIXTH, -SIXTH), (-SIXTH, SIXTH, -SIXTH), (1 / 24, TWELFTH, SIXTH),
            (1 / 24, -TWELFTH, SIXTH), (0, 0, 1),
        ),
        230, 190,
    ),
    "F25": Form(
        "F25", 25, 5, 2,
        (
            (1 / 4, 0, 0, 0, 0), (-SIXTH,) * 5, (-SIXTH, SIXTH, -SIXTH, SIXTH, -SIXTH),
            (1 / 24, 2 / 24, 4 / 24, 8 / 24, 16 / 24), (1 / 24, -2 / 24, 4 / 24, -8 / 24, 16 / 24), (0, 0, 0, 0, 1),
        ),
        230, 110,
    ),
}  # fmt: skip

INPUT_MATRICES = {  # B^T by the side of a tile, as templates/winograd.h computes it
    4: ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    6: (
        (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
}  # fmt: skip
OUTPUT_MATRICES = {  # A^T
    "F2": ((1, 1, 1, 0), (0, 1, -1, -1)),
    "F4": ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    "F25": ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 1)),
}  # fmt: skip


def transform_weights(form: Form, w: Tensor) -> Tensor:
    """G w G^T, worked out in float64 and rounded once.

    From [outputs, channels, window, window] to f32 [side, side, channels, outputs].
    """
    g = torch.tensor(form.g, dtype=torch.float64)
    places = w.permute(2, 3, 1, 0).to(torch.float64, memory_format=torch.contiguous_format).flatten(2).flatten(0, 1)
    made = (torch.kron(g, g) @ places).float()  # [side², window²] times [window², channels · outputs]
    return made.view(form.side, form.side, w.shape[1], w.shape[0])


def evaluate_form(name: str, x: Floats, w: Floats) -> Floats:
    """A convolution without padding as a form computes it, in f32: [1,C,H,W] and [O,C,k,k] to [1,O,H-k+1,W-k+1]."""
    form = FORMS[name]
    _, channels, height, width = x.shape
    out = height - form.window + 1, width - form.window + 1
    down, across = (ceil(size / form.made) for size in out)
    padded = np.zeros((channels, down * form.made + form.window - 1, across * form.made + form.window - 1), np.float32)
    padded[:, :height, :width] = x[0]
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (form.side, form.side), (1, 2))[
        :, :: form.made, :: form.made
    ]
    b, a = (np.array(m, np.float32) for m in (INPUT_MATRICES[form.side], OUTPUT_MATRICES[name]))
    u = np.einsum("ki,cyxij,lj->klcyx", b, tiles, b, optimize=True).astype(np.float32)
    u = u.reshape(form.side**2, channels, -1)
    product = np.matmul(
        transform_weights(form, torch.from_numpy(w)).numpy().reshape(form.side**2, channels, -1).transpose(0, 2, 1), u
    )
    product = product.reshape(form.side, form.side, len(w), down, across)
    y = np.einsum("ik,kloyx,jl->oyixj", a, product, a, optimize=True).astype(np.float32)
    return np.ascontiguousarray(y.reshape(1, len(w), down * form.made, across * form.made)[:, :, : out[0], : out[1]])
