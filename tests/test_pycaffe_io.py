"""pycaffe's io: resizing as scikit-image does, pictures, the Transformer, messages; Classifier and Detector."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cortado.compat import pycaffe as caffe
from cortado.compat.pycaffe import io

RAMP = np.arange(4, dtype=np.float32).reshape(1, 4, 1) * [[[1.0]], [[1.0]]]  # two rows of 0 1 2 3


def test_resizing_is_linear_between_pixel_centres_and_dark_outside() -> None:
    """By hand: twice as wide, the centres lie at -0.25, 0.25, 0.75, ...; outside of the image is its smallest value."""
    found = io.resize_image(RAMP, (2, 8))
    assert found.dtype == np.float32 and found[0, :, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 2.25]
    assert io.resize_image(RAMP, (1, 2))[0, :, 0].tolist() == [0.5, 2.5]  # no smoothing beyond the two neighbours
    assert io.resize_image(RAMP[:, ::-1] + 5, (2, 8))[0, 0, 0] == pytest.approx(5 + 0.75 * 3)
    assert (io.resize_image(np.full((3, 3, 3), 7), (5, 4)) == np.full((5, 4, 3), 7)).all()


def test_other_numbers_of_channels_are_zoomed_between_corner_pixels() -> None:
    """By hand: seven centres between 0 and 3."""
    two = np.repeat(RAMP, 2, axis=2)
    assert io.resize_image(two, (2, 7))[1, :, 1].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert io.resize_image(two, (1, 1)).tolist() == [[[0, 0]]]
    with pytest.raises(ValueError, match=r"\[height, width, channels\], and this array is \[2, 4\]"):
        io.resize_image(RAMP[:, :, 0], (1, 2))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_resizing_agrees_with_scipy(channels: int, order: int) -> None:
    """scikit-image's resize is this call of SciPy's zoom, and clips; pycaffe calls zoom itself for other channels."""
    ndimage = pytest.importorskip("scipy.ndimage")
    image = np.random.default_rng(0).uniform(-3, 9, (13, 17, channels)).astype(np.float32)
    for size in ((7, 30), (26, 34), (13, 5)):
        factors = (size[0] / 13, size[1] / 17, 1)
        if channels == 4:
            expected = ndimage.zoom(image, factors, order=order)
        else:
            least, most = image.min(), image.max()
            unit = ndimage.zoom(
                (image - least) / (most - least), factors, order=order, mode="grid-constant", grid_mode=True
            )
            expected = unit.clip(0, 1) * (most - least) + least
        np.testing.assert_allclose(io.resize_image(image, size, order), expected, atol=2e-5)  # f32 there, f64 here


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.array([[[255, 0, 51], [0, 102, 0]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_pictures_are_floats_of_red_green_blue(picture: Path) -> None:
    assert io.load_image(picture).tolist() == np.array([[[1, 0, 0.2], [0, 0.4, 0]]], np.float32).tolist()
    grey = [[[0.2125 + 0.2 * 0.0721], [0.4 * 0.7154]]]
    np.testing.assert_allclose(io.load_image(str(picture), color=False), grey, rtol=1e-6)
    assert io.load_image(BytesIO(picture.read_bytes())).shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("pixels", "mode", "expected"),
    [
        ([[0, 255]], "L", [[[0, 0, 0], [1, 1, 1]]]),
        ([[0, 65535]], "I;16", [[[0, 0, 0], [1, 1, 1]]]),
        ([[[9, 9, 255, 0]]], "RGBA", [[[9 / 255, 9 / 255, 1]]]),
        ([[[51, 7]]], "LA", [[[0.2, 0.2, 0.2]]]),
    ],
)
def test_grey_wide_and_transparent_pictures(pixels: Any, mode: str, expected: Any, tmp_path: Path) -> None:
    dtype = np.uint16 if mode == "I;16" else np.uint8
    Image.fromarray(np.array(pixels, dtype)).save(tmp_path / "x.png")
    np.testing.assert_allclose(io.load_image(tmp_path / "x.png"), expected, rtol=1e-6)


def test_an_orientation_is_not_followed_and_the_first_frame_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "turned.jpg", exif=exif)
    assert io.load_image(tmp_path / "turned.jpg").shape == (2, 4, 3)
    frames = [Image.new("L", (3, 2), shade) for shade in (0, 255)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert io.load_image(tmp_path / "two.gif").shape == (2, 3, 3) and io.load_image(tmp_path / "two.gif").max() == 0


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        io.load_image(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("text")
    with pytest.raises(ValueError, match=r"text.jpg: it cannot be read as a picture"):
        io.load_image(str(tmp_path / "text.jpg"))


def test_scikit_image_is_reached_by_way_of_io(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("skimage", "skimage.io"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert io.skimage is sys.modules["skimage"]
    with pytest.raises(AttributeError, match="nothing"):
        io.nothing  # noqa: B018


def test_ten_crops_are_corners_centre_and_mirrors() -> None:
    image = np.arange(25, dtype=np.float32).reshape(5, 5, 1)
    crops = io.oversample([image, image + 100], (2, 3))
    assert crops.shape == (20, 2, 3, 1) and crops.dtype == np.float32
    assert crops[:5, 0, 0, 0].tolist() == [0, 2, 15, 17, 6]  # the centre begins at row 1.5, column 1: down to 1
    assert (crops[5:10] == crops[:5, :, ::-1]).all() and (crops[10:] == crops[:10] + 100).all()
    with pytest.raises(ValueError, match="crops of 6x3 do not fit into an image of 5x5"):
        io.oversample([image], (6, 3))


def make_transformer() -> io.Transformer:
    made = io.Transformer({"data": (1, 3, 2, 2)})
    made.set_transpose("data", (2, 0, 1))
    made.set_channel_swap("data", (2, 1, 0))
    made.set_raw_scale("data", 10)
    made.set_mean("data", np.array([1, 2, 3]))
    made.set_input_scale("data", 0.5)
    return made


def test_images_are_transformed_in_pycaffes_order_and_back() -> None:
    image = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]], np.float32)
    before, made = image.copy(), make_transformer().preprocess("data", image)
    assert made[:, 0, 0].tolist() == [(30 - 1) / 2, (20 - 2) / 2, (10 - 3) / 2] and (image == before).all()
    np.testing.assert_allclose(make_transformer().deprocess("data", made[None]), image)
    plain = io.Transformer({"data": (1, 3, 2, 2)})
    plain.set_raw_scale("data", 2)
    assert (plain.preprocess("data", image) == 2 * image).all() and (image == before).all()
    assert make_transformer().preprocess("data", np.ones((4, 4, 3))).shape == (3, 2, 2)


def test_means_of_each_kind() -> None:
    made = io.Transformer({"data": (1, 2, 2, 4)})
    made.set_mean("data", np.full((2, 4), 3.0))
    made.set_transpose("data", (2, 0, 1))
    assert (made.preprocess("data", np.ones((2, 4, 2))) == -2).all()
    made.set_mean("data", np.stack([RAMP[:, :, 0], RAMP[:, :, 0]]))
    assert made.mean["data"].shape == (2, 2, 4)
    made.set_mean("data", np.stack([RAMP[:1, ::3, 0], RAMP[:1, ::3, 0]]))  # is resized, by zoom for two channels
    np.testing.assert_allclose(made.mean["data"][0], [[0, 1, 2, 3]] * 2)
    for wrong, words in ((np.zeros(3), "2 channels, and the mean 3"), (np.zeros((1, 1, 1, 1)), r"\[K\], \[H,W\]")):
        with pytest.raises(ValueError, match=words):
            made.set_mean("data", wrong)
    with pytest.raises(ValueError, match="needs 3 axes, and 2 are given"):
        made.set_transpose("data", (0, 1))
    with pytest.raises(ValueError, match="has 2 channels, and the channel swap 3"):
        made.set_channel_swap("data", (0, 1, 2))
    with pytest.raises(ValueError, match='there is no input "x"; the inputs are data'):
        made.preprocess("x", np.zeros((1, 1, 1)))


def test_arrays_as_blobs_and_data() -> None:
    array = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    blob = io.array_to_blobproto(array, diff=-array)
    assert (io.blobproto_to_array(blob) == array).all() and (io.blobproto_to_array(blob, True) == -array).all()
    (found,) = io.blobprotovector_str_to_arraylist(io.arraylist_to_blobprotovector_str([array]))
    assert (found == array).all()
    old = caffe.proto.caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, double_data=range(6))
    assert io.blobproto_to_array(old).shape == (1, 2, 1, 3) and io.blobproto_to_array(old).sum() == 15
    for dtype, field in ((np.uint8, "data"), (np.float64, "float_data")):
        datum = io.array_to_datum(array.astype(dtype), label=3)
        assert len(getattr(datum, field)) == 6 and datum.label == 3
        assert (io.datum_to_array(datum) == array).all()
    with pytest.raises(ValueError, match=r"this array is \[6\]"):
        io.array_to_datum(array.ravel())
    with pytest.raises(ValueError, match="decode its data"):
        io.datum_to_array(caffe.proto.caffe_pb2.Datum(encoded=True, data=b"x"))


NET = """input: "data" input_shape { dim: 3 dim: 3 dim: 2 dim: 2 }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "out" type: "Flatten" bottom: "mean" top: "out" }"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, None]:
    (tmp_path / "net.prototxt").write_text(NET)
    return str(tmp_path / "net.prototxt"), None


def test_a_classifier_averages_ten_crops_or_takes_the_centre(files: tuple[str, None]) -> None:
    """By hand: the net gives the mean of each channel of a crop, in blue, green, red, times 2 less 1."""
    net = caffe.Classifier(*files, image_dims=(4, 4), raw_scale=2, channel_swap=(2, 1, 0), mean=np.ones(3))
    image = np.zeros((4, 4, 3), np.float32)
    image[:2, :2] = (1, 0.5, 0)
    centre = net.predict([image], oversample=False)
    np.testing.assert_allclose(centre, [[-1, 2 * 0.125 - 1, 2 * 0.25 - 1]])
    crops = net.predict([image, image])
    red = (1 + 0.25) / 5  # of the corners and the centre, with their mirror images
    np.testing.assert_allclose(crops, [[-1, 2 * red / 2 - 1, 2 * red - 1]] * 2, rtol=1e-6)


def test_a_detector_scores_windows(files: tuple[str, None], tmp_path: Path) -> None:
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:3, :4] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    net = caffe.Detector(*files, raw_scale=255.0, channel_swap=(2, 1, 0))
    windows = np.array([(0, 0, 3, 4), (3, 4, 6, 8), (0, 0, 6, 8), (2, 2, 4, 6)])
    found = net.detect_windows([(tmp_path / "x.png", windows)])
    assert [d["filename"] for d in found] == [tmp_path / "x.png"] * 4 and (found[1]["window"] == windows[1]).all()
    np.testing.assert_allclose([d["prediction"][2] for d in found], [255, 0, 63.75, 63.75], atol=1e-3)
    assert net.detect_windows([]) == []
    with pytest.raises(ImportError, match="give windows of another source"):
        net.detect_selective_search([tmp_path / "x.png"])


def test_a_window_with_context_shows_the_mean_outside_of_the_image(tmp_path: Path) -> None:
    """By hand: of 16 pixels 4 are context at each side, so a window of 8 pixels is shown as it is, in the middle."""
    (tmp_path / "net.prototxt").write_text(NET.replace("dim: 2 dim: 2", "dim: 16 dim: 16"))
    settings: dict[str, Any] = {"raw_scale": 100.0, "channel_swap": (2, 1, 0), "mean": np.array([10, 20, 30])}
    net = caffe.Detector(tmp_path / "net.prototxt", None, context_pad=4, **settings)
    assert net.crop_mean[0, 0].tolist() == pytest.approx([0.3, 0.2, 0.1])  # red, green, blue
    image = np.full((40, 40, 3), 0.5, np.float32)
    crop = net.crop(image, np.array([0, 10, 7, 17]))  # at the upper edge: 4 rows of context are missing
    assert crop.shape == (16, 16, 3)
    np.testing.assert_allclose(crop[0, 5], [0.3, 0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose(crop[8, 8], [0.5, 0.5, 0.5], rtol=1e-6)
    with pytest.raises(caffe.CaffeError, match="lies outside of the image of 40x40"):
        net.crop(image, np.array([60, 60, 70, 70]))
