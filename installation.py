"""Detects another project's package that is installed under the import name `cortado`.

PyPI has an unrelated project `cortado`; the distribution of this project is `cortado-caffe`. If both are installed, one
hides the other or, in one folder, their files are mixed. This module runs at every start, so it imports very little.
"""

# Importing pathlib would take longer than the checks.
# ruff: noqa: PTH100, PTH118, PTH122, PTH123, PTH208

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

from .version import VERSION

ADVICE = "Run `pip uninstall cortado`, then `pip install --force-reinstall cortado-caffe`."
LISTINGS = {".dist-info": "RECORD", ".egg-info": "installed-files.txt"}  # the list of files, by kind of metadata


def warn_of_foreign_package() -> None:
    """Warn (RuntimeWarning at the import of cortado) if another project's package has the same name."""
    if sentence := find_foreign(sys.path):
        import warnings

        warnings.warn(sentence, RuntimeWarning, stacklevel=3)


def find_foreign(folders: Sequence[str]) -> str | None:
    """A sentence on an installed distribution of another project with the package `cortado`; None without one."""
    for folder in dict.fromkeys(folders):
        for metadata in metadata_folders(folder):
            if installs_package(os.path.join(folder, metadata)):
                name = metadata.rpartition(".")[0].replace("-", " ")
                place = f"({name}, in {os.path.abspath(folder)})"
                return f'another project\'s package "cortado" is installed beside this one {place}. {ADVICE}'
    return None


def metadata_folders(folder: str) -> Iterator[str]:
    """The metadata folders of distributions called `cortado`; this project's is cortado_caffe-VERSION.dist-info."""
    try:
        names = os.listdir(folder or ".")
    except OSError:  # no folder, or a zip file
        return
    for name in names:
        if name.lower().startswith("cortado-") and os.path.splitext(name)[1] in LISTINGS:
            yield name


def installs_package(metadata: str) -> bool:
    """True if the distribution has files in a folder `cortado`; an editable install has none."""
    try:
        with open(os.path.join(metadata, LISTINGS[os.path.splitext(metadata)[1]]), encoding="utf-8") as listing:
            return any(line.removeprefix("../").startswith("cortado/") for line in listing)
    except (OSError, UnicodeDecodeError):
        return False


def require_own_package(package: ModuleType) -> None:
    """SystemExit if the imported package is another project's, mixed with files of this one."""
    if getattr(package, "__version__", None) != VERSION:
        sys.exit(f'error: {package.__file__} is another project\'s package "cortado". {ADVICE}')
