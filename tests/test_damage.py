"""A flipped bit in a compiled file or a cached kernel is told at load or by a check, and is never another answer."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from cortado.cli import main
from cortado.compiler.targets.cuda import aot
from cortado.runtime.artifact import ArtifactError, read_for_running, write
from cortado.runtime.integrity import check_file

from .shared import ROOT
from .test_runtime_artifact import small

UNUSED = {"cc", "dd"}  # tensors of that net that no plan reads


def flip(path: Path, content: bytes, at: int, bit: int) -> None:
    path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])


def is_told(path: Path) -> bool:
    """At load or, for what no run uses, by a check of the whole file."""
    try:
        read_for_running(path)
    except ArtifactError as e:
        assert str(path) in str(e)
        return True
    found = check_file(path)
    return not found.is_whole and any(f"({name})" in found.error for name in UNUSED)


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    write(tmp_path / "whole.cortado", small())
    assert check_file(tmp_path / "whole.cortado").is_whole
    return (tmp_path / "whole.cortado").read_bytes()


def test_a_flipped_bit_in_any_byte_is_told(whole: bytes, tmp_path: Path) -> None:
    dice = random.Random(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*range(8), *dice.sample(range(8, header), 500), *range(header, len(whole))]
    assert len(whole) - header > 200, "weights and padding are there"
    for at in places:
        bit = dice.randrange(8)
        flip(tmp_path / "x.cortado", whole, at, bit)
        assert is_told(tmp_path / "x.cortado"), f"bit {bit} of byte {at}"


@pytest.mark.long
def test_every_flipped_bit_is_told(whole: bytes, tmp_path: Path) -> None:
    for at in range(len(whole)):
        for bit in range(8):
            flip(tmp_path / "x.cortado", whole, at, bit)
            assert is_told(tmp_path / "x.cortado"), f"bit {bit} of byte {at}"


def test_files_of_the_first_days_of_the_format_are_read(whole: bytes, tmp_path: Path) -> None:
    """They state neither checksums nor a hash of their header."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(tmp_path / "whole.cortado", "pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if k not in ("checksums", "header")}
        tensors = {n: file.get_tensor(n) for n in file.keys() if not n.startswith("pad.")}  # noqa: SIM118
    save_file(tensors, tmp_path / "old.cortado", metadata)
    assert check_file(tmp_path / "old.cortado").is_whole
    save_file(tensors, tmp_path / "more.cortado", metadata | {"checksum": "{}"})
    with pytest.raises(ArtifactError, match="'checksum' is none of this format"):
        read_for_running(tmp_path / "more.cortado")


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(word) for word in words])
    return done.exit_code, done.output


def test_check_reads_a_compiled_file_to_its_last_byte(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "whole.cortado"
    assert run("check", path) == (
        0,
        f"{path}: as it was written: {len(whole):,} bytes, 5 tensors, every byte checked\n",
    )
    code, said = run("check", path, "--json")
    found = json.loads(said)
    assert code == 0 and found == {"file": str(path), "size": len(whole), "tensors": 5, "error": "", "whole": True}
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    sentence = f"{path}: one tensor does not have the hash that it states (mm), so it is damaged; compile the net again"
    assert run("check", path) == (1, f"{sentence}\n")
    code, said = run("check", path, "--json")
    assert code == 1 and (json.loads(said)["whole"], json.loads(said)["error"]) == (False, sentence)
    path.write_bytes(whole[: len(whole) // 2])
    code, said = run("check", path)
    assert code == 1 and "no whole compiled net" in said
    code, said = run("check", tmp_path / "none.cortado")
    assert code == 2 and "none.cortado: No such file" in said
    for option in ("--inplace", "--weights=x", "--phase=TEST"):
        code, said = run("check", path, option)
        assert code == 2 and f"{option.split('=')[0]} is for a prototxt" in said
    former = ROOT / "tests" / "files" / "version-0.1.cortado"
    assert run("check", former)[0] == 0
    content = former.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run("check", path)[0] == 1


TEXTS = {f"kernel_{i}": f'"""{i}\n"""\n\nimport triton' for i in range(4)}
JOBS = [(name, "sm_90") for name in TEXTS]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is empty, and a worker that is done at once."""

    def run_worker(jobs: list[aot.Job], *_: object) -> dict[aot.Job, aot.MachineCode]:
        return {job: machine_code(job) for job in jobs}

    monkeypatch.setenv("CORTADO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(aot, "run_worker", run_worker)
    return tmp_path / "cache"


def machine_code(job: aot.Job) -> aot.MachineCode:
    code = random.Random(str(job)).randbytes(3000)
    return aot.MachineCode(code, shared=0, warps=4, stages=2, registers=32, spilled=0, wgmma=0, cuda=0)


def compile_all() -> bool:
    return aot.compile_machine_code(TEXTS, JOBS) == {job: machine_code(job) for job in JOBS}


def test_a_flipped_bit_in_the_cache_is_compiled_again(cache: Path) -> None:
    assert compile_all()
    dice = random.Random(0)
    for path in cache.iterdir():
        content = path.read_bytes()
        for _ in range(50):
            flip(path, content, dice.randrange(len(content)), dice.randrange(8))
            assert aot.read_cache(path.stem) is None
            assert compile_all() and path.read_bytes() == content


@pytest.mark.parametrize("kind", ["a file", "below a file", "no home", "full"])
def test_a_cache_that_cannot_be_written_costs_time_only(
    kind: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    if kind == "no home":
        for name in ("CORTADO_CACHE", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # as for a user that the system does not know
    elif kind == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
    else:
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("CORTADO_CACHE", str(tmp_path / "file" / ("x" if kind == "below a file" else "")))
    try:
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match=r"cannot be kept.* name a folder of yours in CORTADO_CACHE"):
                assert compile_all()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not cache.exists() or list(cache.iterdir()) == []


@pytest.mark.skipif(os.getuid() == 0, reason="an administrator may write to any folder")
def test_a_cache_that_is_read_only_is_read(cache: Path) -> None:
    assert compile_all()
    cache.chmod(0o555)
    assert compile_all()
    next(cache.iterdir()).chmod(0o000)
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        assert compile_all()
    cache.chmod(0o755)


def test_threads_and_processes_fill_one_cache_at_once(cache: Path, tmp_path: Path) -> None:
    answers = list[bool]()
    threads = [threading.Thread(target=lambda: answers.append(compile_all())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 8
    assert len(list(cache.iterdir())) == len(JOBS) and all(path.suffix == ".json" for path in cache.iterdir())
    (tmp_path / "out").mkdir()
    settings = os.environ | {"PYTHONPATH": str(ROOT / ".src"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.kill", "--once", "cache", str(tmp_path)]
    both = [subprocess.Popen(words, cwd=ROOT, env=settings) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(list((tmp_path / "out").iterdir())) == 8


def test_what_is_killed_while_it_writes_leaves_nothing_half(tmp_path: Path) -> None:
    """A few of the trials that benchmarks/results/kills.json records."""
    settings = os.environ | {"PYTHONPATH": str(ROOT / ".src"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.kill", "--kills", "18", "--record", str(tmp_path / "record.json")]
    done = subprocess.run(words, cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "record.json").read_text())
    assert sum(job["killed before the end"] for job in record["jobs"].values()) == record["killed"] == 18
