"""From files to a compiled net: the one place where frontends, passes, build and runtime meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from . import folding, reproducer
from . import passes as all_passes
from .compiler.build import build
from .compiler.errors import CompileError
from .compiler.ir import Graph
from .compiler.targets import target as target_named
from .compiler.text import parse
from .file_types import is_artifact
from .frontends.caffe.rules import State
from .passes import PIPELINE, REQUIRED, WITHOUT_SHAPES, Context, Note, Pass, PassFailed
from .reading import STDIN, WeightsGiven, read_caffe, read_language, read_source_of_artifact, reshape_inputs
from .registering import registered_layers
from .runtime.artifact import Artifact, Preprocessing, read, write
from .runtime.net import Net
from .version import VERSION


@dataclass
class Report:
    """What a compilation did: the graph after each pass, what the passes noted, warnings, seconds by stage.

    `layers` is how many the file has, in the state asked for; of a text in the language, how many operators.
    """

    layers: int = 0
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
    caffemodel: WeightsGiven = None,
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
    fold_preprocessing: bool = False,
    report: Report | None = None,
) -> Net:
    """A Caffe net, or one in cortado's own language, compiled and loaded: `compile(p, c)(data=x)["prob"]`.

    `prototxt` is a path: a Caffe net or, if it ends with .net, one in the language. `caffemodel` is the path of its
    weights (.caffemodel or .h5), or a function (layer, type, index, shape) -> array; of a .net, a safetensors file. A
    .caffemodel alone, given in place of the prototxt, is the net that its own settings tell; a compiled file in its
    place is compiled again, for another target, say, from the source that it keeps. `shapes` replace those
    of the inputs (`"?8"`: at most 8). `outputs` are the blobs to return (default: those that no layer reads).
    `optimize=False` runs only the passes that a net cannot run without. `phase`, `level` and `stages` choose layers by
    their rules. `lenient` passes over fields that Caffe does not have. `preprocessing` says by input how pictures
    become it, and is kept; with `fold_preprocessing` mean and scale go into the weights of the first layers, and the
    net takes pictures as they are (0..255): where that is not exact, it is refused. What happened is written to
    `report`.

    CompileError tells everything that is wrong with the files, with places and advice.
    """
    options = Options(target, shapes or {}, tuple(outputs), optimize, phase, level, tuple(stages), lenient)
    report = report or Report()
    if fold_preprocessing:
        artifact = compile_with_folding(
            read_net(Path(prototxt), caffemodel, options, report), options, report, preprocessing or {}
        )
    else:
        artifact = compile_files(Path(prototxt), caffemodel, options, report, preprocessing or {})
    return load_artifact(artifact, options)


def load_artifact(artifact: Artifact, options: Options) -> Net:
    """The net of an artifact; for other input shapes it is compiled with the same passes, or without them."""
    again = partial(recompile, optimize=options.optimize)
    return Net.from_artifact(artifact, compile=again, layers=registered_layers())


def load(path: str | Path, *, layers: Mapping[str, Any] | None = None, threads: int | None = None) -> Net:
    """A compiled file, ready to run; input shapes that it does not hold are compiled when they are met.

    `layers` are functions for the steps that the file leaves to the caller, beside those that are registered.
    """
    layers = registered_layers() | dict(layers or {})
    return Net.from_artifact(read(path), compile=recompile, layers=layers, threads=threads)


def compile_files(
    prototxt: Path,
    weights: WeightsGiven,
    options: Options,
    report: Report,
    preprocessing: Mapping[str, Preprocessing],
) -> Artifact:
    graph = read_net(prototxt, weights, options, report)
    artifact = lower_graph(graph, options, report)
    return (
        replace(artifact, preprocessing=dict(preprocessing))
        if preprocessing
        else keep_preprocessing(prototxt, artifact)
    )


def compile_with_folding(
    graph: Graph, options: Options, report: Report, preprocessing: Mapping[str, Preprocessing]
) -> Artifact:
    """The artifact of a net with mean and scale of its pictures in its weights. CompileError where they cannot be."""
    if not options.optimize:
        raise CompileError("preprocessing is folded by passes, and they are turned off")
    graph, names, left = folding.insert_preprocessing(graph, preprocessing)
    report.stages["read"] = graph
    return replace(lower_graph(graph, options, report, names), preprocessing=left)


def keep_preprocessing(path: Path, artifact: Artifact) -> Artifact:
    """The artifact with what a compiled file at `path` says about pictures: compiled again, it still says so."""
    if not is_artifact(path):
        return artifact
    before = read(path)
    images = {f.mean_image: before.weights[f.mean_image] for f in before.preprocessing.values() if f.mean_image}
    forms = {name: form for name, form in before.preprocessing.items() if name in artifact.plan.inputs}
    return replace(artifact, preprocessing=forms, weights={**artifact.weights, **images})


def read_net(path: Path, weights: WeightsGiven, options: Options, report: Report) -> Graph:
    """The graph of a net's files, before any pass."""
    start = perf_counter()
    if is_artifact(path):
        graph = read_source_of_artifact(path, weights, options.shapes, options.outputs)
        report.layers = len(graph.nodes)
    elif path.suffix == ".net" or path == STDIN:
        graph = read_language(path, weights, options.shapes, options.outputs)
        report.layers = len(graph.nodes)
    else:
        state = State(options.phase, options.level, frozenset(options.stages))
        graph, report.layers = read_caffe(
            path, weights, state, options.shapes, options.outputs, options.lenient, report.warnings.append
        )
    report.seconds["read"] = perf_counter() - start
    report.stages["read"] = graph
    return graph


def lower_graph(graph: Graph, options: Options, report: Report, absorbed: Sequence[str] = ()) -> Artifact:
    """Passes and build. `source` is the net as the passes that look at no shape leave it.

    CompileError if one of the values `absorbed` outlives `fold_forward`.
    """
    final = run_passes(graph, options, report, options.passes)
    folding.require_absorbed(absorbed, report.stages.get("fold_forward", graph), report.notes)
    start = perf_counter()
    source = report.stages[PIPELINE[WITHOUT_SHAPES - 1].__name__] if options.optimize else graph
    artifact = build(final, source, options.target, versions())
    report.seconds["build"] = perf_counter() - start
    return artifact


def run_passes(graph: Graph, options: Options, report: Report, passes: Sequence[Pass]) -> Graph:
    """The graph after these passes; each one's result and time are in the report.

    PassFailed if one fails; a reproducer of that is then in its `folder`.
    """
    clock = [perf_counter()]

    def seen(name: str, after: Graph) -> None:
        report.stages[name] = after
        report.seconds[name] = perf_counter() - clock[0]
        clock[0] = perf_counter()

    context = Context(target_named(options.target), report.notes)
    try:
        return all_passes.run(graph, context, passes, seen)
    except PassFailed as e:
        with suppress(OSError):  # it would hide the failure itself
            e.folder = str(reproducer.write_reproducer(e, options.target))
        raise


def recompile(
    source: str,
    shapes: Mapping[str, tuple[int, ...]],
    weights: Mapping[str, Tensor],
    target: str,
    *,
    optimize: bool = True,
) -> Artifact:
    """The net of an artifact for other input shapes: how the runtime asks the compiler, through the face."""
    try:
        graph = reshape_inputs(parse(source, "source.net", weights), shapes)
    except CompileError as e:
        raise ValueError(e.message) from None
    return lower_graph(graph, Options(target=target, optimize=optimize), Report())


def versions() -> dict[str, str]:
    return {"cortado": VERSION, "torch": torch.__version__}


def save(net: Net, path: str | Path) -> None:
    """Write a compiled net to one file."""
    write(path, net.artifact)
