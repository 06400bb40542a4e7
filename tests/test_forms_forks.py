"""A fork's caffemodel alone: numbers that forks gave to different fields are told by the layer's type, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.frontends.files import wire
from cortado.frontends.files.schema import message_class

from .small_nets import arange

VARINT, FLOAT = 0, 5


def number(field: int, value: int) -> bytes:
    return wire.encode_varint(field << 3 | VARINT) + wire.encode_varint(value)


def real(field: int, value: float) -> bytes:
    return wire.encode_varint(field << 3 | FLOAT) + np.float32(value).tobytes()


def snapshot(
    folder: Path,
    type: str,
    at: int,
    settings: bytes,
    blobs: Sequence[Sequence[float]] = (),
    mask: bool = False,
    sizes: Sequence[int] = (1, 2, 2, 2),
) -> Path:
    """A net of one layer of that type, whose settings stand in the field `at`, as a fork of Caffe writes it."""
    net: Any = message_class("NetParameter")()
    for name in ("data", *["mask"] * mask):
        given = net.layer.add(name=name, type="Input", top=[name])
        given.input_param.shape.add(dim=list(sizes))
    layer: Any = message_class("LayerParameter")()
    layer.name, layer.type = "l", type
    layer.bottom.extend(["data", *["mask"] * mask])
    layer.top.append("y")
    for values in blobs:
        layer.blobs.add(data=values).shape.dim.extend([1, 2, 1, 1])
    content = layer.SerializeToString() + wire.encode_field(
        at, settings
    )  # as bytes: our schema would read some of them
    path = folder / "net.caffemodel"
    path.write_bytes(net.SerializeToString() + wire.encode_field(100, content))
    return path


X = arange(1, 2, 2, 2).numpy()
BLOBS = [[2.0, 3.0], [1.0, -1.0], [4.0, 5.0], [4.0, 0.25]]


@pytest.mark.parametrize("at", [152, 200, 204])
def test_pspnets_bn(tmp_path: Path, at: int) -> None:
    """Its slope_filler, bias_filler and momentum have the numbers of SegNet's scale_filler, shift_filler, bn_mode."""
    settings = (
        wire.encode_field(1, real(2, 1)) + wire.encode_field(2, b"") + real(3, 0.95) + real(4, 0.0) + number(5, 1)
    )
    made = driver.compile(snapshot(tmp_path, "BN", at, settings, BLOBS))(data=X)["y"]
    a = np.array([1, 6], np.float32).reshape(1, 2, 1, 1)  # slope / deviation
    b = np.array([1 - 4, -1 - 5 * 6], np.float32).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(made, X * a + b, atol=1e-5)


def test_segnets_bn(tmp_path: Path) -> None:
    made = driver.compile(snapshot(tmp_path, "BN", 45, number(3, 1), BLOBS[:2]))(data=X)["y"]
    np.testing.assert_allclose(made[0, :, 1, 1], [3 * 2 + 1, 7 * 3 - 1])


@pytest.mark.parametrize("at", [143, 163, 205])
def test_interp(tmp_path: Path, at: int) -> None:
    made = driver.compile(snapshot(tmp_path, "Interp", at, number(3, 2)))(data=X)["y"]
    assert made[0, 0].tolist() == [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]


@pytest.mark.parametrize(("type", "at"), [("Upsample", 150), ("UpsampleDarknet", 209)])
def test_upsample(tmp_path: Path, type: str, at: int) -> None:
    made = driver.compile(snapshot(tmp_path, type, at, number(1, 3)))(data=X)["y"]
    np.testing.assert_array_equal(made, X.repeat(3, 2).repeat(3, 3))


@pytest.mark.parametrize("at", [137, 177])
def test_upsample_by_a_mask(tmp_path: Path, at: int) -> None:
    """137 is embed_param in Caffe itself."""
    settings = number(2, 2) + number(3, 3)
    made = driver.compile(snapshot(tmp_path, "Upsample", at, settings, mask=True))(data=X, mask=X * 2)["y"]
    assert made.shape == (1, 2, 4, 6)
    assert made[0, 1].ravel()[8:15:2].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(("type", "at", "settings", "wanted"), [
    ("ShuffleChannel", 166, number(1, 2), X),  # two groups of one channel each
    ("Transpose", 142, b"".join(number(1, i) for i in (0, 1, 3, 2)), X.transpose(0, 1, 3, 2)),
    ("Flip", 212, number(1, 0) + number(2, 1), X[:, :, ::-1]),
    ("ReLU6", 211, real(1, 0.5), np.minimum(X, 6)),
    ("HardSigmoid", 258, real(1, 0.0) + real(2, 0.25), np.full_like(X, 0.25)),
    ("Squeeze", 241, number(1, 0), X[0]),
    ("Pad", 224, b"".join(number(1, int(i == 7)) for i in range(8)), np.pad(X, [(0, 0)] * 3 + [(0, 1)])),
    ("ResizeNearestNeighbor", 210, number(2, 4) + number(3, 2), X.repeat(2, 1)),
    ("DepthToSpace", 208, number(1, 1), X),
])  # fmt: skip
def test_layers_that_move_elements(tmp_path: Path, type: str, at: int, settings: bytes, wanted: np.ndarray) -> None:
    """Settings of one fork each; TensorFlow's formats have the channels last, so that height is the second axis."""
    np.testing.assert_allclose(driver.compile(snapshot(tmp_path, type, at, settings))(data=X)["y"], wanted)


def test_resample(tmp_path: Path) -> None:
    made = driver.compile(snapshot(tmp_path, "Resample", 155, number(1, 4) + number(2, 4)))(data=X)["y"]
    np.testing.assert_allclose(made[0, 0, 1], [0.5, 0.75, 1.25, 1.5])


def test_videos(tmp_path: Path) -> None:
    """C3D's settings, and those of synopsys-caffe, which have other numbers: a kernel of 1 by 2 by 1, stride 1."""
    video = np.arange(12, dtype=np.float32).reshape(1, 1, 2, 3, 2)
    theirs = number(11, 2) + number(12, 1) + number(13, 1) + number(18, 1)
    for at, settings, wanted in (
        (6662, number(2, 2) + number(5, 1), video[:, :, :, 1:, 1:]),
        (266, theirs, video[:, :, :, 1:]),
        (
            266,
            number(1, 1) + number(3, 2) + number(4, 2) + number(17, 0),
            video[:, :, :, :2].mean((2, 3, 4), keepdims=True),
        ),
    ):
        path = snapshot(tmp_path, "Pooling3D", at, settings, sizes=video.shape)
        np.testing.assert_array_equal(driver.compile(path)(data=video)["y"], wanted)


@pytest.mark.parametrize(("type", "at"), [("BN", 137), ("BN", 144), ("BN", 203), ("Interp", 137), ("Upsample", 143)])
def test_a_number_of_another_fork_is_refused(tmp_path: Path, type: str, at: int) -> None:
    with pytest.raises(CompileError, match=rf'layer "l" \({type}\): field {at} of its settings has different meanings'):
        driver.compile(snapshot(tmp_path, type, at, number(1, 2), BLOBS))
