"""Writing the files of commands: checked before the work, and atomically."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


@contextmanager
def report_write_errors(path: str | Path) -> Iterator[None]:
    """Raise UsageError for an OSError, with the path that the user gave instead of a temporary file's."""
    try:
        yield
    except OSError as e:
        raise click.UsageError(f"{path} cannot be written: {e.strerror or e}. Give another path.") from None


def require_writable(path: str | Path) -> None:
    """UsageError unless a file can be written at this path; its folder is created."""
    with report_write_errors(path):
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            raise IsADirectoryError(f"it is a folder; give a file in it, such as {Path(path) / 'net.cortado'}")
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"the folder {folder} is not writable")


def save_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as an .npz, atomically. Unlike np.savez, it accepts an array called `file`."""
    import numpy as np

    with report_write_errors(path):
        handle, name = tempfile.mkstemp(dir=Path(path).parent, prefix=f".{Path(path).name}.")
        try:
            with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
                for key, array in arrays.items():
                    with archive.open(f"{key}.npy", "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
            Path(name).chmod(0o666 & ~umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def umask() -> int:
    os.umask(mask := os.umask(0o022))
    return mask
