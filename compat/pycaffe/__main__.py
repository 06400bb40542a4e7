"""`python -m cortado.compat.pycaffe script.py args...`: runs a script or notebook for which `caffe` is this package."""

from __future__ import annotations

import click

from ..run_script import script_command
from .installing import install
from .mode import MODE

HELP = """Run SCRIPT, a Python file or a notebook, written for pycaffe, with `import caffe` being cortado.

Its ARGS are its own. It runs on the CPU, or on the GPU where it calls caffe.set_mode_gpu() and there is one.
"""


def choose_dialects(context: click.Context, option: click.Parameter, dialects: tuple[str, ...]) -> None:
    """Take the forks whose layers are meant."""
    MODE.dialects = dialects


def choose_proto(context: click.Context, option: click.Parameter, proto: str | None) -> None:
    """Take a fork's schema."""
    MODE.proto = proto


command = script_command("python -m cortado.compat.pycaffe", HELP, install)


def trust_layers(context: click.Context, option: click.Parameter, trusts: bool) -> None:
    """Let Python layers run."""
    MODE.trusts_layers = trusts


words = "Import the modules that the nets' Python layers name, and run their code."
trust = click.Option(["--trust-layers"], is_flag=True, expose_value=False, callback=trust_layers, help=words)
command.params.insert(0, trust)
command.params.insert(
    0,
    click.Option(
        ["--dialect"],
        multiple=True,
        expose_value=False,
        callback=choose_dialects,
        help="The fork of Caffe whose layers are meant where forks differ, as `cortado compile` takes it.",
    ),
)
command.params.insert(
    0,
    click.Option(
        ["--proto"],
        metavar="CAFFE.proto",
        expose_value=False,
        callback=choose_proto,
        help="Read the nets' files with the fields, numbers and defaults of this fork's caffe.proto.",
    ),
)

if __name__ == "__main__":
    command(prog_name="python -m cortado.compat.pycaffe")
