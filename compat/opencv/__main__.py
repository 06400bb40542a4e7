"""`python -m cortado.compat.opencv SCRIPT [ARGS]...`: run a script whose cv2.dnn reads Caffe's files by cortado."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import click

from .install import install


@click.command("python -m cortado.compat.opencv", context_settings={"ignore_unknown_options": True})
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(script: Path, arguments: tuple[str, ...]) -> None:
    """Run a Python script so that its cv2.dnn reads nets of Caffe by cortado.

    readNetFromCaffe, readNet and dnn_registerLayer of cv2 are cortado's for the time of the run, whatever version of
    OpenCV is installed. What follows SCRIPT is the script's own.
    """
    install(force=True)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    runpy.run_path(str(script), run_name="__main__")


main.allow_interspersed_args = False

if __name__ == "__main__":
    main()
