"""Prior boxes against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.ir import Constant
from cortado.compiler.ops.prior_box import PriorBox
from cortado.compiler.types import TensorType


def priors(height: int, width: int, picture: tuple[int, int], **attributes: Any) -> np.ndarray:
    """[2, boxes, 4]: boxes and variances of a map of height × width cells."""
    op = PriorBox(**attributes)
    features, image = torch.zeros(1, 4, height, width), torch.zeros(1, 3, *picture)
    made = op.reference(features, image).numpy()
    assert op.infer(TensorType("f32", (1, 4, height, width)), TensorType("f32", (1, 3, *picture))).dims == made.shape
    return made.reshape(2, -1, 4)


def test_boxes_of_a_cell_in_order() -> None:
    boxes, variances = priors(1, 1, (100, 200), min_size=(20,), max_size=(80,), aspect_ratio=(4,))
    by_hand = [
        [0.45, 0.40, 0.55, 0.60],  # 20 × 20 around (100, 50)
        [0.40, 0.30, 0.60, 0.70],  # √(20 · 80) = 40
        [0.40, 0.45, 0.60, 0.55],  # 40 × 10
        [0.475, 0.30, 0.525, 0.70],  # 10 × 40
    ]
    np.testing.assert_allclose(boxes, by_hand, rtol=1e-6)
    np.testing.assert_array_equal(variances, np.full((4, 4), 0.1, np.float32))


def test_cells_go_by_rows() -> None:
    boxes, _ = priors(2, 3, (20, 30), min_size=(2,))
    centres = [[(x + 0.5) / 3, (y + 0.5) / 2] for y in range(2) for x in range(3)]
    np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, centres, rtol=1e-6)


def test_step_offset_and_image_by_number() -> None:
    boxes, _ = priors(2, 2, (7, 7), min_size=(10,), image=(100, 50), step=(40, 20), offset=0.25)
    np.testing.assert_allclose(boxes[3], [(25 - 5) / 50, (50 - 5) / 100, (25 + 5) / 50, (50 + 5) / 100], rtol=1e-6)


def test_clip_and_four_variances() -> None:
    boxes, variances = priors(1, 1, (10, 10), min_size=(20,), clip=True, variance=(0.1, 0.2, 0.3, 0.4))
    np.testing.assert_array_equal(boxes, [[0, 0, 1, 1]])
    np.testing.assert_allclose(variances, [[0.1, 0.2, 0.3, 0.4]], rtol=1e-6)
    assert priors(1, 1, (10, 10), min_size=(20,))[0].tolist() == [[-0.5, -0.5, 1.5, 1.5]]


def test_sizes_are_cut_to_whole_pixels_as_the_fork_does() -> None:
    fractions = priors(1, 1, (100, 100), min_size=(10.9,), max_size=(40.7,))
    np.testing.assert_array_equal(fractions, priors(1, 1, (100, 100), min_size=(10,), max_size=(40,)))


def test_ratios_are_not_repeated() -> None:
    assert PriorBox(min_size=(1,), aspect_ratio=(2, 2, 0.5, 1)).ratios == [2, 0.5]
    assert PriorBox(min_size=(1,), aspect_ratio=(2, 0.5), flip=False).ratios == [2, 0.5]
    assert PriorBox(min_size=(3, 5), max_size=(4, 6), aspect_ratio=(2, 3)).boxes_per_cell == 2 * (1 + 4) + 2


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"min_size": (0,)}, "above 0"),
        ({"min_size": (5,), "max_size": (5,)}, "has to be above min_size"),
        ({"min_size": (5, 6), "max_size": (7,)}, "one for each"),
        ({"min_size": (5,), "variance": (0.1, 0.2)}, "one number or four"),
        ({"min_size": (5,), "step": (0, 3)}, "step"),
        ({"min_size": (5,), "aspect_ratio": (-1,)}, "ratios are above 0"),
    ],
)
def test_prior_settings_that_cannot_be(attributes: dict[str, Any], sentence: str) -> None:
    image = TensorType("f32", (1, 3, 8, 8))
    with pytest.raises(ValueError, match=sentence):
        PriorBox(**attributes).infer(image, image)


def test_priors_are_folded_whatever_the_image_holds(tmp_path: Path) -> None:
    """The net that runs has no step left: prior boxes, and what is made of them alone, are weights."""
    path = tmp_path / "case.net"
    path.write_text("""net n(data: f32[?4,3,8,8]) {
        p = prior_box(data, data, min_size=2)
        q = prior_box(data, data, min_size=4)
        r = concat(p, q, axis=2)
        return r
    }""")
    made = driver.compile_net(path)
    net, last = made.load(), made.graph
    assert last.nodes == ()
    assert isinstance(last.outputs[0], Constant)
    expected = np.concatenate([priors(8, 8, (8, 8), min_size=(s,)).reshape(2, -1) for s in (2, 4)], 1)
    np.testing.assert_array_equal(net(data=np.full((1, 3, 8, 8), np.nan, np.float32))["r"], expected[None])
