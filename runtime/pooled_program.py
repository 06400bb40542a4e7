"""What programs for the CPU share: a pool of instances, from which each call takes one, and results that are fresh."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from .arena import view
from .plan import Plan


class ProgramInstance(Protocol):
    """Memory for one run at a time."""

    def __call__(self, inputs: Mapping[str, Tensor], /) -> Mapping[str, Tensor]:
        """All values of this run by name, until the next run."""

    def release_inputs(self) -> None:
        """Release the caller's arrays."""


I = TypeVar("I", bound=ProgramInstance)


class PooledProgram(Generic[I]):
    """A plan that is called by many threads at once: each call takes an instance from the pool, or makes one."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pool: deque[I] = deque()

    def make_instance(self) -> I:
        """A new instance: memory for one run at a time."""
        raise NotImplementedError

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Fresh tensors in Caffe's axis order, by blob name. Inputs have the planned dtypes, shapes and layouts."""
        try:
            instance = self.pool.pop()
        except IndexError:
            instance = self.make_instance()
        try:
            values = instance(inputs)
            return {
                blob: values[name].detach().clone(memory_format=torch.contiguous_format)
                for blob, name in self.plan.outputs
            }
        finally:
            instance.release_inputs()
            self.pool.append(instance)


def static_views(plan: Plan, arena: Tensor) -> dict[str, Tensor]:
    """Views of all computed values of known shape, by name."""
    return {name: view(arena, slot) for name, slot in plan.slots.items() if slot.at is not None and slot.is_static}
