"""The registry of runners, by name; each is a subpackage that is imported when a plan needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from .plan import ArtifactError, Plan, Shape
from .resources import Resources

BUILT_IN = {
    "onednn": ".onednn",
    "native": ".native",
    "cuda": ".cuda",
}  # by name the package, which has the runner as RUNNER


class Program(Protocol):
    """A prepared plan, which many threads can run at once."""

    plan: Plan

    def __call__(self, inputs: Mapping[str, Tensor], /) -> dict[str, Tensor]:
        """Fresh tensors by blob name; inputs have the planned dtypes, shapes and layouts."""


@runtime_checkable
class BindableProgram(Protocol):
    """A program that can be bound to fixed arrays: see `Net.bind`."""

    def bind(self, inputs: Mapping[str, Tensor], /) -> Callable[[], dict[str, Tensor]]: ...


@runtime_checkable
class ObservableProgram(Protocol):
    """A program whose steps can be timed and observed one by one, on the host."""

    @property
    def weights(self) -> Mapping[str, Tensor]: ...

    def make_instance(self) -> Any:
        """Memory for one run, with `time_steps` and `observe_steps`: see `runtime/onednn/program.py`."""


@runtime_checkable
class BoundedProgram(Protocol):
    """A program that runs every size within the bounds of its plan by itself, without losing much time by it."""

    plan: Plan

    def __call__(self, inputs: Mapping[str, Tensor], /) -> dict[str, Tensor]: ...

    def check_shapes(self, inputs: Mapping[str, Shape], /) -> None:
        """ArtifactError if it refuses input shapes that are within the bounds: cheap, and before anything runs."""


class Runner(Protocol):
    """Runs the plans that name it.

    `payload` is the version of steps that it reads. `takes_gpu_arrays`: True if it uses arrays on a GPU directly.
    `runs_bounded_sizes`: True if its programs are BoundedPrograms. `reason_not_profiled`: the reason why its steps
    cannot be timed one by one, or "".
    """

    name: str
    payload: int
    takes_gpu_arrays: bool
    runs_bounded_sizes: bool
    reason_not_profiled: str

    def reason_unavailable(self, plan: Plan) -> str:
        """The reason why this machine cannot run the plan, or "". It must be cheap to call."""

    def check(self, plan: Plan, binaries: Mapping[str, Tensor]) -> None:
        """ArtifactError if a step cannot be run safely; the plan may be untrusted."""

    def is_built(self, plan: Plan) -> bool:
        """False if `prepare` would first compile code, which takes seconds."""

    def prepare(self, plan: Plan, resources: Resources) -> Program:
        """Prepare the plan. ArtifactError if this machine cannot run it."""


REGISTERED: dict[str, Runner] = {}


def register_runner(runner: Runner) -> None:
    """Register a runner in this process. ValueError if there is another one of this name."""
    if runner.name in BUILT_IN or REGISTERED.get(runner.name, runner) is not runner:
        raise ValueError(f"there is a runner called {runner.name!r} already")
    REGISTERED[runner.name] = runner


def find_runner(name: str) -> Runner:
    """The runner of this name. ArtifactError if there is none."""
    if name in BUILT_IN:
        runner: Runner = import_module(BUILT_IN[name], __package__).RUNNER
        return runner
    if name not in REGISTERED:
        known = ", ".join((*BUILT_IN, *REGISTERED))
        raise ArtifactError(f"it needs the runner {name!r}, which this program lacks: it has {known}")
    return REGISTERED[name]


def check_steps(plan: Plan, binaries: Mapping[str, Tensor]) -> None:
    """Let the plan's runner check its steps. ArtifactError if a check fails, or the version of the steps differs."""
    runner = find_runner(plan.runner)
    if plan.payload != runner.payload:
        raise ArtifactError(
            f"its steps for {plan.runner!r} have version {plan.payload} and this cortado reads {runner.payload}; "
            "compile the net again"
        )
    runner.check(plan, binaries)
