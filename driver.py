"""The driver: from files to a compiled net, by frontends, passes, build and runtime."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import Tensor

from .compilation import Options as Options
from .compilation import Stages as Stages
from .compilation import build_for_targets, choose_targets, run_passes
from .compiler.errors import CompileError
from .compiler.ir import Graph
from .compiler.plan import MemoryPlan, PlannedGraph
from .compiler.preprocessing import attach_mean, check_preprocessing, insert_preprocessing, require_absorbed
from .compiler.specialize import parse_dims, require_any_size, reshape_inputs, specialize, start_at
from .compiler.text import parse
from .frontends.caffe.dialects import ChosenDialect
from .frontends.caffe.read import read_caffe
from .frontends.caffe.register import registered_layers
from .frontends.caffe.rules import State
from .frontends.caffe.weights import WeightsGiven
from .frontends.files.file_types import is_artifact
from .frontends.language import STDIN, parse_source, read_language
from .plugins import load_plugins
from .runtime.artifact import Artifact, Preprocessing, Source, read_for_running, read_source, write
from .runtime.net import Net
from .runtime.output import OutputError


@dataclass(frozen=True)
class NetFile:
    """A net as read from its files, before any pass.

    `layers` is the number of layers in the given state (phase, level, stages); for a text in the language, the number
    of operators. `preprocessing` of pictures is by input, `mean_images` by handle. `seconds` is the time of reading.
    `missing_means`, by input, are the `warnings` about missing mean files; `files` are those that were read. `dialects`
    are those of layers that forks of Caffe define differently.
    """

    planned: PlannedGraph
    layers: int
    warnings: tuple[str, ...] = ()
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    mean_images: Mapping[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    missing_means: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str | Path, ...] = ()
    dialects: tuple[ChosenDialect, ...] = ()

    @property
    def graph(self) -> Graph:
        return self.planned.graph


@dataclass(frozen=True)
class Compilation:
    """The results of a compilation: the net as read, every stage, the artifact, and seconds by stage."""

    file: NetFile
    stages: Stages
    artifact: Artifact
    options: Options
    seconds: Mapping[str, float]

    @property
    def graph(self) -> Graph:
        """The final graph."""
        return self.stages.final.graph

    @property
    def plan(self) -> MemoryPlan:
        """The memory plan of the final graph."""
        return self.stages.final.plan

    def load(self) -> Net:
        """The net, ready to run; other input shapes are compiled on demand, with the same passes."""
        again = partial(recompile, optimize=self.options.optimize)
        return Net.from_artifact(self.artifact, compile=again, layers=registered_layers())


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
    dialect: str | Sequence[str] = (),
    preprocessing: Mapping[str, Preprocessing] | None = None,
    fold_preprocessing: bool = False,
    start_at: str | Sequence[str] = (),
    proto: str | Path | None = None,
) -> Net:
    """Compile and load a Caffe net, or a net in cortado's language: `compile(p, c)(data=x)["prob"]`.

    `prototxt` is the path of a Caffe net; of a net in the language, ending with .net; of a .caffemodel that holds the
    layers' settings; or of a compiled file, which is compiled again from its source. `caffemodel` is the path of the
    weights (.caffemodel or .h5), or a function (layer, type, index, shape) -> array; for a .net, a safetensors file.
    `target` is "cpu" (kernels in C, and torch's where there is no C compiler), "native" or "onednn" (one of
    these alone), "cuda", "cuda-f16" or "cuda-f32-strict". `shapes` are input shapes by name, in place of the
    file's; `"?8"` is a size of at most 8. `outputs` names the blobs to return (default: all that no layer reads).
    `optimize=False` runs only the required passes. `phase`, `level` and `stages` select layers by their rules.
    `lenient` ignores fields that Caffe does not have. `dialect` is the fork of Caffe whose layers are meant where forks
    differ, as "ctpn" or, for one layer type, "Reverse=ctpn", or several of these; an error says where it is needed.
    `preprocessing` of pictures, by input, is stored in the net; with `fold_preprocessing`, mean and scale are folded
    into the first weights, and the net takes pixels of 0..255. `start_at` names inner blobs that become inputs, as
    `cortado show` prints them: the layers that only they need are dropped. `proto` is the caffe.proto of a fork, with
    whose fields, numbers and defaults both files are read.

    CompileError reports all errors of the files, and a folding that would not be exact. Each warning about the files is
    a UserWarning. `compile_net` returns all results: every stage, the passes' notes, the artifact, and `file.warnings`.
    """
    options = Options(
        target, shapes or {}, tuple(outputs), optimize, phase, level, tuple(stages), lenient,
        (dialect,) if isinstance(dialect, str) else tuple(dialect), preprocessing or {}, fold_preprocessing,
        (start_at,) if isinstance(start_at, str) else tuple(start_at), proto,
    )  # fmt: skip
    made = compile_net(prototxt, caffemodel, options)
    for sentence in dict.fromkeys(made.file.warnings):
        warnings.warn(sentence, stacklevel=2)
    return made.load()


def compile_net(prototxt: str | Path, caffemodel: WeightsGiven = None, options: Options | None = None) -> Compilation:
    """Read, optimize and build a net. Arguments and errors are those of `compile`."""
    options = options or Options()
    return compile_file(read_net(prototxt, caffemodel, options), options)


def load(
    path: str | Path, *, layers: Mapping[str, Any] | None = None, threads: int | None = None, verify: bool = True
) -> Net:
    """Load a compiled file; input shapes that it does not hold are compiled on demand.

    `layers` are functions by name for the file's `user` steps, in addition to registered layers. `threads`: those of
    torch per call. Without `verify`, weights are not checked for damage. ArtifactError if the file cannot be used.
    """
    load_plugins()
    layers = registered_layers() | dict(layers or {})
    found = read_for_running(path, verify)
    if isinstance(found, Source):
        warnings.warn(f"{path}: cortado 0.1 compiled it; it is compiled again", stacklevel=2)
        options = Options(target=found.target)
        found = compile_file(read_source_net(found, Path(path), None, options), options).artifact
    return Net(found, recompile, layers, threads)


def read_net(path: str | Path, weights: WeightsGiven = None, options: Options | None = None) -> NetFile:
    """A net from its files, before any pass. CompileError reports all errors of the files."""
    path, options, start = Path(path), options or Options(), perf_counter()
    load_plugins()
    if not options.start_at:
        return replace(read_whole_net(path, weights, options), seconds=perf_counter() - start)
    later = {name: shape for name, shape in options.shapes.items() if name in options.start_at}
    first = {name: shape for name, shape in options.shapes.items() if name not in later}
    file = read_whole_net(path, weights, replace(options, shapes=first))
    rest = PlannedGraph(start_at(file.graph, options.start_at))
    rest = specialize(rest, later, ())
    inputs = {v.name for v in rest.graph.inputs}
    kept = {name: form for name, form in file.preprocessing.items() if name in inputs}
    return replace(file, planned=rest, preprocessing=kept, seconds=perf_counter() - start)


def read_whole_net(path: Path, weights: WeightsGiven, options: Options) -> NetFile:
    """The net from its first layer on; the time is not filled in."""
    if is_artifact(path):
        return read_source_net(read_source(path), path, weights, options)
    if path.suffix == ".net" or path == STDIN:
        planned, read = read_language(path, weights, options.shapes, options.outputs)
        return NetFile(planned, len(planned.graph.nodes), files=read)
    state, found = State(options.phase, options.level, frozenset(options.stages)), list[str]()
    reading = (options.shapes, options.outputs, options.lenient, options.dialects)
    net = read_caffe(path, weights, state, *reading, found.append, options.proto)
    kept = {name: attach_mean(made.form, made.mean) for name, made in net.transforms.items()}
    missing = {n: made.missing for n, made in net.transforms.items() if made.missing and n not in options.preprocessing}
    return NetFile(
        PlannedGraph(net.graph),
        net.layers,
        (*found, *missing.values()),
        {name: form for name, (form, _) in kept.items()},
        {image: tensor for _, images in kept.values() for image, tensor in images.items()},
        missing_means=missing,
        files=net.files,
        dialects=net.dialects,
    )


def read_source_net(source: Source, path: Path, weights: WeightsGiven, options: Options) -> NetFile:
    """The net that a compiled file keeps as its source, with the preprocessing of the inputs that it still has."""
    planned = parse_source(source.text, source.weights, path, weights, options.shapes, options.outputs)
    inputs = {v.name for v in planned.graph.inputs}
    forms = {name: f for name, f in source.preprocessing.items() if name in inputs}
    images = {f.mean_image: source.weights[f.mean_image] for f in forms.values() if f.mean_image}
    return NetFile(planned, len(planned.graph.nodes), (), forms, images, files=(path,))


def compile_file(file: NetFile, options: Options) -> Compilation:
    """Run passes and build. The artifact's `source` is the net after the passes that do not depend on shapes.

    For a group of targets, such as "cpu", `stages` are those for the preferred one. CompileError if requested folding
    of preprocessing is not possible, with the reason.
    """
    planned, absorbed = file.planned, tuple[str, ...]()
    forms = {**file.preprocessing, **options.preprocessing}
    check_preprocessing(planned.graph, forms, file.mean_images)
    if options.fold_preprocessing:
        if not options.optimize:
            raise CompileError("preprocessing is folded by passes, and they are disabled")
        graph, absorbed, forms = insert_preprocessing(planned.graph, forms)
        planned = planned if graph is planned.graph else PlannedGraph(graph)
    preferred = choose_targets(options.target, planned.graph)[0]
    stages = run_passes(planned, replace(options, target=preferred), options.passes)
    declined = {note.value: note.sentence for note in stages.notes if not note.done}
    require_absorbed(absorbed, stages.by_name.get("fold_forward", planned).graph, declined)
    start = perf_counter()
    artifact = build_for_targets(planned, stages, options)
    images = {f.mean_image: file.mean_images[f.mean_image] for f in forms.values() if f.mean_image in file.mean_images}
    weights = {**artifact.weights, **images}
    artifact = replace(artifact, preprocessing=dict(forms), weights=weights, files=file.files)
    seconds = {"read": file.seconds, **stages.seconds, "build": perf_counter() - start}
    return Compilation(file, stages, artifact, options, seconds)


def compile_graph(graph: Graph, options: Options) -> Compilation:
    """Compile a graph."""
    return compile_file(NetFile(PlannedGraph(graph), len(graph.nodes)), options)


def recompile(
    source: str,
    shapes: Mapping[str, Sequence[int | str]],
    weights: Mapping[str, Tensor],
    target: str,
    *,
    optimize: bool = True,
) -> Artifact:
    """Compile the source of an artifact for other input shapes; the runtime's callback. ValueError if it refuses."""
    try:
        graph = reshape_inputs(parse(source, "source.net", weights), {n: parse_dims(s) for n, s in shapes.items()})
        require_any_size(graph)
    except CompileError as e:
        raise ValueError(e.message) from None
    return compile_graph(graph, Options(target=target, optimize=optimize)).artifact


def save(net: Net, path: str | Path) -> None:
    """Write a compiled net to one file; OutputError if it cannot be, or if the net was compiled from that very file.

    Also for NAME.so: that is how shared libraries are called, which `cortado.export` writes.
    """
    if Path(path).suffix == ".so":
        advice = 'cortado.export(..., to="so") writes a shared library; name a compiled net NAME.cortado.'
        raise OutputError(path, "it is the name of a shared library", advice)
    write(path, net.artifact)
