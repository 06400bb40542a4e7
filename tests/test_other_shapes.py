"""A net that is given other shapes than it was compiled for computes what one that is compiled for those does.

Every layer of the golden cases, with each axis of its inputs longer, shorter, doubled or of one element, in all inputs
or in one. Both may refuse; where only the net that is compiled anew does, the case is listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.runtime import Net

from .test_goldens import CASES, TOLERANCE, GoldenCase

Shapes = dict[str, tuple[int, ...]]
Outputs = Mapping[str, np.ndarray]
CHANGES: Mapping[str, Callable[[int], int]] = {
    "longer": lambda n: n + 1,
    "shorter": lambda n: max(n - 1, 1),
    "doubled": lambda n: 2 * n,
    "one": lambda n: 1,
}
LAYERS = [path for path in CASES if path.parent.name != "random"]
BROADCASTS = ("axpy", "axpy_two_axes_scale", "channel_scale")  # shapes that Caffe refuses, and numpy's rules accept


def other_shapes(shapes: Shapes) -> Iterator[Shapes]:
    """The shapes with one axis changed, or all image axes; of all inputs, or of one."""
    together = [tuple(shapes)] + ([(name,) for name in shapes] if len(shapes) > 1 else [])
    largest = max(map(len, shapes.values()))
    axes = [(axis,) for axis in range(largest)] + ([tuple(range(2, largest))] if largest > 3 else [])
    for names, changed, change in product(together, axes, CHANGES.values()):
        made = {
            name: tuple(change(n) if name in names and axis in changed else n for axis, n in enumerate(shape))
            for name, shape in shapes.items()
        }
        if made != shapes:
            yield made


def run(net: Net | None, inputs: Outputs) -> Outputs | None:
    """The outputs, or None if the net refuses the shapes."""
    try:
        return None if net is None else net(dict(inputs))
    except ValueError:
        return None


def compile_for(case: GoldenCase, shapes: Shapes | None = None) -> Net | None:
    """The net, for other shapes of its inputs; None if it is refused."""
    options = driver.Options(target="onednn", dialects=case.dialects, shapes=shapes or {})
    try:
        return driver.compile_net(case.path, case.weights, options).load()
    except (CompileError, ValueError):  # weights that do not fit are a ValueError of numpy's
        return None


def require_equal(case: GoldenCase, net: Net, shapes: Shapes) -> None:
    inputs = {name: np.resize(case.inputs[name], shape) for name, shape in shapes.items()}
    wanted, made = run(compile_for(case, shapes), inputs), run(net, inputs)
    if made is None or (wanted is None and case.path.stem in BROADCASTS):
        return
    assert wanted is not None, f"only the net for other shapes takes {shapes}"
    for name, expected in wanted.items():
        assert made[name].shape == expected.shape, (name, shapes)
        largest = np.abs(expected[np.isfinite(expected)]).max(initial=1e-30)
        np.testing.assert_allclose(
            made[name] / largest, expected / largest, rtol=0, atol=TOLERANCE, err_msg=f"{name} for {shapes}"
        )


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_a_net_given_another_shape(path: Path) -> None:
    """Two of the shapes, which the case's name selects."""
    case = GoldenCase(path)
    net = compile_for(case)
    if net is None or not case.inputs:
        pytest.skip("it is refused, or has no inputs")
    found = list(other_shapes({name: x.shape for name, x in case.inputs.items()}))
    first = crc32(path.stem.encode()) % len(found)
    for shapes in (found[first], found[first - len(found) // 2]):
        require_equal(case, net, shapes)


@pytest.mark.long
@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_a_net_given_any_other_shape(path: Path) -> None:
    case = GoldenCase(path)
    if (net := compile_for(case)) is not None and case.inputs:
        for shapes in other_shapes({name: x.shape for name, x in case.inputs.items()}):
            require_equal(case, net, shapes)
