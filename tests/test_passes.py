"""tests/passes/PASS.net holds cases for the pass PASS: a net before, `---`, what comes of it; `====` between cases.

A new case is a comment on what it shows and a net; `pytest tests/test_passes.py --bless` writes the rest, to be read
before it is committed: what the pass said (`# did`, `# declined`, `# refused`), and the net that it made. A case may
begin with `# target: NAME`. Names of kernels stand there as `conv_relu_*`: their hashes are of texts that stand there
too. Each case proves besides that

- the pass, run again, changes nothing more, and its net reads back;
- both nets give the same numbers on random inputs and, where the case leaves them out, random weights;
- a memory plan for the net after it gives those numbers too, run between poisoned bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet

from cortado import passes
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Constant, Value
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.poison import run_poisoned
from cortado.compiler.reference import evaluate
from cortado.compiler.target import Target
from cortado.compiler.targets import target
from cortado.compiler.text import parse_planned, show
from cortado.compiler.text.weights import weights_by_handle
from cortado.compiler.types import DTYPES
from cortado.passes import Context
from cortado.passes.plan_memory import plan_memory

FOLDER = Path(__file__).with_name("passes")
CASE_SEPARATOR, RESULT_SEPARATOR = "\n====\n", "\n---\n"


def cases() -> Iterator[ParameterSet]:
    for path in sorted(FOLDER.glob("*.net")):
        for i, case in enumerate(path.read_text("utf-8").split(CASE_SEPARATOR)):
            first = next((l for l in case.split("\n") if l.startswith("#") and "target:" not in l), str(i))
            words = re.findall(r"\w+", first)
            yield pytest.param(path, i, id=f"{path.stem}-{i}-{'_'.join(words[:7])}")


@pytest.mark.parametrize(("path", "i"), [*cases()])
def test_case(path: Path, i: int, request: pytest.FixtureRequest) -> None:
    written = path.read_text("utf-8").split(CASE_SEPARATOR)
    before, _, expected = written[i].partition(RESULT_SEPARATOR)
    planned = parse_planned(before, path.name)
    printed, after = outcome(planned, path.stem, before)
    if request.config.getoption("--bless"):
        written[i] = f"{before.rstrip()}\n{RESULT_SEPARATOR.lstrip()}{without_hashes(printed)}"
        path.write_text(CASE_SEPARATOR.join(written), "utf-8")
    else:
        assert without_hashes(printed).strip() == expected.strip()
    if after is None:
        return
    weights = weights_by_handle(planned.graph, after.graph)
    assert show(*parse_planned(show(*after), path.name, weights)) == show(*after)
    assert show(*apply(after, path.stem, before)[0]) == show(*after), "run again, the pass changes more"
    assert_same_numbers(planned, path.stem, before)


def without_hashes(text: str) -> str:
    """Kernels as `conv_relu_*`: their names are hashes of texts that stand there too."""
    return re.sub(r"\b((?:[a-z]\w*_)+)[0-9a-f]{12}\b", r"\1*", text)


def test_every_pass_has_cases() -> None:
    assert {p.stem for p in FOLDER.glob("*.net")} == {p.__name__ for p in passes.PIPELINE}


def outcome(planned: PlannedGraph, name: str, text: str) -> tuple[str, PlannedGraph | None]:
    """What a pass says and makes, as it is printed in a case; a refusal is its sentence alone."""
    try:
        after, context = apply(planned, name, text)
    except CompileError as e:
        return f"# refused: {e.message}\n", None
    notes = [f"# {'did' if n.done else 'declined'}: {n.value} {n.sentence}\n" for n in context.notes]
    return "".join(notes) + show(*after), after


def apply(planned: PlannedGraph, name: str, text: str) -> tuple[PlannedGraph, Context]:
    asked = re.search(r"^# target: (\S+)$", text, re.MULTILINE)
    chosen = Target() if asked and asked[1] == Target.name else target(asked[1] if asked else "onednn")
    context = Context(chosen)
    return passes.apply(getattr(passes, name), planned, context), context


def assert_same_numbers(planned: PlannedGraph, name: str, text: str) -> None:
    torch.manual_seed(1)
    graph, bound = planned.graph, fill_weights(planned)
    after, plan = apply(bound, name, text)[0]
    inputs = [torch.randn(v.type.bounds).to(DTYPES[v.type.dtype]) for v in graph.inputs]
    expected = evaluate(bound.graph, *inputs)
    given = [x.to(DTYPES[v.type.dtype]) for x, v in zip(inputs, after.inputs, strict=True)]
    runs = [evaluate(after, *given)]
    if all(v.type.is_static for v in after.values.values()):
        runs.append(run_poisoned(passes.run(after, Context(), (plan_memory,), plan=plan), *given))
    assert [name for name, _ in after.returns] == [name for name, _ in graph.returns]
    for run in runs:
        for a, b in zip(expected, run, strict=True):
            near = 1e-5 if a.dtype == b.dtype else 1e-2  # a pass may keep numbers in fewer bits
            torch.testing.assert_close(a, b.to(a.dtype), rtol=near, atol=near, equal_nan=True)


def fill_weights(planned: PlannedGraph) -> PlannedGraph:
    """The net with random numbers, all positive, for the weights that it only declares."""
    graph, plan = planned
    now: dict[Value, Value] = {
        c: Constant(c.name, c.type, data=torch.rand(c.type.shape) + 0.25) for c in graph.constants if not c.is_bound
    }
    nodes = tuple(replace(n, inputs=tuple(now.get(v, v) for v in n.inputs)) for n in graph.nodes)
    returns = tuple((name, now.get(v, v)) for name, v in graph.returns)
    return PlannedGraph(replace(graph, nodes=nodes, returns=returns), plan)
