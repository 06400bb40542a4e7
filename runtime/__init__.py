"""The runtime: loads and runs compiled nets. It does not depend on graphs, and imports no compiler.

Names are imported on first access, so that `open_library`, which needs numpy alone, does not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import ArtifactError as ArtifactError
    from .net import Net as Net
    from .net import load as load
    from .shared_library import LibraryNet as LibraryNet
    from .shared_library import open_library as open_library

HOMES = {
    "ArtifactError": "errors",
    "LibraryNet": "shared_library",
    "Net": "net",
    "load": "net",
    "open_library": "shared_library",
}
__all__ = ["ArtifactError", "LibraryNet", "Net", "load", "open_library"]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOMES])
