"""`python -m cortado.compat.opencv SCRIPT [ARGS]...`: run a script whose cv2.dnn reads Caffe's files by cortado."""

from __future__ import annotations

from ..run_script import ScriptError, script_command
from .errors import error
from .install import install

HELP = """Run SCRIPT, a Python file or a notebook, so that its cv2.dnn reads nets of Caffe by cortado.

readNetFromCaffe, readNet and dnn_registerLayer of cv2 are cortado's for the time of the run, whatever version of OpenCV
is installed. ARGS are the script's own.
"""


def prepare() -> None:
    """Put cortado into cv2. ScriptError if OpenCV is not installed."""
    try:
        install(force=True)
    except error as e:
        raise ScriptError(str(e)) from None


main = script_command("python -m cortado.compat.opencv", HELP, prepare)

if __name__ == "__main__":
    main(prog_name="python -m cortado.compat.opencv")
