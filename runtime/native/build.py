"""From C to a library in the user's own cache: compiled once for each text, compiler and processor."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from ..output import write_file
from ..plan import ArtifactError
from .machine import ARCHITECTURES, Machine

FLAGS = ("-std=gnu11", "-O3", "-fno-math-errno", "-fwrapv", "-shared", "-fPIC", "-pthread", "-fvisibility=hidden", "-w")
SECONDS = 60  # that a compiler may take
COMPILERS = ("cc", "gcc", "clang")
CALLS: dict[str, ctypes.CDLL] = {}  # libraries that are loaded, by path; they stay loaded, and so do their threads


def is_forbidden() -> bool:
    """True if $CORTADO_CC is "none": then nothing is compiled, and no library of the cache is used."""
    return os.environ.get("CORTADO_CC", "") == "none"


@cache
def find_compiler() -> tuple[str, ...]:
    """The C compiler's command: $CORTADO_CC, or the first of cc, gcc, clang; () if none is there or allowed."""
    asked = os.environ.get("CORTADO_CC", "")
    if asked:
        return () if is_forbidden() else tuple(shlex.split(asked))
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    return (found,) if found else ()


@cache
def compiler_version(command: tuple[str, ...]) -> str:
    """The compiler's version text; "" if it cannot be run."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/cortado/native or ~/.cache/cortado/native, made if it is missing.

    ArtifactError if it is another user's, or others may write to it: what is loaded from there runs.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(base).expanduser() / "cortado" / "native"
    except RuntimeError:
        raise ArtifactError("there is no home folder to keep compiled kernels in; set XDG_CACHE_HOME") from None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as e:
        raise ArtifactError(f"{folder}: {e.strerror or e}; kernels are compiled there") from None
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ArtifactError(
            f"{folder} belongs to another user, or others may write to it; kernels are loaded from there"
        )
    return folder


def library_name(text: str, machine: Machine, version: str) -> str:
    """The file name of a C text's library; `version` is the compiler's, or "*" for that of any."""
    key = hashlib.sha256("\0".join([text, *FLAGS, *machine.flags]).encode()).hexdigest()[:32]
    return f"{key}-{version if version == '*' else hashlib.sha256(version.encode()).hexdigest()[:8]}.so"


def find_library(text: str, machine: Machine) -> Path | None:
    """The library of a C text in the cache: this compiler's, or, where there is none, any compiler's."""
    command = find_compiler()
    name = library_name(text, machine, compiler_version(command) if command else "*")
    return next(cache_folder().glob(name), None)


def build_library(text: str, machine: Machine) -> Path:
    """The library of a C text, from the cache or compiled into it.

    ArtifactError, with the compiler's words, if it fails.
    """
    if is_forbidden():
        raise ArtifactError("CORTADO_CC=none forbids native kernels")
    if (path := find_library(text, machine)) is not None:
        return path
    command, flags = find_compiler(), [*FLAGS, *machine.flags]
    if not command:
        raise ArtifactError("there is no C compiler here (cc, gcc or clang)")
    path = cache_folder() / library_name(text, machine, compiler_version(command))
    with tempfile.TemporaryDirectory(prefix="cortado-") as folder:  # not in the cache, where a kill would leave it
        source, made = path.with_suffix(".c"), Path(folder) / "net.so"
        write_file(source, text)  # it stays, for people and for debuggers
        run_compiler([*command, *flags, str(source), "-o", str(made), "-lm"])
        write_file(path, made.read_bytes())
    return path


def compiler_for(machine: Machine) -> tuple[str, ...]:
    """The command of a compiler for a machine, which may be of another architecture than this one.

    ArtifactError if there is none, or it is forbidden.
    """
    architecture, here = ARCHITECTURES.get(machine.name, ""), platform.machine().lower()
    if is_forbidden():
        raise ArtifactError("CORTADO_CC=none forbids to compile C")
    if not architecture or architecture == here or os.environ.get("CORTADO_CC"):
        if command := find_compiler():
            return command
        raise ArtifactError("there is no C compiler here (cc, gcc or clang)")
    name = f"{architecture}-linux-gnu-gcc"
    if found := shutil.which(name):
        return (found,)
    raise ArtifactError(f"there is no C compiler for {architecture} here ({name}); CORTADO_CC names one")


def run_compiler(command: list[str], folder: Path | None = None, seconds: float | None = None) -> None:
    """Run a compiler in `folder`. ArtifactError if it fails, or takes more than `seconds` (None: SECONDS)."""
    limit = SECONDS if seconds is None else seconds
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, cwd=folder)
    except subprocess.TimeoutExpired:
        raise ArtifactError(f"{command[0]} took more than {limit} seconds for the net's kernels") from None
    except OSError as e:
        raise ArtifactError(f"{command[0]}: {e.strerror or e}") from None
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise ArtifactError(f"{command[0]} failed on the net's kernels: {first.strip()}")


def open_built_library(path: Path) -> ctypes.CDLL:
    """A library of the cache, loaded once per process."""
    if (key := str(path)) not in CALLS:
        CALLS[key] = ctypes.CDLL(key)
    return CALLS[key]
