"""Memory-maps weight files copy-on-write; large arrays get their own mappings, so that each can be released alone."""

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
    """An open file and a memory map of it, read on access, written copy-on-write; or None and bytes in memory."""

    file: BinaryIO | None
    data: memoryview

    def map_large_blobs(self, blobs: Iterable[Blob]) -> Iterator[Blob]:
        """Replace each array of at least LARGE bytes by a view of a separate mapping.

        Pages that were read stay resident until the last view of their mapping is dropped. With one mapping for the
        whole file, one small bias that a net keeps would keep all weights that were read while folding.
        """
        for blob in blobs:
            yield replace(blob, arrays=tuple(map(self.map_array, blob.arrays)))

    def map_array(self, part: Array) -> Array:
        """A view of the same bytes in a new mapping; the array itself if it is small, strided or in memory."""
        if self.file is None or part.nbytes < LARGE or not part.flags.c_contiguous:
            return part
        at = part.ctypes.data - np.frombuffer(self.data, "u1").ctypes.data
        before = at % mmap.ALLOCATIONGRANULARITY
        try:
            made = mmap.mmap(self.file.fileno(), before + part.nbytes, access=mmap.ACCESS_COPY, offset=at - before)
        except (OSError, ValueError):  # the process has no more mappings: fall back to the mapping of the whole file
            return part
        return np.frombuffer(made, part.dtype, len(part), before)


@contextmanager
def map_file(path: str | Path) -> Iterator[MappedFile]:
    """Open and map a file. It is closed on exit; views of the mapping stay valid. CompileError if it cannot be read."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
            empty = not file.seek(0, 2)
            data = memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        except (OSError, ValueError) as e:
            why = getattr(e, "strerror", None) or e
            raise CompileError(f"{path}: {why}", advice="Give the path of a .caffemodel.") from None
        yield MappedFile(file, data)
