"""The one writer of files: what is there is replaced whole or left, whatever kind it is of, and never an input."""

from __future__ import annotations

import io
import os
import resource
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortado.runtime import output
from cortado.runtime.output import OutputError, check_output, open_output, refuse_twice, write_file

from .shared import ROOT


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def refusal(path: Path | str, *inputs: Path | str) -> str:
    with pytest.raises(OutputError) as caught:
        write_file(path, "new", inputs)
    said = str(caught.value)
    assert said.startswith(f"{path} cannot be written: ") and said.endswith(".")
    return said


@pytest.mark.usefixtures("narrow_umask")
def test_a_plain_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_file(path, "größer")
    assert path.read_bytes() == "größer".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640, "the umask counts"
    path.chmod(0o604)
    before = path.stat().st_ino
    write_file(path, b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o604)
    assert path.stat().st_ino != before, "whoever has the old file mapped keeps it"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_what_raises_leaves_what_was_there(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def write_half(path: Path, error: type[BaseException]) -> None:
    with open_output(path) as file:
        file.write(b"half")
        raise error("no more")


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "far"
    folder.mkdir()
    (tmp_path / "link").symlink_to("middle")
    (tmp_path / "middle").symlink_to(Path("far", "file"))
    for content in ("made where the link leads", "replaced there"):
        write_file(tmp_path / "link", content)
        assert (folder / "file").read_text() == content
        assert (tmp_path / "link").is_symlink() and (tmp_path / "middle").is_symlink()
    assert len(list(folder.iterdir())) == 1 and len(list(tmp_path.iterdir())) == 3
    (tmp_path / "circle").symlink_to("circle")
    assert "links" in refusal(tmp_path / "circle")
    (tmp_path / "away").symlink_to("none/file")
    assert f"there is no folder {tmp_path / 'none'}" in refusal(tmp_path / "away")


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    path, found = tmp_path / "pipe", list[bytes]()
    os.mkfifo(path)
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
        reader.start()
        write_file(tmp_path / name, bytes(200_000))
        reader.join()
    assert found == [bytes(200_000)] * 2 and path.is_fifo() and len(list(tmp_path.iterdir())) == 2


def test_a_character_device_is_written_through(tmp_path: Path) -> None:
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        null.write_text("a device that works")
    except PermissionError:
        pytest.skip("only an administrator makes devices")
    write_file(null, "gone", inputs=[null])
    assert null.is_char_device() and list(tmp_path.iterdir()) == [null]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's names of open files")
def test_an_open_descriptor_is_written_to_where_it_stands(tmp_path: Path) -> None:
    """As `-o /dev/stdout > FILE` and `-o >(command)` do."""
    path = tmp_path / "x"
    with path.open("wb", buffering=0) as file:
        file.write(b"before, ")
        write_file(f"/proc/self/fd/{file.fileno()}", "between, ")
        file.write(b"after")
    assert path.read_bytes() == b"before, between, after" and list(tmp_path.iterdir()) == [path]
    reading, writing = os.pipe()
    write_file(f"/proc/{os.getpid()}/fd/{writing}", "through")
    assert os.read(reading, 100) == b"through"
    os.close(reading)
    assert "Broken pipe" in refusal(f"/proc/self/fd/{writing}")
    os.close(writing)


def test_what_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o444)
    assert f"it is read-only. Give another path, or allow it: chmod u+w {path}." in refusal(path)
    assert "it is a folder" in refusal(tmp_path) and "name of a folder" in refusal(f"{tmp_path}/new/")
    assert f"there is no folder {tmp_path}/a b. Make it first (mkdir -p '{tmp_path}/a b')" in refusal(
        tmp_path / "a b/x"
    )
    assert f"{path} is a file, and no folder" in refusal(path / "x")
    assert "too long" in refusal(tmp_path / ("x" * 300))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        assert "it is a socket" in refusal(tmp_path / "socket")
    assert path.read_text() == "old" and {p.name for p in tmp_path.iterdir()} == {"x", "socket"}


@pytest.mark.skipif(os.getuid() == 0, reason="an administrator may write to any folder")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    assert f"the folder {tmp_path} is not writable" in refusal(tmp_path / "x")
    tmp_path.chmod(0o755)


SPELLINGS = ["as it is", "relative", "by a detour", "symbolic link", "hard link", "link to its folder"]


def spell(path: Path, kind: str) -> Path:
    """Another name of a file."""
    other = path.parent / "another name"
    match kind:
        case "relative":
            return Path(os.path.relpath(path))
        case "by a detour":
            return path.parent / ".." / path.parent.name / path.name
        case "symbolic link":
            other.symlink_to(path.name)
            return other
        case "hard link":
            other.hardlink_to(path)
            return other
        case "link to its folder":
            other.symlink_to(".")
            return other / path.name
    return path


@pytest.mark.parametrize("kind", SPELLINGS)
def test_an_input_is_not_written_over(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    assert "it is " in refusal(spell(path, kind), tmp_path / "none", path)
    assert path.read_text() == "old"
    write_file(tmp_path / "y", "new", inputs=[path])


def test_two_outputs_have_two_places(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x")
    refuse_twice([tmp_path / "x", tmp_path / "y"])
    for other in (tmp_path / "x", tmp_path / "link", Path(os.path.relpath(tmp_path / "x"))):
        with pytest.raises(OutputError, match="two outputs would be written there"):
            refuse_twice([tmp_path / "x", other])
    check_output(tmp_path / "x", [tmp_path / "link"])  # nothing is there yet, so nothing can be lost


def test_parts_of_killed_processes_are_removed_and_others_are_not(tmp_path: Path) -> None:
    stale = tmp_path / f".x.0{output.PART_SUFFIX}"
    stale.write_bytes(b"half")
    (tmp_path / "kept").mkdir()
    with open_output(tmp_path / "x") as one:
        one.write(b"one")
        (part,) = [p for p in tmp_path.iterdir() if p.name.endswith(output.PART_SUFFIX)]
        assert part != stale
        write_file(tmp_path / "y", "another, meanwhile")
        assert part.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept", "x", "y"]
    assert (tmp_path / "x").read_bytes() == b"one"


def test_threads_that_write_one_file_leave_one_of_theirs(tmp_path: Path) -> None:
    path, contents = tmp_path / "x", [bytes([i]) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=write_file, args=(path, content)) for content in contents * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents and list(tmp_path.iterdir()) == [path]


def test_a_part_that_another_process_is_removing_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another write may find a new part before its writer has locked it, and take it for one that was left."""
    fcntl, make, removers = pytest.importorskip("fcntl"), os.open, list[threading.Timer]()

    def remove(path: Path, number: int) -> None:
        path.unlink()
        os.close(number)

    def open_and_be_found(path: Path, flags: int, mode: int = 0o777) -> int:
        number = make(path, flags, mode)
        if flags & os.O_EXCL and not removers:
            found = make(path, os.O_RDWR)
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            removers.append(threading.Timer(0.1, remove, (path, found)))
            removers[0].start()
        return number

    monkeypatch.setattr(os, "open", open_and_be_found)
    write_file(tmp_path / "x", "whole")
    removers[0].join()
    assert (tmp_path / "x").read_text() == "whole" and list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_name_may_be_as_long_as_the_system_has_them(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    write_file(path, "long")
    assert path.read_text() == "long" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """A limit on the size of files is the portable way to have one."""
    path = tmp_path / "x"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written: File too large"):
            write_file(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


FULL = """
mount -t tmpfs -o size=64k none "$1" || exit 42
echo old > "$1/x"
"$2" -c '
import sys
sys.path.insert(0, sys.argv[2])
from cortado.runtime.output import write_file
try:
    write_file(sys.argv[1] + "/x", bytes(1_000_000))
except OSError as e:
    print(e)
' "$1" "$3"
ls -A "$1"
cat "$1/x"
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A file system of 64 kB in a mount namespace of its own."""
    words = ["unshare", "-m", "sh", "-c", FULL, "sh", str(tmp_path), sys.executable, str(ROOT / ".src")]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode == 42 or "unshare" in done.stderr:
        pytest.skip("only an administrator mounts")
    assert done.stdout.splitlines() == [
        f"{tmp_path}/x cannot be written: No space left on device. Give another path.", "x", "old",
    ]  # fmt: skip


def test_the_stream_is_written_from_front_to_back(tmp_path: Path) -> None:
    """So that a file gets the bytes that a pipe gets."""
    with open_output(tmp_path / "x") as file:
        assert file.writable() and not file.seekable() and not file.readable()
        with pytest.raises(io.UnsupportedOperation):
            file.tell()
        file.write(memoryview(b"abc"))
