"""cortado compiles Caffe models so that they compute what Caffe computes, or refuses them with a reason.

    import cortado
    net = cortado.compile("deploy.prototxt", "net.caffemodel")
    scores = net(data=picture)["prob"]

Names are imported on first access, so that `import cortado.runtime` imports only the runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .installation import warn_of_foreign_package
from .version import VERSION as __version__

if TYPE_CHECKING:
    from .compiler.errors import CompileError as CompileError
    from .compiler.targets import register_target as register_target
    from .driver import Compilation as Compilation
    from .driver import Options as Options
    from .driver import compile as compile
    from .driver import compile_net as compile_net
    from .driver import load as load
    from .driver import save as save
    from .exporting import export as export
    from .frontends.caffe.register import register_layer as register_layer
    from .frontends.caffe.register import unregister_layer as unregister_layer
    from .passes import register_pass as register_pass
    from .passes import unregister_pass as unregister_pass
    from .runtime import ArtifactError as ArtifactError
    from .runtime import Net as Net
    from .runtime.preprocessing import Preprocessing as Preprocessing
    from .runtime.presets import PRESETS as PRESETS
    from .runtime.runners import register_runner as register_runner

HOMES = {
    "PRESETS": "runtime.presets",
    "ArtifactError": "runtime",
    "Compilation": "driver",
    "CompileError": "compiler.errors",
    "Net": "runtime",
    "Preprocessing": "runtime.preprocessing",
    "Options": "driver",
    "compile": "driver",
    "compile_net": "driver",
    "export": "exporting",
    "load": "driver",
    "register_layer": "frontends.caffe.register",
    "register_pass": "passes",
    "register_runner": "runtime.runners",
    "register_target": "compiler.targets",
    "save": "driver",
    "unregister_layer": "frontends.caffe.register",
    "unregister_pass": "passes",
}
__all__ = [
    "PRESETS",
    "ArtifactError",
    "Compilation",
    "CompileError",
    "Net",
    "Options",
    "Preprocessing",
    "__version__",
    "compile",
    "compile_net",
    "export",
    "load",
    "register_layer",
    "register_pass",
    "register_runner",
    "register_target",
    "save",
    "unregister_layer",
    "unregister_pass",
]


warn_of_foreign_package()


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOMES])
