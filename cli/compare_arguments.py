"""The arguments of `cortado compare`: the two runners, and their inputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from ..compiler.errors import CompileError
from ..compiler.ir import Graph
from ..driver import Options, load, read_net
from ..frontends.caffe.rules import State
from ..frontends.files.file_types import is_artifact
from ..runtime.artifact import read
from ..runtime.preprocess import Array, read_array
from .feed import ARRAY_SUFFIXES, open_npz, read_all_arrays
from .options import make_options
from .random_numbers import with_random_weights
from .runners import (
    CompiledRunner,
    NetRunner,
    RecordedRunner,
    describe_producer,
    make_graph_runner,
)
from .screen import warn

WEIGHT_SUFFIXES = (".caffemodel", ".safetensors", ".h5", ".hdf5")  # files with weights of the net before them
NetFiles = tuple[str, str | None]  # a net and its weights


class RunConfig(NamedTuple):
    """How a side is run: a target (None: the default), and `all` or `none` of the passes."""

    target: str | None
    passes: str


def parse_pair(text: str, option: str) -> tuple[str, str]:
    """The values of an option for the two sides: one word for both, or two with a comma. UsageError otherwise."""
    words = [word.strip() for word in text.split(",")]
    if len(words) > 2 or not all(words):
        raise click.UsageError(f"{option} {text}: name one for both sides, or two with a comma.")
    return words[0], words[-1]


def make_runners(
    files: Sequence[str], reading: dict[str, Any], ways: Sequence[RunConfig], seed: int | None
) -> tuple[NetRunner, NetRunner]:
    """The runners of both sides. `seed` is for random weights; None: draw none. UsageError for a wrong combination."""
    nets = group_files(files)
    if len(nets) == 1 and ways[0] == ways[1]:
        advice = (
            "Give another net, an .npz of blobs, two targets (--target reference,cpu), --passes none,all or --opencv."
        )
        raise CompileError(f"what is {nets[0][0]} to be compared with?", advice=advice)
    labels = runner_labels(nets, ways)
    first, second = (make_runner(nets[i % len(nets)], reading, ways[i], labels[i], seed) for i in range(2))
    return first, second


def group_files(files: Sequence[str]) -> list[NetFiles]:
    """The nets with their weights: a file of weights belongs to the net before it."""
    nets: list[NetFiles] = []
    for file in files:
        takes = bool(nets) and nets[-1][1] is None and not is_artifact(nets[-1][0]) and nets[-1][0][-4:] != ".npz"
        if Path(file).suffix in WEIGHT_SUFFIXES and takes:
            nets[-1] = (nets[-1][0], file)
        else:
            nets.append((file, None))
    if len(nets) > 2:
        listed = ", ".join(net for net, _ in nets)
        raise click.UsageError(f"these are {len(nets)} nets: {listed}. Two are compared, or one run in two ways.")
    return nets


def runner_labels(nets: Sequence[NetFiles], ways: Sequence[RunConfig]) -> list[str]:
    """Labels that distinguish the sides."""
    if len(nets) == 2:
        short = [Path(net).name for net, _ in nets]
        return short if short[0] != short[1] else [net for net, _ in nets]
    words = {"all": "with all passes", "none": "without passes"}
    targets = [way.target or default_target(nets[0][0]) for way in ways]
    if ways[0].passes == ways[1].passes:
        return targets
    return [f"{target} {words.get(way.passes, '')}" for target, way in zip(targets, ways, strict=True)]


def default_target(net: str) -> str:
    """The target of a compiled net; for any other file, cpu."""
    return read(net).plan.target if is_artifact(net) else "cpu"


def make_runner(file: NetFiles, reading: dict[str, Any], way: RunConfig, label: str, seed: int | None) -> NetRunner:
    """The runner of one side."""
    if way.passes not in ("all", "none"):
        raise click.UsageError(f"--passes {way.passes}: write all or none.")
    net, weights = file
    if net.endswith(".npz"):
        return RecordedRunner(label, read_all_arrays(Path(net)))
    target = way.target or default_target(net)
    changed = reading["shapes"] or reading["outputs"] or reading["start_at"]
    again = changed or target != default_target(net) or way.passes == "none"
    if is_artifact(net) and not again:
        return CompiledRunner(label, load(net), source_value_names(net))
    options = make_options(reading | {"target": target}, optimize=way.passes == "all")
    return make_graph_runner(label, read_graph(net, weights, options, seed), options)


def source_value_names(net: str) -> Collection[str]:
    """The values of the source in a compiled file."""
    return read_net(net).graph.values


def find_producer(files: Sequence[str], reading: dict[str, Any], blob: str) -> str:
    """The layer that produces a blob, from the first net that has it; "" if none has."""
    state = State(reading["phase"], reading["level"], frozenset(reading["stages"]))
    producers = (describe_producer(Path(net), state, blob) for net, _ in group_files(files))
    return next(filter(None, producers), "")


def read_graph(net: str, weights: str | None, options: Options, seed: int | None) -> Graph:
    """A net from its files, with numbers for all weights. CompileError if some have none and `seed` is None."""
    file = read_net(net, weights, options)
    graph = file.graph
    warn(file.warnings)
    missing = [c.name for c in graph.constants if not c.is_bound]
    if missing and seed is None:
        advice = "Give the file of its weights, or --random-weights: equal weights for equal nets."
        raise CompileError(f"{net}: the weight {missing[0]} has no numbers", advice=advice)
    return with_random_weights(graph, seed or 0) if missing else graph


def collect_inputs(a: NetRunner, b: NetRunner, given: Sequence[str], seed: int) -> dict[str, Array]:
    """The inputs of both sides: given or recorded arrays, and random numbers in 0..1 for the rest, all f32."""
    recorded = [s for s in (a, b) if isinstance(s, RecordedRunner)]
    shapes = b.shapes | a.shapes
    found = {name: x for s in recorded for name, x in s.inputs(shapes).items()}
    for word in given:
        found |= read_input_argument(word, list(shapes))
    missing = [name for name in shapes if name not in found]
    if recorded and missing and not any(word.rpartition("=")[2] == "random" for word in given):
        name, file = missing[0], recorded[0].label
        sentence = f'{file} does not hold the input "{name}" that its values were computed from'
        advice = f"Store it there as {name} too, or give it: --input {name}=FILE.npy."
        raise CompileError(sentence, advice=advice)
    if unknown := [name for name in found if name not in shapes]:
        raise CompileError(f'the nets have no input "{unknown[0]}"', advice=f"They take {', '.join(shapes) or 'none'}.")
    random = np.random.default_rng(seed)
    drawn = {name: random.random(shape, dtype=np.float32) for name, shape in shapes.items()}
    return drawn | {name: np.asarray(x, np.float32) for name, x in found.items()}


def read_input_argument(word: str, names: list[str]) -> dict[str, Array]:
    """The arrays that one --input gives: `NAME=FILE.npy`, an .npz of several, or `random`, which gives none."""
    name, equals, file = word.rpartition("=")
    if file == "random":
        return {}
    if not equals and file.endswith(".npz"):
        with open_npz(Path(file)) as stored:
            return {n: stored[n] for n in names if n in stored.files}
    if equals or len(names) == 1:
        if Path(file).suffix.lower() not in ARRAY_SUFFIXES:
            advice = "Give an .npy or .npz, as np.save writes it, or `random`: pictures are for `cortado run`."
            raise CompileError(f"{file}: compare takes arrays as inputs", advice=advice)
        return {name or names[0]: read_array(Path(file))}
    raise click.UsageError(f"--input {word}: which input is it for? Write NAME={word}.")
