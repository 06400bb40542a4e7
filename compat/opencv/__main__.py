"""`python -m cortado.compat.opencv SCRIPT [ARGS]...`: run a script whose cv2.dnn reads Caffe's files by cortado."""

from __future__ import annotations

from functools import partial

from ..run_script import script_command
from .install import install

HELP = """Run SCRIPT, a Python file or a notebook, so that its cv2.dnn reads nets of Caffe by cortado.

readNetFromCaffe, readNet and dnn_registerLayer of cv2 are cortado's for the time of the run, whatever version of OpenCV
is installed. ARGS are the script's own.
"""
main = script_command("python -m cortado.compat.opencv", HELP, partial(install, force=True))

if __name__ == "__main__":
    main(prog_name="python -m cortado.compat.opencv")
