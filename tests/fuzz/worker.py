"""One reader under the fuzzer, in this process: `python -m tests.fuzz.worker READER FOLDER SECONDS INPUTS`.

It ends when the seconds are over, or, with INPUTS above 0, after so many.

Guided by coverage where atheris is installed; else by chance. Each sort of finding is kept once, in FOLDER/findings.
"""

from __future__ import annotations

import hashlib
import random
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import FrameType

from .start import seeds

try:
    import atheris
except ImportError:
    atheris = None
HAS_ATHERIS = atheris is not None

MAX_LENGTH = 16_384  # bytes of an input
MAX_CPU_SECONDS = 10  # for one input
MAX_MEMORY = 2 << 30  # bytes of address space above what the process has at its start


class Hangs(Exception):
    """An input took longer than MAX_CPU_SECONDS."""


def main() -> None:
    reader, folder, seconds, inputs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    corpus, found, first = folder / "corpus" / reader, folder / "findings" / reader, folder / "seeds" / reader
    for place in (corpus, found, first):
        place.mkdir(parents=True, exist_ok=True)
    names = [first / f"{number:05}" for number, _ in enumerate(seeds(reader))]
    for path, data in zip(names, seeds(reader), strict=True):
        path.write_bytes(data)
    listed = folder / f"{reader}.seeds"
    listed.write_text(",".join(map(str, names)))  # in this order: that of a folder is the file system's
    if atheris is None:
        readers = import_readers()
        limit()
        fuzz_by_chance(reader, seconds, inputs, guarded(reader, found, readers))
        return
    with atheris.instrument_imports(include=["cortado"]):
        readers = import_readers()
    from .mutations import MUTATORS

    limit()

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5 or not data:
            return bytes(atheris.Mutate(data, max_size))
        return MUTATORS[reader](data, rng)[:max_size]

    words = [sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}"]
    words += [
        f"-artifact_prefix={found}/",
        "-timeout=300",
        "-report_slow_units=300",
        "-rss_limit_mb=6000",
        "-print_final_stats=1",
        "-seed=1",
        f"-seed_inputs=@{listed}",
        *([f"-runs={inputs}"] if inputs else []),
    ]
    atheris.Setup(words, guarded(reader, found, readers), custom_mutator=mutate)
    atheris.Fuzz()


def import_readers() -> Callable[[str, bytes], BaseException | None]:
    from . import readers

    readers.target("onednn")  # loaded on first use, and here while imports are instrumented
    return readers.attempt


def limit() -> None:
    """A hang and a huge allocation become exceptions in Python, which are findings like others."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"longer than {MAX_CPU_SECONDS} s")

    signal.signal(signal.SIGPROF, stop)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_MEMORY, used + MAX_MEMORY))


def guarded(reader: str, found: Path, attempt: Callable[[str, bytes], BaseException | None]) -> Callable[[bytes], None]:
    """The reader as a function that never raises; the first input of each sort of finding is written to a file."""
    from .readers import category

    seen: set[str] = set()

    def run(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_PROF, MAX_CPU_SECONDS)
        try:
            error = attempt(reader, bytes(data))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if error is None:
            return
        sort = category(error)
        if sort not in seen:
            seen.add(sort)
            name = hashlib.sha256(sort.encode()).hexdigest()[:8]
            if not (found / name).exists():
                (found / name).write_bytes(data)
                (found / f"{name}.txt").write_text(f"{sort}\n{str(error)[:300]}\n", "utf-8", "replace")

    return run


def fuzz_by_chance(reader: str, seconds: int, inputs: int, run: Callable[[bytes], None]) -> None:
    """Mutations of the seeds, without coverage. The last line says how many."""
    from .mutations import MUTATORS

    start, rng, end, count = seeds(reader), random.Random(1), monotonic() + seconds, 0
    while monotonic() < end and not (inputs and count >= inputs):
        run(MUTATORS[reader](rng.choice(start), rng)[:MAX_LENGTH])
        count += 1
    print(f"stat::number_of_executed_units: {count}", file=sys.stderr)


if __name__ == "__main__":
    main()
