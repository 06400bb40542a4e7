"""Writes a reproducer when a pass fails: the net before the pass, its weights, and the command to reproduce it."""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from pathlib import Path

from ..compiler.text import show
from ..compiler.text.weights import dump
from ..runtime.output import write_file
from .failure import PassFailed


def write_reproducer(failure: PassFailed, target: str, version: str) -> Path:
    """The folder, in $CORTADO_FAILURES or among the system's temporary files; the same failure, the same folder."""
    parent = Path(os.environ.get("CORTADO_FAILURES") or Path(tempfile.gettempdir()) / "cortado-failures")
    graph, plan = failure.planned
    digest = sha256(f"{failure.name} {target} {show(graph, plan)}".encode()).hexdigest()[:8]
    folder = parent / f"{failure.name}-{digest}"
    parent.mkdir(parents=True, exist_ok=True)
    (path,) = dump(folder, {"before": failure.planned})
    command = f"cortado opt {path.name} -p {failure.name} --target {target}"
    told = f"{failure}\n\nwith cortado {version}, in this folder:\n\n    {command}\n"
    write_file(folder / "README.txt", told)
    return folder
