"""The machines that cortado compiles for, by name."""

from ..errors import CompileError
from ..op import did_you_mean
from ..target import Target
from .cpu import Cpu
from .cuda import PRECISIONS, Cuda

TARGETS: dict[str, Target] = {t.name: t for t in (Cpu(), *map(Cuda, PRECISIONS))}


def target(name: str) -> Target:
    """CompileError if there is none of that name."""
    if name not in TARGETS:
        raise CompileError(
            f"no target is called {name}{did_you_mean(name, TARGETS)}", advice=f"There is {', '.join(TARGETS)}."
        )
    return TARGETS[name]
