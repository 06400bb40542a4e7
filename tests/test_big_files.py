"""Big weights are never in memory twice without need: peaks of fresh processes, in sizes of the file; no seconds."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.benchmarks import big_nets
from cortado.compiler.ir import Constant, digest
from cortado.compiler.types import type_of
from cortado.frontends.files.caffemodel import WrittenLayer, read, write
from cortado.runtime import artifact, container

from .shared import ROOT

COMMAND = [sys.executable, str(ROOT / "benchmarks" / "big_files.py"), "--megabytes", "50"]
COMPILER = 0.5  # of 50 MB, whatever the size of the net: measuring the error of Winograd's algorithm, and a second plan
SMAPS = Path("/proc/self/smaps")
pytestmark = pytest.mark.skipif(not SMAPS.exists(), reason="only Linux tells how much memory a process had at most")


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By net, and by what was done with it."""
    out = tmp_path_factory.mktemp("big") / "big_files.json"

    def measured(jobs: list[str], nets: list[str]) -> dict[str, Any]:
        command = [*COMMAND, "--jobs", *jobs, "--nets", *nets, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return {net["net"]: net for net in json.loads(out.read_text("utf-8"))["nets"]}

    return measured(["read", "compile"], ["plain"]) | measured(["compile"], ["folding", "forward"])


def test_reading_takes_the_files_own_pages_and_no_more(peaks: dict[str, Any]) -> None:
    row = peaks["plain"]["read"]
    assert 0.9 < row["more / size"] < 1.3, "every number was read, and none of them twice"
    assert row["more anonymous / size"] < 0.2


def test_compiling_copies_nothing_where_nothing_folds(peaks: dict[str, Any]) -> None:
    row = peaks["plain"]["compile"]
    assert 0.9 < row["more / size"] < 1.3 + COMPILER
    assert row["more anonymous / size"] < 0.3


@pytest.mark.parametrize("net", ["folding", "forward"])
def test_folded_weights_are_held_once_beside_the_file(peaks: dict[str, Any], net: str) -> None:
    row = peaks[net]["compile"]
    assert 1.5 < row["more / size"] < 2.3 + COMPILER
    assert row["more anonymous / size"] < 1.3 + COMPILER


def resident_bytes(path: Path) -> int:
    """Bytes of a mapped file that are in this process's memory."""
    found, counts = 0, False
    for line in SMAPS.read_text("utf-8").splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            counts = line.endswith(str(path))
        elif counts and words[0] == "Rss:":
            found += int(words[1]) * 1024
    return found


def test_a_large_blob_gives_its_memory_back_alone(tmp_path: Path) -> None:
    path = tmp_path / "two.caffemodel"
    weight, bias = np.arange(2_000_000, dtype=np.float32).reshape(2, -1), np.array([3, 4], np.float32)
    write(path, "two", [WrittenLayer("fc", "InnerProduct", [weight, bias])])
    kept, large = (read(path).layers[0].blobs[i].data for i in (1, 0))
    assert np.array_equal(large, weight) and resident_bytes(path) > 8_000_000
    large[0, 1] = 7  # a blob can be written to; the file stays as it is
    assert read(path).layers[0].blobs[0].data[0, 1] == 1
    del large
    assert resident_bytes(path) < 1_000_000
    assert kept.tolist() == [3, 4]


def test_a_compiled_net_lets_go_of_what_was_folded(tmp_path: Path) -> None:
    prototxt, caffemodel = big_nets.make_files(tmp_path, "folding", 16)
    gc.disable()  # it is to go at once, not when a cycle is found
    try:
        made = driver.compile_net(prototxt, caffemodel).artifact
    finally:
        gc.enable()
    assert sum(t.nbytes for t in made.weights.values()) > 16_000_000
    assert resident_bytes(caffemodel) < 5_000_000


def test_a_weight_is_hashed_once_from_the_caffemodel_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = driver.compile_net(*big_nets.make_files(tmp_path, "folding", 2)).artifact
    with monkeypatch.context() as patched:
        patched.setattr(artifact, "digest", lambda tensor: pytest.fail("is hashed again"))
        artifact.write(tmp_path / "net.cortado", made)
    found = artifact.read(tmp_path / "net.cortado", verify=True)
    assert all(found.hashes[handle].startswith(handle) for handle in made.weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8])
def test_compiler_and_runtime_hash_alike(dtype: torch.dtype) -> None:
    for shape in ((2, 3), (6,), (), (0, 4)):
        data = torch.full(shape, 3, dtype=dtype)
        assert digest(type_of(data), data) == container.digest(data)
        assert container.digest(data).startswith(Constant("w", type_of(data), data=data).handle)


def test_the_nets_are_as_large_as_asked_for_and_hardly_larger(tmp_path: Path) -> None:
    for kind in big_nets.NET_KINDS:
        assert 5 <= big_nets.make_files(tmp_path, kind, 5)[1].stat().st_size / big_nets.MB < 7
