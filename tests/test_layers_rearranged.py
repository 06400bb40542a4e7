"""Layers that move elements: by hand, at another size than they were compiled for, and refused."""

from __future__ import annotations

import numpy as np
import pytest

from .small_nets import Nets, arange, data, layer

EIGHT = arange(1, 8, 1, 1)


@pytest.mark.parametrize(("form", "wanted"), [
    ("DCR", [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]),
    ("NCHW", [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]),
    ("CRD", [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
])  # fmt: skip
def test_depth_to_space(nets: Nets, form: str, wanted: list[object]) -> None:
    text = data(1, 8, 1, 1) + layer("DepthToSpace", f'depth_to_space_param {{ block_size: 2 data_format: "{form}" }}')
    assert nets.run(text, {"data": EIGHT})["y"].tolist() == [wanted]


def test_depth_to_space_has_the_channels_last_by_default(nets: Nets) -> None:
    text = data(1, 1, 1, 8) + layer("DepthToSpace", "depth_to_space_param { block_size: 2 }")
    made = nets.run(text, {"data": EIGHT.reshape(1, 1, 1, 8)})["y"]
    assert made.tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]]


# Two blocks along each of the two axes after the batch, as TensorFlow's page on space_to_batch_nd has them.
BLOCKS = "block_shape: 2 block_shape: 2"


def test_space_to_batch_and_back(nets: Nets) -> None:
    x = arange(1, 2, 4, 1)
    text = data(1, 2, 4, 1) + layer(
        "SpaceToBatchND", f"space_to_batch_nd_param {{ {BLOCKS} paddings: 0 paddings: 0 paddings: 2 paddings: 0 }}"
    )
    made = nets.run(text, {"data": x})["y"]
    assert made.shape == (4, 1, 3, 1)
    assert made.reshape(4, 3).tolist() == [[0, 0, 2], [0, 1, 3], [0, 4, 6], [0, 5, 7]]
    back = data(4, 1, 3, 1) + layer(
        "BatchToSpaceND", f"batch_to_space_nd_param {{ {BLOCKS} crops: 0 crops: 0 crops: 2 crops: 0 }}"
    )
    assert nets.run(back, {"data": made})["y"].tolist() == x.tolist()


@pytest.mark.parametrize(("text", "shape", "other"), [
    (layer("ShuffleChannel", "shuffle_channel_param { group: 2 }"), (1, 4, 2, 2), (2, 4, 3, 5)),
    (layer("Reorg", "reorg_param { stride: 2 }"), (1, 4, 2, 2), (2, 4, 4, 6)),
    (layer("DepthToSpace", 'depth_to_space_param { block_size: 2 data_format: "CRD" }'), (1, 4, 2, 2), (2, 4, 3, 1)),
    (layer("SpaceToBatchND", "space_to_batch_nd_param { block_shape: 2 paddings: [0, 0] }"), (1, 2, 3), (3, 4, 5)),
    (layer("BatchToSpaceND", "batch_to_space_nd_param { block_shape: 2 crops: 1 crops: 0 }"), (2, 2, 3), (4, 3, 1)),
    (layer("Squeeze"), (1, 2, 1, 2), (3, 2, 1, 1)),
    (layer("Flip"), (1, 1, 2, 2), (2, 3, 1, 4)),
])  # fmt: skip
def test_another_shape_is_that_of_a_net_compiled_for_it(
    nets: Nets, text: str, shape: tuple[int, ...], other: tuple[int, ...]
) -> None:
    """No size of the shape that a net is compiled for stays in it."""
    x = arange(*other).numpy()
    wanted = nets.run(data(*other) + text, {"data": x})["y"]
    made = nets.compile(data(*shape) + text)(data=x)["y"]
    assert made.shape == wanted.shape and made.tolist() == wanted.tolist()


REFUSED = [
    (layer("ShuffleChannel", "shuffle_channel_param { group: 3 }"), "4 channels cannot be divided into 3 groups"),
    (layer("ShuffleChannel", "shuffle_channel_param { group: 0 }"), "cannot be divided into 0 groups"),
    (layer("Reorg"), "stride has to be 1 or more"),
    (layer("Reorg", "reorg_param { stride: 3 }"), "cannot be divided by 3"),
    (
        layer("DepthToSpace", "depth_to_space_param { block_size: 3 }"),
        "2 channels cannot be divided into blocks of 3 x 3",
    ),
    (layer("DepthToSpace", 'depth_to_space_param { block_size: 1 data_format: "NWHC" }'), "NHWC, NCHW, DCR or CRD"),
    (layer("SpaceToBatchND"), "block_shape has one to 3 sizes"),
    (
        layer("SpaceToBatchND", "space_to_batch_nd_param { block_shape: 2 }"),
        "paddings has two numbers for each of 1 bl",
    ),
    (
        layer("SpaceToBatchND", "space_to_batch_nd_param { block_shape: 3 paddings: 0 paddings: 0 }"),
        "axis 1, of 4 with its",
    ),
    (
        layer("BatchToSpaceND", "batch_to_space_nd_param { block_shape: 2 crops: 0 crops: 0 }"),
        "a batch of 1 has no whole",
    ),
    (layer("Pad", "pad_param { paddings: 1 }"), "paddings has two numbers for each axis of f32[1,4,2,2], not 1"),
    (layer("Transpose", "transpose_param { dim: 0 }"), "dim is [0], and has to name each axis of f32[1,4,2,2] once"),
    (layer("Squeeze", "squeeze_param { axis: 1 }"), "dimension 1 of f32[1,4,2,2] is not of size 1"),
    (layer("Squeeze", "squeeze_param { axis: 4 }"), "there is no axis 4"),
    (layer("Squeeze", tops=("data",)), "Caffe does not let Squeeze be in place"),
    (layer("Transpose", "transpose_param { dim: 0 }", tops=("data",)), "Caffe does not let Transpose be in place"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_refused(nets: Nets, text: str, said: str) -> None:
    refused = nets.expect_refusal(data(1, 4, 2, 2) + text)
    assert 'layer "l" (' in refused and said in refused


def test_copies_keep_their_own_memory(nets: Nets) -> None:
    """A Pad by nothing and a Flip of nothing are copies: what is written to them does not change the bottom."""
    for text in (
        layer("Pad", f"pad_param {{ {'paddings: 0 ' * 8} }}"),
        layer("Flip", "flip_param { flip_width: false }"),
    ):
        net = data(1, 1, 1, 2) + text + 'layer { name: "r" type: "ReLU" bottom: "y" top: "y" }\n'
        net += 'layer { name: "s" type: "Power" bottom: "data" top: "z" power_param { scale: 2 } }\n'
        made = nets.run(net, {"data": np.array([[[[-1, 1]]]])})
        assert made["y"].tolist() == [[[[0, 1]]]] and made["z"].tolist() == [[[[-2, 2]]]]
