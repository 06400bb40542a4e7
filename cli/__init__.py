"""The command line, a command a file. It starts at once: what is heavy is imported by the command that needs it."""

from .commands import main as main
