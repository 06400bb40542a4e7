"""Pictures into arrays: what a golden case of real Caffe was fed with, and each option by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cortado.runtime.artifact import Preprocessing
from cortado.runtime.preprocess import prepare, read_input, read_labels, read_mean, top

SHARED = Path(__file__).resolve().parents[2] / "shared"
PLAIN = Preprocessing(bgr=False)


def picture(*rows: list[tuple[int, int, int]]) -> Image.Image:
    return Image.fromarray(np.array(rows, np.uint8))


def test_a_golden_input_exactly() -> None:
    cat, golden = SHARED / "models/squeezenet-v1.1/cat.jpg", SHARED / "goldens/models/squeezenet-v1.1-cat.npz"
    if not cat.exists() or not golden.exists():
        pytest.skip("the golden cases are not at hand")
    form = Preprocessing(mean=(104, 117, 123), resize=(256, 256))
    with np.load(golden) as arrays:
        wanted = arrays["in:data"]
    assert np.array_equal(read_input(cat, wanted.shape, form), wanted[0])


def test_each_option_by_hand() -> None:
    two = picture([(1, 2, 3), (4, 5, 6)])
    assert prepare(two, (1, 2), PLAIN).tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]
    assert prepare(two, (1, 2), Preprocessing()).tolist() == [[[3, 6]], [[2, 5]], [[1, 4]]]
    form = Preprocessing(mean=(3, 2, 1), scale=0.5)
    assert prepare(two, (1, 2), form).tolist() == [[[0, 1.5]], [[0, 1.5]], [[0, 1.5]]]
    assert prepare(two, (1, 2), Preprocessing(mean=(1,), bgr=False)).tolist() == [[[0, 3]], [[1, 4]], [[2, 5]]]
    scaled = prepare(picture([(255, 0, 51)]), (1, 1), Preprocessing(bgr=False, raw_scale=1))
    np.testing.assert_allclose(scaled.ravel(), [1, 0, 0.2])
    assert prepare(two, (1, 2), PLAIN).dtype == np.float32 and prepare(two, (1, 2), PLAIN).flags.c_contiguous


def test_resize_then_cut_the_middle() -> None:
    row = picture([(10 * i, 0, 0) for i in range(6)])
    assert prepare(row, (1, 3), Preprocessing(bgr=False, resize=(1, 6)))[0].tolist() == [[10, 20, 30]]
    assert prepare(row, (9, 9), Preprocessing(bgr=False, resize=(1, 6), crop=(1, 2)))[0].tolist() == [[20, 30]]
    assert prepare(row, (2, 12), PLAIN).shape == (3, 2, 12)
    with pytest.raises(ValueError, match="1x6 cannot be cut to 4x4"):
        prepare(row, (4, 4), Preprocessing(resize=(1, 6)))


def test_mean_pictures_before_and_after_the_cut() -> None:
    row, before = picture([(10 * i, 0, 0) for i in range(6)]), np.zeros((3, 1, 6), np.float32)
    before[0] = [0, 1, 2, 3, 4, 5]
    form = Preprocessing(bgr=False, resize=(1, 6))
    assert prepare(row, (1, 3), form, before)[0].tolist() == [[9, 18, 27]]
    assert prepare(row, (1, 3), form, before[:, :, 2:5])[0].tolist() == [[8, 17, 26]]
    with pytest.raises(ValueError, match="mean picture has 2 channels"):
        prepare(row, (1, 3), form, before[:2, :, :3])
    with pytest.raises(ValueError, match="2 mean values"):
        prepare(row, (1, 3), Preprocessing(mean=(1, 2), resize=(1, 6)))


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    Image.new("RGBA", (4, 3), (255, 0, 0, 128)).save(path)
    assert read_input(path, (1, 3, 3, 4), PLAIN)[:, 0, 0].tolist() == [255, 0, 0]
    assert read_input(path, (1, 1, 3, 4), PLAIN).shape == (1, 3, 4)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        read_input(path, (1, 6, 3, 4), PLAIN)
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"p\.png: it cannot be read as a picture"):
        read_input(path, (1, 3, 3, 4), PLAIN)
    with pytest.raises(ValueError, match="no such file"):
        read_input(tmp_path / "q.png", (1, 3, 3, 4), PLAIN)
    np.save(tmp_path / "a.npy", np.ones((1, 2, 3)))
    assert read_input(tmp_path / "a.npy", (7, 2, 3), PLAIN).shape == (2, 3)
    np.savez(tmp_path / "a.npz", x=np.ones((2, 3)))
    assert read_input(tmp_path / "a.npz", (7, 2, 3), PLAIN).shape == (2, 3)
    np.savez(tmp_path / "b.npz", x=np.ones(2), y=np.ones(2))
    with pytest.raises(ValueError, match="x, y, and one array is wanted"):
        read_input(tmp_path / "b.npz", (7, 2), PLAIN)
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"o\.npy: it cannot be read as an array"):
        read_input(tmp_path / "o.npy", (1, 1), PLAIN)


def test_means_labels_and_the_top(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((1, 3, 2, 2)))
    assert read_mean(tmp_path / "m.npy").shape == (3, 2, 2)
    np.save(tmp_path / "m.npy", np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"not \[2, 2\]"):
        read_mean(tmp_path / "m.npy")
    (tmp_path / "words.txt").write_text("n01 tench\nn02 shark\n")
    labels = read_labels(tmp_path / "words.txt")
    scores = np.array([0.1, 0.7, 0.7, np.float32(0.05)]).reshape(4, 1, 1)
    assert [(i, name) for _, i, name in top(scores, 3, labels)] == [(1, "n02 shark"), (2, ""), (0, "n01 tench")]
