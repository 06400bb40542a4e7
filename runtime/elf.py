"""Shared libraries as files: what tells them from compiled nets, and whether one is whole and for this machine."""

from __future__ import annotations

import struct
import sys
from platform import machine

MAGIC = b"\x7fELF"
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # of ELF for 64 bits, little-endian
SHARED = 3  # the type of a shared library
MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64", 22: "s390x", 21: "ppc64le"}
REFUSED = "it is a shared library, which is code; cortado.runtime.open_library opens one, if you trust it"


def is_elf(head: bytes) -> bool:
    """Does a file that begins with these bytes hold machine code?"""
    return head.startswith(MAGIC)


def reason_not_loadable(head: bytes, size: int) -> str:
    """Why a file of `size` bytes that begins with `head` cannot be a library of this machine; "" if it can."""
    if not is_elf(head):
        return "it is no shared library"
    if not sys.platform.startswith("linux"):
        return "it is a shared library for Linux"
    if len(head) < HEADER.size or head[4:6] != b"\2\1":
        return "it is no whole shared library of 64 bits"
    _, kind, architecture, _, _, _, sections, _, _, _, _, entry, count, _ = HEADER.unpack_from(head)
    if kind != SHARED:
        return "it is a program or a part of one, and no shared library"
    if (made_for := MACHINES.get(architecture, f"machine {architecture}")) != machine().lower():
        return f"it is for {made_for}, and this machine is {machine()}"
    if sections + entry * count > size:
        return "it is no whole shared library: it was cut off"
    return ""
