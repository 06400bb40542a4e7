"""The strongest peer: torch.compile with frozen weights, case by case in the order of what is wanted most."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import torch

from cortado.compiler.ir import Graph

from .nets import BenchmarkCase
from .pairs import PRECISIONS, Competitor, Precision, make_module, make_ours, report, set_tf32
from .session import Again, StageRun
from .steps import Work

REDUCE, AUTOTUNE = "reduce-overhead", "max-autotune"
ORDER = (
    ("resnet50", 1, "f16", REDUCE),
    ("mobilenet_v1", 1, "f16", REDUCE),
    ("resnet50", 64, "f16", REDUCE),
    ("mobilenet_v1", 64, "f16", REDUCE),
    ("resnet50", 1, "f32", REDUCE),
    ("resnet50", 1, "f16", AUTOTUNE),
    ("resnet50", 64, "f16", AUTOTUNE),
    ("googlenet", 1, "f16", REDUCE),
    ("squeezenet_v1.1", 1, "f16", REDUCE),
    ("vgg16", 1, "f16", REDUCE),
)
LIMITS = {REDUCE: 75.0, AUTOTUNE: 170.0}
"""The most seconds of one case, after which its process is ended."""
DRY_ORDER = (("tiny", 2, "f32", REDUCE),)


def time_compiled(run: StageRun) -> None:
    """Ours beside torch.compile, each case in a process of its own, which may hang or keep memory.

    The stage ends behind a case, and its supervisor begins it again for the next.
    """
    known = {case.name: case for case in run.session.cases}
    for net, batch, dtype, mode in DRY_ORDER if run.session.dry else ORDER:
        case = BenchmarkCase(net, batch, dtype)
        key = f"{case.name} {mode}"
        if case.name not in known or not run.journal.wants(key) or not run.wait_for(case):
            continue
        run.require_time(10)
        with run.journal.item(key, min(LIMITS[mode], run.time_left())):
            plain, _ = run.graphs(case)
            compare(run, key, case, plain, mode)
        raise Again


def compare(run: StageRun, key: str, case: BenchmarkCase, plain: Graph, mode: str) -> None:
    precision = PRECISIONS[case.dtype][0]
    with torch.no_grad(), set_tf32(precision.tf32):
        peer = make_compiled(run, case, plain, precision, mode)
        report(run, key, case, [make_ours(run, case, plain, run.artifact(case)), peer])


def make_compiled(run: StageRun, case: BenchmarkCase, plain: Graph, precision: Precision, mode: str) -> Competitor:
    """torch.compile with freezing, which makes constants of the weights and folds them.

    Its CUDA graph is captured here where torch allows that, so that no Python runs between replays.
    """
    module, given, stated = make_module(run, case, plain, precision)
    start = time.perf_counter()
    tuned, work = compile_module(run, module, mode), None
    tuned(*given)
    stated |= {"compile_seconds": round(time.perf_counter() - start, 1)}
    if run.machine.device == "cuda":
        work = capture(run, partial(tuned, *given))
    stated |= {"captured_here": work is not None}
    return Competitor(f"torch.compile, freezing, {mode}", precision.name, work or partial(tuned, *given), stated)


def compile_module(run: StageRun, module: Any, mode: str) -> Any:
    import torch._inductor.config as inductor

    if run.machine.device != "cuda":  # a dry run: Inductor would need a C++ compiler, and minutes
        return module
    inductor.freezing = True
    torch._dynamo.reset()
    # the modes' own CUDA graphs are left out: what is captured by hand has no overhead of theirs
    options = {**torch._inductor.list_mode_options()[mode], "triton.cudagraphs": False}
    return torch.compile(module, options=options)


def capture(run: StageRun, work: Work) -> Work | None:
    try:
        return run.machine.capture(work)
    except Exception as error:
        run.journal.log(f"the compiled net cannot be captured: {error}")
        return None
