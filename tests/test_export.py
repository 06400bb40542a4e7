"""`cortado export` and `cortado.export`: where files go, what is refused, and that nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from google.protobuf import text_format

import cortado
from cortado.cli import main
from cortado.compiler.errors import CompileError
from cortado.exporters import FORMATS, exporter_named
from cortado.exporters.exporter import ExportRequest
from cortado.frontends.files import caffemodel
from cortado.frontends.files.schema import message_class
from cortado.runtime.output import OutputError, OutputStream

from .shared import ROOT

DIGITS = ROOT / "examples" / "digits"
NET, WEIGHTS = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, words)])


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_an_exporter(name: str) -> None:
    assert exporter_named(name).paths(ExportRequest(NET, WEIGHTS, "made.so"))


@pytest.mark.parametrize("out", ["made", "made.prototxt", "made.caffemodel"])
def test_a_stem_or_either_file_names_both(out: str, tmp_path: Path) -> None:
    done = run(NET, WEIGHTS, "--to", "caffe", "-o", tmp_path / out)
    assert done.exit_code == 0, done.output
    assert names(tmp_path) == ["made.caffemodel", "made.prototxt"]
    assert "digits, for caffe" in done.stdout and "made.prototxt" in done.stdout


@pytest.mark.parametrize("end", ["", "/"])
def test_in_a_folder_files_are_named_after_the_net(end: str, tmp_path: Path) -> None:
    assert run(NET, WEIGHTS, "--to", "caffe", "-o", f"{tmp_path}{end}").exit_code == 0
    assert names(tmp_path) == ["digits.caffemodel", "digits.prototxt"]


def test_a_dot_in_a_stem_is_no_suffix(tmp_path: Path) -> None:
    assert run(NET, WEIGHTS, "--to", "caffe", "-o", tmp_path / "net-1.5").exit_code == 0
    assert names(tmp_path) == ["net-1.5.caffemodel", "net-1.5.prototxt"]


def test_an_input_is_never_written_over(tmp_path: Path) -> None:
    for file in (NET, WEIGHTS):
        shutil.copy(file, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for out in (tmp_path, tmp_path / "digits"):
        done = run(tmp_path / "digits.prototxt", tmp_path / "digits.caffemodel", "--to", "caffe", "-o", out)
        assert done.exit_code == 2 and "is an input" in done.output
        with pytest.raises(OutputError, match="input"):
            cortado.export(tmp_path / "digits.prototxt", tmp_path / "digits.caffemodel", to="caffe", out=out)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_what_was_there_stays_if_the_net_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.prototxt").write_text('layer { name: "a" type: "Softsing" bottom: "data" top: "a" }')
    (tmp_path / "made.prototxt").write_text("mine")
    done = run(tmp_path / "bad.prototxt", "--to", "caffe", "-o", tmp_path / "made")
    assert done.exit_code == 2 and "no layer type Softsing" in done.output
    assert (tmp_path / "made.prototxt").read_text() == "mine"


def test_all_files_are_replaced_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of prototxt and caffemodel that do not belong together would be read, and give wrong numbers."""
    for name in ("made.prototxt", "made.caffemodel"):
        (tmp_path / name).write_text("mine")

    def fail(text: str, file: OutputStream) -> None:
        file.write(text.encode()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cortado.exporters.caffe.write_text", fail)
    done = run(NET, WEIGHTS, "--to", "caffe", "-o", tmp_path / "made")
    assert done.exit_code == 2 and "No space left on device" in done.output
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == dict.fromkeys(
        ("made.prototxt", "made.caffemodel"), "mine"
    )


def test_a_folder_is_not_made(tmp_path: Path) -> None:
    done = run(NET, WEIGHTS, "--to", "caffe", "-o", tmp_path / "new" / "net")
    assert done.exit_code == 2 and "there is no folder" in done.output
    assert names(tmp_path) == []


def test_json(tmp_path: Path) -> None:
    done = run(NET, WEIGHTS, "--to", "caffe", "-o", tmp_path / "made", "--json")
    found = json.loads(done.stdout)
    assert (found["net"], found["format"], found["notes"], found["warnings"]) == ("digits", "caffe", [], [])
    assert found["files"] == {str(p): p.stat().st_size for p in tmp_path.iterdir()}


def test_what_a_format_does_not_have_is_refused(tmp_path: Path) -> None:
    done = run(NET, WEIGHTS, "--to", "caffe", "-o", tmp_path / "made", "--target", "cuda")
    assert done.exit_code == 2 and "--target is not for --to caffe" in done.output
    assert run(NET, WEIGHTS, "--to", "cafe", "-o", tmp_path / "made").exit_code == 2
    with pytest.raises(CompileError, match="no format is called Caffe; did you mean caffe"):
        cortado.export(NET, WEIGHTS, to="Caffe", out=tmp_path / "made")
    with pytest.raises(CompileError, match="folds is not an option of caffe"):
        cortado.export(NET, WEIGHTS, to="caffe", out=tmp_path / "made", folds=True)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["digits.caffemodel", "digits.caffemodel.h5"])
def test_a_caffemodel_alone_and_one_in_hdf5(name: str, tmp_path: Path) -> None:
    """The first has its settings in it; the other is read beside the prototxt. Both give the same files as before."""
    cortado.export(NET, WEIGHTS, to="caffe", out=tmp_path / "made")
    if name.endswith(".h5"):
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / name, "w") as file:
            for layer in caffemodel.read(tmp_path / "made.caffemodel").layers:
                for i, blob in enumerate(layer.blobs):
                    file[f"data/{layer.name}/{i}"] = blob.data
        cortado.export(NET, tmp_path / name, to="caffe", out=tmp_path / "again")
    else:
        cortado.export(tmp_path / "made.caffemodel", to="caffe", out=tmp_path / "again")
    assert (tmp_path / "again.caffemodel").read_bytes() == (tmp_path / "made.caffemodel").read_bytes()
    texts = [(tmp_path / f"{stem}.prototxt").read_text() for stem in ("made", "again")]
    made, again = (text_format.Parse(text, message_class("NetParameter")()) for text in texts)
    assert made == again  # the fields of a caffemodel are in the order of their numbers


def test_the_api_tells_what_it_wrote(tmp_path: Path) -> None:
    made = cortado.export(NET, WEIGHTS, to="caffe", out=tmp_path / "made")
    assert sorted(made.paths) == sorted(tmp_path.iterdir())
    assert made.net == "digits"
