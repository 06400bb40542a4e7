"""Stages that time whole nets: ours and the peers of equal precision, in turn in one process, as graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from cortado.compiler.ir import Graph
from cortado.compiler.types import DTYPES
from cortado.runtime.artifact import Artifact
from cortado.runtime.net import Net

from .journal import Row
from .kernels import judge_error, reference
from .machine import summarize_times
from .nets import BenchmarkCase, random_inputs, relative_error
from .session import StageRun
from .steps import Work
from .torch_net import make_torch_net

ROUNDS = 25
SEED = 1
CASE_SECONDS = 60.0  # cuDNN times its algorithms for each convolution of a peer


@dataclass(frozen=True)
class Precision:
    """A precision of torch: what its numbers are stored as, and whether f32 products may be rounded to tf32."""

    name: str
    dtype: str
    tf32: bool = False


PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "f16": (Precision("f16", "f16"),),
    "f32": (Precision("f32", "f32"), Precision("tf32", "f32", True)),
}
"""Those of the peers, by ours. tf32 is torch's default for convolutions, rounds each factor to 10 bits, and is no equal
of our f32: it is measured beside it."""


@contextmanager
def set_tf32(allowed: bool) -> Iterator[None]:
    """Allow tf32 in torch's products: `cudnn.allow_tf32` is True by default, `matmul.allow_tf32` is False."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@dataclass
class Competitor:
    """Someone who computes a net: name, precision, the work, and what is stated of it."""

    who: str
    precision: str
    work: Work
    stated: Row


def time_pairs(run: StageRun) -> None:
    """Ours beside torch's eager net as a CUDA graph, case by case."""
    torch.backends.cudnn.benchmark = True
    for case in run.cases():
        run.require_time(2)
        key = f"{case.name} pairs"
        if run.journal.wants(key):
            with run.journal.item(key, CASE_SECONDS):
                plain, _ = run.graphs(case)
                ours = make_ours(run, case, plain, run.artifact(case))
                report(run, key, case, [ours, *make_peers(run, case, plain)])


def make_peers(run: StageRun, case: BenchmarkCase, plain: Graph) -> list[Competitor]:
    """torch's eager net in each precision; none if torch cannot trace the net, as for the rows of a detector."""
    try:
        return [make_eager(run, case, plain, precision) for precision in PRECISIONS[case.dtype]]
    except Exception as error:
        run.machine.synchronize()  # it fails, too, if the reason is a lost context
        run.journal.log(f"{case.name} has no peer: {error}")
        return []


def make_ours(run: StageRun, case: BenchmarkCase, plain: Graph, artifact: Artifact, who: str = "cortado") -> Competitor:
    """Our net, bound to inputs on the machine; its error is against float64."""
    net, given = Net.from_artifact(artifact), there(run, random_inputs(plain, SEED))
    work = run.machine.bind(net, given)
    found = net(given)
    expected = reference(run, case, plain, given, SEED)
    worst = max(relative_error(found[name], expected[name]) for name, _ in plain.returns)
    return Competitor(who, case.dtype, work, judge_error(worst, case.dtype, "net"))


def make_eager(run: StageRun, case: BenchmarkCase, plain: Graph, precision: Precision) -> Competitor:
    """torch's functions with cuDNN's autotuner, channels last, replayed as a CUDA graph."""
    with torch.inference_mode(), set_tf32(precision.tf32):
        module, given, stated = make_module(run, case, plain, precision)
        work = run.machine.capture(partial(module, *given))
    return Competitor("torch eager, channels last, CUDA graph", precision.name, work, stated)


def make_module(
    run: StageRun, case: BenchmarkCase, plain: Graph, precision: Precision
) -> tuple[Any, list[Tensor], Row]:
    """The net in torch, its inputs, and its error against float64, which shows that it is the same net."""
    module, others = make_torch_net(plain, run.machine.device)
    module, given = module.to(DTYPES[precision.dtype]), there(run, random_inputs(plain, SEED))
    typed = [x.to(DTYPES[precision.dtype], memory_format=memory_format(x)) for x in given.values()]
    found = module(*typed)
    expected = reference(run, case, plain, given, SEED)
    worst = max(relative_error(f, expected[name]) for f, (name, _) in zip(found, plain.returns, strict=True))
    return module, typed, {**judge_error(worst, precision.name, "net"), "not_torch": others}


def there(run: StageRun, given: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.to(run.machine.device) for name, x in given.items()}


def memory_format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.ndim == 4 else torch.contiguous_format


def report(
    run: StageRun, key: str, case: BenchmarkCase, competitors: Sequence[Competitor], file: str = "peers"
) -> None:
    """Time the competitors in turn, ours first, and add a row for each; `ratio` is its time by ours, round by round."""
    samples = run.machine.alternate([c.work for c in competitors], ROUNDS)
    ours = samples[0]
    for competitor, times in zip(competitors, samples, strict=True):
        ratio = round(median(t / o for t, o in zip(times, ours, strict=True)), 3)
        row = {"ratio": ratio, "case": case.name, "who": competitor.who, "precision": competitor.precision}
        run.journal.row(file, key, **row, **summarize_times(times), **competitor.stated)
        run.journal.log(
            f"{case.name}: {competitor.who} {competitor.precision} {median(times) * 1e3:.1f} us, ratio {ratio}"
        )
