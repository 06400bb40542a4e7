"""Nets as shared libraries: `cortado compile -o net.so`, and `open_library`, which runs them with numpy alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import cortado
from cortado.cli import main
from cortado.compiler.errors import CompileError
from cortado.compiler.reference import evaluate
from cortado.driver import Compilation
from cortado.exporters.so import export_library
from cortado.exporting import write_export
from cortado.runtime import ArtifactError, LibraryNet, Net, open_library, shared_library
from cortado.runtime.elf import reason_not_loadable
from cortado.runtime.native import build
from cortado.runtime.output import OutputError

from .c_programs import NASTY, compile_text, tool
from .shared import ROOT

DIGITS = ROOT / "examples" / "digits"
FILES = (str(DIGITS / "digits.prototxt"), str(DIGITS / "digits.caffemodel"))
TOLERANCE = 1e-5  # of the largest result: sums of up to a thousand products, in another order


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with nasty.so and digits.so, and their headers; and the C compiler allowed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CORTADO_CC", raising=False)
        build.find_compiler.cache_clear()
        if not build.find_compiler():
            pytest.skip("there is no C compiler")
        folder = tmp_path_factory.mktemp("libraries")
        write(compile_text(NASTY), folder / "nasty.so")
        words = ["compile", *FILES, "--raw-scale", "1", "-o", str(folder / "digits.so")]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        assert f"header   {folder / 'digits.h'}" in done.stdout and "compiled for native" in done.stdout
        yield folder
    build.find_compiler.cache_clear()


def write(made: Compilation, path: Path, march: str = "") -> None:
    write_export(export_library(made, path, march), ())


@pytest.fixture
def nasty(folder: Path) -> LibraryNet:
    return open_library(folder / "nasty.so")


def nasty_inputs(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"x": (2, 3, 13, 11), "y?": (2, 4)}
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def test_it_gives_the_outputs_by_name(nasty: LibraryNet) -> None:
    inputs = nasty_inputs()
    made = compile_text(NASTY, "onednn")
    due = evaluate(made.file.graph, *map(torch.from_numpy, inputs.values()))
    for _ in range(2):
        found = nasty(inputs)
        assert list(found) == ['*/ "out??/', "z", "c", "y?", "w5"]
        for y, expected in zip(found.values(), due, strict=True):
            assert y.dtype == np.float32 and y.flags.owndata and y.flags.c_contiguous
            np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))
    assert {name: str(spec) for name, spec in nasty.inputs.items()} == {"x": "f32[2,3,13,11]", "y?": "f32[2,4]"}
    assert nasty.title.startswith("*/ n??/ \\ é, compiled by cortado 0.1.0 for ")


FRESH = """
import sys, time, warnings
import numpy as np
import cortado.runtime
net = cortado.runtime.open_library(sys.argv[1])
with np.load(sys.argv[2]) as held_out:
    pictures, labels = held_out["pictures"], held_out["labels"]
x = net.prepare((pictures[0, 0] * 255).astype(np.uint8))
assert np.allclose(x[0], pictures[0], atol=0.01), "it was compiled with --raw-scale 1"
right = sum(net(data=p[None])["prob"].argmax() == label for p, label in zip(pictures[:50], labels))
foreign = {"torch", "safetensors", "triton", "lark", "click", "google"} & sys.modules.keys()
print(net, right, foreign)
"""


def test_a_fresh_process_runs_it_with_numpy_alone(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".src")}
    files = str(folder / "digits.so"), str(DIGITS / "pictures.npz")
    words = [sys.executable, "-W", "error", "-c", FRESH, *files]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.stderr == ""
    assert done.stdout == "<Net digits(data: f32[1,1,8,8]) -> prob: f32[1,10] by shared library> 50 set()\n"


MISTAKES: list[object] = [
    {"data": np.zeros((1, 8, 8))},
    {"data": np.zeros((3, 1, 8, 8))},
    {"data": np.array([["a"]])},
    {"data": np.zeros((1, 1, 8, 8), np.complex64)},
    {"picture": np.zeros((1, 1, 8, 8))},
    {},
]


@pytest.mark.parametrize("given", MISTAKES, ids=range(len(MISTAKES)))
def test_what_does_not_fit_is_told_as_by_the_other_runtime(given: object, folder: Path) -> None:
    other = Net.from_artifact(cortado.compile(*FILES, target="onednn").artifact)
    said = []
    for net in (other, open_library(folder / "digits.so")):
        with pytest.raises(ValueError, match=r"input|shapes") as e:
            net(given)
        said.append(str(e.value))
    assert said[0] == said[1]


def test_arrays_of_any_kind_of_number(folder: Path) -> None:
    net = open_library(folder / "digits.so", threads=1)
    whole = np.arange(64).reshape(1, 1, 8, 8) % 17
    due = net(whole.astype(np.float32))["prob"]
    backwards = whole[:, :, ::-1].copy()[:, :, ::-1]
    for array in (whole, whole.astype(">f8"), np.asfortranarray(whole), backwards, whole.tolist(),
                  whole.astype(np.uint16), torch.from_numpy(whole)):  # fmt: skip
        assert np.array_equal(net(data=array)["prob"], due)
    huge = np.full((1, 1, 8, 8), 1e300)
    assert np.array_equal(net(huge)["prob"], net(np.full((1, 1, 8, 8), np.inf, np.float32))["prob"], equal_nan=True)


def test_many_threads_call_it_and_any_number_of_its_own_gives_the_same_bits(folder: Path) -> None:
    nets = [open_library(folder / "nasty.so", threads=n) for n in (None, 1, 2, 5)]
    due = [list(nets[1](nasty_inputs(seed)).values()) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for net in nets:
            found = list(pool.map(lambda i, net=net: net(nasty_inputs(i % 6)), range(60)))
            assert all(
                np.array_equal(y, d) for i, ys in enumerate(found) for y, d in zip(ys.values(), due[i % 6], strict=True)
            )
            assert 1 <= len(net.contexts) <= 6
    with pytest.raises(ValueError, match="threads is 0, and has to be 1 or more"):
        open_library(folder / "nasty.so", threads=0)


def test_a_forked_process_runs_it_too(folder: Path) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT / ".src")!r})
import numpy as np
from cortado.runtime import open_library
net = open_library({str(folder / "digits.so")!r}, threads=2)
x = np.ones((1, 1, 8, 8), np.float32)
due = net(x)["prob"]
child = os.fork()
if not child:
    os._exit(0 if all(np.array_equal(net(x)["prob"], due) for _ in range(5)) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(net(x)["prob"], due)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def one_line(call: str) -> Compilation:
    return compile_text(f"net n(x: f32[1,4]) {{\n    y = {call}\n    return y\n}}\n")


def test_a_library_that_replaced_another_is_the_new_one(folder: Path, tmp_path: Path) -> None:
    """The system's loader knows libraries by their paths."""
    path, x = tmp_path / "net.so", np.full((1, 4), -2, np.float32)
    write(one_line("relu(x)"), path)
    first = open_library(path)
    before = path.read_bytes()
    write(one_line("relu(x)"), path)
    assert path.read_bytes() == before, "equal nets give equal bytes"
    write(one_line("abs(x)"), path)
    second, again = open_library(path), open_library(path)
    found = [net(x)["y"][0, 0] for net in (first, second, again)]
    assert found == [0, 2, 2]
    with path.open("r+b") as file:
        file.seek(0)
        file.write(b"\x7f")
    os.utime(path, ns=(0, 0))
    with pytest.raises(ArtifactError, match="written over while this process had it open"):
        open_library(path)


READERS = (
    "run LIB --input x.npy", "show LIB", "check LIB", "compile LIB -o out.cortado", "export LIB --to caffe -o out",
    "opt LIB -o out.net", "profile LIB", "compare LIB LIB", "compile n.net LIB -o out.cortado",
)  # fmt: skip


@pytest.mark.parametrize("words", READERS)
def test_readers_of_files_refuse_it(words: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((1, 1, 8, 8), np.float32))
    Path("n.net").write_text("net n(x: f32[1,4]) {\n    weight w: f32[4]\n    y = scale(x, w)\n    return y\n}\n")
    shutil.copy(folder / "digits.so", "lib.so")
    before = sorted(p.name for p in Path().iterdir())
    done = CliRunner().invoke(main, words.replace("LIB", "lib.so").split())
    assert done.exit_code == (1 if words == "check LIB" else 2) and done.output.count("open_library opens one") == 1, (
        done.output
    )
    assert sorted(p.name for p in Path().iterdir()) == before


def test_loading_refuses_it(folder: Path) -> None:
    for load in (cortado.load, cortado.runtime.load):
        with pytest.raises(ArtifactError, match=r"digits.so: it is a shared library, .*open_library opens one"):
            load(folder / "digits.so")
    with pytest.raises(CompileError, match="open_library"):
        cortado.compile(FILES[0], folder / "digits.so")


def test_what_is_no_such_library_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (folder / "digits.so").read_bytes()
    cortado.save(cortado.compile(*FILES, target="onednn"), tmp_path / "net.cortado")
    for name, data, words in (
        ("text.so", b"text", "it is no shared library"),
        ("short.so", whole[:30], "no whole shared library of 64 bits"),
        ("cut.so", whole[:-5000], "it was cut off"),
        ("object.so", whole[:16] + b"\1" + whole[17:], "no shared library"),
        ("sparc.so", whole[:18] + b"\2" + whole[19:], "it is for machine 2, and this machine is"),
        ("arm.so", whole[:18] + b"\xb7" + whole[19:], "it is for aarch64"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ArtifactError, match=words) as e:
            open_library(tmp_path / name)
        assert str(e.value).startswith(str(tmp_path / name))
    with pytest.raises(ArtifactError, match=r"it is a compiled net; cortado.runtime.load loads it"):
        open_library(tmp_path / "net.cortado")
    with pytest.raises(ArtifactError, match="No such file"):
        open_library(tmp_path / "missing.so")
    foreign = tmp_path / "foreign.c"
    foreign.write_text("int net_abi(void) { return 1; }\n")
    subprocess.run([tool("gcc"), "-shared", "-fPIC", foreign, "-o", tmp_path / "foreign.so"], check=True)
    with pytest.raises(ArtifactError, match="but no net compiled by cortado"):
        open_library(tmp_path / "foreign.so")
    monkeypatch.setattr(shared_library, "ABI", 3)
    with pytest.raises(ArtifactError, match="its interface has version 2, and this cortado has 3; compile it again"):
        open_library(folder / "digits.so")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert reason_not_loadable(whole[:64], len(whole)) == "it is a shared library for Linux"


def test_a_library_for_another_processor(folder: Path, tmp_path: Path) -> None:
    """ARM's is compiled by a compiler for it, and told apart; without the compiler, that is said."""
    made = one_line("relu(x)")
    if shutil.which("aarch64-linux-gnu-gcc") is None:
        with pytest.raises(ArtifactError, match=r"no C compiler for aarch64 here \(aarch64-linux-gnu-gcc\)"):
            write(made, tmp_path / "arm.so", "armv8-a")
        return
    write(made, tmp_path / "arm.so", "armv8-a")
    with pytest.raises(ArtifactError, match="it is for aarch64, and this machine is"):
        open_library(tmp_path / "arm.so")


def test_a_mean_picture_is_not_in_a_library(folder: Path, nasty: LibraryNet) -> None:
    with pytest.raises(ValueError, match="a picture needs an input"):
        nasty.prepare(np.zeros((13, 11), np.uint8), input="y?")
    net = open_library(folder / "digits.so")
    assert net.preprocessing["data"].raw_scale == 1
    net.settings["data"] = json.dumps({**json.loads(net.settings["data"]), "mean_image": "abc"})
    with pytest.raises(ValueError, match="a library does not hold the mean picture of 'data'"):
        net.prepare(np.zeros((8, 8), np.uint8))


def compile_so(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["compile", *FILES, *map(str, words)])
    return done.exit_code, done.output


def test_the_command_keeps_what_is_there(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files are replaced, or none; a header that cortado did not write is not."""
    out = tmp_path / "net.so"
    out.write_text("old")
    (tmp_path / "net.h").write_text("/* mine */")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    code, said = compile_so("-o", out)
    assert code == 2 and "net.h cannot be written: it is there already, and cortado did not write it" in said
    (tmp_path / "net.h").write_bytes((folder / "digits.h").read_bytes())
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setenv("CORTADO_CC", "none")
    code, said = compile_so("-o", out)
    assert code == 2 and "CORTADO_CC=none forbids to compile C" in said
    failing = tmp_path / "failing-cc"
    failing.write_text("#!/bin/sh\necho 'net.c:1: error: no such luck' >&2; exit 1\n")
    failing.chmod(0o755)
    before[failing.name] = failing.read_bytes()
    monkeypatch.setenv("CORTADO_CC", str(failing))
    build.find_compiler.cache_clear()
    code, said = compile_so("-o", out)
    assert code == 2 and "no such luck" in said
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    monkeypatch.undo()
    monkeypatch.delenv("CORTADO_CC", raising=False)
    build.find_compiler.cache_clear()
    code, said = compile_so("-o", out, "--json", "--march", "x86-64" if os.uname().machine == "x86_64" else "generic")
    assert code == 0 and json.loads(said)["header"] == str(tmp_path / "net.h")
    assert open_library(out).title.startswith("digits, compiled by cortado")


def test_usage(folder: Path, tmp_path: Path) -> None:
    for words, said in (
        (("-o", tmp_path / "net.cortado", "--march", "x86-64"), "--march is for a shared library"),
        (("-o", tmp_path / "net.so", "--target", "cuda"), "the target cuda is not compiled to C"),
        (("-o", tmp_path / "net.so", "--shape", "data=?8,1,8,8"), "known only when the net runs"),
    ):
        code, output = compile_so(*words)
        assert code == 2 and said in output
    with pytest.raises(CompileError, match="is no name for a shared library"):
        cortado.export(*FILES, to="so", out=tmp_path / "net.dll")
    net = cortado.compile(*FILES, target="onednn")
    with pytest.raises(OutputError, match=r'export\(\.\.\., to="so"\) writes a shared library'):
        cortado.save(net, tmp_path / "net.so")
    cortado.save(net, tmp_path / "net.cortado")
    for command in ("compile", "export --to so"):
        line = [*command.split(), str(tmp_path / "net.cortado"), "-o", str(tmp_path / "net.so")]
        done = CliRunner().invoke(main, [*line, "--target", "onednn"])
        assert done.exit_code == 2 and "the target onednn is not compiled to C" in done.output
        done = CliRunner().invoke(main, line)  # compiled again from its source
        assert done.exit_code == 0, done.output
    assert open_library(tmp_path / "net.so").inputs.keys() == {"data"}
