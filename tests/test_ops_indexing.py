"""Operators and layers that move data: against numbers worked out by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cortado.compiler.ops.indexing import Crop, Filter, Flip, Gather, Reorg, Tile, Transpose
from cortado.compiler.ops.shape import Pad, Squeeze
from cortado.compiler.types import AtMost, TensorType

from .small_nets import Nets, arange, data, f32, layer


@pytest.mark.parametrize(("wrong", "sentence"), [
    (lambda: Crop(axis=1, offset=(2,)).infer(f32(1, 3, 4), f32(1, 2, 4)), "axis 1 has size 3: it cannot be cropped"),
    (lambda: Crop(axis=1, offset=(0, 1)).infer(f32(1, 3, 4, 4), f32(1, 1, 1, 1)), "offset has 2 numbers"),
    (lambda: Crop(axis=1).infer(f32(1, 3, 4)), "sizes has 0 numbers"),
    (lambda: Transpose(order=(0, 0, 1)).infer(f32(1, 3, 4)), "does not name each of the 3 dimensions once"),
    (lambda: Flip(axes=(0, -2)).infer(f32(1, 3)), r"axes \[0, -2\] has to name one or more axes, each once"),
    (lambda: Flip(axes=()).infer(f32(1, 3)), "has to name one or more axes"),
    (lambda: Flip(axes=(0,)).infer(TensorType("f32", (AtMost(4), 3))), "dimension 0 of .* has to be known"),
    (lambda: Reorg(stride=0).infer(f32(1, 4, 2, 2)), "stride is 1 or more, not 0"),
    (lambda: Reorg(stride=2).infer(f32(1, 3, 2, 2)), "cannot be divided by 2: its channels by 4, its height and width"),
    (lambda: Reorg(stride=2).infer(f32(1, 4, 3, 2)), "cannot be divided by 2"),
    (lambda: Reorg(stride=2).infer(f32(1, 4, 4)), "it takes images"),
    (lambda: Pad(before=(1,), after=(0,)).infer(f32(1, 4)), "a number for each dimension of .*, not 1 and 1"),
    (lambda: Pad(before=(-1,), after=(-1,)).infer(f32(2)), "nothing is left of dimension 0 of .* by -1 before and -1"),
    (lambda: Pad(before=(-3,), after=(4,)).infer(f32(2)), "nothing is left of dimension 0"),
    (lambda: Pad(before=(1,), after=(0,)).infer(TensorType("f32", (AtMost(4),))), "dimension 0 of .* has to be known"),
    (lambda: Squeeze(axes=(0,)).infer(f32(2, 1)), "dimension 0 of .* is not of size 1"),
    (lambda: Tile(tiles=0).infer(f32(1, 3)), "tiles is 1 or more"),
    (lambda: Filter().infer(f32(3, 2), f32(3, 2)), "one number for each row"),
    (lambda: Filter().infer(f32(4, 2), f32(3)), "the selector has 3 rows"),
])  # fmt: skip
def test_what_cannot_be(wrong: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        wrong()


def test_moving_by_hand() -> None:
    x = arange(2, 3)
    assert Transpose(order=(1, 0)).reference(x).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert Flip(axes=(-1,)).reference(x).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert Flip(axes=(0, 1)).reference(x).tolist() == [[5, 4, 3], [2, 1, 0]]
    # In their order as one channel of 4 x 4 pixels; the first of each 2 x 2 block of those make the first channel.
    made = Reorg(stride=2).reference(arange(1, 4, 2, 2))
    assert made.flatten().tolist() == [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15] and made.shape == (
        1,
        16,
        1,
        1,
    )
    back = Reorg(stride=2, reverse=True).reference(made)
    assert back.flatten().tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15] and back.shape == (
        1,
        4,
        2,
        2,
    )
    assert Reorg(stride=2, reverse=True).reference(arange(1, 4, 1, 2)).tolist() == [[[[0, 2, 1, 3], [4, 6, 5, 7]]]]
    assert Pad(before=(1, 0), after=(0, 2), value=9).reference(x).tolist() == [
        [9] * 5,
        [0, 1, 2, 9, 9],
        [3, 4, 5, 9, 9],
    ]
    assert Pad(before=(-1, 1), after=(0, -1)).reference(x).tolist() == [[0, 3, 4]]
    assert Squeeze().reference(arange(1, 2, 1, 3)).tolist() == x.tolist()
    assert Squeeze(axes=(-2,)).reference(arange(1, 2, 1, 3)).tolist() == [x.tolist()]
    assert Tile(tiles=2).reference(x).tolist() == [[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]
    assert Tile(tiles=2, axis=0).reference(x).tolist() == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]]
    assert Crop(axis=-1, offset=(1,)).reference(x, torch.zeros(5, 2)).tolist() == [[1, 2], [4, 5]]
    assert Crop(axis=0, offset=(1, 0), sizes=(1, 2)).reference(x).tolist() == [[3, 4]]
    assert Gather().reference(x, torch.tensor([[1.0, 0.9]])).tolist() == [[[3, 4, 5], [0, 1, 2]]]
    chosen, labels = Filter().reference(x, arange(2), torch.tensor([[0.0], [-1.0]]))
    assert chosen.tolist() == [[3, 4, 5]] and labels.tolist() == [1]


def test_permute_of_what_a_convolution_makes(nets: Nets) -> None:
    """As in SSD's heads: laid out as nhwc, the convolution's result is already in the order asked for."""
    text = data(1, 5, 3, 4) + layer("Convolution", "convolution_param { num_output: 3 kernel_size: 1 }", tops="c")
    text += layer("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", "c").replace('"l"', '"p"')
    weights = {"l:0": torch.randn(3, 5), "l:1": torch.randn(3)}
    x = torch.randn(1, 5, 3, 4)
    wanted = F.conv2d(x, weights["l:0"].view(3, 5, 1, 1), weights["l:1"]).permute(0, 2, 3, 1)
    np.testing.assert_allclose(nets.run(text, {"data": x}, weights)["y"], wanted.numpy(), atol=1e-6)
    last = nets.compilation(text, weights).graph
    assert [n.op.name for n in last.nodes].count("relayout") == 1  # the input's


@pytest.mark.parametrize(
    ("order", "sentence"), [("order: 4", "there is no axis 4"), ("order: 1 order: 1", "names an axis twice")]
)
def test_permute_refused(nets: Nets, order: str, sentence: str) -> None:
    said = nets.expect_refusal(data(1, 2, 3) + layer("Permute", f"permute_param {{ {order} }}"))
    assert 'layer "l" (Permute)' in said and sentence in said


def test_embed(nets: Nets) -> None:
    text = data(2, 2) + layer("Embed", "embed_param { input_dim: 3 num_output: 2 }")
    weights = {"l:0": [[1, 2], [3, 4], [5, 6]], "l:1": [10, 20]}
    made = nets.run(text, {"data": [[0, 2], [1.9, 0]]}, weights)["y"]
    assert made.tolist() == [[[11, 22], [15, 26]], [[13, 24], [11, 22]]]
    net = nets.compile(text, weights)
    for wrong in (3, -1, np.nan):
        with pytest.raises(ValueError, match=f"an index is {wrong}, and the table has 3 rows"):
            net(data=np.full((2, 2), wrong, np.float32))
    assert 'layer "l" (Embed): input_dim has to be 1' in nets.expect_refusal(
        data(2) + layer("Embed", "embed_param { num_output: 2 }")
    )


def test_batch_reindex(nets: Nets) -> None:
    text = data(2, 2) + data(3, name="order") + layer("BatchReindex", "", ("data", "order"))
    made = nets.run(text, {"data": [[1, 2], [3, 4]], "order": [1, 1, 0]})["y"]
    assert made.tolist() == [[3, 4], [3, 4], [1, 2]]
    said = nets.expect_refusal(data(2, 2) + data(3, 1, name="order") + layer("BatchReindex", "", ("data", "order")))
    assert 'layer "l" (BatchReindex): the second bottom is a list of rows' in said


@pytest.mark.parametrize("chosen", [[0, 0, 0], [1, 0, 0.5], [1, 1, 1]])
def test_filter_keeps_what_is_chosen(nets: Nets, chosen: list[float]) -> None:
    """How many rows there are is known when the net runs; what comes behind runs on as many."""
    text = data(3, 2, 1, 2) + data(3, name="label") + data(3, name="sel")
    text += layer("Filter", "", ("data", "label", "sel"), ("rows", "labels"))
    text += 'layer { name: "r" type: "ReLU" bottom: "rows" top: "rows" }'
    x = arange(3, 2, 1, 2).numpy() - 5
    made = nets.run(text, {"data": x, "label": [7, 8, 9], "sel": chosen})
    keep = np.array(chosen) != 0
    np.testing.assert_array_equal(made["rows"], np.maximum(x[keep], 0))
    np.testing.assert_array_equal(made["labels"], np.array([7, 8, 9])[keep])


def test_filter_refused(nets: Nets) -> None:
    text = data(3, 2) + data(3, 2, name="sel") + layer("Filter", "", ("data", "sel"))
    assert 'layer "l" (Filter): the selector is one number for each row' in nets.expect_refusal(text)
