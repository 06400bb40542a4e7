"""Reads and writes safetensors files that can be mapped: tensors are aligned to 64 bytes, the bytes reproducible."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .plan import DTYPES, ArtifactError

ALIGNMENT = 64
SAFETENSORS_DTYPES = {dtype: name.upper() for name, dtype in DTYPES.items()}
MAX_HEADER_BYTES = 100_000_000  # limit of the safetensors library


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors in the order of their names, one at a time; the file is replaced atomically.

    The safetensors library's writer does not align, does not sort the metadata, and holds all tensors in memory.
    """
    names = sorted(tensors)
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    gaps = {}
    for name in names:
        tensor = tensors[name]
        if gap := -end % ALIGNMENT:
            gaps[name] = gap
            header[f"pad.{len(gaps)}"] = {"dtype": "U8", "shape": [gap], "data_offsets": [end, end + gap]}
            end += gap
        begin, end = end, end + tensor.numel() * tensor.dtype.itemsize
        header[name] = {
            "dtype": SAFETENSORS_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    head = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-(8 + len(head)) % ALIGNMENT)
    if len(head) > MAX_HEADER_BYTES:
        raise ValueError(f"{path}: {len(head)} bytes of plan and text are more than a safetensors file can hold")

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(head).to_bytes(8, "little"))
            file.write(head)
            for name in names:
                file.write(bytes(gaps.get(name, 0)))
                file.write(memory_of(tensors[name]))
        temporary.chmod(0o644 & ~umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def umask() -> int:
    os.umask(mask := os.umask(0o022))
    return mask


def memory_of(tensor: Tensor) -> memoryview:
    """A tensor's bytes in logical order: no copy if it is contiguous on the CPU."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy() if flat.numel() else b"")  # type: ignore[arg-type]


def digest(tensor: Tensor) -> str:
    """sha256, in hex, of a tensor's dtype and shape, as in `f32[2,3]`, followed by its bytes."""
    shape = ",".join(map(str, tensor.shape))
    made = hashlib.sha256(f"{SAFETENSORS_DTYPES[tensor.dtype].lower()}[{shape}]".encode())
    made.update(memory_of(tensor))
    return made.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, as views of the mapped file, and the metadata. ArtifactError if the file is invalid."""
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if not name.startswith("pad.")]  # noqa: SIM118
            for name in names:
                form = file.get_slice(name)
                if form.get_dtype() not in SAFETENSORS_DTYPES.values():
                    raise ArtifactError(f"tensor {name!r} has the unknown dtype {form.get_dtype()}")
                if prod(form.get_shape()) >= 1 << 48:
                    raise ArtifactError(f"tensor {name!r} has the shape {form.get_shape()}")
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except FileNotFoundError:
        raise ArtifactError("there is no such file") from None
    except (SafetensorError, OSError, UnicodeError, RuntimeError) as error:
        raise ArtifactError(f"it is no whole compiled net ({error})") from None
