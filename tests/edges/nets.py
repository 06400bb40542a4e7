"""The nets that a case is tried in: the layer alone, and behind what it can be fused into."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .cases import EDGES, EdgeCase, inputs_of
from .formulas import Array, F

RTOL = 1e-5  # as of a layer's outputs elsewhere; a result that is infinite or NaN has to be so exactly
ATOL = 1e-5
CONVOLUTION = (
    'layer {{ name: "before" type: "Convolution" bottom: "x" top: "c" '
    "convolution_param {{ num_output: 2 kernel_size: 1 group: {group} bias_term: false }} }}\n"
)
PRODUCT = (
    'layer { name: "before" type: "InnerProduct" bottom: "x" top: "c" '
    "inner_product_param { num_output: 2 bias_term: false } }\n"
)
SUM = 'layer { name: "sum" type: "Eltwise" bottom: "c" bottom: "r" top: "s" }\n'


@dataclass(frozen=True)
class Net:
    """A prototxt with its weights and inputs, and Caffe's numbers for its output z."""

    text: str
    weights: Callable[[str, str, int, tuple[int, ...]], Array]
    inputs: Mapping[str, Array]
    expected: Array
    case: EdgeCase
    channels: slice | None  # of the result, those that the edge value reaches; None where the layer stands alone


def nets_of(case: EdgeCase) -> dict[str, Net]:
    made = {"alone": make_net(case, "", "x", lambda x: x)}
    if case.fuses:
        one, both, first = replace(case, shape=(1, 4, 4)), slice(0, 2), slice(0, 1)
        summed, before_sum = replace(one, others={"r": (2, 4, 4)}), CONVOLUTION.format(group=1) + SUM
        made |= {
            "behind a convolution": make_net(one, CONVOLUTION.format(group=1), "c", repeat_channel, both),
            "behind a depthwise convolution": make_net(case, CONVOLUTION.format(group=2), "c", lambda x: x, first),
            "behind a product": make_net(replace(case, shape=(1,), cell=(0,)), PRODUCT, "c", repeat_channel, both),
            "behind a sum": make_net(summed, before_sum, "s", repeat_channel, both),
            "behind a sum, of the other": make_net(
                replace(summed, edge_in="r"), before_sum, "s", repeat_channel, first
            ),
        }
    return made


def repeat_channel(x: Array) -> Array:
    """One channel as two, as the convolution and the product with a weight of ones make them."""
    return np.repeat(x, 2, 1)


def make_net(
    case: EdgeCase, before: str, bottom: str, work: Callable[[Array], Array], channels: slice | None = None
) -> Net:
    inputs = inputs_of(case)
    if "label" in inputs:
        inputs["label"] = np.ones_like(inputs["label"])
    shapes = {name: (1 if case.alone else len(EDGES), *x.shape[1:]) for name, x in inputs.items()}
    declared = "".join(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {d}" for d in shape)} }}\n' for name, shape in shapes.items()
    )
    text = f'{declared}{before}layer {{ name: "layer" bottom: "{bottom}" top: "z" {case.layer} }}\n'

    def weights(layer: str, type: str, index: int, shape: tuple[int, ...]) -> Array:
        return case.blobs[index].reshape(shape) if layer == "layer" else np.ones(shape, F)

    with np.errstate(all="ignore"):
        given: tuple[Array, ...]
        if bottom == "s":
            given = (np.zeros((), F) + work(inputs["x"]) + inputs["r"],)
        else:
            given = (work(inputs["x"]), *(inputs[name] for name in case.others))
        expected = np.asarray(case.formula(*given))
    return Net(text, weights, inputs, expected.astype(F), case, channels)


def run(net: Net, compute: Callable[[Mapping[str, Array]], Array]) -> Array:
    """The outputs z of all images, at once or one after another."""
    if not net.case.alone:
        return np.asarray(compute(net.inputs))
    each = [
        np.asarray(compute({name: x[n : n + 1] for name, x in net.inputs.items()})).reshape(1, *net.expected.shape[1:])
        for n in range(len(EDGES))
    ]
    return np.concatenate(each)


def require_caffes(net: Net, found: Array) -> None:
    """AssertionError unless the numbers are Caffe's, but where the case says what else they are."""
    expected = net.expected.copy()
    assert found.shape == expected.shape, f"{found.shape}, not {expected.shape}"
    for n, edge in enumerate(EDGES):
        cell = (n, *net.case.cell)
        here = net.case.differs.get(edge)
        if here is not None and not isinstance(here, str):
            with contextlib.suppress(AssertionError):
                np.testing.assert_equal(expected[cell], here)
                raise ValueError(f"{edge}: Caffe has {here}, too: it does not differ")
            place: Any = cell if net.channels is None else (n, net.channels, *cell[2:])
            expected[place] = here
        elif here is None and net.channels is None and expected[cell] == 0:
            assert np.signbit(found[cell]) == np.signbit(expected[cell]), f"{edge}: the sign of a zero differs"
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=ATOL, equal_nan=True)
