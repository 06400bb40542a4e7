"""`cortado show`: a net as the compiler sees it, before, between and after its passes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .files import is_artifact, writing
from .options import net_options, options_of
from .screen import columns, counted, warn, working

if TYPE_CHECKING:
    from ..driver import Report
    from ..passes import Pass


@click.command(short_help="Print a net as the compiler sees it, at any stage.")
@net_options
@click.option("--after", metavar="PASS", help="Print the net after this pass.")
@click.option("--before", metavar="PASS", help="Print the net before this pass.")
@click.option("--after-all", "folder", metavar="DIR", help="Write the net after each stage to DIR, with its weights.")
@click.option("--why", is_flag=True, help="Print what the passes did, and what they did not and why.")
@click.option("--stats", is_flag=True, help="Print the size of the net after each stage, and the time it took.")
@click.option("--kernels", is_flag=True, help="Print the kernels: in the language or, for a GPU, as Triton.")
def show(
    net: str,
    weights: str | None,
    reading: dict[str, Any],
    after: str | None,
    before: str | None,
    folder: str | None,
    why: bool,
    stats: bool,
    kernels: bool,
) -> None:
    """Print NET (.prototxt, .net, or a compiled .cortado) in cortado's language; WEIGHTS may be left out.

    All that is printed can be compiled again; texts that name weights by handle are complete only as --after-all
    writes them. Without an option: the net as it was read, or what is in the compiled file.
    """
    views = {"--after": after, "--before": before, "--after-all": folder, "--why": why, "--stats": stats}
    chosen = [name for name, value in (views | {"--kernels": kernels}).items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} are two views of a net. Ask for one at a time.")
    if is_artifact(net):
        show_artifact(net, weights, chosen)
        return
    with working(f"reading {net}"):
        from ..driver import Report, optimized, read_net
        from ..passes import PIPELINE

        report, options = Report(), options_of(reading)
        passes = PIPELINE if folder or why or stats or kernels else until(after, before)
        graph = read_net(Path(net), weights, options, report)
        graph = optimized(graph, options, report, passes)
    warn(report.warnings)
    if folder:
        dump(folder, report)
    elif why:
        show_notes(report)
    elif stats:
        show_stages(report)
    elif kernels:
        from ..compiler.build import kernels as sources

        show_kernels(sources(graph, options.target))
    else:
        from ..compiler.text import show as text_of

        click.echo(text_of(graph), nl=False)


def show_artifact(path: str, weights: str | None, chosen: list[str]) -> None:
    from ..runtime.artifact import read

    if weights or set(chosen) - {"--kernels"}:
        said = "WEIGHTS" if weights else chosen[0]
        raise click.UsageError(f"{said} is for a net before it is compiled, and {path} is. Give its prototxt.")
    artifact = read(path)
    if chosen:
        show_kernels(artifact.kernels)
    else:
        click.echo(artifact.net, nl=False)


def until(after: str | None, before: str | None) -> tuple[Pass, ...]:
    """The passes that run up to the place asked for: none, if none is named."""
    from ..passes import PIPELINE, select

    name = after or before
    if name is None or name == "read":
        return ()
    (last,) = select([name])
    return PIPELINE[: PIPELINE.index(last) + bool(after)]


def show_kernels(sources: Mapping[str, str]) -> None:
    if not sources:
        click.echo("Each operator of this net runs alone: there are no kernels to show.")
        return
    click.echo("\n".join(sources.values()), nl=False)


def dump(folder: str, report: Report) -> None:
    from ..compiler.text.weights import dump as write

    with writing(folder):
        paths = write(Path(folder), {f"{i:02}_{name}": graph for i, (name, graph) in enumerate(report.stages.items())})
    for path in paths:
        click.echo(path)


def show_notes(report: Report) -> None:
    if not report.notes:
        click.echo("No pass had anything to say about this net.")
        return
    columns(((n.rule, "did" if n.done else "did not", n.value, n.sentence) for n in report.notes), indent="")


def show_stages(report: Report) -> None:
    rows = [("stage", "operators", "without bytes of their own", "weights", "seconds")]
    from .summary import in_place

    for name, graph in report.stages.items():
        weights = sum(c.type.nbytes for c in graph.constants)
        counts = (str(len(graph.nodes)), str(in_place(graph)), counted(weights, "byte"))
        rows.append((name, *counts, f"{report.seconds[name]:.4f}"))
    columns(rows, indent="")
