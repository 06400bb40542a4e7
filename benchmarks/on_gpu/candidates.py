"""The tiles to try for each matrix product of the nets, and their kernels, compiled beside the stages of a call."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortado.compiler.ir import Node
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.slots import SlotsAndWeights, slots_and_weights
from cortado.compiler.targets.cuda import aot, convolution, product
from cortado.compiler.targets.cuda.generate import GeneratedKernel
from cortado.compiler.targets.cuda.hardware import NEWEST_ARCHITECTURE
from cortado.compiler.targets.cuda.kernel_spec import KernelSettings
from cortado.compiler.targets.cuda.lowering import LoweredNode, lower_node
from cortado.compiler.targets.cuda.matmul_model import choose_tile, predict
from cortado.compiler.targets.cuda.tiles import MatmulProblem, TileShape, candidate_tiles

from .journal import append
from .session import StageRun

COMPILERS = 12
UNCOMPILED, END = "uncompiled", "."


@dataclass(frozen=True)
class TileProblem:
    """A node whose kernel multiplies matrices with a tile that is chosen, and that problem."""

    number: int
    node: Node
    problem: MatmulProblem

    @property
    def name(self) -> str:
        p = self.problem
        image = "x".join(map(str, p.image or ()))
        return (
            f"{p.template} {p.dtype} {p.rows}x{p.columns}x{p.depth} taps {p.taps} stride {p.stride[0]} {image}".strip()
        )


@dataclass(frozen=True)
class Candidate:
    """A tile for a problem, and the node lowered with it. `is_chosen`: it is the one that the compiler chooses."""

    problem: TileProblem
    tile: TileShape
    lowered: LoweredNode
    is_chosen: bool

    @property
    def kernel(self) -> GeneratedKernel:
        return self.lowered.kernels[0]

    @property
    def name(self) -> str:
        t = self.tile
        return f"{self.problem.name}: {t.rows}x{t.columns}x{t.depth} warps {t.warps} stages {t.stages} split {t.split}"

    def code(self) -> aot.MachineCode | None:
        """Its machine code; None if it is not compiled, or cannot be."""
        return aot.read_cache(aot.cache_key(self.kernel.text, (self.kernel.name, NEWEST_ARCHITECTURE)))


def find_problems(final: PlannedGraph) -> tuple[list[TileProblem], SlotsAndWeights]:
    """The nodes of a net whose tiles are chosen, and the places of all values."""
    slots, weights = slots_and_weights(final)
    places: SlotsAndWeights = {**slots, **weights}
    problems = []
    for number, node in enumerate(final.graph.nodes):
        asked: list[MatmulProblem] = []
        with record_problems(asked):
            lowered = lower_node(node, places)
        if isinstance(lowered, LoweredNode) and lowered.kernels:
            template = lowered.kernels[0].spec.template
            problems += [TileProblem(number, node, p) for p in asked if p.template == template][:1]
    return problems, places


@contextmanager
def record_problems(asked: list[MatmulProblem]) -> Iterator[None]:
    """Inside the `with` block, add the problems for which the lowering chooses a tile."""

    def record(problem: MatmulProblem) -> TileShape | None:
        asked.append(problem)
        return choose_tile(problem)

    modules: tuple[Any, ...] = (convolution, product)
    try:
        for module in modules:
            module.choose_tile = record
        yield
    finally:
        for module in modules:
            module.choose_tile = choose_tile


def candidates_for(problem: TileProblem, places: SlotsAndWeights, most: int) -> list[Candidate]:
    """The kernel with the tile that the compiler chooses, and up to `most` others, the fastest by the model first."""
    chosen = choose_tile(problem.problem)
    made = []
    for tile in dict.fromkeys([*([chosen] if chosen else []), *promising_tiles(problem.problem, most)]):
        lowered = lower_node(problem.node, places, KernelSettings(tile=tile))
        if isinstance(lowered, LoweredNode) and lowered.kernels[0].spec.template == problem.problem.template:
            made.append(Candidate(problem, tile, lowered, tile == chosen))
    return made


def promising_tiles(problem: MatmulProblem, most: int) -> list[TileShape]:
    """Candidates by the model's time: first the best of each shape, for the model may be wrong about shapes."""
    ranked = sorted(candidate_tiles(problem), key=lambda tile: predict(problem, tile))
    best = {(tile.rows, tile.columns): tile for tile in reversed(ranked)}
    shapes = [tile for tile in ranked if best[tile.rows, tile.columns] == tile]
    half = shapes[: max(1, most * 2 // 3)]
    return [*half, *(tile for tile in ranked if tile not in half)][:most]


def compile_candidates(run: StageRun) -> None:
    """Compile all candidates of all cases into the cache, in worker processes, until the call ends.

    The file UNCOMPILED gets the names of kernels that cannot be compiled, and a line END when there is nothing left.
    """
    (run.work / UNCOMPILED).write_text("", "utf-8")
    jobs: queue.Queue[tuple[str, str] | None] = queue.Queue(4 * COMPILERS)
    with tempfile.TemporaryDirectory(prefix="cortado-sweep-") as folder:
        count = min(COMPILERS, max(1, (os.cpu_count() or 1) - 2))
        threads = [
            threading.Thread(target=compile_jobs, args=(run, jobs, Path(folder), n), daemon=True) for n in range(count)
        ]
        for thread in threads:
            thread.start()
        for job in new_jobs(run):
            jobs.put(job)
        for _ in threads:
            jobs.put(None)
        for thread in threads:
            thread.join()
    run.journal.log("all candidates are compiled")
    append(run.work / UNCOMPILED, END)


def new_jobs(run: StageRun) -> Iterator[tuple[str, str]]:
    """The name and text of each kernel that no cache holds, each once."""
    seen = set[str]()
    for case in run.cases():
        _, final = run.graphs(case)
        problems, places = find_problems(final)
        for problem in problems:
            for candidate in candidates_for(problem, places, run.session.candidates):
                if candidate.kernel.name not in seen and candidate.code() is None:
                    yield candidate.kernel.name, candidate.kernel.text
                seen.add(candidate.kernel.name)


def compile_jobs(run: StageRun, jobs: queue.Queue[tuple[str, str] | None], folder: Path, number: int) -> None:
    """One worker process, which is begun again if a compilation brings it down. A kernel that fails is left out."""
    command = [sys.executable, str(aot.WORKER_SCRIPT)]
    settings = aot.worker_settings(folder / f"triton-{number}")
    pipe, worker = subprocess.PIPE, None
    while (job := jobs.get()) is not None:
        name, text = job
        if worker is None or worker.poll() is not None:
            worker = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=settings
            )
        assert worker.stdin is not None and worker.stdout is not None
        file = folder / f"{name}.py"
        file.write_text(text, "utf-8")
        try:
            worker.stdin.write(
                json.dumps({"file": str(file), "name": name, "architecture": NEWEST_ARCHITECTURE}) + "\n"
            )
            worker.stdin.flush()
            answer = json.loads(worker.stdout.readline())
        except (OSError, ValueError):
            answer = {"error": "the compiler ended"}
            worker.kill()
        if "error" in answer:
            append(run.work / UNCOMPILED, name)
            run.journal.log(f"{name} is left out: {answer['error'].splitlines()[0][:200]}")
        else:
            aot.write_cache(aot.cache_key(text, (name, NEWEST_ARCHITECTURE)), aot.decode_answer(answer))
    if worker is not None:
        worker.kill()
