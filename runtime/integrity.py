"""Whether a compiled file is as it was written, to the last bit: what `cortado check` proves of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .artifact import Artifact, damaged_tensors, read_for_running
from .errors import ArtifactError


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was found out about a compiled file: sizes in bytes, and the `error` in one sentence, "" if it is whole."""

    file: str
    size: int
    tensors: int
    error: str

    @property
    def is_whole(self) -> bool:
        return not self.error


def check_file(path: str | Path) -> FileReport:
    """Read all of a compiled file: length, header, texts, padding, the hash of each tensor, and what its plans say.

    OSError if there is no such file, or it cannot be read.
    """
    size = Path(path).stat().st_size
    try:
        found = read_for_running(path, verify=False)
    except ArtifactError as e:
        return FileReport(str(path), size, 0, str(e))
    names = dict[str, str]()
    if isinstance(found, Artifact):
        tensors = {**found.weights, **found.binaries}
        names = {w.handle: name for plan in found.plans for name, w in plan.weights.items()}
    else:
        tensors = {**found.weights}
    error = ""
    if bad := damaged_tensors(tensors, found.hashes):
        count = "one tensor does" if len(bad) == 1 else f"{len(bad)} tensors do"
        named = ", ".join(names.get(name, name) for name in bad[:3]) + ", ..." * (len(bad) > 3)
        error = f"{path}: {count} not have the hash that it states ({named}), so it is damaged; compile the net again"
    return FileReport(str(path), size, len(tensors), error)
