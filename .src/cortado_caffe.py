"""The console command `cortado`, which imports the package `cortado` only if it is this project's.

Another project on PyPI has the same import name. If its files come first on the path, or replaced files of this
project, the package cannot be imported safely; therefore this check is a separate module.
"""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

ADVICE = "Run `pip uninstall cortado`, then `pip install --force-reinstall cortado-caffe`."
MARK = "from .installation import warn_of_foreign_package"  # a line of this project's __init__.py


def main() -> None:
    """Run the command line. SystemExit with one sentence if `import cortado` would import another project's package."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback on Ctrl-C before the command starts
    spec = find_spec("cortado")
    if spec is None or not spec.origin:
        sys.exit(f'error: the package "cortado" is not complete. {ADVICE}')
    if MARK not in Path(spec.origin).read_text("utf-8"):
        sys.exit(f'error: {spec.origin} is another project\'s package "cortado". {ADVICE}')
    from cortado.__main__ import main as run_command

    run_command()
