"""From a net's files to a plan that is C from the first step to the last, or the reason why there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..compilation import Options
from ..compiler.errors import CompileError
from ..compiler.targets import target as target_named
from ..driver import Compilation, NetFile, compile_file, read_net
from ..frontends.files.file_types import is_artifact
from ..runtime.artifact import Plan
from ..runtime.native.embedding import EmbeddedNet, embed, host_steps
from ..runtime.native.machine import PROCESSORS, Machine, machine_of
from ..runtime.native.site import NotNative
from .exporter import ExportRequest

TARGETS = ("cpu", "native", "native-strict")
SHOWN = 5  # steps that a message names
ADVICE = "Return the blobs before it with --output; a .cortado file runs the whole net, with torch."


def require_native_target(target: str) -> None:
    """CompileError for a target that is not compiled to C."""
    if target not in TARGETS:
        raise CompileError(f"the target {target} is not compiled to C", advice=f"Give one of {', '.join(TARGETS)}.")


def native_options(options: Options, net: str | Path) -> Options:
    """The options with the target that compiles to C alone. CompileError if they name one for another machine.

    A compiled `net` may be for any, since it is compiled again.
    """
    if not is_artifact(net):
        require_native_target(options.target)
    return replace(options, target="native-strict" if options.target == "native-strict" else "native")


def compile_request(request: ExportRequest) -> Compilation:
    """The net of a request, compiled for the native target."""
    options = native_options(request.options, request.net)
    return compile_native(read_net(request.net, request.weights, options), options)


def compile_native(file: NetFile, options: Options) -> Compilation:
    """A net as read, compiled for the native target. CompileError if a size is known only when it runs."""
    if reason := target_named(options.target).reason_unfit(file.graph):
        advice = "Give the input a size that is known now, with --shape."
        raise CompileError(f"{file.graph.name} cannot be written as C: {reason}", advice=advice)
    return compile_file(file, options)


def embed_compilation(made: Compilation, machine: Machine, name: str = "net") -> EmbeddedNet:
    """The C of a compiled net. CompileError if it cannot be C alone: it names each step that has no kernel."""
    plan = native_plan(made)
    require_no_host_steps(made, plan)
    try:
        return embed(made.artifact, plan, machine, name)
    except NotNative as e:
        raise CompileError(f"{plan.net} cannot be written as C: {e}") from None


def native_plan(made: Compilation) -> Plan:
    """The plan for the native runner. CompileError if it has none."""
    found = next((plan for plan in made.artifact.plans if plan.runner == "native"), None)
    if found is None:
        raise CompileError(f"{made.graph.name} is not compiled to C")
    return found


def require_no_host_steps(made: Compilation, plan: Plan) -> None:
    """CompileError, with the names of the steps that have no kernel in C and the reasons, if there are any."""
    hosted = host_steps(plan)
    if not hosted:
        return
    reasons = target_named(made.options.target).launches(made.stages.final).reasons
    nodes = {v.name: node for node in made.graph.nodes for v in node.results}
    said = list[str]()
    for step in hosted:
        node = nodes.get(step.results[0])
        reason = reasons.get(node.name, "") if node else ""
        if step.kind == "user":
            reason = "it is a layer of your own program"
        said.append(f"{step.results[0]} ({reason or f'{step.kind} has no kernel in C'})")
    first = nodes.get(hosted[0].results[0])
    message = f"{plan.net} cannot be written as C, because of {'; '.join(said[:SHOWN])}"
    message += f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    raise CompileError(message, first.loc if first else None, advice=ADVICE)


def machine_named(processor: str) -> Machine:
    """The machine of `march`. CompileError if there is none of that name."""
    if processor and processor not in PROCESSORS:
        raise CompileError(f"no processor is called {processor}", advice=f"Give one of {', '.join(PROCESSORS)}.")
    return machine_of(processor)
