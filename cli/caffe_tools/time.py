"""`cortado time`: the average time of each layer, as `caffe time` prints it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..options import TARGETS
from ..screen import is_terminal, print_json, show_progress, warn
from .command import CaffeCommand, shared_options

if TYPE_CHECKING:
    from ...compat.live_net import LiveNet
    from ...compat.live_plans import LayerTimes

NAME_WIDTH = 10  # of a layer's name, as Caffe pads it


@click.command(cls=CaffeCommand, short_help="Time each layer of a net, as `caffe time` does.")
@click.argument("net", required=False)
@click.argument("weights_file", metavar="[WEIGHTS]", required=False)
@click.option("--model", metavar="FILE", help="The same as NET.")
@click.option("--weights", metavar="FILE", help="The same as WEIGHTS. Default: what the layers' fillers make.")
@click.option("--iterations", type=click.IntRange(1), default=50, show_default=True, help="The average of N runs.")
@click.option("--phase", type=click.Choice(["TEST", "TRAIN"]), default="TEST", help="Use layers of this phase.")
@click.option("--stage", metavar="NAME[,NAME]", default="", help="Use layers of these stages, in nets with rules.")
@click.option("--level", type=int, default=0, help="Use layers of this level.")
@click.option("--target", default="cpu", show_default=True, help=f"Compile for {', '.join(TARGETS)}.")
@click.option("--gpu", metavar="ID", help="Refused: a GPU's launches are timed by NVIDIA's tools.")
@shared_options("shape", "dialect", "proto")
@click.option("--json", "as_json", is_flag=True, help="Print the times as JSON.")
def time(
    net: str | None,
    weights_file: str | None,
    model: str | None,
    weights: str | None,
    iterations: int,
    phase: str,
    stage: str,
    level: int,
    target: str,
    gpu: str | None,
    shape: dict[str, tuple[int | str, ...]],
    dialect: tuple[str, ...],
    proto: str | None,
    as_json: bool,
) -> None:
    """Run NET and print the average time of each layer, and of the whole.

    Layers that one kernel computes have one time, at the last of them. There are no backward times: cortado computes
    nets forward only. Unlike Caffe's, the phase is TEST unless --phase says otherwise. `cortado profile` has the time,
    arithmetic and memory traffic of each step, relative to what the machine can do.
    """
    if bool(net) == bool(model) or (weights and weights_file):
        raise click.UsageError("Give one net, as NET or with --model, and at most one file of weights.")
    with show_progress(f"compiling {net or model}"):
        from ...compat.live_net import LiveNet
        from ...compiler.errors import CompileError

        if gpu is not None:
            advice = "Leave --gpu out for the times on this machine's CPU, or run the net under nsys."
            raise CompileError("cortado does not time the kernels of a GPU", advice=advice)
        stages = [name for name in stage.split(",") if name]
        live = LiveNet.read(
            str(net or model),
            weights or weights_file,
            phase=phase,
            level=level,
            stages=stages,
            target=target,
            dialect=dialect,
            proto=proto,
            warn=lambda sentence: warn([sentence]),
        )
        live.make_inputs(require_sizes(shape))
        live.shapes({})
    if is_terminal(sys.stderr):
        click.echo(f"timing {net or model}", err=True)  # a moving progress display would disturb the times
    found = measure(live, iterations)
    if found is None:
        raise CompileError(f"cortado does not time the kernels of {target}", advice="Give --target cpu.")
    if as_json:
        print_json(to_dict(live, found))
    else:
        print_times(live, found)


def require_sizes(shapes: dict[str, tuple[int | str, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes of inputs. UsageError for a size that is known only at run time."""
    for name, shape in shapes.items():
        if any(isinstance(size, str) for size in shape):
            raise click.UsageError(f"--shape {name}: a run has one size; write it without ?.")
    return {name: tuple(int(size) for size in shape) for name, shape in shapes.items()}


def measure(live: LiveNet, iterations: int) -> LayerTimes | None:
    """The times of the net for numbers of 0 to 1; None where a GPU computes."""
    import numpy as np

    random = np.random.default_rng(0)
    arrays = {name: random.random(shape, np.float32) for name, shape in live.input_shapes.items()}
    wanted = [name for name in live.outputs if name not in live.inputs]  # a label that nobody reads has no shape
    return live.time_layers(arrays, wanted, iterations)


def print_times(live: LiveNet, found: LayerTimes) -> None:
    click.echo("Average time per layer: ")
    for layer in live.layers:
        name = layer.name.rjust(NAME_WIDTH)
        if layer.number in found.seconds:
            click.echo(f"{name}\tforward: {found.seconds[layer.number] * 1e3:.6g} ms.")
        elif layer.number in found.fused:
            click.echo(f"{name}\tforward: with {live.layers[found.fused[layer.number]].name}.")
        else:
            click.echo(f"{name}\tforward: nothing to compute.")
    average = sum(found.runs) / len(found.runs)
    click.echo(f"Average Forward pass: {average * 1e3:.6g} ms.")
    click.echo(f"Total Time: {sum(found.runs) * 1e3:.6g} ms.")


def to_dict(live: LiveNet, found: LayerTimes) -> dict[str, Any]:
    """The times in seconds; `with` names the layer whose kernel computes this one, too."""
    layers = []
    for layer in live.layers:
        beside = found.fused.get(layer.number)
        other = None if beside is None else live.layers[beside].name
        layers.append(
            {"name": layer.name, "type": layer.type, "forward": found.seconds.get(layer.number), "with": other}
        )
    return {"layers": layers, "iterations": len(found.runs), "forward": sum(found.runs) / len(found.runs)}
