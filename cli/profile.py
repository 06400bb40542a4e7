"""`cortado profile`: the time of each step of a net on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..frontends.files.file_types import is_artifact
from .options import PROTOTXT_OPTIONS, PictureOptions, make_options, net_options, threads_option
from .screen import format_count, is_terminal, print_columns, print_json, show_progress, warn

if TYPE_CHECKING:
    from ..runtime.artifact import Artifact, Plan
    from ..runtime.preprocess import Array
    from .timings import Timings

COMPILE_OPTIONS = ("shape", "output", "target", *PROTOTXT_OPTIONS)


@click.command(short_help="Time each step of a net, relative to this machine's limits.")
@net_options
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="[NAME=]FILE|random",
    help="A picture, an .npy, or an .npz of inputs. Other inputs are random.",
)
@click.option(
    "--repeat", type=click.IntRange(1), default=20, show_default=True, help="Run N times; the best times count."
)
@threads_option
@click.option("--random-weights", is_flag=True, help="Draw random numbers for weights that have none.")
@click.option("--json", "as_json", is_flag=True, help="Print the times as JSON.")
def profile(
    net: str,
    weights: str | None,
    reading: dict[str, Any],
    given: tuple[str, ...],
    repeat: int,
    threads: int | None,
    random_weights: bool,
    as_json: bool,
) -> None:
    """Run NET (.prototxt, .net, or a compiled .cortado) and print each step's time, arithmetic and memory traffic.

    Rates are relative to this machine's limits, measured in the same run: an f32 convolution and a copy. Operations are
    counted for the plain algorithm: a step that needs fewer, or whose data is in the caches, can exceed 100 %. Sizes
    that are known only at run time count as their bounds. Nets for a GPU are not timed.
    """
    with show_progress(f"compiling {net}"):
        if is_artifact(net):
            artifact = read_artifact(net, weights, random_weights)
        else:
            artifact = compile_net(net, weights, reading, random_weights)
    if is_terminal(sys.stderr):
        click.echo(f"timing {net}", err=True)  # a moving progress display would disturb the times
    found = measure(artifact, given, repeat, threads, ("weights",) * random_weights)
    if as_json:
        print_json(found.json())
        return
    print_columns(found.rows(), indent="")
    click.echo("")
    print_columns(found.primitive_rows(), indent="")
    click.echo("")
    print_columns(found.summary_rows(), indent="")


def read_artifact(path: str, weights: str | None, random_weights: bool) -> Artifact:
    """A compiled file. UsageError for an option that only applies before compilation."""
    from ..runtime.artifact import read

    source = click.get_current_context().get_parameter_source
    given = [f"--{name}" for name in COMPILE_OPTIONS if source(name) is ParameterSource.COMMANDLINE]
    given += ["WEIGHTS"] * bool(weights) + ["--random-weights"] * random_weights
    if given:
        raise click.UsageError(f"{given[0]} is for a prototxt, and {path} is compiled. Give its prototxt.")
    artifact = read(path, verify=True)
    refuse_gpu(artifact.plan.net, artifact.plan.target, artifact.plan.runner)
    return artifact


def compile_net(net: str, weights: str | None, reading: Mapping[str, Any], random_weights: bool) -> Artifact:
    """Compile a net from its files. CompileError if weights are missing without --random-weights."""
    from ..compiler.errors import CompileError
    from ..compiler.targets import target as target_named
    from ..driver import compile_graph, read_net
    from .random_numbers import with_random_weights

    options = make_options(dict(reading))
    refuse_gpu(net, options.target, target_named(options.target).runner)
    file = read_net(net, weights, options)
    graph = file.graph
    warn(file.warnings)
    missing = [c.name for c in graph.constants if not c.is_bound]
    if missing and not random_weights:
        advice = "Give the file of its weights, or --random-weights: times hardly depend on the numbers."
        sentence = f"{format_count(len(missing), 'weight')} without numbers, {missing[0]} for one"
        raise CompileError(f"{net}: {sentence}", advice=advice)
    if random_weights and not missing:
        raise click.UsageError(f"--random-weights is for a net without weights, and {net} has all of them.")
    return compile_graph(with_random_weights(graph) if missing else graph, options).artifact


def refuse_gpu(net: str, target: str, runner: str) -> None:
    from ..compiler.errors import CompileError
    from ..runtime.profile import reason_not_profiled

    if sentence := reason_not_profiled(net, target, runner):
        raise CompileError(sentence, advice="For the times on this machine's CPU, give its prototxt and --target cpu.")


def measure(
    artifact: Artifact, given: tuple[str, ...], repeat: int, threads: int | None, drawn: tuple[str, ...]
) -> Timings:
    """Time the net on the given inputs, and random numbers for the others; `drawn` names what is random already."""
    from ..plugins import plugin_layers
    from ..runtime import Net
    from ..runtime.profile import profile
    from ..runtime.roofline import measure_roofline
    from .feed import load_given_inputs
    from .random_numbers import random_inputs
    from .timings import make_timings

    net = Net.from_artifact(artifact, layers=plugin_layers(), threads=threads)
    read = load_given_inputs(net, [word for word in given if word != "random"], PictureOptions()).arrays
    arrays = random_inputs(net) | read
    artifact = recompile_for(artifact, net.plan, arrays)
    if artifact is not net.artifact:
        net = Net.from_artifact(artifact, layers=plugin_layers(), threads=threads)
    before = measure_roofline(threads)
    found = profile(net, arrays, repeat)
    drawn += tuple(name for name in arrays if name not in read)
    return make_timings(artifact, found, before.max_with(measure_roofline(threads)), drawn)


def recompile_for(artifact: Artifact, plan: Plan, arrays: Mapping[str, Array]) -> Artifact:
    """The artifact, or one compiled for these shapes and the runner of this plan alone, if its first plan has others.

    Its text is then that of the plan that runs. CompileError if the shapes are below the bounds.
    """
    from ..compiler.errors import CompileError
    from ..compiler.targets import targets
    from ..driver import recompile
    from ..runtime.arena import can_hold

    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    slots = {name: plan.slots[name] for name in plan.inputs}
    is_same = all(shapes[name] == slot.bounds for name, slot in slots.items())
    if is_same and plan is artifact.plan:
        return artifact
    if not is_same and all(can_hold(slot, shapes[name]) for name, slot in slots.items()):
        name = next(name for name, slot in slots.items() if shapes[name] != slot.bounds)
        sentence = f'the input "{name}" is smaller than in the compiled net, {list(slots[name].bounds)}'
        advice = "Operations are counted for the bounds: give an input of that size, or compile the net for this one."
        raise CompileError(sentence, advice=advice)
    target = next(t.name for t in targets(plan.target) if t.runner == plan.runner)
    return recompile(artifact.source, shapes, artifact.weights, target)
