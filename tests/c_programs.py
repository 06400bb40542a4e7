"""Programs in C and C++ that embed a net, for the tests: compiled, run, and their outputs read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cortado.compiler.plan import PlannedGraph
from cortado.compiler.text import parse
from cortado.driver import Compilation, NetFile, Options, compile_file

from .proof.numbers import fill_weights

# Inputs that are read in place and returned; outputs in nhwc, within a halo and as weights; names that would end a
# comment, a literal or a line of C.
NASTY = r"""net "*/ n??/ \\ é"(x: f32[2,3,13,11], "y?": f32[2,4]) {
    weight w1: f32[37,3,3,3]
    weight w2: f32[37]
    weight w3: f32[37,1,3,3]
    weight w4: f32[24,37,1,1]
    weight w5: f32[3,2]
    c = relu(conv(x, w1, w2, stride=2, pad=1))
    d = conv(c, w3, pad=1, groups=37)
    s = relu(add(c, d))
    "*/ \"out??/" = tanh(conv(s, w4))
    z = softmax("y?")
    return "*/ \"out??/", z, c, "y?", w5
}
"""


def compile_text(text: str, target: str = "native") -> Compilation:
    graph = fill_weights(parse(text, "n.net"))
    return compile_file(NetFile(PlannedGraph(graph), len(graph.nodes)), Options(target=target))


def tool(name: str) -> str:
    """The path of a program; without it the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}")
    return found


def build(folder: Path, *words: str | Path) -> None:
    """Run a compiler in a folder; it may not warn."""
    done = subprocess.run([*map(str, words)], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def run(*words: str | Path, expected: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == expected, done.stdout + done.stderr
    return done


def run_example(folder: Path, inputs: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]], *runner: str | Path,
                program: str = "net_example") -> list[np.ndarray]:  # fmt: skip
    """What the example program writes for these inputs."""
    given = [folder / f"in{i}" for i in range(len(inputs))]
    made = [folder / f"out{i}" for i in range(len(shapes))]
    for path, array in zip(given, inputs, strict=True):
        array.astype(np.float32).tofile(path)
    run(*runner, folder / program, *given, *made)
    return [np.fromfile(path, np.float32).reshape(shape) for path, shape in zip(made, shapes, strict=True)]


def require_sanitizer(folder: Path, sanitizer: str) -> None:
    """Skip the test where gcc has no such sanitizer, or its programs do not run."""
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    built = subprocess.run([tool("gcc"), f"-fsanitize={sanitizer}", "empty.c", "-o", "empty"], cwd=folder)
    if built.returncode or subprocess.run([folder / "empty"]).returncode:
        pytest.skip(f"there is no sanitizer {sanitizer}")
