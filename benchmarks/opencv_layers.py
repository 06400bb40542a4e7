"""Runs the golden layer cases in cortado and in OpenCV's Caffe importer.

    python -m benchmarks.opencv_layers       writes docs/opencv_layers.md

The expected outputs are BVLC Caffe's (tests/goldens/layers). OpenCV gets a caffemodel in the current format, and its
own names of inputs and outputs. Each case runs in a separate process (`opencv_case`), since readNetFromCaffe may crash
it. "Right" is within 1e-5 of the largest output, "near" within 1e-3.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.frontends.caffe.upgrade import upgrade_net
from cortado.frontends.files import caffemodel
from cortado.frontends.files.prototxt import read
from cortado.tests.shared import ROOT

from .opencv_case import verdict

CASES = ROOT / "tests" / "goldens" / "layers"
TABLE = ROOT / "docs" / "opencv_layers.md"
TIMEOUT_SECONDS = 60


def run_cortado(path: Path) -> str:
    with np.load(path.with_suffix(".npz")) as stored:
        case = {key: stored[key] for key in stored.files}
    try:
        made = driver.compile_net(path, lambda layer, type, i, shape: case[f"param:{layer}:{i}"].reshape(shape))
    except CompileError as e:
        return f"refuses: {e.message}"
    got = made.load()({key[3:]: values for key, values in case.items() if key.startswith("in:")})
    return verdict(got, {key[4:]: values for key, values in case.items() if key.startswith("out:")})


def run_opencv(path: Path, folder: Path) -> str:
    """The output of the case's process, or how it ended."""
    layers = upgrade_net(read(path), [])["layer"]
    makers = {top: (layer["name"], i) for layer in layers for i, top in enumerate(layer["top"])}
    weights, numbers = folder / "case.caffemodel", path.with_suffix(".npz")
    with np.load(numbers) as params:
        named = [
            caffemodel.WrittenLayer(m["name"], m["type"], layer_blobs(m["name"], params), m["bottom"], m["top"])
            for m in layers
        ]
    caffemodel.write(weights, path.stem, named)
    script = Path(__file__).with_name("opencv_case.py")
    command = [sys.executable, str(script), str(path), str(weights), str(numbers), json.dumps(makers)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"hangs ({TIMEOUT_SECONDS} s)"
    if done.returncode < 0:
        return f"crashes (signal {-done.returncode})"
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "fails: it ended without output"


def layer_blobs(layer: str, params: np.lib.npyio.NpzFile) -> list[np.ndarray]:
    count = sum(key.startswith(f"param:{layer}:") for key in params.files)
    return [params[f"param:{layer}:{i}"] for i in range(count)]


def main() -> int:
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(CASES.glob("*.prototxt")):
            rows.append((path.stem, run_cortado(path), run_opencv(path, Path(folder))))
            if sys.stdout.isatty():
                print(f"\r\033[K{len(rows)} {path.stem}", end="", flush=True)
    counts = [Counter(row[i].split(" ")[0].rstrip(":") for row in rows) for i in (1, 2)]
    lines = [
        "# Caffe's layers in cortado and in OpenCV",
        "",
        "Written by `python -m benchmarks.opencv_layers`. The expected outputs are BVLC Caffe's.",
        "",
        f"cortado: {format_counts(counts[0])}. OpenCV {cv2.__version__}: {format_counts(counts[1])}.",
        "",
        "| case | cortado | OpenCV |",
        "|---|---|---|",
        *(f"| {name} | {ours} | {theirs.replace('|', ' ')} |" for name, ours, theirs in rows),
    ]
    TABLE.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"\r{lines[4]}")
    return int(any(ours != "right" for _, ours, _ in rows))


def format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
