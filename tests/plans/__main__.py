"""`python -m tests.plans --plans 100000`: native plans with mistakes in them are refused, or run inside their memory.

Each number is a mutated plan, the same one each time. It has to end in an ArtifactError, or its C, built with
AddressSanitizer and UndefinedBehaviorSanitizer, has to run twice without a report: each step in an arena of which only
its operands and its result may be touched, and with blocks of exactly the size that the runtime gives it. One in WHOLE
of them also runs as the runtime compiles it: as one file, by the pool. Plans whose C and sizes are equal run once. Ends
with 1 on a finding.

With --record FILE it goes on where it stopped. `--only 4711` runs one, and prints what it is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BATCH = 2000
WHOLE = 400
MEMORY = 4 << 30  # bytes of address space above what a process has at its start
MOST_FINDINGS = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.plans", description="Mutated native plans.")
    parser.add_argument("--plans", type=int, default=100_000, help="run those up to this number (default 100000)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--record", type=Path, help="the file of results, updated after each batch")
    parser.add_argument("--only", type=int, action="append", help="the number of a plan")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cortado-plans-") as folder:
        return show(asked.only, Path(folder)) if asked.only else run_all(asked, Path(folder))


def run_all(asked: argparse.Namespace, folder: Path) -> int:
    from .examine import examine
    from .run import Runner

    record = read_record(asked.record)
    runner, seen, start = Runner(folder, asked.jobs), set[str](), perf_counter() - record["seconds"]
    before = record["functions in C"]
    kinds, refusals = Counter(record["bases"]), Counter(record["refusals"])
    with multiprocessing.get_context("fork").Pool(asked.jobs, initializer=limit_memory) as pool:
        while (first := record["plans"]) < asked.plans:
            numbers = range(first, min(first + BATCH, asked.plans))
            found = pool.map(partial(examine_some, examine=examine), numbers, chunksize=50)
            batch, faults = [], {e.number: e.fault for e in found if e.fault}
            for e in found:
                record["refused"] += bool(e.refusal)
                record["too large to run"] += not (e.refusal or e.fault or e.job)
                if e.refusal:
                    refusals[shorten(e.refusal)] += 1
                elif e.job:
                    key = sha256(e.job.split("\n", 1)[1].encode() + e.job.split()[2].encode()).hexdigest()
                    record["equal to an earlier one"] += key in seen
                    if key not in seen or e.whole:
                        seen.add(key)
                        batch.append(e)
                        kinds["random nets" if e.base.startswith("random") else e.base] += 1
            faults |= runner.run(batch)
            record["run"] += len(batch)
            record["run whole"] += sum(bool(e.whole) for e in batch)
            record["functions in C"] = before + len(runner.functions)
            record["findings"] += [f"{n}: {text}" for n, text in sorted(faults.items())]
            record |= {"plans": numbers.stop, "seconds": round(perf_counter() - start)}
            record |= {"bases": dict(sorted(kinds.items())), "refusals": dict(refusals.most_common(60))}
            write_record(asked.record, record)
            print(*(f"{k} {v}" for k, v in record.items() if isinstance(v, int)), len(record["findings"]), flush=True)
            for n, text in sorted(faults.items()):
                print(f"    {n}: {text[-600:]}", flush=True)
            if len(record["findings"]) > MOST_FINDINGS:
                break
    return int(bool(record["findings"]))


def examine_some(number: int, examine: Any) -> Any:
    return examine(number, whole=number % WHOLE == 0)


def limit_memory() -> None:
    """A huge allocation becomes a MemoryError, which is a finding."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def shorten(refusal: str) -> str:
    """What kinds of refusals there are: without names and numbers."""
    words = refusal.split(": ", 1)[-1].split()
    return " ".join("#" if any(c in "0123456789'[]{}" for c in word) else word for word in words)[:90]


def read_record(path: Path | None) -> dict[str, Any]:
    if path and path.exists():
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found
    counts = ("plans", "refused", "equal to an earlier one", "run", "run whole", "too large to run", "functions in C")
    what = "mutated native plans; python -m tests.plans goes on with it"
    return {"what": what, **dict.fromkeys(counts, 0), "seconds": 0, "bases": {}, "refusals": {}, "findings": []}


def write_record(path: Path | None, record: dict[str, Any]) -> None:
    if path is None:
        return
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"commit": done.stdout.strip(), **record}, indent=1) + "\n", "utf-8")
    temporary.replace(path)


def show(numbers: list[int], folder: Path) -> int:
    """Run some plans one by one; print the differences from what was mutated, and what happens."""
    from .bases import base
    from .examine import examine, mutant
    from .run import Runner

    runner, failed = Runner(folder, 1), False
    for number in numbers:
        name, artifact = mutant(number)
        before = base(name).plan
        print(f"{number}, {name}:")
        for field in ("arena", "inputs", "slots", "weights", "steps"):
            a, b = getattr(before, field), getattr(artifact.plan, field)
            if field == "steps":
                a, b = ({f"step {i}": step for i, step in enumerate(steps)} for steps in (a, b))
            if isinstance(a, dict):
                for key in sorted({*a, *b}):
                    if a.get(key) != b.get(key):
                        print(f"  {key}: {a.get(key)}\n    -> {b.get(key)}")
            elif a != b:
                print(f"  {field}: {a}\n    -> {b}")
        found = examine(number, whole=True)
        faults = {number: found.fault} if found.fault else runner.run([found])
        print(found.refusal or faults.get(number) or ("clean" if found.job else "too large to run"))
        failed |= bool(faults)
    return int(failed)


if __name__ == "__main__":
    if "cortado" not in sys.modules:
        sys.path.insert(0, str(ROOT / ".src"))
    import torch

    torch.set_num_threads(1)
    sys.exit(main())
