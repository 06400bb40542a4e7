"""Reads and writes safetensors files that can be mapped: tensors are aligned to 64 bytes, the bytes reproducible.

Between tensors lie entries `pad.N` of fewer than 64 zeros. The metadata `header` is a hash of the header itself.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .elf import REFUSED, is_elf
from .output import open_output
from .plan import DTYPES, ArtifactError

ALIGNMENT = 64
SAFETENSORS_DTYPES = {dtype: name.upper() for name, dtype in DTYPES.items()}
MAX_TENSORS = 100_000  # two weights for each of as many nodes as a net may have
MAX_HEADER_BYTES = 100_000_000  # limit of the safetensors library
PAD = "pad."  # begins the name of an entry of zeros
SEAL, NO_SEAL = "header", "0" * 64  # the metadata with the header's hash, and what stands there while it is hashed


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], inputs: Iterable[str | Path] = ()
) -> None:
    """Write tensors in the order of their names, one at a time, as `open_output` writes; its errors.

    The safetensors library's writer does not align, does not sort the metadata, and holds all tensors in memory.
    """
    names = sorted(tensors)
    header: dict[str, object] = {"__metadata__": dict(sorted({**metadata, SEAL: NO_SEAL}.items()))}
    end = 0
    gaps = {}
    for name in names:
        tensor = tensors[name]
        if gap := -end % ALIGNMENT:
            gaps[name] = gap
            header[f"{PAD}{len(gaps)}"] = {"dtype": "U8", "shape": [gap], "data_offsets": [end, end + gap]}
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
    head = len(head).to_bytes(8, "little") + head
    with open_output(path, inputs) as file:
        file.write(head.replace(seal_entry(NO_SEAL), seal_entry(hashlib.sha256(head).hexdigest())))
        for name in names:
            file.write(bytes(gaps.get(name, 0)))
            file.write(memory_of(tensors[name]))


def seal_entry(digest: str) -> bytes:
    """How the header's hash stands in the header; no text in it has such quotes, for JSON escapes them."""
    return f'"{SEAL}":"{digest}"'.encode()


def has_seal(path: Path, digest: str) -> bool:
    """True if the file's length, header and padding of the header hash to `digest`, which the header states."""
    with path.open("rb") as file:
        size = file.read(8)
        head = size + file.read(min(int.from_bytes(size, "little"), MAX_HEADER_BYTES))
    return hashlib.sha256(head.replace(seal_entry(digest), seal_entry(NO_SEAL), 1)).hexdigest() == digest


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


def checksum(tensor: Tensor) -> int:
    """The CRC-32 of a tensor's bytes: it sees any damage of up to 32 bits in a row, and is faster than a hash."""
    return zlib.crc32(memory_of(tensor))


@dataclass(frozen=True, slots=True)
class Container:
    """What a file holds: tensors, as views of the mapped file, and metadata.

    `has_whole_header`: its header has the hash that it states, or states none.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    has_whole_header: bool


def refuse_code(path: Path) -> None:
    """ArtifactError for a shared library."""
    if not path.is_file():  # a pipe can be read only once
        return
    with path.open("rb") as file:
        if is_elf(file.read(4)):
            raise ArtifactError(REFUSED)


def read_tensors(path: Path) -> Container:
    """Map a file. ArtifactError if it is invalid, or its padding is anything but zeros."""
    try:
        refuse_code(path)
        with safe_open(path, framework="pt") as file:
            names = list[str]()
            if (count := len(file.keys())) > 2 * MAX_TENSORS:  # half of them may be padding
                raise ArtifactError(f"it has {count} tensors, and the limit is {2 * MAX_TENSORS}")
            for name in file.keys():  # noqa: SIM118
                form = file.get_slice(name)
                if form.get_dtype() not in SAFETENSORS_DTYPES.values():
                    raise ArtifactError(f"tensor {name!r} has the unknown dtype {form.get_dtype()}")
                if prod(form.get_shape()) >= 1 << 48:
                    raise ArtifactError(f"tensor {name!r} has the shape {form.get_shape()}")
                if not name.startswith(PAD):
                    names.append(name)
                elif prod(form.get_shape()) >= ALIGNMENT or file.get_tensor(name).any():
                    raise ArtifactError(f"its padding {name!r} is not zero, so it is damaged")
            tensors, metadata = {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
        return Container(tensors, metadata, SEAL not in metadata or has_seal(path, metadata[SEAL]))
    except FileNotFoundError:
        raise ArtifactError("there is no such file") from None
    except (SafetensorError, OSError, UnicodeError, RuntimeError) as error:
        raise ArtifactError(f"it is no whole compiled net ({error})") from None
