"""Writes files such that nothing is lost: whole or not at all, through pipes, devices and links, never over an input.

Everything that cortado writes for its user goes through here; `tests/test_house.py` holds the package to it.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PART_SUFFIX = ".cortado-part"  # of a file that is being written; without a lock, it was left by a killed process
MAX_NAME = 200  # bytes of the final name that a part's name repeats: most file systems end names at 255


class OutputError(OSError):
    """A file cannot be written. One sentence on why, and one on what to do; what was there is untouched."""

    def __init__(self, path: str | Path, reason: str, advice: str = "Give another path.", number: int | None = None):
        super().__init__(number, reason, str(path))
        self.sentence = f"{path} cannot be written: {reason}. {advice}"

    def __str__(self) -> str:
        return self.sentence


class OutputStream(io.BufferedIOBase):
    """A file that is written from front to back, whatever kind it is of, so that all kinds get the same bytes."""

    def __init__(self, raw: io.BufferedWriter):
        self.raw_file = raw

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        return self.raw_file.write(data)

    def flush(self) -> None:
        if not self.raw_file.closed:
            self.raw_file.flush()


def write_file(path: str | Path, data: str | bytes, inputs: Iterable[str | Path] = ()) -> None:
    """Write text, as UTF-8, or bytes. Arguments and errors are those of `open_output`."""
    with open_output(path, inputs) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def open_output(path: str | Path, inputs: Iterable[str | Path] = (), *, durable: bool = True) -> Iterator[OutputStream]:
    """A file to write from front to back; what was there is replaced when the block ends, and kept if it raises.

    A plain file is written beside its final place and renamed, with the permissions that the old file has or else those
    that new files get; `durable` waits for the disk before, so that a power failure leaves the old or the new one too.
    A link stays, and what it leads to is replaced; pipes and character devices are written to as they are. `inputs` are
    files that may not be written over. OutputError as for `check_output`, and for whatever the system refuses.
    """
    check_output(path, inputs)
    try:
        with open_through(Path(path)) if is_written_through(Path(path)) else replace_file(path, durable) as file:
            yield OutputStream(file)
            file.flush()
    except OutputError:
        raise
    except OSError as e:
        raise OutputError(path, e.strerror or str(e), number=e.errno) from None


def check_output_files(paths: Iterable[str | Path], inputs: Iterable[str | Path] = ()) -> None:
    """`check_output` for each path, and `refuse_twice` for all; each input is looked up once."""
    refuse_twice(paths := [*paths])
    known = dict[tuple[int, int], str | Path]()
    for other in inputs:
        with suppress(OSError, ValueError):  # the reader reports it
            read = Path(other).stat()
            known.setdefault((read.st_dev, read.st_ino), other)
    for path in paths:
        found = status(path)
        same = known.get((found.st_dev, found.st_ino)) if found else None
        check_output(path, () if same is None else (same,))


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """OutputError if `path` is one of `inputs`, by any name, or no file can be written there. Nothing is opened.

    A folder, a disk, a socket and a file without write permission are refused, as is a folder that is missing or not
    writable: folders are never made.
    """
    if str(path).endswith(os.sep):
        raise OutputError(path, f"it is the name of a folder; give a file in it, like {Path(path, 'net.cortado')}")
    found = status(path)
    if found is not None:
        refuse_kind(path, found)
        for other in inputs:
            if is_same_file(found, other):
                raise OutputError(path, f"it is the input {other}" if str(other) != str(path) else "it is an input too")
    if not is_written_through(Path(path)):
        refuse_folder(path, (final_path(path) if Path(path).is_symlink() else Path(path)).parent)


def refuse_kind(path: str | Path, found: os.stat_result) -> None:
    """OutputError for what is there and is neither a file that may be written, nor a pipe, nor a character device."""
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(
            path, f"it is a folder; give a file in it, like {Path(path, 'net.cortado')}", number=errno.EISDIR
        )
    if stat.S_ISBLK(found.st_mode) or (stat.S_ISSOCK(found.st_mode) and descriptor(Path(path)) is None):
        raise OutputError(path, "it is a disk" if stat.S_ISBLK(found.st_mode) else "it is a socket")
    if not found.st_mode & 0o222 or not os.access(
        path, os.W_OK
    ):  # the administrator may write everything, but meant this
        advice = f"Give another path, or allow it: chmod u+w {quote(str(path))}."
        raise OutputError(path, "it is read-only", advice, errno.EACCES)


def refuse_folder(path: str | Path, folder: Path) -> None:
    """OutputError unless files can be made in the folder."""
    if not folder.exists():
        advice = f"Make it first (mkdir -p {quote(str(folder))}), or give another path."
        raise OutputError(path, f"there is no folder {folder}", advice, errno.ENOENT)
    if not folder.is_dir():
        raise OutputError(path, f"{folder} is a file, and no folder", number=errno.ENOTDIR)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(path, f"the folder {folder} is not writable", number=errno.EACCES)


def make_folder(folder: Path) -> None:
    """Create a folder, but not its parent."""
    if not folder.exists():
        refuse_folder(folder, folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as e:
        raise OutputError(folder, e.strerror or str(e), number=e.errno) from None


def refuse_twice(paths: Iterable[str | Path]) -> None:
    """OutputError if two of these are one plain file, under whatever names."""
    seen = dict[Path, str | Path]()
    for path in paths:
        if (final := final_path(path)) in seen and not is_written_through(Path(path)):
            raise OutputError(path, "two outputs would be written there", "Give each a different path.")
        seen[final] = path


def status(path: str | Path) -> os.stat_result | None:
    """What the path leads to; None if nothing is there. OutputError for a path that leads nowhere."""
    try:
        return Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise OutputError(path, e.strerror or str(e), number=e.errno) from None


def is_same_file(found: os.stat_result, other: str | Path) -> bool:
    """Is this the file that `other` leads to? Not if it is a character device: a terminal loses nothing."""
    try:
        return not stat.S_ISCHR(found.st_mode) and os.path.samestat(found, Path(other).stat())
    except (OSError, ValueError):  # the reader reports it
        return False


def is_standard_output(path: str | Path) -> bool:
    """Does writing there mean writing to this process's standard output, as with /dev/stdout?"""
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(1))
    except OSError:
        return False


def final_path(path: str | Path) -> Path:
    """Where links lead: the file that is replaced."""
    return Path(os.path.realpath(path))


def is_written_through(path: Path) -> bool:
    """True for pipes, character devices and open descriptors, which cannot be replaced."""
    found = status(path)
    return found is not None and (not stat.S_ISREG(found.st_mode) or descriptor(path) is not None)


def descriptor(path: Path) -> int | None:
    """N if the path leads to this process's /proc/self/fd/N, as /dev/stdout and /dev/fd/N do; else None."""
    for _ in range(40):  # as many links as Linux follows
        folder = os.path.realpath(path.parent)
        if found := re.fullmatch(rf"/proc/(?:{os.getpid()})(?:/task/\d+)?/fd/(\d+)", f"{folder}/{path.name}"):
            return int(found[1])
        if not path.is_symlink():
            return None
        path = Path(folder, path.readlink())
    return None


def open_through(path: Path) -> io.BufferedWriter:
    """A pipe or device, neither made nor cut; a descriptor of this process as it is open, at its place in the file."""
    number = descriptor(path)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_NOCTTY) if number is None else os.dup(number), "wb")


@contextmanager
def replace_file(path: str | Path, durable: bool) -> Iterator[io.BufferedWriter]:
    """A temporary file beside the final one, which replaces it if the block succeeds and is removed if not."""
    final, found = final_path(path), status(path)
    remove_stale_parts(final.parent)
    part, number = make_part(final, 0o666 if found is None else stat.S_IMODE(found.st_mode))
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            if found is not None:
                with suppress(OSError):  # without the right to change the owner, the file keeps the new one
                    os.fchown(number, found.st_uid, found.st_gid)
                os.fchmod(number, stat.S_IMODE(found.st_mode))
            if durable:
                sync(number)
            part.replace(final)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def make_part(final: Path, mode: int) -> tuple[Path, int]:
    """A new, locked file beside the final one, and its descriptor. `mode` is cut down by the umask."""
    start = os.fsdecode(os.fsencode(final.name)[:MAX_NAME])
    while True:
        part = final.with_name(f".{start}.{secrets.token_hex(4)}{PART_SUFFIX}")
        try:
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode | stat.S_IWUSR)
        except FileExistsError:
            continue
        lock(number, wait=True)  # for a process that found it before it was locked, and is removing it as a stale one
        if os.fstat(number).st_nlink:
            return part, number
        os.close(number)


def remove_stale_parts(folder: Path) -> None:
    """Remove the temporary files of killed processes: those that no process has locked."""
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name[:1] == "." and entry.name.endswith(PART_SUFFIX)]
        for name in names:
            with suppress(OSError):
                number = os.open(folder / name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if stat.S_ISREG(os.fstat(number).st_mode) and lock(number, wait=False):
                        (folder / name).unlink()
                finally:
                    os.close(number)


def lock(number: int, wait: bool) -> bool:
    """Lock an open file for as long as it is open. False if the file system has no locks, or another process has it."""
    try:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def sync(number: int) -> None:
    """Wait until the disk has the file; where a file system has no such thing, there is nothing to wait for."""
    try:
        os.fsync(number)
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
