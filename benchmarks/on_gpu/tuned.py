"""Stages that compile the nets anew with another setting, and time them beside the nets as they were."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from cortado.compiler.targets import TARGETS
from cortado.compiler.targets.cuda import matmul_model, tiles
from cortado.compiler.targets.cuda import target as cuda_target

from .journal import read_rows
from .nets import BenchmarkCase
from .pairs import make_ours, report
from .prepare import prepare_case
from .session import CaseFiles, StageRun
from .sweep import tuning_rows, write_tuning

PROCESSES = 8


def time_tuned(run: StageRun) -> None:
    """Ours with the winners of the sweep, beside ours as it was."""
    about = [row for row in read_rows(run.session.out / "results.jsonl") if row["key"] == "machine"]
    gpu = str(about[-1]["device"]) if about else "unknown"
    rows = tuning_rows(read_rows(run.session.out / "sweep.jsonl"), gpu)
    run.journal.log(f"{len(rows)} tiles are faster than those that were chosen")
    if rows:
        write_tuning(rows, run.work / "tuning")
        time_with(run, "tuned", use_tuning(run.work / "tuning"))


def use_tuning(folder: Path) -> Callable[[], None]:
    def apply() -> None:
        tiles.TUNING_FOLDER = folder
        tiles.read_tuning.cache_clear()
        tiles.tuned_tile.cache_clear()
        matmul_model.choose_tile.cache_clear()

    return apply


def without_merging() -> None:
    cuda_target.Cuda.merges = lambda self, a, b: False  # type: ignore[method-assign]


def with_overlap() -> None:
    """Programmatic dependent launch."""
    for target in TARGETS.values():
        if isinstance(target, cuda_target.Cuda):
            target.settings = replace(target.settings, overlaps=True)


def without_split() -> None:
    tiles.SPLITS = (1,)
    matmul_model.choose_tile.cache_clear()


def without_unfolding() -> None:
    cuda_target.Cuda.unfolded_channels = lambda self, node: 0  # type: ignore[method-assign]


SETTINGS: Mapping[str, Callable[[], None]] = {
    "overlapping launches": with_overlap,
    "without divided sums": without_split,
    "without unfolding": without_unfolding,
    "without merging": without_merging,
}
"""What a process does before it compiles, by the name of the setting."""


def time_settings(run: StageRun) -> None:
    """Ours with each setting, beside ours as it is."""
    for name, apply in SETTINGS.items():
        time_with(run, name, apply)


def time_with(run: StageRun, setting: str, apply: Callable[[], None]) -> None:
    """Compile the cases with a setting, in processes of their own, and time them as soon as they are there."""
    folder = run.work / setting.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    cases = [case for case in run.session.cases if case.net != "tiny" or run.session.dry]
    count = min(PROCESSES, os.cpu_count() or 1)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=prepare_with, args=(run, cases[n::count], folder, apply)) for n in range(count)]
    for process in processes:
        process.start()
    for case in cases:
        key, files = f"{case.name} {setting}", CaseFiles(folder, case, run.machine.target(case.dtype))
        if not run.wait_for(case) or not run.wait_for_files(files) or not run.journal.wants(key):
            continue
        run.require_time(2)
        with run.journal.item(key, 8 * run.machine.seconds_of_kernel):
            plain, _ = run.graphs(case)
            now = make_ours(run, case, plain, run.artifact(case))
            changed = make_ours(run, case, plain, files.read_artifact(), f"cortado, {setting}")
            report(run, key, case, [now, changed])
    for process in processes:
        process.join()


def prepare_with(run: StageRun, cases: list[BenchmarkCase], folder: Path, apply: Callable[[], None]) -> None:
    apply()
    for case in cases:
        files = CaseFiles(folder, case, run.machine.target(case.dtype))
        if files.artifact.exists():
            continue
        try:
            prepare_case(case, files.target, folder)
        except Exception as error:
            files.failed.write_text(str(error), "utf-8")
