"""`cortado check`: lint a Caffe net, and report which layers may be in place."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..frontends.files.file_types import is_artifact
from .options import make_options, net_options
from .screen import format_count, format_error, format_size, print_columns, print_json, show_progress, warn

if TYPE_CHECKING:
    from ..compiler.types import TensorType
    from ..driver import Options
    from ..frontends.caffe.lint import Dataflow, Finding, Verdict


@click.command(short_help="Lint a Caffe net and its weights, or check that a compiled net is undamaged.")
@net_options
@click.option("--inplace", is_flag=True, help="Report for each layer whether it may be in place, and what that saves.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(net: str, weights: str | None, reading: dict[str, Any], inplace: bool, as_json: bool) -> None:
    """Check NET, a prototxt, for probable mistakes that Caffe accepts, and the numbers in WEIGHTS, if given.

    WEIGHTS have to fit the net, and are checked for NaN and infinities, negative variances, factors of 0, weights that
    are all 0, dead channels, numbers far too large or small, and weights that the net does not use.

    Exits with 1 if anything except warnings about numbers is found; with --inplace, if a layer is in place that must
    not be.

    If NET is a compiled file, all its bytes are checked; exits with 1 if it is damaged.
    """
    if is_artifact(net):
        check_artifact(net, as_json)
        return
    with show_progress(f"reading {net}"):
        from ..compiler.errors import CompileError
        from ..frontends.caffe.lint import trace_dataflow, verdicts
        from ..frontends.caffe.rules import State
        from ..frontends.files.fork_schema import schema_for
        from ..frontends.files.prototxt import read
        from ..plugins import load_plugins

        if net.endswith(".net"):
            raise CompileError(f"{net}: this is not a Caffe net", advice="Texts in cortado's language have no layers.")
        load_plugins()
        options = make_options(reading)
        message = read(net, schema_for(options.proto))
        flow = trace_dataflow(message, State(options.phase, options.level, frozenset(options.stages)))
        if inplace:
            inplace_verdicts = verdicts(flow, infer_blob_types(net, flow, options))
        else:
            found = collect_findings(net, weights, flow, options)
    if inplace:
        print_verdicts(inplace_verdicts, as_json)
        wrong = any(v.is_wrong for v in inplace_verdicts)
    else:
        print_findings(net, found, as_json)
        wrong = any(finding.severity == "error" for finding in found)
    if wrong:
        raise click.exceptions.Exit(1)


def check_artifact(file: str, as_json: bool) -> None:
    """Tell whether a compiled file is as it was written. Exits with 1 if it is not. UsageError for other options."""
    source = click.get_current_context().get_parameter_source
    names = [name for name in click.get_current_context().params if name not in ("net", "as_json")]
    if said := [name for name in names if source(name) is ParameterSource.COMMANDLINE]:
        option = "WEIGHTS" if said[0] == "weights" else f"--{said[0].replace('_file', '')}"
        raise click.UsageError(f"{option} is for a prototxt, and {file} is compiled. Give its prototxt.")
    with show_progress(f"reading {file}"):
        from ..runtime.integrity import check_file

        found = check_file(file)
    if as_json:
        print_json(asdict(found) | {"whole": found.is_whole})
    elif found.is_whole:
        count = format_count(found.tensors, "tensor")
        click.echo(f"{file}: as it was written: {format_size(found.size)}, {count}, every byte checked")
    else:
        click.echo(found.error)
    if not found.is_whole:
        raise click.exceptions.Exit(1)


def collect_findings(net: str, weights: str | None, flow: Dataflow, options: Options) -> list[Finding]:
    """The findings of all rules, and the errors if the net is refused."""
    from ..compiler.errors import CompileError, CompileErrors
    from ..driver import read_net
    from ..frontends.caffe.data_layers import DATA_LAYERS
    from ..frontends.caffe.lint import Finding, findings, number_findings
    from ..frontends.caffe.weights import read_weights
    from ..frontends.files.fork_schema import layout_for

    found = findings(flow, options.outputs)
    if weights is not None:
        found += number_findings(flow, read_weights(weights, layout_for(options.proto)), weights)
    if not options.shapes and any(layer.type in DATA_LAYERS for layer in flow.layers):
        return found  # the shapes of its inputs are not in the file
    try:
        warn(read_net(net, weights, options).warnings)
    except CompileErrors as e:
        found += [Finding("refused", error) for error in e.errors]
    except CompileError as e:
        found.append(Finding("refused", e))
    return found


def infer_blob_types(net: str, flow: Dataflow, options: Options) -> dict[str, TensorType]:
    """The types of all blobs by name; {} and a warning if the net cannot be compiled."""
    from dataclasses import replace

    from ..compiler.errors import CompileError
    from ..driver import read_net

    try:
        graph = read_net(net, None, replace(options, outputs=tuple(flow.last))).graph
    except CompileError as e:
        warn([f"sizes are unknown, because the net cannot be compiled: {e.message}"])
        return {}
    return {name: value.type for name, value in graph.returns}


def print_findings(net: str, found: list[Finding], as_json: bool) -> None:
    if as_json:
        print_json([finding_to_dict(f) for f in found])
    elif not found:
        click.echo(f"{net}: no findings")
    else:
        for f in found:
            sentence, *rest = format_error(f.error).split("\n")
            rule = f.rule if f.severity == "error" else f"{f.rule}, {f.severity}"
            click.echo("\n".join([f"{sentence} [{rule}]", *rest]) + "\n")
        click.echo(format_count(len(found), "finding"))


def finding_to_dict(finding: Finding) -> dict[str, Any]:
    e = finding.error
    place = asdict(e.loc) if e.loc else {"file": None, "line": None, "column": None}
    told = {"rule": finding.rule, "severity": finding.severity, **place, "message": e.message, "advice": e.advice}
    return told | (asdict(finding.numbers) if finding.numbers else {})


def print_verdicts(found: list[Verdict], as_json: bool) -> None:
    saved = sum(v.saves or 0 for v in found if v.now and v.inference is None)
    more = sum(v.saves or 0 for v in found if not v.now and v.inference is None)
    if as_json:
        rows = [{**asdict(v), "loc": str(v.loc), "wrong": v.is_wrong} for v in found]
        print_json({"layers": rows, "saved": saved, "could_save": more})
        return
    head = ("layer", "type", "line", "in the file", "inference", "training", "saves", "because")
    print_columns([head, *map(verdict_row, found)], indent="")
    click.echo("")
    print_columns(
        [
            ("in place now", f"saves {format_size(saved)}"),
            ("could be in place", f"would save {format_size(more)} more"),
        ],
        "",
    )
    click.echo(
        "For one run in f32; training saves the same again for gradients. cortado makes its own choice: `show --why`."
    )


def verdict_row(v: Verdict) -> tuple[str, ...]:
    may = "wrong" if v.is_wrong else "no" if v.inference else "yes"
    trained = "no" if v.training else "yes"
    saves = "" if v.inference or not v.saves else f"{v.saves:,}"
    return v.layer, v.type, str(v.loc.line), "in place" if v.now else "apart", may, trained, saves, v.summary
