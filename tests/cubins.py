"""Reads the parameters of kernels from a cubin, an ELF file with a section .nv.info.KERNEL for each kernel."""

from __future__ import annotations

import struct
from collections.abc import Iterator

ANY_SIZE = 4  # EIFMT_SVAL: a length and that many bytes follow; the other formats have two bytes
PARAMETER = 0x17  # EIATTR_KPARAM_INFO


def sections(cubin: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each section of a 64-bit little-endian ELF file."""
    assert cubin[:6] == b"\x7fELF\x02\x01"
    (table,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", cubin, table + size * i) for i in range(count)]
    base = headers[names][4]
    for name, kind, _, _, offset, length in headers:
        end = cubin.index(b"\0", base + name)
        yield cubin[base + name : end].decode(), b"" if kind == 8 else cubin[offset : offset + length]


def parameter_sizes(cubin: bytes, kernel: str) -> list[int]:
    """The size in bytes of each parameter of a kernel, in order."""
    info = dict(sections(cubin))[f".nv.info.{kernel}"]
    found, at = dict[int, int](), 0
    while at < len(info):
        form, attribute, length = struct.unpack_from("<BBH", info, at)
        at += 4
        if form != ANY_SIZE:
            continue
        if attribute == PARAMETER:
            _, ordinal, _, packed = struct.unpack_from("<IHHI", info, at)
            found[ordinal] = packed >> 18
        at += length
    return [found[i] for i in range(len(found))]
