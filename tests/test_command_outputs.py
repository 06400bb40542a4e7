"""What the commands write: never over what they read, through pipes, and in the same bytes each time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file

import cortado
from cortado.cli import main
from cortado.cli.files import OutputFile
from cortado.runtime.output import OutputError

from .shared import ROOT
from .test_output import SPELLINGS, spell

NET = """
name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 2 dim: 2 } } }
layer { name: "s" type: "Scale" bottom: "data" top: "s" }
layer { name: "m" type: "InnerProduct" bottom: "s" top: "m" inner_product_param { num_output: 9 bias_term: false } }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net in all its forms, with everything that commands read, in the working directory."""
    from cortado.frontends.files.caffemodel_writer import WrittenLayer, write

    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.prototxt").write_text(NET)
    data = 'layer { name: "data" type: "Data" top: "data" transform_param { mean_file: "mean.npy" } }'
    (tmp_path / "d.prototxt").write_text("\n".join([data, *NET.splitlines()[3:]]))
    scale, matrix = np.array([1.0, 2.0, 3.0]), np.arange(9 * 12.0).reshape(9, 12)
    write("n.caffemodel", "n", [WrittenLayer("s", "Scale", [scale]), WrittenLayer("m", "InnerProduct", [matrix])])
    np.save("x.npy", np.ones((1, 3, 2, 2), np.float32))
    np.savez("x.npz", data=np.ones((1, 3, 2, 2), np.float32))
    np.save("mean.npy", np.ones((3, 2, 2), np.float32))
    Image.new("RGB", (2, 2)).save("x.png")
    (tmp_path / "labels.txt").write_text("\n".join("abcdefghi"))
    run("compile n.prototxt n.caffemodel -o n.cortado")
    run("opt n.prototxt n.caffemodel -p remove_dropout -o n.net")
    assert load_file("n.safetensors")
    return tmp_path


def run(words: str) -> str:
    done = CliRunner().invoke(main, words.split())
    assert done.exit_code == 0, done.output
    return done.output


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


READ = [
    ("compile n.prototxt n.caffemodel -o OUT", "n.prototxt"),
    ("compile n.prototxt n.caffemodel -o OUT", "n.caffemodel"),
    ("compile n.prototxt --weights n.caffemodel -o OUT", "n.caffemodel"),
    ("compile n.caffemodel --shape data=1,3,2,2 -o OUT", "n.caffemodel"),
    ("compile n.prototxt n.caffemodel --mean mean.npy -o OUT", "mean.npy"),
    ("compile n.cortado -o OUT", "n.cortado"),
    ("compile n.net -o OUT", "n.net"),
    ("compile n.net -o OUT", "n.safetensors"),
    ("compile n.net --weights n.safetensors -o OUT", "n.safetensors"),
    ("run n.cortado --input x.npy --output-file OUT", "n.cortado"),
    ("run n.cortado --input x.npy --output-file OUT", "x.npy"),
    ("run n.cortado --input data=x.npy --output-file OUT", "x.npy"),
    ("run n.cortado --input x.npz --output-file OUT", "x.npz"),
    ("run n.cortado --input x.png --output-file OUT", "x.png"),
    ("run n.cortado --input x.png --mean mean.npy --output-file OUT", "mean.npy"),
    ("run n.cortado --input x.npy --labels labels.txt --output-file OUT", "labels.txt"),
    ("compile d.prototxt n.caffemodel --shape data=1,3,2,2 -o OUT", "mean.npy"),
    ("opt n.prototxt n.caffemodel -o OUT", "n.prototxt"),
    ("opt n.prototxt n.caffemodel -o OUT", "n.caffemodel"),
    ("opt n.net -o OUT", "n.net"),
    ("opt n.net -o OUT", "n.safetensors"),
]


@pytest.mark.parametrize(("words", "read"), READ)
def test_no_command_writes_over_what_it_reads(words: str, read: str, folder: Path) -> None:
    """Whatever the other name of it is."""
    for kind in SPELLINGS:
        out = spell(folder / read, kind)
        before = content(folder)
        done = CliRunner().invoke(main, [word.replace("OUT", str(out)) for word in words.split()])
        assert done.exit_code == 2 and "cannot be written: " in done.output
        assert re.search("it is the input|it is an input|two outputs", done.output), done.output
        assert content(folder) == before
        (folder / "another name").unlink(missing_ok=True)


def test_pictures_of_a_folder_are_inputs_too(folder: Path) -> None:
    """Also through a link to the folder, and under the name of another link to a picture."""
    (folder / "in").mkdir()
    (folder / "drawn").mkdir()
    (folder / "link").symlink_to("in")
    for name in ("a", "b"):
        Image.new("RGB", (2, 2)).save(f"in/{name}.png")
    os.link("in/b.png", "b.npz")
    before = {path: path.read_bytes() for path in folder.glob("in/*")}
    written = ["--draw in", "--draw link", "--output-file in/b.png", "--output-file b.npz", "--output-file link/a.png"]
    for words in (*written, "--draw drawn --output-file drawn/a.png"):
        done = CliRunner().invoke(main, f"run n.cortado --input in {words}".split())
        assert done.exit_code == 2 and "cannot be written: " in done.output, done.output
        assert re.search("it is the input|it is an input|two outputs", done.output), done.output
        assert {path: path.read_bytes() for path in folder.glob("in/*")} == before


def test_what_is_written_beside_is_no_input_either(folder: Path) -> None:
    """The weights of `-o n.net` are n.safetensors; a dump is called weights.safetensors and 00_read.net."""
    for words in ("opt n.net -o n.txt", "opt n.net -o n.safetensors", "opt n.prototxt n.caffemodel -o w.safetensors"):
        before = content(folder)
        done = CliRunner().invoke(main, words.split())
        assert done.exit_code == 2 and "cannot be written: " in done.output
        assert content(folder) == before
    run("show n.prototxt n.caffemodel --after-all stages")
    for stages in ("stages", "./stages/../stages", str(folder / "stages")):
        before = content(folder / "stages")
        done = CliRunner().invoke(main, ["show", "stages/00_read.net", "--after-all", stages])
        assert done.exit_code == 2 and "cannot be written: it is " in done.output
        assert content(folder / "stages") == before


def test_the_python_interface_keeps_its_inputs_too(folder: Path) -> None:
    net = cortado.compile("n.prototxt", "n.caffemodel")
    before = content(folder)
    for name in ("n.prototxt", folder / "n.caffemodel"):
        with pytest.raises(OutputError, match="cannot be written: it is "):
            cortado.save(net, name)
    assert content(folder) == before
    cortado.save(net, "n.cortado")
    cortado.save(cortado.load("n.cortado"), "n.cortado")
    assert content(folder) == before, "the same net is the same bytes"


OUTPUTS = [
    "compile n.prototxt n.caffemodel -o OUT",
    "run n.cortado --input x.npy --output-file OUT",
    "opt n.net -o OUT",
]


@pytest.mark.parametrize("words", OUTPUTS)
def test_pipes_get_what_files_get_and_stay(words: str, folder: Path) -> None:
    os.mkfifo("pipe")
    found = list[bytes]()
    reader = threading.Thread(target=lambda: found.append(Path("pipe").read_bytes()))
    reader.start()
    run(words.replace("OUT", "pipe"))
    reader.join()
    run(words.replace("OUT", "file"))
    pipe = found[0].replace(b'"pipe.safetensors"', b'"file.safetensors"')
    assert pipe == Path("file").read_bytes() and Path("pipe").is_fifo()


@pytest.mark.parametrize("words", [*OUTPUTS, "fmt OUT", "show n.net --after-all OUT"])
def test_a_read_only_file_and_a_missing_folder_are_told(words: str, folder: Path) -> None:
    out = folder / "out"
    out.write_text("net n(x: f32[1]) { y = relu( x ) return y }\n")
    out.chmod(0o400)
    before = content(folder)
    for path in (out, folder / "none" / "out"):
        done = CliRunner().invoke(main, words.replace("OUT", str(path)).split())
        assert done.exit_code == 2
        assert "cannot be written: " in done.output or (words[:3] == "fmt" and "No such file" in done.output)
        assert "mkdir -p" in done.output or path == out or words[:3] == "fmt"
    assert content(folder) == before and not (folder / "none").exists()


def test_every_option_that_names_an_output_says_so() -> None:
    """What is not an OutputFile counts as an input, and would make every run over an old result an error."""
    for name, command in main.commands.items():
        for option in (p for p in command.params if isinstance(p, click.Option)):
            if (option.metavar or "").startswith("FILE") and "rite" in (option.help or ""):
                assert isinstance(option.type, OutputFile), f"{name} {option.opts}"
    assert sum(isinstance(p.type, OutputFile) for c in main.commands.values() for p in c.params) >= 3


# A shell's background job ignores SIGINT, and so would what it starts; exec keeps the process, and its number.
START = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "cortado", *sys.argv[1:]])
"""


def start(words: str, folder: Path, **given: object) -> subprocess.Popen[str]:
    """A command in a process of its own, as a shell starts it."""
    settings = os.environ | {"PYTHONPATH": str(ROOT / ".src"), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    line = [sys.executable, "-c", START, *words.split()]
    return subprocess.Popen(line, cwd=folder, env=settings, text=True, **{"stdout": pipe, "stderr": pipe, **given})  # type: ignore[call-overload, no-any-return]


def begin_reading(folder: Path) -> Callable[[], None]:
    """Wait until the command has opened the pipe to write; what follows it reads nothing."""
    number = os.open(folder / "pipe", os.O_RDONLY)
    return lambda: os.close(number)


@pytest.mark.parametrize(
    ("number", "code", "said"), [("SIGINT", 130, "interrupted\n"), ("SIGTERM", 143, "ended by a signal\n")]
)
def test_a_signal_while_it_writes_ends_a_command_quietly(number: str, code: int, said: str, folder: Path) -> None:
    os.mkfifo("pipe")
    np.save("x.npy", np.ones((300_000, 3, 2, 2), np.float32))
    run("compile n.prototxt n.caffemodel --shape data=300000,3,2,2 --output s -o big.cortado")
    before = content(folder)
    process = start("run big.cortado --input x.npy --output-file pipe", folder)
    end = begin_reading(folder)
    process.send_signal(getattr(signal, number))
    printed, complaints = process.communicate(timeout=60)
    end()
    assert (process.returncode, printed, complaints) == (code, "", said)
    assert content(folder) == before


def test_a_reader_that_goes_away_is_told_of_an_output_and_not_of_an_answer(folder: Path) -> None:
    os.mkfifo("pipe")
    process = start("opt n.net -o pipe", folder)
    begin_reading(folder)()
    _, complaints = process.communicate(timeout=60)
    assert process.returncode in (0, 2)  # a short text may be in the pipe before its reader goes
    assert process.returncode == 0 or "pipe cannot be written: Broken pipe. Give another path." in complaints
    reading, writing = os.pipe()
    os.close(reading)
    process = start("show n.net", folder, stdout=writing)
    os.close(writing)
    _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (141, "")


def test_standard_output_can_be_the_output(folder: Path) -> None:
    """What is said goes to standard error then, and the output is as anywhere else."""
    with Path("redirected").open("wb") as file:
        process = start("compile n.prototxt n.caffemodel -o /proc/self/fd/1", folder, stdout=file)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0 and "compiled for cpu" in complaints
    assert Path("redirected").read_bytes() == Path("n.cortado").read_bytes()


def test_the_same_input_is_the_same_bytes_in_every_process(folder: Path) -> None:
    """Whatever order Python's sets have, and however many threads there are."""
    found = set()
    for seed, threads in (("1", "1"), ("2", "2")):
        settings = os.environ | {"PYTHONPATH": str(ROOT / ".src"), "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads}
        words = [sys.executable, "-m", "cortado", "compile", "n.prototxt", "n.caffemodel", "-o", f"{seed}.cortado"]
        subprocess.run(words, env=settings, check=True, capture_output=True)
        found.add(Path(f"{seed}.cortado").read_bytes())
    assert found == {Path("n.cortado").read_bytes()}
    for name in ("a.npz", "b.npz"):
        run(f"run n.cortado --input x.npy --output-file {name}")
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()
