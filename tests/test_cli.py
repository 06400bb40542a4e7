"""The commands as people type them: what they print, what they write, and that a picture comes out as Caffe has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from cortado.cli import main
from cortado.cli.files import save_arrays
from cortado.cli.options import TARGETS
from cortado.cli.screen import print_columns
from cortado.compiler import targets
from cortado.passes import PIPELINE
from cortado.runtime.artifact import Preprocessing, read
from cortado.version import VERSION

from .shared import ROOT, SHARED

DIGITS = ROOT / "examples" / "digits"
NET, WEIGHTS = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
STAGES = ["read", *(p.__name__ for p in PIPELINE)]
IMAGE_NET = "net image(a: f32[1,3,4,6], b: f32[1,2]) {\n    y = relu(a)\n    return y, b\n}\n"


def cortado(*words: object) -> str:
    """What a command prints on stdout; it has to succeed."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "digits.cortado"
    cortado("compile", NET, WEIGHTS, "-o", path)
    return path


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    with np.load(DIGITS / "pictures.npz") as file:
        found: np.ndarray = file["pictures"]
    return found


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["compile", "--help"]])
def test_it_starts_at_once(words: list[str]) -> None:
    """Without what takes a second to import."""
    command = [sys.executable, "-X", "importtime", "-m", "cortado", *words]
    done = subprocess.run(command, cwd=ROOT / ".src", capture_output=True, text=True, check=True)
    assert ("Usage:" in done.stdout) if "--help" in words else done.stdout == f"cortado {VERSION}\n"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported and not imported & {"torch", "numpy", "lark", "networkx", "rich", "cortado.driver"}


def test_compile_says_what_it_did(tmp_path: Path) -> None:
    told = cortado("compile", NET, WEIGHTS, "-o", tmp_path / "digits.cortado", "--target", "onednn")
    assert "26 read, 1 removed, 8 folded, 6 fused, 3 in place" in told
    assert "12,288 bytes, which is the bound" in told
    assert "data: f32[1,1,8,8]" in told and "prob: f32[1,10]" in told
    assert not any(c in told for c in "\x1b━│"), "in a pipe the table is plain text"


def test_compile_as_json(tmp_path: Path) -> None:
    path = tmp_path / "d.cortado"
    told = json.loads(cortado("compile", NET, WEIGHTS, "-o", path, "--shape", "data=4,1,8,8", "--json"))
    plan = read(path).plan
    assert told["inputs"] == {"data": "f32[4,1,8,8]"} and told["outputs"] == {"prob": "f32[4,10]"}
    assert (told["arena"], told["steps"], told["file"]) == (plan.arena, len(plan.steps), str(path))
    assert told["bound"] <= told["arena"] and told["removed"]["fold_batchnorm"] == 8
    assert set(told["seconds"]) == {*STAGES, "build"}


def test_the_same_files_give_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    cortado("compile", NET, WEIGHTS, "-o", tmp_path / "again.cortado")
    assert (tmp_path / "again.cortado").read_bytes() == compiled.read_bytes()


def test_other_outputs_and_no_passes(pictures: np.ndarray, compiled: Path, tmp_path: Path) -> None:
    path, given = tmp_path / "plain.cortado", tmp_path / "x.npy"
    np.save(given, pictures[:1])
    cortado("compile", NET, WEIGHTS, "-o", path, "--passes", "none", "--output", "pool1", "--output", "prob")
    cortado("run", path, "--input", given, "--output-file", tmp_path / "plain.npz")
    cortado("run", compiled, "--input", given, "--output-file", tmp_path / "all.npz")
    with np.load(tmp_path / "plain.npz") as plain, np.load(tmp_path / "all.npz") as optimized:
        assert plain.files == ["pool1", "prob"] and optimized.files == ["prob"]
        assert plain["pool1"].shape == (1, 24, 4, 4)
        np.testing.assert_allclose(plain["prob"], optimized["prob"], atol=1e-6)


@pytest.mark.parametrize("form", ["data=x.npy", "x.npy", "x.npz", "data=more.npz", "unnamed.npz"])
def test_run_takes_arrays(form: str, compiled: Path, pictures: np.ndarray, tmp_path: Path) -> None:
    name, _, file = form.rpartition("=")
    path = tmp_path / file
    if file == "x.npy":
        np.save(path, pictures[0])  # a batch axis that is left out
    elif file == "unnamed.npz":
        np.savez(path, pictures[:1])
    else:
        more: dict[str, Any] = {"more": pictures} if file == "more.npz" else {}
        np.savez(path, data=pictures[:1], **more)
    told = cortado("run", compiled, "--input", f"{name}={path}" if name else path, "--top", 2)
    lines = told.splitlines()
    assert lines[0] == "prob:" and len(lines) == 3
    assert lines[1].split() == ["0.947054", "0"]


def test_run_as_json_in_a_batch_with_labels(compiled: Path, pictures: np.ndarray, tmp_path: Path) -> None:
    """Shapes that the file does not hold are compiled on the way; files for one input are a batch."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    (tmp_path / "words.txt").write_text("\n".join(words))
    np.save(tmp_path / "a.npy", pictures[:2])
    np.save(tmp_path / "b.npy", pictures[2:3])
    given = ["--input", tmp_path / "a.npy", "--input", tmp_path / "b.npy", "--repeat", 2, "--threads", 1]
    told = json.loads(cortado("run", compiled, *given, "--labels", tmp_path / "words.txt", "--top", 1, "--json"))
    assert told["outputs"]["prob"]["shape"] == [3, 10]
    with np.load(DIGITS / "pictures.npz") as file:
        labels = [words[i] for i in file["labels"][:3]]
    assert [best["label"] for (best,) in told["outputs"]["prob"]["top"]] == labels
    assert 0 < told["seconds"]["best"] <= told["seconds"]["median"] and told["seconds"]["runs"] == 2


def test_run_prints_ranges_of_what_are_no_scores(compiled: Path, tmp_path: Path) -> None:
    path = tmp_path / "pool.cortado"
    cortado("compile", NET, WEIGHTS, "-o", path, "--output", "pool1")
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    told = cortado("run", path, "--input", tmp_path / "x.npy")
    assert told.startswith("pool1 [1, 24, 4, 4]: ") and ", mean " in told


@pytest.fixture
def image_net(tmp_path: Path) -> Path:
    """A net that returns what it is fed with; its picture is the first of two inputs."""
    (tmp_path / "image.net").write_text(IMAGE_NET)
    np.savez(tmp_path / "b.npz", b=np.ones((1, 2), np.float32))
    Image.fromarray(np.full((4, 6, 3), (10, 20, 30), np.uint8)).save(tmp_path / "p.png")
    return tmp_path / "image.net"


def run_on_picture(net: Path, *options: object) -> list[float]:
    """The three channels that `run` makes of the picture beside the net."""
    folder = net.parent
    given = ["--input", f"a={folder / 'p.png'}", "--input", folder / "b.npz", "--output-file", folder / "out.npz"]
    cortado("run", folder / "image.cortado", *given, *options)
    with np.load(folder / "out.npz") as arrays:
        found = arrays["y"]
    assert found.shape == (1, 3, 4, 6) and (found == found[:, :, :1, :1]).all()
    channels: list[float] = found[0, :, 0, 0].tolist()
    return channels


def test_what_is_said_of_pictures_is_kept_and_can_be_overridden(image_net: Path) -> None:
    out = image_net.with_suffix(".cortado")
    cortado("compile", image_net, "-o", out, "--mean", "1,2,3", "--scale", 2, "--bgr", "--crop", "4x6")
    kept = read(out).preprocessing
    assert kept == {"a": Preprocessing(mean=(1.0, 2.0, 3.0), scale=2.0, bgr=True, crop=(4, 6))}
    assert run_on_picture(image_net) == [58, 36, 14]
    assert run_on_picture(image_net, "--rgb") == [18, 36, 54]
    assert run_on_picture(image_net, "--scale", 1, "--mean", "5") == [25, 15, 5]
    np.testing.assert_allclose(
        run_on_picture(image_net, "--raw-scale", 25.5, "--mean", 0, "--scale", 1), [3, 2, 1], rtol=1e-6
    )
    assert run_on_picture(image_net, "--resize", "8x12", "--rgb", "--mean", 0) == [20, 40, 60]


@pytest.mark.parametrize("kind", ["npy", "binaryproto"])
def test_a_mean_picture_goes_into_the_file(kind: str, image_net: Path) -> None:
    mean, path = np.arange(3, dtype=np.float32)[:, None, None].repeat(4, 1).repeat(6, 2), image_net.parent / f"m.{kind}"
    if kind == "npy":
        np.save(path, mean)
    else:
        from cortado.frontends.files.schema import message_class

        blob: Any = message_class("BlobProto")()
        blob.num, blob.channels, blob.height, blob.width = 1, 3, 4, 6
        blob.data.extend(mean.ravel().tolist())
        path.write_bytes(blob.SerializeToString())
    cortado("compile", image_net, "-o", image_net.with_suffix(".cortado"), "--mean", path, "--input", "a")
    path.unlink()
    assert run_on_picture(image_net) == [30, 19, 8]
    assert run_on_picture(image_net, "--mean", "1") == [29, 19, 9], "numbers take the place of the picture"


def test_show_prints_a_net_at_any_stage() -> None:
    raw = cortado("show", NET)
    assert raw.startswith("net digits(data: f32[1,1,8,8]) {") and "batch_norm(" in raw
    assert cortado("show", NET, "--after", "read") == raw == cortado("show", NET, "--before", STAGES[1])
    fused = cortado("show", NET, WEIGHTS, "--after", "fuse")
    assert "batch_norm(" not in fused and "kernel conv_relu_" in fused and " arena " not in fused
    assert fused == cortado("show", NET, WEIGHTS, "--before", "reuse_storage")
    assert " arena 12288 {" in cortado("show", NET, WEIGHTS, "--after", "plan_memory", "--target", "onednn")


def test_show_reads_a_compiled_file(compiled: Path) -> None:
    assert cortado("show", compiled) == cortado("show", NET, WEIGHTS, "--after", STAGES[-1])
    kernels = cortado("show", compiled, "--kernels")
    assert kernels.count("kernel ") == 6, "those that do more than one operator, on native or onednn"
    again = cortado("show", NET, WEIGHTS, "--kernels")
    assert set(again.strip().split("\n\n")) <= set(kernels.strip().split("\n\n"))


def test_show_explains_and_counts(compiled: Path) -> None:
    why = cortado("show", NET, WEIGHTS, "--why")
    assert "is shared, and folding look2 into it needs a copy" in why and "did not" not in why.split("look2")[0]
    table, whole = cortado("show", NET, WEIGHTS, "--stats", "--target", "onednn").split("\n\n")
    rows = [line.split() for line in table.splitlines()]
    assert [row[0] for row in rows[1:]] == STAGES
    assert rows[1][1] == "25" and rows[-1][1] == str(len(read(compiled).plans[1].steps))
    assert "12,288 bytes, which is the bound" in whole


@pytest.mark.parametrize("name", ["digits", "squeezenet"])
def test_every_dump_compiles_to_the_same_plan(name: str, tmp_path: Path) -> None:
    net, weights = NET, WEIGHTS
    if name == "squeezenet":
        folder = SHARED / "models" / "squeezenet-v1.1"
        net, weights = folder / "squeezenet_v1.1.prototxt", folder / "squeezenet_v1.1.caffemodel"
        if not weights.exists():
            pytest.skip("the model is not at hand")
    cortado("compile", net, weights, "-o", tmp_path / "direct.cortado")
    plan = read(tmp_path / "direct.cortado").plan
    written = cortado("show", net, weights, "--after-all", tmp_path / "dump").split()
    assert [Path(path).name for path in written] == [f"{i:02}_{stage}.net" for i, stage in enumerate(STAGES)]
    assert (tmp_path / "dump" / "weights.safetensors").exists()
    for path in written:
        cortado("compile", path, "-o", tmp_path / "again.cortado")
        assert read(tmp_path / "again.cortado").plan == plan, path


def test_weights_of_a_text_can_lie_elsewhere(tmp_path: Path) -> None:
    cortado("show", NET, WEIGHTS, "--after-all", tmp_path / "dump")
    (tmp_path / "dump" / "weights.safetensors").rename(tmp_path / "moved.safetensors")
    text, out = tmp_path / "dump" / "00_read.net", tmp_path / "x.cortado"
    done = CliRunner().invoke(main, ["compile", str(text), "-o", str(out)])
    assert done.exit_code == 2 and "weights.safetensors: cannot be read" in done.output and "--weights" in done.output
    cortado("compile", text, "--weights", tmp_path / "moved.safetensors", "-o", out)
    cortado("compile", text, tmp_path / "moved.safetensors", "-o", out)
    assert out.exists()


def test_arrays_are_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    """Under any name: numpy's own writer takes `file` for itself."""
    arrays = {"file": np.arange(3), "conv1/relu": np.ones((2, 2), np.float32)}
    save_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz") as found:
        assert found.files == list(arrays) and all((found[name] == array).all() for name, array in arrays.items())
    with pytest.raises(ValueError, match="Object arrays"):
        save_arrays(tmp_path / "b.npz", {"good": np.ones(2), "bad": np.array([{}])})
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_squeezenet_sees_the_cat_as_caffe_does(tmp_path: Path) -> None:
    folder, golden = SHARED / "models" / "squeezenet-v1.1", SHARED / "goldens" / "models" / "squeezenet-v1.1-cat.npz"
    if not golden.exists() or not folder.exists():
        pytest.skip("the model is not at hand")
    net, out = tmp_path / "squeezenet.cortado", tmp_path / "out.npz"
    form = ["--mean", "104,117,123", "--bgr", "--resize", 256]
    cortado("compile", folder / "squeezenet_v1.1.prototxt", folder / "squeezenet_v1.1.caffemodel", "-o", net, *form)
    labels = folder / "synset_words.txt"
    told = cortado("run", net, "--input", f"data={folder / 'cat.jpg'}", "--labels", labels, "--output-file", out)
    with np.load(golden) as caffe, np.load(out) as ours:
        expected = caffe["out:prob"]
        # In float64 the net differs from Caffe's float32 by 2.5e-6, and from ours by 6e-7.
        np.testing.assert_allclose(ours["prob"], expected, rtol=0, atol=1e-5)
    best = int(expected.argmax())
    first = told.splitlines()[1].split(maxsplit=2)
    assert first[1:] == [str(best), labels.read_text().splitlines()[best]]


def test_it_is_quiet_in_a_pipe_and_ends_well_when_nobody_reads(compiled: Path) -> None:
    words = [sys.executable, "-m", "cortado", "show", str(compiled)]
    done = subprocess.Popen(words, cwd=ROOT / ".src", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout is not None and done.stderr is not None
    done.stdout.close()
    with done.stderr:
        assert done.stderr.read() == b""
    done.wait()


def test_the_python_api() -> None:
    import cortado as package

    made = package.compile_net(NET, WEIGHTS)
    assert made.file.layers == 26 and list(made.stages.by_name) == STAGES
    net = package.compile(NET, WEIGHTS)
    assert isinstance(net, package.Net)
    got = net(data=torch.zeros(2, 1, 8, 8))["prob"]
    assert got.shape == (2, 10) and isinstance(got, torch.Tensor)


def test_the_demo(tmp_path: Path) -> None:
    """What `make demo` shows: every command works as it is printed, and the pictures are read as they should be."""
    words = [sys.executable, str(DIGITS / "demo.py"), "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".src")}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for shown in ("26 read, 1 removed, 8 folded", "which is the bound", "359 of 360 pictures", "Where to look next"):
        assert shown in done.stdout


@pytest.mark.parametrize("width", [60, 200])
def test_a_column_is_not_squeezed(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal that is too narrow for the last column, lines stay whole: the terminal folds them itself."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    reason = "each element of its top depends on many of its bottom, " * 2
    print_columns(
        [("layer", "a column of some width", "because"), ("conv1", "and what it has to say", reason)], indent=""
    )
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).rstrip("\n").split("\n")
    assert len(lines) == 2 and lines[1].rstrip().endswith(reason.strip()), "no line is folded here"
    assert lines[0].startswith("layer  a column of some width  because")


def test_the_help_names_every_target() -> None:
    assert set(TARGETS) == {*targets.GROUPS, *targets.TARGETS}
    shown = "".join(cortado("compile", "--help").split())  # a name may be at the end of a line, and is divided there
    assert all(name in shown for name in TARGETS)


def test_a_net_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "net.prototxt"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(NET.read_bytes(),))
    writer.start()
    told = cortado("show", pipe)
    writer.join()
    assert told == cortado("show", NET)
