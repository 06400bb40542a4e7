"""The command line, one command per file. A command imports heavy modules only when it runs, for a fast start."""

from .commands import main as main
