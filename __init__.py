"""cortado compiles Caffe models, exactly as Caffe computes them, or refuses them with a reason.

    import cortado
    net = cortado.compile("deploy.prototxt", "net.caffemodel")
    answer = net(data=picture)["prob"]

Nothing is imported before it is asked for, so that `import cortado.runtime` stays as thin as the runtime is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import VERSION as __version__

if TYPE_CHECKING:
    from .compiler.errors import CompileError as CompileError
    from .driver import Report as Report
    from .driver import compile as compile
    from .driver import load as load
    from .driver import save as save
    from .registering import register_layer as register_layer
    from .runtime import ArtifactError as ArtifactError
    from .runtime import Net as Net
    from .runtime.artifact import Preprocessing as Preprocessing

HOMES = {
    "ArtifactError": "runtime",
    "CompileError": "compiler.errors",
    "Net": "runtime",
    "Preprocessing": "runtime.artifact",
    "Report": "driver",
    "compile": "driver",
    "load": "driver",
    "register_layer": "registering",
    "save": "driver",
}
__all__ = [
    "ArtifactError",
    "CompileError",
    "Net",
    "Preprocessing",
    "Report",
    "__version__",
    "compile",
    "load",
    "register_layer",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOMES])
