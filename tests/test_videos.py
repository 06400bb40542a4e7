"""Layers on videos beside their golden cases: C3D's older files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .small_nets import Nets, data, layer

OLDER = """
layers { name: "v" type: VIDEO_DATA top: "data" top: "label"
    image_data_param { source: "l.txt" batch_size: 1 new_length: 3 crop_size: 5 new_height: 9 new_width: 9 } }
layers { name: "c" type: CONVOLUTION3D bottom: "data" top: "c" blobs_lr: 1
    convolution_param { num_output: 2 kernel_size: 3 kernel_depth: 2 pad: 1 temporal_stride: 1 } }
layers { name: "p" type: POOLING3D bottom: "c" top: "p"
    pooling_param { pool: MAX kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 } }
layers { name: "d" type: DECONVOLUTION3D bottom: "p" top: "y"
    convolution_param { num_output: 3 kernel_size: 2 kernel_depth: 1 stride: 2 } }
"""
TODAY = """
layer { name: "c" type: "Convolution3D" bottom: "data" top: "c"
    convolution3d_param { num_output: 2 kernel_size: 3 kernel_depth: 2 pad: 1 } }
layer { name: "p" type: "Pooling3D" bottom: "c" top: "p"
    pooling3d_param { kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 } }
layer { name: "d" type: "Deconvolution3D" bottom: "p" top: "y"
    convolution3d_param { num_output: 3 kernel_size: 2 kernel_depth: 1 stride: 2 } }
"""


@pytest.fixture
def nets(tmp_path: Path) -> Nets:
    return Nets(tmp_path)


def test_older_files_of_c3d(nets: Nets) -> None:
    """Its types of 2014 have the messages of images, and the video's sizes are in the data layer's."""
    numbers = np.random.default_rng(0)
    video = numbers.standard_normal((1, 3, 3, 5, 5))
    shapes = {"c:0": (2, 3, 2, 3, 3), "c:1": (2,), "d:0": (2, 3, 1, 2, 2), "d:1": (3,)}
    weights = {name: numbers.standard_normal(shape) for name, shape in shapes.items()}
    older = nets.run(OLDER, {"data": video}, weights)
    today = nets.run(data(1, 3, 3, 5, 5) + TODAY, {"data": video}, weights)
    assert older["y"].shape == (1, 3, 1, 6, 6)
    np.testing.assert_array_equal(older["y"], today["y"])


def test_a_setting_of_images_in_an_older_file(nets: Nets) -> None:
    said = nets.expect_refusal(OLDER.replace("num_output: 2", "num_output: 2 pad_h: 1"))
    assert "Caffe has no field pad_h in Convolution3DParameter" in said and "pad_h: 1" in said


@pytest.mark.parametrize("stride", [60000, 2**31 - 1])
@pytest.mark.parametrize(("pool", "first", "rest"), [("MAX", 7, np.finfo(np.float32).min), ("AVE", 3.5, 0)])
def test_windows_far_outside_need_no_memory(pool: str, stride: int, first: float, rest: float, nets: Nets) -> None:
    """Caffe counts, per axis, a second window that begins at the stride, in which no number is."""
    video = np.zeros((1, 1, 3, 3, 3))
    video[..., :2, :2, :2] = np.arange(8.0).reshape(2, 2, 2)
    settings = f"pooling3d_param {{ pool: {pool} kernel_size: 2 kernel_depth: 2 stride: {stride} temporal_stride: 9 }}"
    made = nets.run(data(1, 1, 3, 3, 3) + layer("Pooling3D", settings), {"data": video})["y"]
    assert made.shape == (1, 1, 2, 2, 2) and made.ravel().tolist() == [first, *[rest] * 7]


def test_an_axis_of_one_place_is_left_out(nets: Nets) -> None:
    """video-caffe's NdConvolution makes a top of the sizes above 1."""
    settings = "convolution_param { num_output: 1 kernel_shape { dim: 3 dim: 1 dim: 1 } }"
    video = np.arange(12.0).reshape(1, 1, 3, 2, 2)
    made = nets.run(
        data(1, 1, 3, 2, 2) + layer("NdConvolution", settings), {"data": video}, {"l:0": [1, 10, 100], "l:1": [5]}
    )
    np.testing.assert_array_equal(made["y"], [[[[845, 956], [1067, 1178]]]])


@pytest.mark.parametrize(("type", "settings", "words"), [
    ("Pooling3D", "pooling3d_param { pool: AVE kernel_size: 2 kernel_depth: 1 pad: 1 stride: 2 }",
     "along axis 3 it would have 4 windows, the last outside of the image"),
    ("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 1 pad: 1 }", "padding is implemented for AVE alone"),
    ("Pooling3D", "pooling3d_param { kernel_depth: 1 stride_d: 2 kernel_size: 2 }", "it is none of the layers"),
    ("Convolution3D", "convolution3d_param { num_output: 2 kernel_size: 2 }", "it has no kernel_depth"),
    ("Convolution3D", "convolution3d_param { num_output: 3 kernel_size: 2 kernel_depth: 1 filter_group: 2 }",
     "3 outputs cannot be divided into 2 groups"),
    ("NdConvolution", "convolution_param { num_output: 3 }", "it has no kernel_shape"),
    ("NdConvolution", "convolution_param { num_output: 3 kernel_shape { dim: 1 } }", "kernel_shape has 1 numbers"),
    ("NdPooling", "pooling_param { pool: AVE kernel_shape { dim: [1, 2, 2] } stride_shape { dim: [1, 2, 2] } }",
     "cuDNN divides its sum by the whole window"),
])  # fmt: skip
def test_what_cannot_be(nets: Nets, type: str, settings: str, words: str) -> None:
    said = nets.expect_refusal(data(1, 2, 3, 5, 5) + layer(type, settings))
    assert words in said and f'layer "l" ({type})' in said


def test_videos_have_five_axes(nets: Nets) -> None:
    for type, settings in (
        ("Convolution3D", "convolution3d_param { num_output: 2 kernel_size: 2 kernel_depth: 1 }"),
        ("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 1 }"),
    ):
        said = nets.expect_refusal(data(1, 2, 5, 5) + layer(type, settings))
        assert "it takes videos [n, c, frames, h, w], not f32[1,2,5,5]" in said
