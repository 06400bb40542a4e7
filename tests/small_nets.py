"""Small nets in prototxt, for tests of single layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.compiler.types import AtMost, TensorType
from cortado.runtime import Net

# Relative to the largest output, at least 1, as the tests' numbers are near 1. Passes change the order of sums and fold
# factors into weights, each rounding by 2^-24; the longest sums have about 50 terms, through up to four layers.
TOLERANCE = 4 * 50 * 2.0**-24


class Nets:
    """Compiles small nets with all passes and with none; both have to agree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compile(self, text: str, weights: Mapping[str, Any] | None = None, **options: Any) -> Net:
        return self.compilation(text, weights, **options).load()

    def compilation(self, text: str, weights: Mapping[str, Any] | None = None, **options: Any) -> driver.Compilation:
        path = self.folder / "net.prototxt"
        path.write_text(text)
        given = {name: np.asarray(value, np.float32) for name, value in (weights or {}).items()}
        return driver.compile_net(
            path,
            lambda layer, type, index, shape: given[f"{layer}:{index}"].reshape(shape),
            driver.Options(**options),
        )

    def run(
        self, text: str, inputs: Mapping[str, Any], weights: Mapping[str, Any] | None = None, **options: Any
    ) -> dict[str, np.ndarray]:
        arrays = {name: np.asarray(x, np.float32) for name, x in inputs.items()}
        made = [self.compile(text, weights, optimize=o, **options)(arrays) for o in (True, False)]
        for name, value in made[0].items():
            plain = made[1][name]
            finite = np.abs(plain[np.isfinite(plain)])
            np.testing.assert_allclose(value, plain, rtol=0, atol=TOLERANCE * max(finite.max(initial=0), 1))
        return made[0]

    def expect_refusal(self, text: str, **options: Any) -> str:
        with pytest.raises(CompileError) as caught:
            self.compile(text, **options)
        return str(caught.value)


def data(*shape: int, name: str = "data") -> str:
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims(shape)} }} }} }}\n'


def dims(shape: Sequence[int]) -> str:
    return " ".join(f"dim: {d}" for d in shape)


def layer(type: str, settings: str = "", bottoms: Sequence[str] = ("data",), tops: Sequence[str] = ("y",)) -> str:
    ends = " ".join([f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops])
    return f'layer {{ name: "l" type: "{type}" {ends} {settings} }}\n'


def arange(*shape: int) -> torch.Tensor:
    """0, 1, 2, ... in this shape, as f32."""
    return torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)


def f32(*dims: int | AtMost) -> TensorType:
    return TensorType("f32", dims)
