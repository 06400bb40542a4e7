"""`cortado`: the group of commands, and the messages and exit codes of their failures."""

from __future__ import annotations

import os
from typing import Any

import click

from ..version import VERSION
from .caffe_tools import ABSENT, TOOLS, command_name
from .check import check
from .compare import compare
from .compile import compile
from .export import export
from .fmt import fmt
from .opt import opt
from .profile import profile
from .run import run
from .screen import format_error, plain_warnings
from .show import show
from .signals import BROKEN_PIPE, EndedBySignal, raise_ending_signals, settle_stdout


class ReportedError(click.ClickException):
    """A failure caused by the input: its message on stderr, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(self.message, err=True)


class InternalError(ReportedError):
    """A failure caused by a fault of cortado."""

    exit_code = 3


class Interrupted(ReportedError):
    """The user pressed Ctrl-C: the exit code is 128 + SIGINT, as shells expect."""

    exit_code = 130


class Ended(ReportedError):
    """A signal ended the command."""

    def __init__(self, exit_code: int):
        super().__init__("ended by a signal")
        self.exit_code: int = exit_code  # type: ignore[misc]


class CommandGroup(click.Group):
    """Reports the exceptions of commands as messages or, with CORTADO_TRACEBACK=1, as tracebacks for developers."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or the tool of Caffe's that it means; a UsageError with advice for other words."""
        found = super().get_command(ctx, cmd_name) or super().get_command(ctx, command_name(cmd_name))
        if found is None and not cmd_name.startswith("-"):
            from ..compiler.suggestion import did_you_mean

            name = command_name(cmd_name)
            hint = f". {ABSENT[name]}" if name in ABSENT else did_you_mean(name, self.commands) or "."
            ctx.fail(f"There is no command {cmd_name}{hint}")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of the help page, in two parts."""
        tools = {command.name for command in TOOLS}
        for title, inside in (("Commands", False), ("Caffe's tools", True)):
            limit = formatter.width - 6 - max(map(len, self.commands))
            rows = [(n, c.get_short_help_str(limit)) for n, c in self.commands.items() if (n in tools) is inside]
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with raise_ending_signals(), plain_warnings():
                return super().invoke(ctx)
        except click.NoSuchOption as e:  # click would suggest any similar name
            from ..compiler.suggestion import suggestion

            known = [name for p in (e.ctx.command.params if e.ctx else ()) for name in p.opts]
            close = suggestion(e.option_name, known)
            raise click.NoSuchOption(e.option_name, possibilities=[close] if close else None, ctx=e.ctx) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):  # click handles these
            raise
        except BrokenPipeError:  # the reader of the output has closed the pipe
            raise click.exceptions.Exit(BROKEN_PIPE) from None
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None
        except EndedBySignal as e:
            raise Ended(e.exit_code) from None
        except Exception as e:
            if os.environ.get("CORTADO_TRACEBACK"):
                raise
            raise convert_exception(e) from None
        finally:
            settle_stdout()


def convert_exception(e: Exception) -> ReportedError:
    """The message of an exception. Errors about files, arrays and the system are the input's, all others cortado's."""
    from ..compiler.errors import CompileError, CompileErrors
    from ..passes import PassFailed

    match e:
        case PassFailed():
            where = f"\nThe net before the pass, and the command to reproduce this: {e.folder}" if e.folder else ""
            return InternalError(f"error: {e}{where}\nThis is a fault of cortado, not of your files; please report it.")
        case CompileErrors():
            return ReportedError(
                "\n\n".join([*map(format_error, e.errors), f"{len(e.errors)} problems; nothing was compiled."])
            )
        case CompileError():
            return ReportedError(format_error(e))
        case OSError():
            named = f"{e.filename}: " if e.filename else ""
            return ReportedError(f"error: {named}{e.strerror or e}")
        case ValueError():
            return ReportedError(f"error: {e}")
        case MemoryError():
            return ReportedError(
                "error: there is not enough memory for this; give the inputs smaller shapes with --shape"
            )
    advice = "This is a fault of cortado, not of your files. CORTADO_TRACEBACK=1 shows where it is; please report it."
    return InternalError(f"error: {type(e).__name__}: {e}\n{advice}")


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="cortado", message="%(prog)s %(version)s")
def main() -> None:
    """Compile Caffe models, run them, and inspect what the compiler does.

    \b
        cortado compile deploy.prototxt net.caffemodel -o net.cortado
        cortado run net.cortado --input cat.jpg --labels synset_words.txt
        cortado show deploy.prototxt --after fuse

    Exit codes: 0, done; 1, the answer is no; 2, an error in the input or usage; 3, a fault of cortado; 128 and above,
    ended by a signal.
    """


for command in (compile, run, show, check, compare, opt, fmt, profile, export, *TOOLS):
    main.add_command(command)
