"""Maps files of weights: their bytes are read when touched, and large runs of numbers give their memory back alone."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...compiler.errors import CompileError
from .blobs import Array, Blob

LARGE = 1 << 20  # bytes


@dataclass(frozen=True)
class MappedFile:
    """A file that is open, and its bytes as they are read when touched; a write changes the memory only."""

    file: BinaryIO
    data: memoryview

    def map_large_blobs(self, blobs: Iterable[Blob]) -> Iterator[Blob]:
        """Blobs that are views of the file, the large ones now in mappings of their own.

        What was touched of a mapping stays in the process's memory until nothing looks at any of it: in one for the
        whole file, the least bias that a net keeps would keep all weights that were folded.
        """
        for blob in blobs:
            yield replace(blob, arrays=tuple(map(self.map_array, blob.arrays)))

    def map_array(self, part: Array) -> Array:
        if part.nbytes < LARGE or not part.flags.c_contiguous:
            return part
        at = part.ctypes.data - np.frombuffer(self.data, "u1").ctypes.data
        before = at % mmap.ALLOCATIONGRANULARITY
        try:
            made = mmap.mmap(self.file.fileno(), before + part.nbytes, access=mmap.ACCESS_COPY, offset=at - before)
        except (OSError, ValueError):  # the system gives no more mappings to this process: the one for all does as well
            return part
        return np.frombuffer(made, part.dtype, len(part), before)


@contextmanager
def map_file(path: str | Path) -> Iterator[MappedFile]:
    """A file, open as long as this lasts; its bytes are there as long as someone looks at them. CompileError."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
            empty = not file.seek(0, 2)
            data = memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        except (OSError, ValueError) as e:
            why = getattr(e, "strerror", None) or e
            raise CompileError(f"{path}: {why}", advice="Give the path of a .caffemodel.") from None
        yield MappedFile(file, data)
