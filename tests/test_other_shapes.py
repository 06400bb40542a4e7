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

from .small_nets import Nets, data, layer
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


GLOBAL = 'layer { name: "g" type: "Pooling" bottom: "data" top: "g" pooling_param { global_pooling: true } }\n'
UNEQUAL = "kernel_size: 4 stride: 2 num_output: 2 pad_l: 1 pad_b: 1"


@pytest.mark.parametrize(("text", "shape", "other"), [
    (layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad_type: 1 }"), (1, 1, 9, 9), (1, 1, 10, 10)),
    (layer("Deconvolution", f"convolution_param {{ {UNEQUAL} }}"), (1, 2, 8, 8), (1, 2, 9, 9)),
    (layer("Pooling3D", "pooling3d_param { global_pooling: true }"), (1, 1, 4, 8, 8), (1, 1, 4, 10, 10)),
    (layer("Squeeze"), (2, 2, 4, 3), (1, 2, 4, 3)),
    (layer("Reshape", "reshape_param { shape { dim: -1 dim: 8 } }"), (2, 8), (2, 16)),
    (layer("Reshape", "reshape_param { shape { dim: 2 dim: 8 } }"), (2, 8), (3, 8)),
    (layer("Flatten", "flatten_param { end_axis: 1 }"), (2, 8), (3, 9)),
    (GLOBAL + layer("AutoCrop", bottoms=("data", "g")), (1, 1, 9, 9), (1, 1, 13, 13)),
])  # fmt: skip
def test_what_a_layer_works_out_from_sizes_is_not_kept(
    text: str, shape: tuple[int, ...], other: tuple[int, ...], nets: Nets
) -> None:
    """The net for one shape refuses the other, or computes what one that is compiled for that does."""
    x = np.arange(np.prod(other), dtype=np.float32).reshape(other)
    weights = {"l:0": np.arange(64), "l:1": [1, 2]}
    net = nets.compile(data(*shape) + text, weights)
    try:
        wanted = nets.run(data(*other) + text, {"data": x}, weights)["y"]
    except CompileError:
        wanted = None
    try:
        made = net(data=x)["y"]
    except ValueError:
        return
    assert wanted is not None and made.shape == wanted.shape and made.tolist() == wanted.tolist()


def test_a_detector_takes_another_size() -> None:
    """Its proposals are as many as the data say, whatever the inputs' sizes."""
    case = GoldenCase(next(path for path in LAYERS if path.stem == "faster_rcnn_small"))
    net = compile_for(case)
    assert net is not None
    shapes = {name: x.shape for name, x in case.inputs.items()}
    for grown in (16, 32):
        shapes["data"] = (*shapes["data"][:2], *(n + grown for n in case.inputs["data"].shape[2:]))
        alone = compile_for(case, shapes)
        inputs = {name: np.resize(case.inputs[name], shape) for name, shape in shapes.items()}
        made, wanted = run(net, inputs), run(alone, inputs)
        assert made is not None and wanted is not None
        for name in wanted:
            np.testing.assert_allclose(made[name], wanted[name], rtol=1e-4, atol=1e-4)
