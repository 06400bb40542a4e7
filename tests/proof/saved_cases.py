"""Nets that failed once, reduced and saved as text with their trial; they are tests from then on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from cortado.compiler.plan import PlannedGraph
from cortado.compiler.text import parse_planned, show

from .trial import Failure, NetUnderTrial, Trial

CASES = Path(__file__).with_name("cases")


def save_case(planned: PlannedGraph, trial: Trial, failure: Failure, origin: str, folder: Path = CASES) -> Path:
    """Write a case as NAME.net, with its failure and the command to reproduce it. Returns the path."""
    name = f"{failure.kind}_{failure.after.partition(',')[0] or 'reading'}_{origin}".replace(" ", "_")
    path = folder / f"{name}.net"
    flags = "".join(
        f"# {flag}\n" for flag, on in (("run", trial.run), ("again", trial.again), ("special", trial.special)) if on
    )
    path.write_text(
        f"# {origin}, shrunk: {failure.sentence.splitlines()[0][:100]}\n"
        f"# python -m tests.proof --case {shlex.quote(path.stem)}\n"
        f"# target: {trial.target}\n# passes: {', '.join(trial.passes)}\n{flags}{show(*planned)}",
        "utf-8",
    )
    return path


def replay_case(path: Path) -> Failure | None:
    """Run a saved case. Returns its failure, or None."""
    text = path.read_text("utf-8")
    given = dict(re.findall(r"^# (target|passes): (.*)$", text, re.MULTILINE))
    flags = set(re.findall(r"^# (run|again|special)$", text, re.MULTILINE))
    passes = tuple(name.strip() for name in given["passes"].split(",") if name.strip())
    trial = Trial(given["target"], passes, run="run" in flags, again="again" in flags, special="special" in flags)
    return NetUnderTrial(parse_planned(text, path.name)).find_failure(trial)
