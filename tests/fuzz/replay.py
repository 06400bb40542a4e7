"""Mutated inputs through the commands that a person types, each in a folder whose other files must stay as they are."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .mutations import MUTATORS
from .start import READERS, seeds

ROOT = Path(__file__).resolve().parents[2]
MAX_SECONDS = 10  # of CPU time, for one input
NAMES = {
    "prototxt": "net.prototxt",
    "caffemodel": "net.caffemodel",
    "hdf5": "net.caffemodel.h5",
    "language": "net.net",
    "artifact": "net.cortado",
    "schema": "net.proto",
}
# By reader: what people do with such a file. IN is it, OUT a file that the command may write.
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "prototxt": (("show", "IN"), ("check", "IN"), ("compile", "IN", "-o", "OUT"), ("show", "IN", "--after", "fuse")),
    "caffemodel": (("show", "IN"), ("compile", "IN", "-o", "OUT"), ("compile", "KEEP", "IN", "-o", "OUT")),
    "hdf5": (("compile", "KEEP", "IN", "-o", "OUT"), ("show", "KEEP", "IN")),
    "language": (("show", "IN"), ("fmt", "IN"), ("compile", "IN", "-o", "OUT")),
    "schema": (("show", "KEEP", "--proto", "IN"), ("compile", "KEEP", "--proto", "IN", "-o", "OUT")),
    "artifact": (("show", "IN"), ("run", "IN", "--input", "X", "--output-file", "OUT.npz"), ("profile", "IN")),
}
KEPT = """input: "data" input_shape { dim: 1 dim: 3 dim: 5 dim: 5 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "y" convolution_param { num_output: 2 kernel_size: 2 } }
"""


@dataclass(frozen=True)
class Outcome:
    """What a command did with one input: its words, exit code, and what is wrong with that; "" if nothing is."""

    command: tuple[str, ...]
    exit_code: int
    fault: str


def mutated(reader: str, number: int) -> bytes:
    """Input `number` of a reader: a seed after some mutations. The same number is the same input."""
    rng = random.Random(f"{reader} {number}")
    start = seeds(reader)
    data = start[number % len(start)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = MUTATORS[reader](data, rng)
    return data


def run_command(reader: str, number: int, folder: Path) -> Outcome:
    """One input through one command, in a process of its own, in a folder that is made."""
    folder.mkdir()
    kept, given = folder / "kept.prototxt", folder / NAMES[reader]
    kept.write_text(KEPT)
    given.write_bytes(mutated(reader, number))
    choices = COMMANDS[reader]
    names = {"IN": given.name, "KEEP": kept.name, "OUT": "made.cortado", "OUT.npz": "made.npz", "X": "x.npy"}
    (folder / "x.npy").write_bytes(NUMBERS)
    words = tuple(names.get(word, word) for word in choices[number // len(READERS) % len(choices)])
    before = hash_files(folder)
    limited = [sys.executable, "-c", LIMITED, str(MAX_SECONDS * 2), *words]
    home = folder.with_name("home")  # where a command may keep compiled kernels
    home.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".src"), "OMP_NUM_THREADS": "1", "HOME": str(home)}
    done = subprocess.run(limited, cwd=folder, env=environment, capture_output=True)
    said = done.stderr.decode("utf-8", "replace")
    changed = [name for name, content in hash_files(folder).items() if before.get(name) != content]
    formatted = {given.name} if words[0] == "fmt" else set[str]()  # in place, as it is asked to
    wrong = [
        name for name in changed if name not in words or (name.startswith(("net.", "kept.")) and name not in formatted)
    ]
    fault = ""
    if done.returncode not in (0, 1, 2):
        fault = f"exit {done.returncode} ({signal.Signals(-done.returncode).name})" if done.returncode < 0 else "exit 3"
    elif "Traceback" in said:
        fault = "a traceback"
    elif wrong or before.keys() - hash_files(folder).keys():
        fault = f"changed {wrong}"
    elif done.returncode == 2 and changed:
        fault = f"refused, and left {changed}"
    return Outcome(words, done.returncode, f"{reader} {number}: {words}: {fault}: {said[-600:]}" if fault else "")


# A limit of CPU time, the start of Python and torch among it: a hang ends in a signal.
LIMITED = (
    "import resource, sys; n = int(sys.argv.pop(1)); resource.setrlimit(resource.RLIMIT_CPU, (n, n + 1)); "
    "from cortado.cli import main; main(prog_name='cortado')"
)


def numbers() -> bytes:
    """An .npy of a small image."""
    import io

    import numpy as np

    file = io.BytesIO()
    np.save(file, np.ones((1, 3, 5, 5), np.float32))
    return file.getvalue()


NUMBERS = numbers()


def hash_files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files(folder)}


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def replay(reader: str, inputs: Sequence[int], attempt: Callable[[str, bytes], BaseException | None]) -> list[str]:
    """Inputs by number through a reader in this process; a line for each that is wrong."""
    from .readers import category

    found = list[str]()
    for number in inputs:
        error = attempt(reader, mutated(reader, number))
        if error is not None:
            found.append(f"{reader} {number}: {category(error)}: {str(error)[:200]}")
    return found
