"""The machines that cortado compiles for, by name."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import CompileError
from ..suggestion import did_you_mean
from ..target import Target
from .cuda import PRECISIONS, Cuda
from .native import Native
from .onednn import OneDnn

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        OneDnn(),
        Native(),
        Native("native-strict", winograd=False),
        *map(Cuda, PRECISIONS),
        *(Cuda(precision, overlaps=True) for precision in ("f32", "f16")),
    )
}
GROUPS: Mapping[str, tuple[str, ...]] = {"cpu": ("native", "onednn")}
"""Names for several targets, the preferred one first. Files have a plan for each, and run by the first that can be."""


def targets(name: str) -> tuple[Target, ...]:
    """The targets of this name, the preferred one first. CompileError if there is none."""
    known = (*GROUPS, *TARGETS)
    if name not in known:
        advice = f"The targets are {', '.join(known)}."
        raise CompileError(f"no target is called {name}{did_you_mean(name, known)}", advice=advice)
    return tuple(TARGETS[member] for member in GROUPS.get(name, (name,)))


def target(name: str) -> Target:
    """The target of this name, of several the preferred one. CompileError if there is none."""
    return targets(name)[0]


def register_target(target: Target) -> None:
    """Register a target in this process. ValueError if there is another one of this name."""
    if target.name in GROUPS or TARGETS.get(target.name, target) is not target:
        raise ValueError(f"there is a target called {target.name!r} already")
    TARGETS[target.name] = target
