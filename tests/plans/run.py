"""Compiles the C functions of mutated plans with sanitizers, and lets the driver run the plans."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from cortado.runtime.native.build import FLAGS, find_compiler
from cortado.runtime.native.machine import MACHINES
from cortado.runtime.native.source import TEMPLATES, template

from .examine import Examined

DRIVER = Path(__file__).with_name("driver.c")
CHECKS = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-fno-omit-frame-pointer")
COMPILE = tuple(flag for flag in FLAGS if not flag.startswith("-O") and flag != "-fvisibility=hidden")
IN_A_LIBRARY = 40  # functions
SECONDS = 20  # that a plan may take to run
ALL_SECONDS = 1800  # that a compiler may take for a library, and the driver for a batch
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
REPORT = re.compile(r"ERROR|runtime error|driver:")
HEAD = """#define V {vector}
#define SCRATCH 1
#define OPERANDS 1
"""
OWN_SCRATCH = """extern float *plans_scratch;
#define thread_scratch() plans_scratch
"""
ROLLED = """#undef UNROLL
#define UNROLL
"""


class Runner:
    """Keeps what it compiles in a folder. `functions` are those compiled so far, by name the vectors' width."""

    def __init__(self, folder: Path, jobs: int, seconds: int = SECONDS) -> None:
        self.folder, self.jobs, self.seconds = folder, jobs, seconds
        self.functions = set[str]()
        self.libraries, self.numbers = list[Path](), count()
        folder.mkdir(parents=True, exist_ok=True)
        self.driver = folder / "driver"
        self.compile([*CHECKS, str(DRIVER), "-rdynamic", "-o", str(self.driver), "-ldl", "-pthread", "-lm"])

    def compile(self, words: Sequence[str]) -> str:
        """Run the C compiler; its first error, or ""."""
        try:
            command = [*find_compiler(), *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=ALL_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the compiler took more than {ALL_SECONDS} s"
        wrong = [line for line in done.stderr.splitlines() if "error" in line]
        return "" if not done.returncode else (wrong or [done.stderr[:300]])[0]

    def run(self, batch: Sequence[Examined]) -> dict[int, str]:
        """Run the jobs of a batch. What went wrong, by number of the plan."""
        faults = self.add_functions(batch)
        whole = [e for e in batch if e.source]
        with ThreadPoolExecutor(self.jobs) as pool:
            errors = list(pool.map(self.compile_whole, whole))
        faults |= {e.number: error for e, error in zip(whole, errors, strict=True) if error}
        jobs = {e.number: e.job for e in batch if e.job and e.number not in faults}
        faults |= self.drive(jobs)
        faults |= self.drive({e.number: self.whole_job(e) for e in whole if e.number not in faults})
        for e in whole:
            self.whole_library(e).unlink(missing_ok=True)
        return faults

    def add_functions(self, batch: Iterable[Examined]) -> dict[int, str]:
        """Compile the functions that are new. What the compiler refuses is a fault of the plans that have it."""
        new = dict[int, dict[str, tuple[str, tuple[str, ...]]]]()
        for e in batch:
            for name, text in (e.functions or {}).items():
                if name not in self.functions:
                    new.setdefault(e.vector, {})[name] = text
        parts = [
            (vector, dict(list(texts.items())[i : i + IN_A_LIBRARY]))
            for vector, texts in new.items()
            for i in range(0, len(texts), IN_A_LIBRARY)
        ]
        with ThreadPoolExecutor(self.jobs) as pool:
            errors = list(pool.map(lambda part: self.compile_functions(*part), parts))
        for (vector, texts), error in zip(parts, errors, strict=True):
            if not error:
                self.functions.update(texts)
                continue
            for name, text in texts.items():  # one by one: which is it?
                if not (wrong := self.compile_functions(vector, {name: text})):
                    self.functions.add(name)
                else:
                    (self.folder / f"{name}.txt").write_text(f"{wrong}\n")
        return {
            e.number: f"the compiler refuses {missing[0]}: {self.error_of(missing[0])}"
            for e in batch
            if (missing := sorted((e.functions or {}).keys() - self.functions))
        }

    def error_of(self, name: str) -> str:
        path = self.folder / f"{name}.txt"
        return path.read_text().strip() if path.exists() else ""

    def compile_functions(self, vector: int, texts: Mapping[str, tuple[str, tuple[str, ...]]]) -> str:
        """A library of these functions; the compiler's error, or ""."""
        machine = next(m for m in MACHINES.values() if m.vector == vector and m.name != "neon")
        path = self.folder / f"functions{next(self.numbers)}.c"
        helpers = dict.fromkeys(h for _, called in texts.values() for h in called)
        path.write_text("\n".join([write_head(vector), *helpers, *(body for body, _ in texts.values())]))
        library = path.with_suffix(".so")
        error = self.compile([*COMPILE, *CHECKS, *machine.flags, str(path), "-o", str(library), "-lm"])
        if not error:
            self.libraries.append(library)
        return error

    def whole_library(self, e: Examined) -> Path:
        return self.folder / f"whole{e.number}.so"

    def compile_whole(self, e: Examined) -> str:
        machine = next(m for m in MACHINES.values() if m.vector == e.vector and m.name != "neon")
        path = self.whole_library(e).with_suffix(".c")
        path.write_text(e.source)
        error = self.compile([*COMPILE, *CHECKS, *machine.flags, str(path), "-o", str(path.with_suffix(".so")), "-lm"])
        if not error:
            path.unlink()
        return error

    def whole_job(self, e: Examined) -> str:
        return e.whole.replace("@", str(self.whole_library(e)), 1)

    def drive(self, jobs: Mapping[int, str]) -> dict[int, str]:
        """Run jobs in one process, and after one that ends early, those behind it in another. Reports by number."""
        left, faults = dict(jobs), dict[int, str]()
        while left:
            words, given = [str(self.driver), str(self.seconds), *map(str, self.libraries)], "".join(left.values())
            try:
                done = subprocess.run(
                    words, input=given, capture_output=True, text=True, timeout=ALL_SECONDS, env=os.environ | OPTIONS
                )
                out, report, code = done.stdout, done.stderr, done.returncode
            except subprocess.TimeoutExpired as late:
                out, report, code = str(late.stdout or b"", "utf-8"), "", -1
            lines = out.split()
            if lines and lines[-1] == "done" and not report:
                return faults
            at = int(lines[-1]) if lines and lines[-1] != "done" else next(iter(left))
            faults[at] = summary(report, code)
            numbers = list(left)
            left = {n: left[n] for n in numbers[numbers.index(at) + 1 :]}
        return faults


def summary(report: str, code: int) -> str:
    """The lines of a report that say what happened and where."""
    lines = report.splitlines()
    what = next((line for line in lines if REPORT.search(line)), f"it ended with {code}, {report[:200]!r}")
    where = [line.strip() for line in lines if line.strip().startswith("#")][:4]
    return " | ".join([what, *where])


def write_head(vector: int) -> str:
    """The templates, with the loops left as they are: the compiler is many times faster, and they do the same."""
    texts = [HEAD.format(vector=vector)]
    for name in TEMPLATES:
        texts.append(template(name))
        texts += [ROLLED] * (name == "vector.h") + [OWN_SCRATCH] * (name == "net.h")
    return "\n".join(texts)
