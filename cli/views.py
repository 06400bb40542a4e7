"""The views of `cortado show`, each as text and as JSON."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from ..compilation import Stages
from ..compiler.dot import dot
from ..compiler.errors import CompileError
from ..compiler.plan import PlannedGraph
from ..compiler.text import show as text_of
from ..compiler.text.weights import dump
from ..passes import Note, pipeline, select
from ..runtime.artifact import Artifact, Preprocessing
from ..runtime.preprocessing import describe_preprocessing
from .files import report_write_errors
from .screen import print_columns
from .statistics import Statistics


@dataclass(frozen=True, slots=True)
class NetText:
    """The net in cortado's language."""

    planned: PlannedGraph
    stage: str
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return text_of(*self.planned)

    def json(self) -> Any:
        graph = self.planned.graph
        types = {
            "inputs": {v.name: str(v.type) for v in graph.inputs},
            "outputs": {name: str(v.type) for name, v in graph.returns},
        }
        forms = {name: asdict(form) for name, form in self.preprocessing.items()}
        return {"net": graph.name, "stage": self.stage, **types, "preprocessing": forms, "text": self.text}

    def print(self) -> None:
        click.echo(self.text, nl=False)
        print_preprocessing(self.preprocessing, {v.name: v.type.dims for v in self.planned.graph.inputs})


@dataclass(frozen=True, slots=True)
class Drawing:
    """The net as text for Graphviz."""

    net: str
    stage: str
    dot: str

    def json(self) -> Any:
        return asdict(self)

    def print(self) -> None:
        click.echo(self.dot, nl=False)


@dataclass(frozen=True, slots=True)
class ArtifactText:
    """The text of the net in a compiled file."""

    artifact: Artifact

    def json(self) -> Any:
        plan = self.artifact.plan
        forms = {name: asdict(form) for name, form in self.artifact.preprocessing.items()}
        found = {"net": plan.net, "target": plan.target, "arena": plan.arena}
        return found | {"preprocessing": forms, "text": self.artifact.net}

    def print(self) -> None:
        click.echo(self.artifact.net, nl=False)
        plan = self.artifact.plan
        print_preprocessing(self.artifact.preprocessing, {name: plan.slots[name].dims for name in plan.inputs})


def print_preprocessing(forms: Mapping[str, Preprocessing], dims: Mapping[str, Sequence[object]]) -> None:
    """The preprocessing of inputs of these dims, which is not part of the net's text."""
    for name, form in forms.items():
        click.echo(f'note: pictures for "{name}": {describe_preprocessing(form, dims[name])}', err=True)


@dataclass(frozen=True, slots=True)
class KernelSources:
    """The sources of the kernels, by name."""

    sources: Mapping[str, str]

    def json(self) -> Any:
        return dict(self.sources)

    def print(self) -> None:
        if not self.sources:
            click.echo("This net has no fused kernels.")
            return
        click.echo("\n".join(self.sources.values()), nl=False)


@dataclass(frozen=True, slots=True)
class TextDiff:
    """A unified diff of the texts before and after one pass."""

    name: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        lines = (self.before.splitlines(), self.after.splitlines())
        return "\n".join(difflib.unified_diff(*lines, f"before {self.name}", f"after {self.name}", lineterm=""))

    def json(self) -> Any:
        return {"pass": self.name, "before": self.before, "after": self.after, "diff": self.diff}

    def print(self) -> None:
        click.echo(self.diff or f"{self.name} changed nothing in this net.")


@dataclass(frozen=True, slots=True)
class PassNotes:
    """The notes of the passes: what they did, and what they declined and why."""

    notes: Sequence[Note]

    def json(self) -> Any:
        return [asdict(note) for note in self.notes]

    def print(self) -> None:
        if not self.notes:
            click.echo("No pass made a note about this net.")
            return
        print_columns(((n.rule, "did" if n.done else "did not", n.value, n.sentence) for n in self.notes), indent="")


@dataclass(frozen=True, slots=True)
class StatisticsView:
    """Sizes after each stage, and the costs of the net."""

    statistics: Statistics

    def json(self) -> Any:
        return self.statistics.json()

    def print(self) -> None:
        print_columns(self.statistics.rows(), indent="")
        click.echo("")
        print_columns(self.statistics.summary_rows(), indent="")


@dataclass(frozen=True, slots=True)
class StageFolder:
    """A file for each stage, and one for all weights."""

    folder: str
    stages: Mapping[str, PlannedGraph]
    inputs: Sequence[str | Path]

    def write(self) -> list[Path]:
        stages = {f"{i:02}_{name}": planned for i, (name, planned) in enumerate(self.stages.items())}
        with report_write_errors():
            return dump(Path(self.folder), stages, inputs=self.inputs)

    def json(self) -> Any:
        return [str(path) for path in self.write()]

    def print(self) -> None:
        for path in self.write():
            click.echo(path)


View = NetText | Drawing | ArtifactText | KernelSources | TextDiff | PassNotes | StatisticsView | StageFolder


def make_drawing(view: View) -> Drawing:
    """The Graphviz text of a NetText view."""
    assert isinstance(view, NetText)
    graph = view.planned.graph
    return Drawing(graph.name, view.stage, dot(graph))


def make_text_diff(name: str, stages: Stages) -> TextDiff:
    """The diff of one pass. CompileError if there is no pass of this name."""
    select([name])
    names = list(stages.by_name)
    i = names.index(name)
    return TextDiff(name, *(NetText(stages.by_name[n], n).text for n in (names[i - 1], name)))


def stage_before(name: str) -> str:
    """The stage before a pass: "read", or the pass before it. CompileError if there is no pass of this name."""
    if name == "read":
        raise CompileError("there is no stage before reading", advice="Use --after read.")
    (wanted,) = select([name])
    passes = pipeline()
    i = passes.index(wanted)
    return passes[i - 1].__name__ if i else "read"
