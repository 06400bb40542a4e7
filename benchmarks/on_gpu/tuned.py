"""Stages that compile the nets anew with another setting, and time them beside the nets as they were."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cortado.compiler.targets import TARGETS
from cortado.compiler.targets.cuda import matmul_model, tiles
from cortado.compiler.targets.cuda import target as cuda_target

from .journal import read_rows
from .nets import BenchmarkCase
from .pairs import make_ours, report
from .prepare import compile_for_newest, prepare_case
from .session import CaseFiles, StageRun
from .sweep import tuning_rows, write_tuning

PROCESSES = 8
TUNED = "tuned"
SETTING_CASES = (
    *(BenchmarkCase(net, 1, "f16") for net in ("resnet50", "googlenet", "squeezenet_v1.1", "mobilenet_v1", "vgg16")),
    *(BenchmarkCase(net, 64, "f16") for net in ("resnet50", "googlenet")),
)


def time_tuned(run: StageRun) -> None:
    """Ours with the winners of the sweep, beside ours as it was."""
    about = [row for row in read_rows(run.session.out / "results.jsonl") if row["key"] == "machine"]
    gpu = str(about[-1]["device"]) if about else "unknown"
    rows = tuning_rows(read_rows(run.session.out / "sweep.jsonl"), gpu)
    run.journal.log(f"{len(rows)} tiles are faster than those that were chosen")
    if rows:
        write_tuning(rows, run.work / "tuning")
        cases = run.session.cases
        context = multiprocessing.get_context("fork")
        context.Process(target=compile_with, args=(run, [(TUNED, case) for case in cases])).start()
        for case in cases:
            time_with(run, case, TUNED)


def use_tuning(folder: Path) -> None:
    tiles.TUNING_FOLDER = folder
    tiles.read_tuning.cache_clear()
    tiles.tuned_tile.cache_clear()
    matmul_model.choose_tile.cache_clear()


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


def setting_cases(run: StageRun) -> Sequence[BenchmarkCase]:
    return run.session.cases if run.session.dry else SETTING_CASES


def compile_settings(run: StageRun) -> None:
    """Compile the cases of `time_settings` with each setting, beside the stages; those as they are come first."""
    cases = setting_cases(run)
    own = set(run.session.cases)  # those are compiled as they are anyway
    compile_with(run, [(s, case) for case in cases for s in ("", *SETTINGS) if s or case not in own])


def time_settings(run: StageRun) -> None:
    """Ours with each setting, beside ours as it is."""
    for case in setting_cases(run):
        for setting in SETTINGS:
            time_with(run, case, setting)


def compile_with(run: StageRun, tasks: Sequence[tuple[str, BenchmarkCase]]) -> None:
    """Compile cases with settings, each in a process of its own, since a setting changes the compiler."""
    context = multiprocessing.get_context("fork")
    with context.Pool(min(PROCESSES, os.cpu_count() or 1), maxtasksperchild=1) as pool:
        for _ in pool.imap_unordered(partial(compile_one, run), tasks, 1):
            pass


def compile_one(run: StageRun, task: tuple[str, BenchmarkCase]) -> None:
    setting, case = task
    files = files_with(run, case, setting)
    files.folder.mkdir(exist_ok=True)
    if files.artifact.exists():
        return
    try:
        compile_for_newest(run.machine)
        if setting == TUNED:
            use_tuning(run.work / "tuning")
        elif setting:
            SETTINGS[setting]()
        prepare_case(case, files.target, files.folder)
    except Exception as error:
        files.failed.write_text(str(error), "utf-8")


def files_with(run: StageRun, case: BenchmarkCase, setting: str) -> CaseFiles:
    """The files of a case with a setting; without one, of the case as it is."""
    return CaseFiles(run.work / setting.replace(" ", "-"), case, run.machine.target(case.dtype))


def time_with(run: StageRun, case: BenchmarkCase, setting: str) -> None:
    """Ours with a setting beside ours as it is, once both are compiled."""
    key, files = f"{case.name} {setting}", files_with(run, case, setting)
    if not run.journal.wants(key) or not run.wait_for(case) or not run.wait_for_files(files):
        return
    run.require_time(2)
    with run.journal.item(key, 8 * run.machine.seconds_of_kernel):
        plain, _ = run.graphs(case)
        now = make_ours(run, case, plain, run.artifact(case))
        changed = make_ours(run, case, plain, files.read_artifact(), f"cortado, {setting}")
        report(run, key, case, [now, changed])
