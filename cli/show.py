"""`cortado show`: print a net before, between and after the passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..frontends.files.file_types import is_artifact
from .files import command_inputs
from .options import PROTOTXT_OPTIONS, make_options, net_options
from .screen import print_json, show_progress, warn

if TYPE_CHECKING:
    from ..compiler.plan import PlannedGraph
    from ..passes import Note
    from .views import View


@click.command(short_help="Print a net in cortado's language, at any stage.")
@net_options
@click.option("--after", metavar="PASS", help="Print the net after this pass.")
@click.option("--before", metavar="PASS", help="Print the net before this pass.")
@click.option("--diff", metavar="PASS", help="Print what this pass changed, as a unified diff.")
@click.option("--after-all", "folder", metavar="DIR", help="Write the net after each stage to DIR, with its weights.")
@click.option("--why", is_flag=True, help="Print what the passes did, what they declined, and why.")
@click.option("--stats", is_flag=True, help="Print sizes, arithmetic, memory and launches, pass by pass.")
@click.option("--kernels", is_flag=True, help="Print the kernels, in cortado's language or, for a GPU, in Triton.")
@click.option("--dot", "as_dot", is_flag=True, help="Print the net at this stage as a graph for Graphviz's dot.")
@click.option("--json", "as_json", is_flag=True, help="Print any of these as JSON.")
def show(
    net: str,
    weights: str | None,
    reading: dict[str, Any],
    as_dot: bool,
    as_json: bool,
    **views: Any,
) -> None:
    """Print NET (.prototxt, .net, or a compiled .cortado) in cortado's language; WEIGHTS are optional.

    The printed text can be compiled again. If it names weights by handle, it needs the weights that --after-all writes,
    or the compiled file as its WEIGHTS. Without an option, print the net as it is read, or the net in the compiled
    file. With an option, a compiled file is compiled again from the source that it keeps.
    """
    chosen = {name: value for name, value in views.items() if value}
    spelled = [OPTION_SPELLINGS.get(name, f"--{name}") for name in chosen]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(spelled)} cannot be combined. Give one of them.")
    if as_dot and chosen.keys() - {"after", "before"}:
        raise click.UsageError(f"--dot and {spelled[0]} cannot be combined. Give one of them.")
    if is_artifact(net) and not as_dot and not weights and set(chosen) <= {"kernels"} and not has_compile_options():
        view = make_artifact_view(net, bool(chosen))
    else:
        view = make_net_view(net, weights, reading, *next(iter(chosen.items()), ("", "")))
    if as_dot:
        from .views import make_drawing

        view = make_drawing(view)
    if as_json:
        print_json(view.json())
    else:
        view.print()


OPTION_SPELLINGS = {"folder": "--after-all"}


def has_compile_options() -> bool:
    """True if an option on the command line requires that the net is compiled again."""
    source = click.get_current_context().get_parameter_source
    return any(
        source(name) is ParameterSource.COMMANDLINE
        for name in ("target", "shape", "output", "start_at", *PROTOTXT_OPTIONS)
    )


def make_net_view(net: str, weights: str | None, reading: dict[str, Any], wanted: str, value: Any) -> View:
    """A view of a net that is compiled as far as the view needs."""
    with show_progress(f"reading {net}"):
        from ..compilation import run_passes
        from ..compiler.targets import target as target_named
        from ..driver import read_net
        from ..passes import SHAPED, pipeline
        from ..plugins import load_plugins
        from . import views
        from .statistics import collect_statistics

        load_plugins()
        options = make_options(reading, net=net)
        stage = value if wanted in ("after", "diff") else views.stage_before(value) if wanted == "before" else "read"
        passes = passes_until(stage) if wanted in ("", "after", "before", "diff") else pipeline()
        read = read_net(net, weights, options)
        stages = run_passes(read.planned, options, passes)
        match wanted:
            case "folder":
                view: View = views.StageFolder(value, stages.by_name, (*command_inputs(), *read.files))
            case "why":
                view = views.PassNotes((*stages.notes, *explain_lowering(stages.final, options.target)))
            case "stats":
                view = views.StatisticsView(collect_statistics(read, stages, options))
            case "kernels":
                view = views.KernelSources(target_named(options.target).sources(stages.final))
            case "diff":
                view = views.make_text_diff(value, stages)
            case _:
                view = views.NetText(stages.final, stage, read.preprocessing)
    warn(read.warnings)
    for chosen in read.dialects:
        click.echo(f"note: {chosen}", err=True)
    if is_artifact(net) and wanted in ("why", "stats", "diff"):
        first = SHAPED[0].__name__
        click.echo(f"note: the passes before {first} are not shown: the file's source is the net after them", err=True)
    elif wanted in ("why", "stats") and not all(c.is_bound for c in read.graph.constants):
        click.echo("note: without weights, passes that depend on their numbers do nothing", err=True)
    return view


def explain_lowering(final: PlannedGraph, target: str) -> tuple[Note, ...]:
    """A note for each node that runs on the host, with the reason. Memory has to be planned."""
    from ..compiler.targets import target as target_named
    from ..passes import Note

    reasons = target_named(target).launches(final).reasons
    return tuple(Note("lower", node, False, f"runs on the host: {reason}") for node, reason in reasons.items())


def passes_until(stage: str) -> Any:
    """The passes up to and including a stage. CompileError if there is no pass of this name."""
    from ..passes import pipeline, select

    if stage == "read":
        return ()
    (last,) = select([stage])
    passes = pipeline()
    return passes[: passes.index(last) + 1]


def make_artifact_view(path: str, kernels: bool) -> View:
    """A view of the text in a compiled file: its net, or its kernels."""
    from ..runtime.artifact import read
    from .views import ArtifactText, KernelSources

    artifact = read(path)
    return KernelSources(artifact.kernels) if kernels else ArtifactText(artifact)
