"""Every GPU kernel computes what it should: Triton's interpreter, in its own process, against the net in float64."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from .edges.cases import CASES as EDGE_CASES
from .edges.nets import nets_of
from .kernels.cases import CASES
from .kernels.functions import SWEEPS
from .kernels.goldens import ON_HOST, PATHS
from .kernels.nets import NETS
from .shared import ROOT
from .test_scalar import EDGES

PRECISIONS = ("cuda", "cuda-f32-strict", "cuda-f16")
NAMES = [
    *(f"edge/{function}/{i}" for function, cases in EDGES.items() for i in range(len(cases))),
    *(f"sweep/{function}" for function in SWEEPS),
    *CASES,
    *(f"net/{net}/{target}" for net in ("digits", *NETS) for target in PRECISIONS),
]


class Interpreter:
    """A worker process, started when it is needed and again if a kernel ends it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        paths = [str(ROOT / ".src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TRITON_INTERPRET": "1"}
        command = [sys.executable, "-m", "tests.kernels.worker"]
        return subprocess.Popen(
            command, cwd=ROOT, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def prove(self, name: str) -> str:
        """What the case tells; fail as it does. A process that ended was ended by this case."""
        if self.process is None:
            self.process = self.start()
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(name + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self.close()
            pytest.fail(f"{name} ended its process ({process.returncode}): a kernel reads or writes out of bounds")
        answer = json.loads(line)
        assert answer["name"] == name
        if answer["error"]:
            pytest.fail(answer["error"])
        result: str = answer["result"]
        return result

    def close(self) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            with process:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(60)


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    pytest.importorskip("triton")
    interpreter = Interpreter()
    yield interpreter
    interpreter.close()


@pytest.mark.parametrize("name", NAMES)
def test_kernel(name: str, interpreter: Interpreter) -> None:
    interpreter.prove(name)


@pytest.mark.parametrize(("name", "where"), [(n, where) for n, case in EDGE_CASES.items() for where in nets_of(case)])
def test_edge_values_as_caffe(name: str, where: str, interpreter: Interpreter) -> None:
    result = interpreter.prove(f"edges/{name}/{where}")
    if result.startswith(ON_HOST):
        pytest.skip(result)


@pytest.mark.parametrize("name", [n for n in PATHS if n.startswith("layers/")])
def test_layer_as_caffe(name: str, interpreter: Interpreter) -> None:
    compare_with_caffe(name, interpreter)


@pytest.mark.long
@pytest.mark.parametrize("name", [n for n in PATHS if not n.startswith("layers/")])
def test_net_as_caffe(name: str, interpreter: Interpreter) -> None:
    compare_with_caffe(name, interpreter)


def compare_with_caffe(name: str, interpreter: Interpreter) -> None:
    result = interpreter.prove(f"golden/{name}")
    if result.startswith(ON_HOST):
        pytest.skip(result)


def test_a_kernel_that_ends_its_process_is_named(interpreter: Interpreter) -> None:
    with pytest.raises(pytest.fail.Exception, match="nonsense"):
        interpreter.prove("no such case/nonsense")
