"""Nets called by eight threads, loaded and dropped, forked: one in a hundred of what `make soak` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cortado.runtime import load

from .fuzz.start import FOLDER
from .shared import ROOT


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells resident memory in this way")
def test_answers_stay_equal_and_memory_flat() -> None:
    words = [sys.executable, "-W", "ignore", "-m", "tests.soak", "--share", "100"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".src"), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


FORK = """
import os, signal, sys, threading
import numpy as np
from cortado.runtime import load
net = load(sys.argv[1], threads=2)
x = {name: np.ones(net.plan.slots[name].bounds, np.float32) for name in net.plan.inputs}
wanted = net(x)
assert net.plan.net and wanted
net.table.packed_weights.lock.lock.acquire()  # as another thread of the parent might have it
child = os.fork()
if child == 0:
    signal.alarm(60)
    with net.table.packed_weights.lock, net.table.lock:
        again = net(x)
    os._exit(0 if all(np.array_equal(again[k], wanted[k]) for k in wanted) else 1)
sys.exit(os.waitpid(child, 0)[1] != 0)
"""


def test_a_forked_child_gives_the_same_answer() -> None:
    """OpenMP's threads stay in the parent, and so do threads that hold a lock: a child must wait for neither."""
    path = FOLDER / "artifact" / "residual_block"
    words = [sys.executable, "-W", "ignore", "-c", FORK, str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".src"), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=ROOT / ".src")
    assert done.returncode == 0, done.stderr


def test_a_net_answers_alike_every_time() -> None:
    net = load(FOLDER / "artifact" / "residual_block")
    given = {name: np.ones(net.plan.slots[name].bounds, np.float32) for name in net.plan.inputs}
    answers = [net(given) for _ in range(20)]
    assert all(np.array_equal(one[name], answers[0][name]) for one in answers for name in one)
