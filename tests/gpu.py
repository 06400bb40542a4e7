"""A stand-in for CUDA's driver, for tests on machines without a GPU: it is built once, and logs all calls."""

from __future__ import annotations

import gc
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

SOURCE = Path(__file__).resolve().parent / "fakecuda" / "libcuda.c"
COMPILER = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)


class GpuUnderTest:
    """One copy of the stand-in's library, so that tests do not share its state."""

    def __init__(self, library: Path, log: Path) -> None:
        self.library, self.log = library, log

    def log_entries(self, call: str = "") -> list[dict[str, Any]]:
        """All log entries in order, or those of one function."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if entry.get("call") == call] if call else entries

    def clear_log(self) -> None:
        self.log.unlink(missing_ok=True)

    @property
    def allocations(self) -> list[dict[str, Any]]:
        """The log entries of memory for values; beside them each kernel takes a byte (see `unload_module`)."""
        return [entry for entry in self.log_entries("cuMemAlloc") if entry["bytes"] > 1]

    @property
    def refusals(self) -> list[dict[str, Any]]:
        return [entry for entry in self.log_entries() if "refused" in entry]

    @property
    def call_names(self) -> list[str]:
        return [entry["call"] for entry in self.log_entries() if "call" in entry]


def build_library(folder: Path) -> Path:
    """Build the stand-in's library. Skips the test without a C compiler."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    library = folder / "libfakecuda.so"
    command = [COMPILER, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-lpthread"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def cubin(functions: dict[str, str], architecture: int = 90) -> Tensor:
    """Machine code for the stand-in: functions by name, each with its operation and the sizes of its parameters."""
    text = "".join(f"{name} {form}\n" for name, form in functions.items())
    return torch.tensor(list(f"fake sm_{architecture}\n{text}\0".encode()), dtype=torch.uint8)


def unpack_number(text: str, form: str) -> Any:
    """The number of a `struct` format that these hex digits encode."""
    (value,) = struct.unpack(f"<{form}", bytes.fromhex(text))
    return value


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the library, built once per session."""
    return build_library(tmp_path_factory.mktemp("fakecuda"))


@pytest.fixture
def gpu(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuUnderTest]:
    """A copy of the stand-in; the test fails if the stand-in refused a call."""
    own = tmp_path / "libcuda.so"
    shutil.copy(stand_in, own)
    made = GpuUnderTest(own, tmp_path / "log.jsonl")
    monkeypatch.setenv("CORTADO_LIBCUDA", str(own))
    monkeypatch.setenv("FAKECUDA_LOG", str(made.log))
    yield made
    gc.collect()
    assert made.refusals == []
