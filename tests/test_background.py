"""Threads that compile while Python ends must not abort it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORK = "lambda: [torch.linalg.svd(torch.rand(60, 60)) for _ in range(1_000_000)]"


@pytest.mark.parametrize("attempt", range(3))
def test_a_thread_in_torch_does_not_abort_the_end_of_python(attempt: int) -> None:
    code = f"""
import time, torch
from cortado.runtime.background import start_in_background
thread = start_in_background({WORK})
time.sleep(0.05 * {attempt + 1})
assert thread.is_alive()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / ".src", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_thread_is_stopped_where_it_is() -> None:
    code = """
import atexit, time
atexit.register(lambda: print("at work" if thread.is_alive() else "stopped"))  # behind the hook that is registered next
from cortado.runtime.background import start_in_background
thread = start_in_background(lambda: [time.sleep(0.001) for _ in range(1_000_000)])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / ".src", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")
