"""Layers, passes and targets from other installed packages: entry points, loaded when a net is first read.

    [project.entry-points."cortado.layers"]
    shuffle = "my_package.layers:register"

An entry point is a function without arguments. One of the group `cortado.layers` calls `cortado.register_layer` for
each of its layers, one of `cortado.passes` calls `cortado.register_pass`, and one of `cortado.targets` calls
`cortado.register_target` and `cortado.register_runner`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from threading import RLock
from typing import Any

GROUPS = ("cortado.layers", "cortado.passes", "cortado.targets")
LOCK = RLock()


def load_plugins() -> None:
    """Register the layers, passes and targets of all installed packages, once per process.

    CompileError at every call if the function of a package fails; otherwise something would be missing silently.
    """
    with LOCK:
        failures = load_installed()
    if failures:
        from .compiler.errors import CompileError, raise_all

        raise_all(CompileError(sentence, advice=advice) for sentence, advice in failures)


def plugin_layers() -> dict[str, Callable[..., Any]]:
    """The functions of registered layers by type, for the runtime; also registers the runners of packages.

    The compiler is imported only if a package has an entry point.
    """
    if not any(entry_points(group=group) for group in GROUPS):
        return {}
    from .frontends.caffe.register import registered_layers

    load_plugins()
    return registered_layers()


@cache
def load_installed() -> tuple[tuple[str, str], ...]:
    return tuple(failure for group in GROUPS for failure in load_entry_points(entry_points(group=group)))


def load_entry_points(entries: Iterable[EntryPoint]) -> list[tuple[str, str]]:
    """Call the functions in the order of their names. Returns a sentence and advice for each that fails."""
    failures = []
    for entry in sorted(entries, key=lambda e: (e.name, e.value)):
        if reason := load_entry_point(entry):
            distribution = entry.dist.name if entry.dist else "an unknown package"
            what = entry.group.rpartition(".")[2]
            sentence = f"the {what} of {distribution} cannot be loaded ({entry.name} = {entry.value}): {reason}"
            failures.append((sentence, f"Update {distribution}, or uninstall it."))
    return failures


def load_entry_point(entry: EntryPoint) -> str | None:
    """Call the function of one entry point. Returns the reason if it fails, else None."""
    from .compiler.ops.user import REGISTERED_LAYERS

    before = dict(REGISTERED_LAYERS)
    try:
        entry.load()()
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    replaced = [name for name, known in before.items() if REGISTERED_LAYERS.get(name) is not known]
    return f"the layer {replaced[0]} is registered already" if replaced else None
