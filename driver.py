"""From files to a compiled net: the one place where frontends, passes, build and runtime meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from . import passes as all_passes
from .compiler.build import build
from .compiler.errors import CompileError
from .compiler.ir import Graph
from .compiler.rewrite import retyped
from .compiler.targets import target as target_named
from .compiler.text import parse
from .compiler.types import AtMost, Dim, TensorType
from .frontends.caffe import net as caffe_net
from .frontends.caffe.rules import State
from .frontends.caffe.weights import Fill, source
from .frontends.caffemodel import Weights
from .frontends.prototxt import read as read_prototxt
from .passes import PIPELINE, REQUIRED, WITHOUT_SHAPES, Context, Note, Pass
from .runtime.artifact import Artifact, Preprocessing, read, write
from .runtime.net import Net
from .version import VERSION

Seen = Callable[[str, Graph], None]


@dataclass
class Report:
    """What a compilation did: the graph after each pass, what the passes noted, warnings, seconds by stage."""

    stages: dict[str, Graph] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How to read and compile a net; see `cortado.compile`."""

    target: str = "cpu"
    shapes: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    optimize: bool = True
    phase: str = "TEST"
    level: int = 0
    stages: Sequence[str] = ()
    lenient: bool = False

    @property
    def passes(self) -> tuple[Pass, ...]:
        return PIPELINE if self.optimize else REQUIRED


def compile(
    prototxt: str | Path,
    caffemodel: str | Path | Fill | Weights | None = None,
    target: str = "cpu",
    *,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    outputs: Sequence[str] = (),
    optimize: bool = True,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    lenient: bool = False,
    preprocessing: Mapping[str, Preprocessing] | None = None,
    report: Report | None = None,
) -> Net:
    """A Caffe net, or one in cortado's own language, compiled and loaded: `compile(p, c)(data=x)["prob"]`.

    `prototxt` is a path: a Caffe net or, if it ends with .net, one in the language. `caffemodel` is the path of its
    weights, or a function (layer, type, index, shape) -> array. `shapes` replace those of the inputs
    (`"?8"`: at most 8). `outputs` are the blobs to return (default: those that no layer reads). `optimize=False` runs
    only the passes that a net cannot run without. `phase`, `level` and `stages` choose layers by their rules. `lenient`
    passes over fields that Caffe does not have. What happened is written to `report`.

    CompileError tells everything that is wrong with the files, with places and advice.
    """
    options = Options(target, shapes or {}, tuple(outputs), optimize, phase, level, tuple(stages), lenient)
    artifact = compiled(Path(prototxt), caffemodel, options, report or Report(), preprocessing or {})
    return Net.from_artifact(artifact, compile=recompile)


def load(path: str | Path, *, layers: Mapping[str, Any] | None = None, threads: int | None = None) -> Net:
    """A compiled file, ready to run; input shapes that it does not hold are compiled when they are met."""
    return Net.from_artifact(read(path), compile=recompile, layers=layers, threads=threads)


def compiled(
    prototxt: Path,
    weights: str | Path | Fill | Weights | None,
    options: Options,
    report: Report,
    preprocessing: Mapping[str, Preprocessing],
) -> Artifact:
    graph = read_net(prototxt, weights, options, report)
    artifact = lowered(graph, options, report)
    return replace(artifact, preprocessing=dict(preprocessing))


def read_net(path: Path, weights: str | Path | Fill | Weights | None, options: Options, report: Report) -> Graph:
    """The graph of a net's files, before any pass."""
    start = perf_counter()
    shapes = {name: dims(shape) for name, shape in options.shapes.items()}
    if path.suffix == ".net":
        graph = read_language(path, shapes)
    else:
        message = read_prototxt(path)
        state = State(options.phase, options.level, frozenset(options.stages))
        graph = caffe_net.graph(
            message,
            source(weights),
            state=state,
            shapes=shapes,
            outputs=options.outputs,
            lenient=options.lenient,
            warn=report.warnings.append,
        )
    report.seconds["read"] = perf_counter() - start
    report.stages["read"] = graph
    return graph


def read_language(path: Path, shapes: Mapping[str, tuple[Dim, ...]]) -> Graph:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise CompileError(f"{path}: {e}", advice="Give the path of a net in cortado's language.") from None
    graph = parse(text, str(path))
    return reshaped(graph, shapes) if shapes else graph


def lowered(graph: Graph, options: Options, report: Report) -> Artifact:
    """Passes and build. `source` is the net as the passes that look at no shape leave it."""
    context = Context(target_named(options.target), report.notes)
    kept = {"source": graph}

    def seen(name: str, after: Graph) -> None:
        report.stages[name] = after
        report.seconds[name] = perf_counter() - clock[0]
        clock[0] = perf_counter()
        if options.optimize and list(report.stages)[-1] == PIPELINE[WITHOUT_SHAPES - 1].__name__:
            kept["source"] = after

    clock = [perf_counter()]
    final = all_passes.run(graph, context, options.passes, seen)
    artifact = build(final, kept["source"], options.target, versions())
    report.seconds["build"] = perf_counter() - clock[0]
    return artifact


def recompile(
    source: str, shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, Tensor], target: str
) -> Artifact:
    """The net of an artifact for other input shapes: how the runtime asks the compiler, through the face."""
    try:
        graph = reshaped(parse(source, "source.net", weights), shapes)
    except CompileError as e:
        raise ValueError(f"the net cannot take {describe(shapes)}: {e.message}") from None
    return lowered(graph, Options(target=target), Report())


def reshaped(graph: Graph, shapes: Mapping[str, Sequence[Dim]]) -> Graph:
    types = {v.name: TensorType(v.type.dtype, tuple(shapes[v.name])) for v in graph.inputs if v.name in shapes}
    if unknown := [name for name in shapes if name not in types]:
        known = ", ".join(v.name for v in graph.inputs)
        raise CompileError(f'a shape is given for "{unknown[0]}", which is no input', advice=f"The inputs are {known}.")
    try:
        return retyped(graph, types)
    except ValueError as e:
        raise CompileError(f"{graph.name} cannot take {describe(shapes)}: {e}") from None


def describe(shapes: Mapping[str, Sequence[Dim]]) -> str:
    return ", ".join(f"{name} [{','.join(map(str, dims))}]" for name, dims in shapes.items())


def dims(shape: Sequence[int | str]) -> tuple[Dim, ...]:
    """Sizes as people write them: numbers, or "?8" for one that is known when the net runs, and at most 8."""
    return tuple(AtMost(int(d.lstrip("?"))) if isinstance(d, str) and d.startswith("?") else int(d) for d in shape)


def versions() -> dict[str, str]:
    return {"cortado": VERSION, "torch": torch.__version__}


def save(net: Net, path: str | Path) -> None:
    """Write a compiled net to one file."""
    write(path, net.artifact)
