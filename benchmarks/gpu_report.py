"""Makes tables and a plot of what benchmarks/gpu.py left: `python benchmarks/gpu_report.py FOLDER [FOLDER ...]`.

It writes benchmarks/results/gpu.json (all rows), benchmarks/GPU_RESULTS.md (tables) and benchmarks/results/gpu.svg
(ratios), or with --to another folder. --tuning writes the tiles that won the sweep into the compiler's table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

from cortado.benchmarks.on_gpu.journal import FILES, Row, read_rows  # noqa: E402
from cortado.benchmarks.on_gpu.plot import draw_ratios  # noqa: E402
from cortado.benchmarks.on_gpu.sweep import tuning_rows, write_tuning  # noqa: E402
from cortado.benchmarks.on_gpu.tables import report  # noqa: E402
from cortado.compiler.targets.cuda.tiles import TUNING_FOLDER  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="what --out named, of one call or more")
    parser.add_argument("--to", type=Path, help="the folder to write to, in place of benchmarks")
    parser.add_argument("--tuning", action="store_true", help="write the winners into the compiler's table of tiles")
    options = parser.parse_args()
    rows = {name: gather(options.folders, name) for name in FILES}
    if not rows["results"]:
        print(f"there are no results in {', '.join(map(str, options.folders))}", file=sys.stderr)
        return 2
    if is_dry(rows["results"]) and options.to is None:
        print("these are of a dry run, whose numbers mean nothing: write them elsewhere, with --to", file=sys.stderr)
        return 2
    write_all(rows, options.to or ROOT / "benchmarks", "" if options.to else "results")
    if options.tuning:
        machine = next((row for row in rows["results"] if row.get("key") == "machine"), {})
        write_tuning(tuning_rows(rows["sweep"], str(machine.get("device"))), TUNING_FOLDER)
    return 0


def gather(folders: Iterable[Path], name: str) -> list[Row]:
    """The rows of a file in all folders; of the calls' equal rows the last one counts."""
    found: dict[tuple[str, ...], Row] = {}
    for folder in folders:
        for row in read_rows(folder / f"{name}.jsonl"):
            parts = ("stage", "key", "who", "precision")
            found[tuple(str(row.get(part, "")) for part in parts)] = row
    return list(found.values())


def is_dry(results: Sequence[Row]) -> bool:
    return any(row.get("dry") for row in results)


def write_all(rows: dict[str, list[Row]], folder: Path, below: str) -> None:
    """Write the table, the plot and the rows; `below` is the folder of the last two within the first's."""
    data = folder / below
    data.mkdir(parents=True, exist_ok=True)
    (data / "gpu.svg").write_text(draw_ratios(rows["peers"]), "utf-8")
    (data / "gpu.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    picture = f"{below}/gpu.svg".lstrip("/")
    (folder / "GPU_RESULTS.md").write_text(report(rows, picture), "utf-8")
    print(f"wrote {folder / 'GPU_RESULTS.md'}, {data / 'gpu.svg'} and {data / 'gpu.json'}")


if __name__ == "__main__":
    sys.exit(main())
