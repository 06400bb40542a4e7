"""Plans for the stand-in for a GPU: launches of kernels that it implements, and their machine code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from cortado.runtime.artifact import Artifact, Plan, Slot, Step, Weight

from .gpu import cubin

AFFINE = "affine 8 8 4 4 4 8 8"
ROWS = 64


def affine(x: str, y: str, count: int, a: float, b: float, kernel: str = "scale", **more: Any) -> Step:
    """A launch that computes y = a x + b."""
    kind = [{"operand": 0}, {"result": 0}, {"i32": count}, {"f32": a}, {"f32": b}]
    attributes = {"kernel": kernel, "warps": 4, "shared": 0, "grid": [count // 8, 1, 1], "arguments": kind, **more}
    return Step("launch", attributes, (x,), (y,), f"{x}>{y}")


def chain(rows: int = ROWS, **more: Any) -> Artifact:
    """An artifact that computes 3 (2 data + 1) - 4 as `out`, and returns the weight w twice."""
    count, nbytes = rows * 4, rows * 16
    slots = {
        "data": Slot("f32", (rows, 4)),
        "mid": Slot("f32", (rows, 4), at=0),
        "out": Slot("f32", (rows, 4), at=nbytes),
        "twice": Slot("f32", (8,), at=2 * nbytes),
    }
    steps = (
        affine("data", "mid", count, 2.0, 1.0, **more),
        affine("mid", "out", count, 3.0, -4.0, kernel="offset"),
        affine("w", "twice", 8, 2.0, 0.0),
    )
    weights = {"w": Weight("f32", (8,), "w8"), "unused": Weight("f32", (2,), "u2")}
    plan = Plan(
        "chain",
        "cuda",
        "cuda",
        1,
        2 * nbytes + 32,
        ("data",),
        slots,
        weights,
        steps,
        (("out", "out"), ("twice", "twice")),
    )
    cubins = {f"{name}.sm_{a}": cubin({name: AFFINE}, a) for name in ("scale", "offset") for a in (80, 90)}
    return Artifact((plan,), {"w8": torch.arange(8.0), "u2": torch.ones(2)}, source=f"{rows}", binaries=cubins)


TILED_DESCRIPTOR = {
    "of": {"operand": 0},
    "dtype": "f32",
    "shape": [2, 5, 6, 8],
    "strides": [960, 192, 32],
    "box": [1, 4, 4, 8],
    "swizzle": 1,
}


def tiled_artifact(form: Mapping[str, Any] = TILED_DESCRIPTOR) -> Artifact:
    """An artifact that reads an nhwc image through a tensor descriptor."""
    slots = {"data": Slot("f32", (2, 8, 5, 6), "nhwc"), "out": Slot("f32", (2, 8, 5, 6), "nhwc", 0)}
    arguments = [{"descriptor": dict(form)}, {"result": 0}]
    attributes = {"kernel": "move", "warps": 8, "grid": [2, 3, 4], "arguments": arguments}
    steps = (Step("launch", attributes, ("data",), ("out",), "move"),)
    plan = Plan("tiled", "cuda-f16", "cuda", 1, 1920, ("data",), slots, {}, steps, (("out", "out"),))
    code = cubin({"move": "tiled 128 4 4 4 4 8 8 8 8 8 8 8"})
    return Artifact((plan,), {}, binaries={"move.sm_90": code})
