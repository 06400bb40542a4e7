"""What runs plans: a registry of runners by name, each in a folder of its own and imported when a plan asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from .plan import ArtifactError, Plan
from .resources import Resources

BUILT_IN = {
    "onednn": ".onednn",
    "native": ".native",
    "cuda": ".cuda",
}  # by name the package, which has the runner as RUNNER


class Program(Protocol):
    """A plan that is ready to run, by many threads at once."""

    plan: Plan

    def __call__(self, inputs: Mapping[str, Tensor], /) -> dict[str, Tensor]:
        """Fresh tensors by blob name; inputs have the planned dtypes, shapes and layouts."""


@runtime_checkable
class BindableProgram(Protocol):
    """A program that can be bound to arrays which stay where they are: see `Net.bind`."""

    def bind(self, inputs: Mapping[str, Tensor], /) -> Callable[[], dict[str, Tensor]]: ...


@runtime_checkable
class ObservableProgram(Protocol):
    """A program whose steps can be timed and looked at one by one, on the host."""

    @property
    def weights(self) -> Mapping[str, Tensor]: ...

    def make_instance(self) -> Any:
        """Memory for one run, with `time_steps` and `observe_steps`: see `runtime/onednn/program.py`."""


class Runner(Protocol):
    """Runs the plans that name it.

    `payload` is the version of steps that it reads. `takes_gpu_arrays`: arrays on a GPU are used where they are.
    `reason_not_profiled`: why its steps cannot be timed one by one, "" if they can.
    """

    name: str
    payload: int
    takes_gpu_arrays: bool
    reason_not_profiled: str

    def reason_unavailable(self) -> str:
        """Why this machine cannot run such plans; "" if it can. Cheap."""

    def check(self, plan: Plan, binaries: Mapping[str, Tensor]) -> None:
        """ArtifactError if a step is not one that can be run without harm, whoever wrote it."""

    def prepare(self, plan: Plan, resources: Resources) -> Program:
        """The plan, made ready. ArtifactError if this machine cannot."""


REGISTERED: dict[str, Runner] = {}


def register_runner(runner: Runner) -> None:
    """Make a runner known in this process. ValueError if there is another of that name."""
    if runner.name in BUILT_IN or REGISTERED.get(runner.name, runner) is not runner:
        raise ValueError(f"there is a runner called {runner.name!r} already")
    REGISTERED[runner.name] = runner


def find_runner(name: str) -> Runner:
    """ArtifactError if there is none of that name."""
    if name in BUILT_IN:
        runner: Runner = import_module(BUILT_IN[name], __package__).RUNNER
        return runner
    if name not in REGISTERED:
        known = ", ".join((*BUILT_IN, *REGISTERED))
        raise ArtifactError(f"it needs the runner {name!r}, which this program lacks: it has {known}")
    return REGISTERED[name]


def check_steps(plan: Plan, binaries: Mapping[str, Tensor]) -> None:
    """Let the plan's runner prove its steps. ArtifactError if it cannot, or reads another version of them."""
    runner = find_runner(plan.runner)
    if plan.payload != runner.payload:
        raise ArtifactError(
            f"its steps for {plan.runner!r} have version {plan.payload} and this cortado reads {runner.payload}; "
            "compile the net again"
        )
    runner.check(plan, binaries)
