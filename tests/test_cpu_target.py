"""The target `cpu`: kernels in C where there is a compiler, torch's primitives elsewhere and until those are built."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cortado import driver, load
from cortado.compiler.errors import CompileError
from cortado.compiler.target import Target
from cortado.compiler.targets import register_target, target, targets
from cortado.runtime import programs
from cortado.runtime.artifact import Artifact, read, write
from cortado.runtime.native import build
from cortado.runtime.net import Net

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "digits"
FILES = (DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")
TOLERANCE = 1e-5  # of probabilities: sums of up to a thousand products, in another order


def picture(rows: int = 8) -> np.ndarray:
    return np.random.default_rng(7).random((1, 1, rows, 8), np.float32)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return driver.compile_net(*FILES).artifact


def test_a_file_holds_a_plan_for_each_and_the_weights_once(artifact: Artifact, tmp_path: Path) -> None:
    assert [(plan.runner, plan.target) for plan in artifact.plans] == [("native", "cpu"), ("onednn", "cpu")]
    alone = driver.compile_net(*FILES, driver.Options(target="onednn")).artifact
    assert artifact.weights.keys() == alone.weights.keys()
    write(tmp_path / "net.cortado", artifact)
    assert read(tmp_path / "net.cortado").plans == artifact.plans


def test_without_a_compiler_torch_runs_it(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    net = Net.from_artifact(artifact)
    assert net.plan.runner == "onednn" and repr(net).endswith("by onednn>")


def test_without_a_compiler_and_a_cache_torch_runs_it(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, c_compiler: None
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("PATH", str(tmp_path))
    build.find_compiler.cache_clear()
    assert Net.from_artifact(artifact).plan.runner == "onednn"


def test_with_a_compiler_c_runs_it(artifact: Artifact, c_compiler: None) -> None:
    net = Net.from_artifact(artifact)
    assert net.plan.runner == "native" and repr(net).endswith("by native>")
    alone = driver.compile(*FILES, target="onednn")
    np.testing.assert_allclose(net(picture())["prob"], alone(picture())["prob"], rtol=0, atol=TOLERANCE)


def test_a_compiler_that_fails_is_told_once(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, c_compiler: None
) -> None:
    fake = tmp_path / "cc"
    fake.write_text("#!/bin/sh\necho 'net.c:1: error: no such luck' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CORTADO_CC", str(fake))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build.find_compiler.cache_clear()
    with pytest.warns(UserWarning, match=r"^net 'digits' runs by onednn: .*no such luck") as told:
        net = Net.from_artifact(artifact, compile=driver.recompile)
    assert net.plan.runner == "onednn" and len(told) == 1
    assert net(picture(10))["prob"].shape == (1, 10), "and not tried again for another shape"


def test_another_shape_is_served_at_once_and_built_while_it_is(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, c_compiler: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    net = Net.from_artifact(artifact, compile=driver.recompile)
    key, x = ((2, 1, 8, 8),), np.concatenate([picture(), picture()])
    first = net(x)["prob"]
    assert net.programs[key].plan.runner == "onednn"
    for _ in range(programs.CALLS_BEFORE_BUILDING):
        net(x)
    end = time.monotonic() + 60
    while net.programs[key].plan.runner != "native" and time.monotonic() < end:
        time.sleep(0.05)
    assert net.programs[key].plan.runner == "native"
    np.testing.assert_allclose(net(x)["prob"], first, rtol=0, atol=TOLERANCE)


def test_programs_that_were_not_used_for_long_are_dropped(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MAX_PROGRAMS", 3)
    net = Net.from_artifact(artifact, compile=driver.recompile)
    pictures = np.repeat(picture(), 8, axis=0)
    wanted = net(pictures[:2])["prob"]
    for count in (3, 4, 2, 5, 2, 6):
        net(pictures[:count])
    assert {shape[0] for (shape,) in net.programs} == {1, 5, 2, 6}
    np.testing.assert_array_equal(net(pictures[:2])["prob"], wanted)
    monkeypatch.setattr(programs, "MAX_ARENA_BYTES", 1)
    net(pictures[:7])
    assert {shape[0] for (shape,) in net.programs} == {1, 7}, "the one in use stays whatever its size"


def test_sizes_known_only_when_the_net_runs_have_one_plan() -> None:
    options = driver.Options(shapes={"data": (f"?{4}", 1, 8, 8)})
    assert [plan.runner for plan in driver.compile_net(*FILES, options).artifact.plans] == ["onednn"]


def test_a_compiled_file_compiles_again_for_both(artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "net.cortado"
    write(path, artifact)
    command = [sys.executable, "-m", "cortado", "compile", str(path), "--shape", "data=3,1,8,8", "-o", "three.cortado"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".src")}
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=environment)
    made = read(tmp_path / "three.cortado")
    assert [plan.runner for plan in made.plans] == ["native", "onednn"]
    assert load(tmp_path / "three.cortado")(np.repeat(picture(), 3, 0))["prob"].shape == (3, 10)


def test_a_group_is_the_preferred_target_to_a_pass_and_no_target_takes_its_name() -> None:
    assert target("cpu").name == "native" and [t.name for t in targets("cpu")] == ["native", "onednn"]
    with pytest.raises(CompileError, match="no target is called cpuu"):
        target("cpuu")
    mine = Target()
    mine.name = "cpu"
    with pytest.raises(ValueError, match="there is a target called 'cpu' already"):
        register_target(mine)
