"""Picture files of every kind: what is read of each, beside the picture that it shows and beside OpenCV's imread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from cortado.benchmarks.picture_files import PictureFile, encode_tiff, picture_files
from cortado.benchmarks.pictures import RESULT, measure, read_cortado, read_opencv
from cortado.cli import main
from cortado.runtime.pictures import open_picture, stretch

FILES = {file.name: file for file in picture_files()}
MEASURED = {row["file"]: row for row in json.loads(RESULT.read_text("utf-8"))["files"]}
LOSSY = 4  # of 255: JPEG's rounding, at quality 100
each_file = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def path(name: str, tmp_path: Path) -> Path:
    (tmp_path / name).write_bytes(FILES[name].data)
    return tmp_path / name


@each_file
def test_a_file_becomes_what_it_shows(name: str, path: Path) -> None:
    for way in ("colour", "grey"):
        apart = measure(read_cortado, path, FILES[name], way)
        if FILES[name].meant is None:
            assert apart is None
        else:
            assert isinstance(apart, float) and apart <= (LOSSY if name.endswith(".jpg") else name == "odd16.png")


@each_file
def test_the_table_of_the_docs_is_what_is_read(name: str, path: Path) -> None:
    for way in ("colour", "grey"):
        now, then = measure(read_cortado, path, FILES[name], way), MEASURED[name]["cortado"][way]
        if isinstance(now, float) and isinstance(then, float):
            assert now == pytest.approx(then, abs=LOSSY if name.endswith(".jpg") else 0)
        else:
            assert now == then


@each_file
def test_opencv_reads_the_same_where_the_table_says_so(name: str, path: Path) -> None:
    pytest.importorskip("cv2")
    then = MEASURED[name]["opencv"]["colour"]
    if not isinstance(then, float) or then > LOSSY:
        pytest.skip("OpenCV reads it in another way, as the table says")
    apart = np.abs(read_cortado(path, True) - read_opencv(path, True))
    assert apart.max() <= (LOSSY if name.endswith((".jpg", "cmyk.tif")) else 0)


def test_the_table_has_every_file() -> None:
    assert list(MEASURED) == list(FILES)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.png", "it is empty"),
        ("zero.png", "or damaged"),
        ("cut.jpg", "truncated"),
        ("cut.png", "truncated"),
        ("cut.gif", "truncated"),
        ("flipped.png", "broken data stream"),
        ("huge.png", "it has more than 178,956,970 pixels, which is the most that is read"),
        ("fnan.tif", "nan"),
    ],
)
def test_what_is_refused_says_why(name: str, path: Path, reason: str) -> None:
    with pytest.raises(ValueError, match=name) as e:
        open_picture(path, 3)
    assert reason in str(e.value) and "\n" not in str(e.value)


def test_a_large_picture_is_read_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns above its limit and refuses above twice that; warnings are errors in tests."""
    file = tmp_path / "p.png"
    file.write_bytes(FILES["rgb.png"].data)  # 1536 pixels
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    assert open_picture(file, 3).size == (48, 32)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(ValueError, match="more than 1,400 pixels"):
        open_picture(file, 3)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)  # a program may take the limit away
    assert open_picture(file, 3).size == (48, 32)


def test_a_picture_runs_no_program(tmp_path: Path) -> None:
    """Pillow would hand PostScript to Ghostscript."""
    file = tmp_path / "p.eps"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n")
    assert "EPS" in PIL.Image.registered_extensions().values()
    with pytest.raises(ValueError, match=r"p\.eps: it cannot be read as a picture"):
        open_picture(file, 3)


@pytest.mark.parametrize(
    ("numbers", "unsigned", "wanted"),
    [
        (np.array([0, 0.5, 1], np.float32), False, [0, 128, 255]),
        (np.array([0, 1.5, 255], np.float32), False, [0, 2, 255]),
        (np.array([0, 257, 65535], np.float32), False, [0, 1, 255]),
        (np.array([0, 3, 255], np.int32), False, [0, 3, 255]),
        (np.array([0, 256, 65535], np.int32), False, [0, 1, 255]),
        (np.array([0, 2**30, 2**31 - 1], np.int32), False, [0, 128, 255]),
        (np.array([0, 2**31, 2**32 - 1], np.uint32).view(np.int32), True, [0, 128, 255]),
    ],
)
def test_the_range_of_32_bits(numbers: Any, unsigned: bool, wanted: list[int]) -> None:
    assert stretch(numbers, unsigned).tolist() == wanted


@pytest.mark.parametrize(
    "numbers",
    [
        np.array([-0.1, 1], np.float32),
        np.array([0, 65536], np.float32),
        np.array([0, np.nan], np.float32),
        np.array([np.inf], np.float32),
        np.array([-1, 3], np.int32),
    ],
)
def test_numbers_of_no_range_are_refused(numbers: Any, tmp_path: Path) -> None:
    file = tmp_path / "p.tif"
    file.write_bytes(encode_tiff(numbers.reshape(1, -1)))
    with pytest.raises(ValueError, match=r"p\.tif: .*its numbers go from"):
        open_picture(file, 1)


def test_the_command_line_says_one_sentence(tmp_path: Path) -> None:
    net, compiled, huge = tmp_path / "n.net", tmp_path / "n.cortado", FILES["huge.png"]
    net.write_text("net n(x: f32[1,3,8,8]) {\n    y = relu(x)\n    return y\n}\n")
    (tmp_path / huge.name).write_bytes(huge.data)
    assert CliRunner().invoke(main, ["compile", str(net), "-o", str(compiled)]).exit_code == 0
    done = CliRunner().invoke(main, ["run", str(compiled), "--input", str(tmp_path / huge.name)])
    assert done.exit_code == 2 and "178,956,970 pixels" in done.output and "Warning" not in done.output


def test_damaged_bytes_end_in_one_sentence(tmp_path: Path) -> None:
    """Flipped and missing bytes anywhere in every file: a picture or a ValueError, and no other exception."""
    random, file = np.random.default_rng(9), tmp_path / "p"
    read = refused = 0
    for kind in (f for f in FILES.values() if 0 < len(f.data) < 20_000):
        for data in mutations(kind, random):
            file.write_bytes(data)
            try:
                open_picture(file, 3)
                read += 1
            except ValueError as e:
                refused += 1
                assert str(file) in str(e)
    assert read > 20 and refused > 100


def mutations(kind: PictureFile, random: np.random.Generator) -> list[bytes]:
    made = [kind.data[: random.integers(len(kind.data))]]
    for count in (1, 8, 64):
        data = np.frombuffer(kind.data, np.uint8).copy()
        data[random.integers(min(len(data), 400 * count), size=count)] = random.integers(256, size=count)
        made.append(data.tobytes())
    return made
