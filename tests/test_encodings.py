"""Texts in other encodings than UTF-8: told which, and how to convert them, by every reader."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cortado.cli import main
from cortado.compiler.encodings import decode_utf8, find_wide_encoding
from cortado.compiler.errors import CompileError
from cortado.runtime.preprocess import read_array, read_labels

from .small_nets import data, layer

NET = data(1, 2, 4, 4) + layer("ReLU")
LANGUAGE = "net n(x: f32[1,4]) {\n    y = relu(x)\n    return y\n}\n"
WIDE = {"utf-16": "UTF-16", "utf-16-le": "UTF-16LE", "utf-16-be": "UTF-16BE", "utf-32": "UTF-32",
        "utf-32-le": "UTF-32LE", "utf-32-be": "UTF-32BE"}  # fmt: skip


def show(path: Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["show", str(path)])
    return done.exit_code, done.output


def follow(said: str, folder: Path) -> Path:
    """Run the command that an advice ends with."""
    command = said.partition("onvert it: ")[2].splitlines()[0].partition(". In GBK")[0]
    subprocess.run(command, shell=True, check=True, cwd=folder)
    return folder / command.rpartition("> ")[2]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize(("name", "text"), [("net.prototxt", NET), ("net.net", LANGUAGE)], ids=["prototxt", "net"])
def test_wide_texts(name: str, text: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    code, said = show(path)
    assert code == 2 and f"{path}:1:1: this is {WIDE[encoding]} text, and has to be UTF-8" in said
    if shutil.which("iconv"):
        assert show(follow(said, tmp_path))[0] == 0


@pytest.mark.parametrize("text", ["x", NET, 'name: "é"', "# Grüße aus 北京\n" + NET, "\0\0\0\0", "\x08\0\x12\0"])
def test_what_is_no_wide_text(text: str) -> None:
    assert find_wide_encoding(text.encode()) == ""
    assert find_wide_encoding(np.arange(100, dtype=np.float32).tobytes()) == ""


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize(("name", "text"), [("net.prototxt", NET), ("net.net", LANGUAGE)], ids=["prototxt", "net"])
def test_line_ends_and_byte_order_marks(name: str, text: str, mark: bytes, newline: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(mark + text.replace("\n", newline).encode())
    assert show(path)[0] == 0


def test_a_comment_without_an_end(tmp_path: Path) -> None:
    """Caffe takes the whole file for the comment, too."""
    path = tmp_path / "net.prototxt"
    path.write_bytes(("# AlexNet\n" + NET).replace("\n", "\r").encode())
    code, said = show(path)
    assert code == 2 and "the lines end in CR alone" in said
    assert show(follow(said, tmp_path))[0] == 0


@pytest.mark.parametrize("where", ['name: "{}" ', "{}: 1 "], ids=["string", "name"])
def test_latin_1(where: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes((NET + where.format("caf\xe9")).encode("latin-1"))
    code, said = show(path)
    assert code == 2 and f"{path}:3:" in said and "UTF-8" in said and "Is it Latin-1?" in said
    if "name" in where and shutil.which("iconv"):
        assert show(follow(said, tmp_path))[0] == 0
    path.write_bytes((NET + "# caf\xe9").encode("latin-1"))
    assert show(path)[0] == 0, "in a comment it does not matter"


def test_latin_1_in_our_language() -> None:
    with pytest.raises(CompileError) as caught:
        decode_utf8(b"net n(x: f32[1]) {\n  # caf\xe9\n}", "n.net")
    assert str(caught.value).startswith("n.net:2:8: byte 0xE9 is not UTF-8 text\nIs it Latin-1? ")


def test_a_nul_byte(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(NET.replace("\n", "\n\0").encode())
    code, said = show(path)
    assert code == 2 and f"{path}:2:1: there is a NUL byte in the text" in said


LABELS = ["café", "chat noir"]


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    for newline in ("\n", "\r\n", "\r"):
        for mark in ("", "\ufeff"):
            path.write_bytes((mark + newline.join(LABELS) + newline).encode())
            assert read_labels(path) == LABELS
    path.write_text("a\x85b\u2028c\n\nd", encoding="utf-8")
    assert read_labels(path) == ["a\x85b\u2028c", "", "d"], "a line ends where editors say so"
    path.write_bytes(b"")
    assert read_labels(path) == []


@pytest.mark.parametrize(("encoding", "told", "place"), [
    ("latin-1", "Latin-1", ":1: byte 0xE9 is not UTF-8 text"), ("utf-16", "UTF-16", ": this seems to be UTF-16 text"),
    ("utf-16-le", "UTF-16LE", ": this seems to be UTF-16LE"), ("utf-16-be", "UTF-16BE", ": this seems to be UTF-16BE"),
])  # fmt: skip
def test_labels_in_another_encoding(encoding: str, told: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\n".join(LABELS).encode(encoding))
    with pytest.raises(ValueError, match=told) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}{place}")
    if shutil.which("iconv"):
        assert read_labels(follow(str(caught.value), tmp_path)) == LABELS


def test_what_is_no_array(tmp_path: Path) -> None:
    """numpy's own words would ask people to allow pickles, which run code."""
    picture, objects, empty = tmp_path / "x.jpg", tmp_path / "x.npy", tmp_path / "y.npy"
    picture.write_bytes(b"\xff\xd8\xff\xe0")
    np.save(objects, np.array([{}]), allow_pickle=True)
    empty.write_bytes(b"")
    for path, why in ((picture, "it is no .npy or .npz file"), (objects, "it holds Python objects"), (empty, "empty")):
        with pytest.raises(ValueError, match=why) as caught:
            read_array(path)
        assert "pickle" not in str(caught.value) and str(path) in str(caught.value)


def test_a_picture_for_compare(tmp_path: Path) -> None:
    net, picture = tmp_path / "net.prototxt", tmp_path / "x.jpg"
    net.write_text(NET)
    picture.write_bytes(b"\xff\xd8\xff\xe0")
    words = ["compare", str(net), "--target", "reference,cpu", "--input", str(picture)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and f"{picture}: compare takes arrays" in done.output and "pickle" not in done.output
