"""`cortado show`: a net as the compiler sees it, before, between and after its passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .files import is_artifact
from .options import net_options, options_of
from .screen import warn, working

if TYPE_CHECKING:
    from .views import View


@click.command(short_help="Print a net as the compiler sees it, at any stage.")
@net_options
@click.option("--after", metavar="PASS", help="Print the net after this pass.")
@click.option("--before", metavar="PASS", help="Print the net before this pass.")
@click.option("--diff", metavar="PASS", help="Print what this pass changed, as a unified diff.")
@click.option("--after-all", "folder", metavar="DIR", help="Write the net after each stage to DIR, with its weights.")
@click.option("--why", is_flag=True, help="Print what the passes did, and what they did not and why.")
@click.option("--stats", is_flag=True, help="Print sizes, arithmetic, memory and launches, pass by pass.")
@click.option("--kernels", is_flag=True, help="Print the kernels: in the language or, for a GPU, as Triton.")
@click.option("--json", "as_json", is_flag=True, help="Print any of these as JSON.")
def show(
    net: str,
    weights: str | None,
    reading: dict[str, Any],
    as_json: bool,
    **views: Any,
) -> None:
    """Print NET (.prototxt, .net, or a compiled .cortado) in cortado's language; WEIGHTS may be left out.

    All that is printed can be compiled again; texts that name weights by handle are complete only as --after-all
    writes them. Without an option: the net as it was read, or what is in the compiled file.
    """
    chosen = {name: value for name, value in views.items() if value}
    spelled = [NAMES.get(name, f"--{name}") for name in chosen]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(spelled)} are two views of a net. Ask for one at a time.")
    if is_artifact(net):
        view = of_artifact(net, weights, spelled)
    else:
        view = of_net(net, weights, reading, *next(iter(chosen.items()), ("", "")))
    if as_json:
        click.echo(json.dumps(view.json(), indent=1))
    else:
        view.print()


NAMES = {"folder": "--after-all"}


def of_net(net: str, weights: str | None, reading: dict[str, Any], wanted: str, value: Any) -> View:
    """A view of a net that is compiled as far as the view asks for."""
    with working(f"reading {net}"):
        from ..compiler.build import kernels
        from ..driver import Report, optimized, read_net
        from ..passes import PIPELINE
        from . import views

        report, options = Report(), options_of(reading)
        stage = value if wanted in ("after", "diff") else views.stage_before(value) if wanted == "before" else "read"
        passes = until(stage) if wanted in ("", "after", "before", "diff") else PIPELINE
        graph = read_net(Path(net), weights, options, report)
        graph = optimized(graph, options, report, passes)
    warn(report.warnings)
    match wanted:
        case "folder":
            return views.Folder(value, report.stages)
        case "why":
            return views.Reasons(report.notes)
        case "stats":
            return views.Numbers(report, options)
        case "kernels":
            return views.Kernels(kernels(graph, options.target))
        case "diff":
            return views.difference(value, report)
    return views.Text(graph, stage)


def until(stage: str) -> Any:
    """The passes that run up to a stage, itself included. CompileError if there is none of that name."""
    from ..passes import PIPELINE, select

    if stage == "read":
        return ()
    (last,) = select([stage])
    return PIPELINE[: PIPELINE.index(last) + 1]


def of_artifact(path: str, weights: str | None, chosen: list[str]) -> View:
    """What a compiled file holds for people to read."""
    from ..runtime.artifact import read
    from .views import Kernels, Printed

    if weights or set(chosen) - {"--kernels"}:
        said = "WEIGHTS" if weights else chosen[0]
        raise click.UsageError(f"{said} is for a net before it is compiled, and {path} is. Give its prototxt.")
    artifact = read(path)
    return Kernels(artifact.kernels) if chosen else Printed(artifact)
