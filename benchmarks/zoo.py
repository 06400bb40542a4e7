"""Compiles every published prototxt of the zoo for the CPU, and compares it with real Caffe, or records the refusal.

    python -m benchmarks.zoo [PART OF A NAME ...]       writes docs/zoo.md, if all files are selected

The files are beside the checkout (see tests/shared.py). tests/goldens/fill.py makes the same weights and inputs as for
Caffe; each net runs twice with all passes, with its own outputs and with every blob as an output. A difference is
relative to the blob's root mean square; for ResNet-50, the error of Caffe's own float32 is up to 7e-4.
"""

from __future__ import annotations

import functools
import json
import sys
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cortado import driver
from cortado.compiler.errors import CompileError, CompileErrors
from cortado.frontends.caffe import data_layers
from cortado.frontends.caffe.layer import LAYERS
from cortado.frontends.caffe.rules import State, select_layers
from cortado.frontends.caffe.upgrade import upgrade_net
from cortado.frontends.caffe.weights import WeightsGiven
from cortado.frontends.files.prototxt import read
from cortado.runtime import Net
from cortado.tests.goldens.fill import fill_input, fill_param
from cortado.tests.shared import ROOT

from .zoo_table import BROKEN, COMPILED, DIFFERS, MATCHED, REFUSED, ZOO, ZooEntry, ZooRow, table

TABLE = ROOT / "docs" / "zoo.md"
TOLERANCE = 2e-3  # of a blob's root mean square


def entries() -> list[ZooEntry]:
    """All files but the templates, sorted by name."""
    index = json.loads((ZOO / "index.json").read_text("utf-8"))
    golden = {True: "its fork", False: "Caffe"}
    found = [
        ZooEntry(e["name"], e["kind"], golden["by" in e] if e["golden"] else "") for e in index if not e["template"]
    ]
    return sorted(found, key=lambda e: e.name)


def examine(entry: ZooEntry) -> ZooRow:
    try:
        if not entry.golden_source:
            return try_compile(entry)
        stored = np.load(ZOO / "goldens" / f"{entry.name}.npz")
        return compare(entry, {key: stored[key] for key in stored.files})
    except CompileError as e:
        return ZooRow(entry, REFUSED, summarize_errors(e), has_known_types=has_only_known_types(entry.path))
    except Exception as e:  # a fault of cortado: go on with the other files
        return ZooRow(entry, BROKEN, f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")


def has_only_known_types(path: Path) -> bool:
    try:
        layers = select_layers(upgrade_net(read(path), [])["layer"], State(), [])
    except CompileError:
        return True
    return all(
        layer["type"] in LAYERS or layer["type"] in data_layers.DATA_LAYERS or layer["type"] == "Input"
        for layer in layers
    )


def try_compile(entry: ZooEntry) -> ZooRow:
    """Compile a file without recorded numbers; with a likely shape if that of a data layer is unknown."""
    try:
        compile_quietly(entry.path, random_weight)
        return ZooRow(entry, COMPILED, "")
    except CompileError as e:
        if "has no shape" not in str(e):
            raise
        refusal = e
    for channels, size in ((3, 224), (1, 28)):
        shapes = likely_shapes(entry.path, channels, size)
        try:
            compile_quietly(entry.path, random_weight, shapes=shapes)
        except CompileError as e:
            refusal = e
            continue
        options = " ".join(f"--shape {name}={','.join(map(str, shape))}" for name, shape in shapes.items())
        return ZooRow(entry, COMPILED, f"with `{options}`")
    raise refusal


def compile_quietly(path: Path, weights: WeightsGiven, **options: Any) -> Net:
    """The net, without its warnings."""
    return driver.compile_net(path, weights, driver.Options(**options)).load()


def random_weight(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """Weights for a net whose outputs are not compared, different for each blob."""
    seed = zlib.crc32(f"{layer}/{index}".encode())
    return np.random.Generator(np.random.SFC64(seed)).random(shape, np.float32)


def likely_shapes(path: Path, channels: int, size: int) -> dict[str, tuple[int, ...]]:
    """Likely shapes for data layers: of pictures for the first top, of labels for others."""
    layers = select_layers(upgrade_net(read(path), [])["layer"], State(), [])
    shapes: dict[str, tuple[int, ...]] = {}
    read_by_some = {name for layer in layers for name in layer["bottom"]}
    for layer in layers:
        if layer["bottom"] or layer["type"] in ("Input", "DummyData"):
            continue
        transform = layer["transform_param"]
        side = transform["crop_size"] or next((r["height"] for r in transform["resize_param"]), 0) or size
        for i, top in enumerate(layer["top"]):
            if top in read_by_some:
                shapes[top] = (1,) if i else (1, channels, side, side)
    return shapes


def compare(entry: ZooEntry, golden: Mapping[str, np.ndarray]) -> ZooRow:
    """Compare the net's outputs, and each of its blobs by name, with Caffe's."""
    shapes = {key[6:]: tuple(int(d) for d in value) for key, value in golden.items() if key.startswith("shape:")}
    given = {key[3:]: value for key, value in golden.items() if key.startswith("in:")}
    inputs = {name: given[name] if name in given else fill_input(name, shape) for name, shape in shapes.items()}
    fill = functools.cache(fill_param)
    net = compile_quietly(entry.path, fill, shapes=shapes)
    differences = {key[4:]: 0.0 for key in golden if key.startswith("out:")}
    answer = run(net, inputs)
    for name in differences:
        differences[name] = difference(name, answer.get(name), golden[f"out:{name}"], golden[f"outshape:{name}"])
    blobs = [key[5:] for key in golden if key.startswith("blob:")]
    everything = run(compile_quietly(entry.path, fill, shapes=shapes, outputs=blobs), inputs)
    for name in blobs:
        off = sampled_difference(name, everything[name], golden[f"blob:{name}"])
        differences[name] = max(off, differences.get(name, 0.0))
    wrong = [name for name, off in differences.items() if not off <= TOLERANCE]
    worst = max(differences.values(), default=0.0)
    if wrong:
        said = f"{len(wrong)} of {len(differences)} blobs, first {wrong[0]}"
        for name in wrong:
            whole = golden.get(f"out:{name}", np.empty(0))
            if name in answer and (moved := moved_rows(answer[name], whole)):
                said += f"; {name} has the same rows, {moved} of them in another place"
        return ZooRow(entry, DIFFERS, said, worst)
    return ZooRow(entry, MATCHED, f"{len(differences)} blobs", worst)


def run(net: Net, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return net({name: inputs[name] for name in net.inputs})


def difference(name: str, got: np.ndarray | None, expected: np.ndarray, shape: np.ndarray) -> float:
    """The largest difference of an output, relative to its root mean square; infinite if the shape differs."""
    if got is None or got.shape != tuple(shape):
        return float("inf")
    if expected.size != got.size:
        got = sample(name, got)
    scale = float(np.sqrt(np.mean(np.square(expected.astype(np.float64))))) or 1.0
    return max_magnitude(got.reshape(-1) - expected.reshape(-1)) / scale


def moved_rows(got: np.ndarray, expected: np.ndarray) -> int:
    """How many rows of detections are in another place than expected; 0 if one is not there at all."""
    if got.size != expected.size or got.ndim < 2:
        return 0
    rows, wanted = (a.reshape(-1, got.shape[-1]).astype(np.float64) for a in (got, expected))
    size = float(np.sqrt(np.mean(np.square(wanted)))) or 1.0
    moved = np.flatnonzero(np.abs(rows - wanted).max(1) > TOLERANCE * size)
    left = list(moved)
    for i in moved:
        found = next((j for j in left if np.abs(rows[i] - wanted[j]).max() <= TOLERANCE * size), None)
        if found is None:
            return 0
        left.remove(found)
    return len(moved)


def sampled_difference(name: str, got: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of a blob, of which Caffe's root mean square and 64 elements are recorded."""
    scale, numbers = float(expected[0]) or 1.0, expected[1:]
    ours = float(np.sqrt(np.mean(np.square(got.astype(np.float64))))) if got.size else 0.0
    return max(max_magnitude(sample(name, got) - numbers), abs(ours - float(expected[0]))) / scale


def sample(name: str, values: np.ndarray) -> np.ndarray:
    chosen = np.random.RandomState(zlib.crc32(f"sample/{name}".encode())).randint(0, values.size, 64)
    return values.reshape(-1)[chosen]


def max_magnitude(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0)) if np.isfinite(values).all() else float("inf")


def summarize_errors(error: CompileError) -> str:
    """The messages of all errors, each once, without layer names; at most two in full."""
    found = error.errors if isinstance(error, CompileErrors) else (error,)
    said = Counter(e.message.split("): ", 1)[-1].split('": ', 1)[-1] for e in found)
    listed = [f"{reason}{f' ({count} times)' if count > 1 else ''}" for reason, count in list(said.items())[:2]]
    more = f"; and {len(said) - 2} more" if len(said) > 2 else ""
    return "; ".join(listed) + more


def use_one_thread() -> None:
    torch.set_num_threads(1)


def main(wanted: list[str]) -> int:
    chosen = [e for e in entries() if not wanted or any(part in e.name for part in wanted)]
    rows: list[ZooRow] = []
    start = time.perf_counter()
    with ProcessPoolExecutor(2, get_context("spawn"), use_one_thread) as pool:
        for row in pool.map(examine, chosen):
            rows.append(row)
            print_progress(row, len(rows), len(chosen), bool(wanted))
    if not wanted:
        TABLE.write_text(table(rows), "utf-8")
    print(dict(Counter(row.verdict for row in rows)), f"in {time.perf_counter() - start:.0f} s")
    return int(any(row.verdict in (DIFFERS, BROKEN) and row.entry.golden_source != "its fork" for row in rows))


def print_progress(row: ZooRow, done: int, of: int, all_rows: bool) -> None:
    line: Any = f"{done}/{of} {row.entry.name}: {row.verdict} {row.detail} {row.worst:.1e}"
    if all_rows or not sys.stdout.isatty() or row.verdict in (DIFFERS, BROKEN):
        print(f"\r\033[K{line}" if sys.stdout.isatty() else line, flush=True)
    elif sys.stdout.isatty():
        print(f"\r\033[K{line[:100]}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
