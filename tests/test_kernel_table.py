"""The committed tables of the kernels' resources, one for each version of Triton: current, and not getting worse."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cortado.benchmarks import kernel_table
from cortado.compiler.targets.cuda.aot import compile_machine_code

from .shared import ROOT

pytest.importorskip("triton")
VERSIONS = [path.stem for path in sorted(kernel_table.TABLES.glob("*.json"))]
LAUNCHES = {"squeezenet_v1.1": 31, "googlenet": 57, "resnet50": 53, "vgg16": 22, "mobilenet_v1": 30, "open_nsfw": 57}
"""At most at batch 1; at batch 64 the picture may be unfolded first, by one launch more."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTADO_CACHE", str(tmp_path))


@pytest.mark.parametrize("row", [("squeezenet_v1.1", 1, "cuda"), ("open_nsfw", 64, "cuda-f16")], ids=str)
def test_the_table_is_of_today(row: tuple[str, int, str]) -> None:
    """Launches and kernels are those of the table; two of the kernels are compiled, and take no more than it says."""
    name, batch, on = row
    counts, files = kernel_table.lower_net(name, batch, on)
    triton = importlib.metadata.version("triton")
    stated = kernel_table.read_table(triton)
    before = stated["nets"][f"{name} b{batch} {on}"]
    assert set(files) == set(before["kernels"]), "run python benchmarks/kernel_table.py, and read what changed"
    assert counts["bytes"] <= before["bytes"]
    chosen = [n for n in sorted(files) if before["kernels"][n]["wgmma"]][:2]
    code = compile_machine_code(files, [(n, "sm_90") for n in chosen])
    now = {n: kernel_table.kernel_row(code[n, "sm_90"]) for n in chosen}
    faults = kernel_table.find_regressions({**counts, "kernels": now}, before, stated["triton"] == triton)
    assert not faults, faults


@pytest.mark.parametrize("version", VERSIONS)
def test_no_kernel_of_the_table_spills(version: str) -> None:
    nets = kernel_table.read_table(version)["nets"]
    assert nets.keys() == {name for name, *_ in kernel_table.cases()}
    for name, row in nets.items():
        assert not [k for k, kernel in row["kernels"].items() if kernel["spilled"]], name
        assert any(kernel["wgmma"] for kernel in row["kernels"].values()), name
        assert row["launches"] <= LAUNCHES[name.split()[0]] + (" b64 " in name), name


def test_all_tables_are_of_the_same_kernels() -> None:
    """Written from the same sources, by different compilers."""
    tables = [kernel_table.read_table(version)["nets"] for version in VERSIONS]
    for table in tables[1:]:
        assert {n: set(row["kernels"]) for n, row in table.items()} == {
            n: set(r["kernels"]) for n, r in tables[0].items()
        }


def test_worse_is_found() -> None:
    was = {"registers": 90, "spilled": 0, "shared": 100, "wgmma": 2, "instructions": 50, "barriers": 3}
    before: dict[str, Any] = {"launches": 3, "kernels": {"k": was}}
    worse = kernel_table.find_regressions
    assert worse(before, before, True) == []
    assert worse(before | {"launches": 4}, before, True) == ["4 launches, before 3"]
    more = {"launches": 3, "kernels": {"k": was | {"registers": 91, "barriers": 4, "wgmma": 0, "spilled": 8}}}
    assert len(worse(more, before, True)) == 4 and len(worse(more, before, False)) == 2
    assert worse({"launches": 3, "kernels": {"new": was}}, before, True) == ["new is not in the table: write it again"]


def test_a_version_without_a_table_is_compared_with_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_table, "TABLES", tmp_path)
    for version in ("3.9.0", "3.10.0"):
        kernel_table.write_table(
            version, {"n b1 cuda": {"launches": 1, "bytes": 2, "kernels": {"k": {"registers": 8}}}}
        )
    text = (tmp_path / "3.9.0.json").read_text()
    assert '"k": {"registers": 8}' in text and json.loads(text)["triton"] == "3.9.0"
    assert kernel_table.read_table("3.9.0")["triton"] == "3.9.0"
    assert kernel_table.read_table("3.7.1")["triton"] == "3.10.0"


@pytest.mark.long
def test_nothing_in_the_table_got_worse() -> None:
    done = subprocess.run([sys.executable, "benchmarks/kernel_table.py", "--check"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
