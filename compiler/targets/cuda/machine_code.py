"""Compiles generated kernel files to machine code, without a GPU. Run by path, it is a process of its own: see aot.py.

Standard input holds lines of JSON {"file", "name", "architecture"}; for each a line is answered: {"cubin": base64,
"shared": bytes, "warps", "stages", "registers", "spilled": bytes of stack, "wgmma": instructions of that kind,
"descriptors": [{"box", "swizzle"}]} or {"error": text}. It imports nothing of ours: Triton's interpreter, once used,
spoils a process for compiling (seen on 3.9), and a crash of the compiler should end no more than a worker.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MAX_SHARED_BYTES = {"sm_90": 232_448, "sm_80": 101_376}  # bytes a block may have; sm_86 and sm_89 run sm_80's code


def compile_kernel(file: str, name: str, architecture: str) -> dict[str, Any]:
    """One kernel, compiled again with fewer steps loaded ahead if it needs more shared memory than there is."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    function = getattr(module, name)
    place = function.arg_names.index
    constants = {parameter_path(path, place): value for path, value in module.CONSTANTS.items()}
    attributes = {parameter_path(path, place): [["tt.divisibility", 16]] for path in module.ALIGNED}
    options = dict(module.OPTIONS)
    source = ASTSource(function, module.SIGNATURE, constants, attributes)
    while True:
        kernel = triton.compile(source, target=GPUTarget("cuda", int(architecture[3:]), 32), options=options)
        fits = kernel.metadata.shared <= MAX_SHARED_BYTES[architecture]
        if fits and has_required_fence(kernel.asm["ptx"]):
            break
        if options["num_stages"] == 1:
            raise ValueError(f"{architecture} cannot run it: {kernel.metadata.shared} bytes of shared memory")
        options["num_stages"] = 1 if fits else options["num_stages"] - 1
    if kernel.metadata.global_scratch_size or kernel.metadata.profile_scratch_size:
        raise ValueError("it asks for scratch memory, which launches do not bring")
    cubin = kernel.asm["cubin"]
    return {
        "cubin": base64.b64encode(cubin).decode(),
        "shared": kernel.metadata.shared,
        "warps": kernel.metadata.num_warps,
        "stages": options["num_stages"],
        **resource_usage(cubin, Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"),
        "wgmma": kernel.asm["ptx"].count("wgmma.mma_async"),
        "descriptors": [describe_descriptor(d) for d in getattr(kernel.metadata, "tensordesc_meta", None) or []],
    }


def has_required_fence(ptx: str) -> bool:
    """False if tensor cores may read shared memory before what was copied there can be seen by them.

    Triton 3.6 leaves out the fence between asynchronous copies and wgmma; without steps loaded ahead it copies
    otherwise.
    """
    return not ("wgmma.mma_async" in ptx and "cp.async.c" in ptx and "fence.proxy.async" not in ptx)


def parameter_path(path: str, place: Any) -> tuple[int, ...]:
    """ "extra.1" as Triton counts: the number of the parameter, then of its member."""
    name, *members = path.split(".")
    return (place(name), *map(int, members))


def describe_descriptor(meta: dict[str, Any]) -> dict[str, Any]:
    return {"box": list(meta["block_size"]), "swizzle": meta["swizzle"]}


def resource_usage(cubin: bytes, cuobjdump: Path) -> dict[str, int]:
    """Registers of a thread, and the bytes of stack that it spills to, as the machine code states them."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([cuobjdump, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert found is not None, said
    return {"registers": int(found[1]), "spilled": int(found[2])}


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = compile_kernel(job["file"], job["name"], job["architecture"])
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
