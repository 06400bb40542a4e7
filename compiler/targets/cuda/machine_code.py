"""Worker process that compiles generated kernel files to machine code, without a GPU. aot.py runs it by path.

Standard input holds lines of JSON {"file", "name", "architecture"}; standard output gets one line for each: {"cubin":
base64, "shared": bytes, "warps", "stages", "registers", "spilled": bytes of stack, "wgmma": number of instructions,
"cuda": the assembler's release, "descriptors": [{"box", "swizzle"}]} or {"error": text}. It is a process of its own,
and imports nothing of cortado, because a process that has used Triton's interpreter cannot compile (Triton 3.9), and to
isolate compiler crashes.
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

MAX_SHARED_BYTES = {"sm_90": 232_448, "sm_80": 101_376}
"""Per block. That of sm_80 is the limit of sm_86 and sm_89, which run its code."""


def compile_kernel(file: str, name: str, architecture: str) -> dict[str, Any]:
    """Compile one kernel, with fewer pipeline stages if it needs more shared memory than there is."""
    import triton
    from triton.backends.compiler import GPUTarget

    source, options = read_kernel(file, name)
    while True:
        kernel = triton.compile(source, target=GPUTarget("cuda", int(architecture[3:]), 32), options=options)
        fits = kernel.metadata.shared <= MAX_SHARED_BYTES[architecture]
        if fits and has_required_fence(kernel.asm["ptx"]):
            break
        if options["num_stages"] == 1:
            raise ValueError(f"{architecture} cannot run it: {kernel.metadata.shared} bytes of shared memory")
        options["num_stages"] = 1 if fits else options["num_stages"] - 1
    if kernel.metadata.global_scratch_size or kernel.metadata.profile_scratch_size:
        raise ValueError("it needs scratch memory, which launches do not provide")
    cubin = kernel.asm["cubin"]
    return {
        "cubin": base64.b64encode(cubin).decode(),
        "shared": kernel.metadata.shared,
        "warps": kernel.metadata.num_warps,
        "stages": options["num_stages"],
        **resource_usage(cubin, Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"),
        "wgmma": kernel.asm["ptx"].count("wgmma.mma_async"),
        "cuda": assembler_release(int(architecture[3:])),
        "descriptors": [describe_descriptor(d) for d in getattr(kernel.metadata, "tensordesc_meta", None) or []],
    }


def read_kernel(file: str, name: str) -> tuple[Any, dict[str, Any]]:
    """A kernel as Triton's compiler takes it (ASTSource), and its options."""
    from triton.compiler import ASTSource

    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    function = getattr(module, name)
    index = function.arg_names.index
    constants = {parameter_path(path, index): value for path, value in module.CONSTANTS.items()}
    attributes = {parameter_path(path, index): [["tt.divisibility", 16]] for path in module.ALIGNED}
    return ASTSource(function, module.SIGNATURE, constants, attributes), dict(module.OPTIONS)


def has_required_fence(ptx: str) -> bool:
    """False if on some path wgmma follows the arrival of copies by cp.async with no fence.proxy.async in between.

    Such copies are written by the generic proxy, and wgmma reads by the async proxy (PTX ISA, "Async proxy"). Triton
    3.6 omits the fence; with a single stage it does not use cp.async.
    """
    blocks, targets = basic_blocks(ptx)
    reached, waiting = {(0, False)}, [(0, False)]
    while waiting:
        number, is_unfenced = waiting.pop()
        for event in blocks[number]:
            if event == "wgmma" and is_unfenced:
                return False
            is_unfenced = {"arrival": True, "fence": False}.get(event, is_unfenced)
        after = {(target, is_unfenced) for target in targets[number]} - reached
        reached |= after
        waiting += after
    return True


PTX_EVENTS = (("cp.async.wait_", "arrival"), ("fence.proxy.async", "fence"), ("wgmma.mma_async", "wgmma"))
PTX_LINE = re.compile(r"(?:(\$\w+):)?\s*(?:(@\S+)\s+)?([\w.:]+)?(?:\s+(\$\w+))?")


def basic_blocks(ptx: str) -> tuple[list[list[str]], list[list[int]]]:
    """The basic blocks of a kernel in PTX: the PTX_EVENTS of each, in order, and the blocks that may follow it."""
    blocks, jumps, falls, labels = [list[str]()], [list[str]()], [True], dict[str, int]()

    def begin() -> None:
        blocks.append([])
        jumps.append([])
        falls.append(True)

    for line in ptx.splitlines():
        label, guard, instruction, operand = PTX_LINE.match(line.strip()).groups()  # type: ignore[union-attr]
        if label:
            begin()
            labels[label] = len(blocks) - 1
        instruction = instruction or ""
        blocks[-1] += [event for start, event in PTX_EVENTS if instruction.startswith(start)]
        if instruction.startswith(("bra", "ret")):
            jumps[-1] += [operand] * bool(operand)
            falls[-1] = guard is not None
            begin()
    ends = len(blocks) - 1
    return blocks, [
        [labels[name] for name in named if name in labels] + [number + 1] * (falling and number < ends)
        for number, (named, falling) in enumerate(zip(jumps, falls, strict=True))
    ]


def assembler_release(capability: int) -> int:
    """The CUDA release of the assembler that Triton uses for an architecture, 1000 × major + 10 × minor."""
    from triton.backends.nvidia.compiler import get_ptxas

    major, minor = map(int, get_ptxas(capability).version.split(".")[:2])
    return 1000 * major + 10 * minor


def parameter_path(path: str, index: Any) -> tuple[int, ...]:
    """A path such as extra.1 as Triton writes it: the index of the parameter, then of the tuple member."""
    name, *members = path.split(".")
    return (index(name), *map(int, members))


def describe_descriptor(meta: dict[str, Any]) -> dict[str, Any]:
    return {"box": list(meta["block_size"]), "swizzle": meta["swizzle"]}


def resource_usage(cubin: bytes, cuobjdump: Path) -> dict[str, int]:
    """Registers and stack bytes per thread, as cuobjdump reports them."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        report = subprocess.run([cuobjdump, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", report)
    assert found is not None, report
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
