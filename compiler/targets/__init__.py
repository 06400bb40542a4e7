"""The machines that cortado compiles for, by name."""

from __future__ import annotations

from ..errors import CompileError
from ..suggestion import did_you_mean
from ..target import Target
from .cuda import PRECISIONS, Cuda
from .native import Native
from .onednn import OneDnn

TARGETS: dict[str, Target] = {
    t.name: t for t in (OneDnn(), Native(), Native("native-strict", winograd=False), *map(Cuda, PRECISIONS))
}


def target(name: str) -> Target:
    """The target of this name. CompileError if there is none."""
    if name not in TARGETS:
        advice = f"The targets are {', '.join(TARGETS)}."
        raise CompileError(f"no target is called {name}{did_you_mean(name, TARGETS)}", advice=advice)
    return TARGETS[name]


def register_target(target: Target) -> None:
    """Register a target in this process. ValueError if there is another one of this name."""
    if TARGETS.get(target.name, target) is not target:
        raise ValueError(f"there is a target called {target.name!r} already")
    TARGETS[target.name] = target
