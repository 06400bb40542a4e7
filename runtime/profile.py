"""Times each step of a net on this machine's CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from .net import Net
from .plan import Plan
from .runners import ObservableProgram, find_runner
from .threads import torch_threads

WARM_UP_RUNS = 3  # untimed runs: caches fill, and oneDNN creates its kernels at the first call


@dataclass(frozen=True, slots=True)
class Profile:
    """Seconds of repeated runs.

    `steps` holds for each step of `plan`, in order, its seconds in each run; `runs` the seconds of whole runs, without
    timing their steps, interleaved with the others. `threads` is the number of torch's threads.
    """

    plan: Plan
    threads: int
    steps: tuple[tuple[float, ...], ...]
    runs: tuple[float, ...]


def profile(net: Net, inputs: Mapping[str, Any], repeat: int = 20) -> Profile:
    """Run the net step by step, `repeat` times, in a separate instance.

    Inputs are as for calling the net. ValueError if they do not fit, `repeat` is not positive, or the net is for a
    GPU, where the host only launches kernels and cannot time them.
    """
    if repeat < 1:
        raise ValueError(f"repeat is 1 or more, not {repeat}")
    if sentence := reason_not_profiled(net.plan.net, net.plan.target, net.plan.runner):
        raise ValueError(sentence)
    program, ready = net.prepare_run(net.inputs_by_name(inputs, {}))
    assert isinstance(program, ObservableProgram)
    instance = program.make_instance()
    steps, runs = [], []
    with torch_threads(net.threads):
        for _ in range(WARM_UP_RUNS):
            instance(ready)
        for _ in range(repeat):
            steps.append(instance.time_steps(ready))
            start = perf_counter()
            instance(ready)
            runs.append(perf_counter() - start)
        threads = torch.get_num_threads()
    return Profile(program.plan, threads, tuple(zip(*steps, strict=True)), tuple(runs))


def reason_not_profiled(net: str, target: str, runner: str) -> str | None:
    """The reason why a net cannot be profiled, with the tool to use instead; None if it can."""
    reason = find_runner(runner).reason_not_profiled
    return f"net {net!r} is for {target!r}, and {reason}" if reason else None
