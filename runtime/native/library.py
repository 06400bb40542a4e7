"""A net as a shared library: its C and its weights, compiled ahead of time for this processor or another one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..output import OutputStream, open_output, write_file
from .build import FLAGS, compiler_for, run_compiler
from .embedding import EmbeddedNet
from .machine import Machine

LIBRARY_FLAGS = ("-Wl,-z,nodelete",)  # its threads go on, whoever closes it
CHUNK = 1 << 24  # bytes
SECONDS = 1800  # that the compiler may take: nobody waits for an answer meanwhile


def write_library(net: EmbeddedNet, machine: Machine, file: OutputStream) -> None:
    """Compile a net, and write the library's bytes. ArtifactError, with the compiler's words, if it fails."""
    command = compiler_for(machine)
    with tempfile.TemporaryDirectory(prefix="cortado-") as name:
        folder = Path(name)
        for text_name, text in net.texts.items():
            write_file(folder / text_name, text)
        with open_output(folder / net.weights_name, durable=False) as weights:
            net.write_weights(weights)
        source = next(name for name in net.texts if name.endswith(".c"))
        words = [*command, *FLAGS, *LIBRARY_FLAGS, *machine.flags, source, "-o", "made.so", "-lm"]
        run_compiler(words, folder, SECONDS)
        with (folder / "made.so").open("rb") as library:
            while data := library.read(CHUNK):
                file.write(data)
