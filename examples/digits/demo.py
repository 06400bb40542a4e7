"""Compiles and runs the net in this folder with the command line and from Python.

    python examples/digits/demo.py [--out build/digits]

Exit code 1 if the number of pictures that are read correctly is not that of expected.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

HERE = Path(__file__).resolve().parent
SHADES = " .:-=+*#%@"
NEXT_STEPS = """Where to look next (after: . {activate}):
    cortado show {net} --stats
                      the number of operators after each pass, and the time it took
    cortado show {net} --after fuse
                      the net in cortado's language; any stage of it compiles: --after-all DIR
    examples/digits/README.md
                      the net, and what makes it hard to compile
    README.md         your own net, and cortado in Python"""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=Path("build/digits"), help="the folder for compiled files")
    out: Path = arguments.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    net, weights, compiled = (
        short_path(HERE / "digits.prototxt"),
        short_path(HERE / "digits.caffemodel"),
        out / "digits.cortado",
    )

    print("1. Compile a Caffe net and its weights to one file:\n")
    cortado("compile", net, weights, "-o", compiled)

    print("\n2. See which pass did what, and why:\n")
    cortado("show", net, weights, "--why")

    pictures, labels = load_held_out()
    np.save(out / "one.npy", pictures[0])
    print("\n3. Run it. This is a picture that the net was not trained on:\n")
    print("\n".join(render_picture(pictures[0, 0])), end="\n\n")
    cortado("run", compiled, "--input", out / "one.npy", "--top", 3)

    print("\n4. From Python, on all held-out pictures:\n")
    if not check_accuracy(compiled, pictures, labels):
        return 1
    print(NEXT_STEPS.format(net=net, activate=short_path(Path(sys.prefix) / "bin" / "activate")))
    return 0


def short_path(path: Path) -> Path:
    """The path relative to the current folder, if it is inside."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def cortado(*words: object) -> None:
    """Run a command of cortado, and print it and its output. SystemExit if it fails."""
    typed = [str(word) for word in words]
    print(f"    $ cortado {shlex.join(typed)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "cortado", *typed], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    for line in done.stdout.splitlines():
        print(f"    {line}")


def load_held_out() -> tuple[np.ndarray, np.ndarray]:
    """The held-out pictures, f32[360,1,8,8] in 0..1, and their labels, i64[360]."""
    with np.load(HERE / "pictures.npz") as file:
        return file["pictures"], file["labels"]


def render_picture(picture: np.ndarray) -> list[str]:
    """An 8x8 picture as lines of text, two characters per pixel."""
    return ["    " + "".join(SHADES[round(float(v) * (len(SHADES) - 1))] * 2 for v in row) for row in picture]


def check_accuracy(compiled: Path, pictures: np.ndarray, labels: np.ndarray) -> bool:
    """Run all pictures, and print the accuracy and the time per picture. True if the accuracy is as expected."""
    import cortado

    print(f'    >>> net = cortado.load("{compiled}")')
    print('    >>> net(data=pictures)["prob"].argmax(1)')
    net = cortado.load(compiled)
    right = int((net(data=pictures)["prob"].argmax(1) == labels).sum())
    alone = best_time(lambda: [net(data=picture[None]) for picture in pictures]) / len(pictures)
    together = best_time(lambda: net(data=pictures)) / len(pictures)
    print(f"    {right} of {len(labels)} pictures are read correctly, {right / len(labels):.2%}.")
    print(f"    One takes {alone * 1e6:.0f} µs alone, and {together * 1e6:.1f} µs in a batch of {len(pictures)}.\n")
    expected: int = json.loads((HERE / "expected.json").read_text())["correct"]
    if right != expected:
        print(f"    Expected: {expected}.")
    return right == expected


def best_time(work: Callable[[], object]) -> float:
    """The best of five times, in seconds."""
    best = float("inf")
    for _ in range(5):
        start = perf_counter()
        work()
        best = min(best, perf_counter() - start)
    return best


if __name__ == "__main__":
    sys.exit(main())
