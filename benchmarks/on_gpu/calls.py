"""The two calls: their cases, and their stages with budgets in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .candidates import compile_candidates
from .compiled import time_compiled
from .contact import meet
from .followup import profile, trace
from .journal import read_rows
from .kernels import check_kernels, check_nets
from .memory_check import check_wrong
from .nets import BenchmarkCase, case_of
from .pairs import time_pairs
from .prepare import prepare
from .session import StageRun
from .step_times import time_steps
from .supervisor import Stage
from .sweep import sweep
from .tuned import compile_settings, time_settings, time_tuned

NETS = ("squeezenet_v1.1", "googlenet", "resnet50", "vgg16", "mobilenet_v1")
MORE_NETS = ("open_nsfw", "mobilenet_ssd")
BATCHES, DTYPES = (1, 64), ("f16", "f32")
TINY = ("tiny", 2)

STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("contact", meet, 30, launches=True),
        Stage("kernels", check_kernels, 75, on_fault=True),
        Stage("nets", check_nets, 35, on_fault=True),
        Stage("pairs", time_pairs, 95),
        Stage("steps", time_steps, 60, launches=True),
        Stage("sweep", sweep, 90, launches=True),
        Stage("tuned", time_tuned, 40),
        Stage("compiled", time_compiled, 560),
        Stage("trace", trace, 60),
        Stage("memory", check_wrong, 100),
        Stage("settings", time_settings, 60),
        Stage("profile", profile, 60),
    )
}
"""Budgets; what a stage leaves of its own is there for those behind it."""
FIRST = ("contact", "kernels", "nets", "pairs", "steps", "sweep", "tuned", "compiled")
SECOND_IF_RIGHT = ("contact", "kernels", "nets", "pairs", "steps", "settings", "profile")
SECOND_IF_WRONG = ("contact", "trace", "memory", "kernels", "nets", "pairs")

BACKGROUND: tuple[tuple[str, Callable[[StageRun], None], bool, int], ...] = (
    ("prepare", prepare, False, 0),
    ("prepare launches", prepare, True, 0),
    ("candidates", compile_candidates, True, 10),
    ("compile settings", compile_settings, False, 10),
)
"""What works beside the stages, from the first second on: name, function, whether for launches, niceness."""


def choose_stages(call: int, wrong: Sequence[str]) -> tuple[str, ...]:
    """The stages of a call; the second one's depend on whether something was wrong in the first."""
    if call == 1:
        return FIRST
    return SECOND_IF_WRONG if wrong else SECOND_IF_RIGHT


def choose_cases(
    nets: Sequence[str] | None, batches: Sequence[int] | None, dtypes: Sequence[str] | None, call: int | None
) -> list[BenchmarkCase]:
    """The cases of a call (None: of both), those of a small batch first, or those that are named."""
    if nets or batches:
        pairs = [(net, batch) for batch in batches or BATCHES for net in nets or NETS]
    else:
        first = [TINY, *((net, batch) for batch in BATCHES for net in NETS)]
        more = [*((net, batch) for batch in (1, 8, 64) for net in MORE_NETS), *((net, 8) for net in NETS)]
        pairs = {1: first, 2: more, None: [*first, *more]}[call]
    return [BenchmarkCase(net, batch, dtype) for net, batch in pairs for dtype in dtypes or DTYPES]


def wrong_cases(keys: Sequence[str]) -> list[BenchmarkCase]:
    """The cases of items, each once."""
    return list(dict.fromkeys(case for key in keys if (case := case_of(key)) is not None))


def wrong_keys(folder: Path) -> list[str]:
    """The items that were wrong or faulty in an earlier call."""
    return [row["key"] for row in read_rows(folder / "results.jsonl") if row.get("right") is False]
