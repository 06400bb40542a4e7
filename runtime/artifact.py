"""The compiled net as one file: plans, weights, and the texts that let people read it and the compiler resize it.

It is a safetensors file, so any of that library's tools opens it: weights are tensors named by handle, everything
else is text in its metadata. Reading it runs nothing that it holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor

from .arguments import LARGEST_GRID as LARGEST_GRID
from .arguments import WARP_SIZE as WARP_SIZE
from .check import check_plan, require
from .container import SEAL, Container, checksum, digest, read_tensors
from .container import write_tensors as write_tensors
from .encoding import decode, encode, parse
from .plan import DTYPES as DTYPES
from .plan import ArtifactError as ArtifactError
from .plan import Plan as Plan
from .plan import Slot as Slot
from .plan import Step as Step
from .plan import Weight as Weight
from .preprocessing import Preprocessing as Preprocessing
from .primitive_table import ACTIVATIONS as ACTIVATIONS
from .primitive_table import EXPR_FUNCTIONS as EXPR_FUNCTIONS
from .primitive_table import PRIMITIVE_TABLE as PRIMITIVE_TABLE
from .runners import check_steps

FORMAT_VERSION = 2
TEXT_KEYS = ("plans", "binaries", "source", "net", "kernels", "preprocessing", "version")
FORMER_VERSION = 1  # cortado 0.1: one plan, in other words; its source is read, and nothing else
FORMER_KEYS = ("plan", "primitives", "source", "net", "kernels", "preprocessing", "version")
OTHER_KEYS = {"cortado", "hashes", "checksums", SEAL}  # the last two are newer than the format, and may be missing


@dataclass(frozen=True, slots=True)
class Source:
    """What a compiled file keeps for compiling it again: a net's text, its weights by handle, and for which target.

    `hashes` are those that the file states of the weights.
    """

    text: str
    weights: Mapping[str, Tensor]
    target: str
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled net.

    `plans` are ways to run it, the preferred one first: a net is run by the first whose runner this machine has.
    `weights` are tensors by handle, those of `source` and of all plans; `binaries` what runners need beside them, u8
    tensors by names that are theirs (machine code of a GPU's kernels: "KERNEL.sm_90"). `source` is the net before
    shapes mattered, for compiling it again; `net` the final text and `kernels` their sources by name, for reading;
    `preprocessing` is by input; `version` says what made it ({"cortado": "0.1.0", "torch": ...}); `hashes` are those of
    weights (`digest`) that are known: all where the artifact was read, and "texts" too. `write` works out the others.
    `checksums` are those of tensors as the file states them, which `load` compares. `files` are those that the net was
    compiled from, which `write` does not write over.
    """

    plans: tuple[Plan, ...]
    weights: Mapping[str, Tensor]
    source: str = ""
    net: str = ""
    kernels: Mapping[str, str] = field(default_factory=dict)
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    version: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    binaries: Mapping[str, Tensor] = field(default_factory=dict)
    checksums: Mapping[str, int] = field(default_factory=dict)
    files: Sequence[str | Path] = ()

    @property
    def plan(self) -> Plan:
        """The preferred plan."""
        return self.plans[0]

    def check(self) -> None:
        """ArtifactError if a plan cannot be run, or names a weight that is not there or is of another size."""
        require(len(self.plans) > 0, "it holds no plan")
        for plan in self.plans:
            require(plan.inputs == self.plan.inputs, "its plans have different inputs")
            check_plan(plan)
            check_weights(plan, self.weights)
            check_steps(plan, self.binaries)
        for name, form in self.preprocessing.items():
            if name not in self.plan.inputs:
                raise ArtifactError(f"there is preprocessing for {name!r}, which is no input")
            if form.mean_image and form.mean_image not in self.weights:
                raise ArtifactError(f"the mean picture of {name!r} is missing")
            mean = tuple(self.weights[form.mean_image].shape) if form.mean_image else None
            require(mean is None or len(mean) == 3, f"the mean picture of {name!r} is no picture")
            try:
                form.require_fits(name, self.plan.slots[name].dims, mean)
            except ValueError as e:
                raise ArtifactError(str(e)) from None

    def check_tensors(self) -> None:
        """ArtifactError if a tensor that runs use does not have the checksum that the file states."""
        names = {form.mean_image: f"mean picture of {name}" for name, form in self.preprocessing.items()}
        names |= {w.handle: f"weight {name!r}" for plan in self.plans for name, w in plan.weights.items()}
        names |= {name: f"machine code {name!r}" for name in self.binaries}
        tensors = {**self.weights, **self.binaries}
        for key in names.keys() & self.checksums.keys() & tensors.keys():
            if checksum(tensors[key]) != self.checksums[key]:
                raise ArtifactError(f"its {names[key]} does not have the checksum that it states, so it is damaged")


def check_weights(plan: Plan, weights: Mapping[str, Tensor]) -> None:
    """ArtifactError if a weight of the plan is missing, or of another size."""
    for name, weight in plan.weights.items():
        tensor = weights.get(weight.handle)
        if tensor is None:
            raise ArtifactError(f"weight {name!r} is {weight.handle!r}, which is missing")
        if tensor.dtype != DTYPES[weight.dtype] or tensor.numel() != prod(weight.shape):
            is_, due = f"{tensor.dtype} {list(tensor.shape)}", f"{weight.dtype} {list(weight.shape)}"
            raise ArtifactError(f"weight {name!r} is {is_}, not {due}")


def write(path: str | Path, artifact: Artifact) -> None:
    """Write one file, whole or not at all.

    The same artifact gives the same bytes; weights are never copied in memory. OutputError if it cannot be written
    there, or would replace one of the artifact's `files`.
    """
    artifact.check()
    texts = {
        "plans": encode([asdict(plan) for plan in artifact.plans]),
        "binaries": encode(sorted(artifact.binaries)),
        "source": artifact.source,
        "net": artifact.net,
        "kernels": encode(dict(artifact.kernels)),
        "preprocessing": encode({name: asdict(form) for name, form in artifact.preprocessing.items()}),
        "version": encode(dict(artifact.version)),
    }
    tensors = {**artifact.weights, **artifact.binaries}
    hashes = {name: artifact.hashes.get(name) or digest(tensor) for name, tensor in tensors.items()}
    hashes["texts"] = texts_digest(texts)
    known = artifact.checksums
    checksums = {name: known[name] if name in known else checksum(tensor) for name, tensor in tensors.items()}
    stated = {"cortado": str(FORMAT_VERSION), "hashes": encode(hashes), "checksums": encode(checksums)}
    write_tensors(Path(path), tensors, texts | stated, artifact.files)


def read(path: str | Path, verify: bool = False) -> Artifact:
    """Map a file and check all that a run relies on. Weights are views of the file; `verify` also hashes them.

    ArtifactError, with the file's name, if it is foreign, cut off, damaged, older or newer than this program reads.
    """
    with naming(path):
        return decode_artifact(read_tensors(Path(path)), verify)


def damaged_tensors(tensors: Mapping[str, Tensor], hashes: Mapping[str, str]) -> list[str]:
    """The names of tensors that do not have the hash that is stated of them."""
    return [name for name, tensor in tensors.items() if digest(tensor) != hashes[name]]


def read_source(path: str | Path) -> Source:
    """What a file keeps for compiling it again; also of a file of the former format, which nothing else reads.

    Errors are those of `read`, but the plans are not looked at.
    """
    with naming(path):
        return decode_source(read_tensors(Path(path)))


def read_for_running(path: str | Path, verify: bool = True) -> Artifact | Source:
    """What `read` returns; of a file of the former format, which has to be compiled again, what `read_source` does.

    With `verify`, the tensors that runs use have the checksums that the file states.
    """
    with naming(path):
        file = read_tensors(Path(path))
        if is_former(file.metadata):
            return decode_source(file)
        artifact = decode_artifact(file)
        if verify:
            artifact.check_tensors()
        return artifact


def is_former(metadata: Mapping[str, str]) -> bool:
    """True for a file that cortado 0.1 compiled."""
    return metadata.get("cortado") == str(FORMER_VERSION)


def decode_artifact(file: Container, verify: bool = False) -> Artifact:
    texts, hashes, tensors = read_texts(file, TEXT_KEYS, FORMAT_VERSION), read_hashes(file, TEXT_KEYS), file.tensors
    binaries = {name: tensors[name] for name in decode(tuple[str, ...], parse(texts["binaries"]), "binaries")
                if name in tensors}  # fmt: skip
    artifact = Artifact(
        decode(tuple[Plan, ...], parse(texts["plans"]), "plans"),
        {name: tensor for name, tensor in tensors.items() if name not in binaries},
        texts["source"],
        texts["net"],
        decode(dict[str, str], parse(texts["kernels"]), "kernels"),
        decode(dict[str, Preprocessing], parse(texts["preprocessing"]), "preprocessing"),
        decode(dict[str, str], parse(texts["version"]), "version"),
        hashes,
        binaries,
        decode(dict[str, int], parse(file.metadata.get("checksums", "{}")), "checksums"),
    )
    artifact.check()
    if verify and (bad := damaged_tensors(tensors, hashes)):
        raise ArtifactError(f"weight {bad[0]!r} does not have the hash that it states, so it is damaged")
    return artifact


def decode_source(file: Container) -> Source:
    former = is_former(file.metadata)
    keys, expected = (FORMER_KEYS, FORMER_VERSION) if former else (TEXT_KEYS, FORMAT_VERSION)
    texts, hashes = read_texts(file, keys, expected), read_hashes(file, keys)
    plans = [parse(texts["plan"])] if former else parse(texts["plans"])
    if not isinstance(plans, list) or not plans or not isinstance(plans[0], dict):
        raise ArtifactError("it holds no plan")
    forms = decode(dict[str, Preprocessing], parse(texts["preprocessing"]), "preprocessing")
    images = {form.mean_image for form in forms.values()} & file.tensors.keys()
    if bad := damaged_tensors({name: file.tensors[name] for name in images}, hashes):  # the parser hashes the others
        raise ArtifactError(f"the mean picture {bad[0]!r} does not have the hash that it states, so it is damaged")
    return Source(texts["source"], file.tensors, str(plans[0].get("target")), forms, hashes)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Errors begin with the file's name and end with what to do."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}{advice(str(error))}") from None


def read_texts(file: Container, keys: Sequence[str], expected: int) -> dict[str, str]:
    """The texts of these keys, if the file has the expected format, all of them, and no others."""
    version = file.metadata.get("cortado")
    if version is None:
        raise ArtifactError("it is a safetensors file, but no net compiled by cortado")
    if version == str(FORMER_VERSION) != str(expected):
        raise ArtifactError("cortado 0.1 compiled it; compile it again: cortado compile THIS_FILE -o NEW.cortado")
    if version != str(expected):
        raise ArtifactError(f"it has format {version[:20]!r} and this cortado reads {expected}; update cortado")
    if missing := [name for name in (*keys, "hashes") if name not in file.metadata]:
        raise ArtifactError(f"its {missing[0]} is missing")
    if foreign := file.metadata.keys() - {*keys, *OTHER_KEYS}:
        raise ArtifactError(f"its text {min(foreign)[:40]!r} is none of this format, so it is damaged")
    return {name: file.metadata[name] for name in keys}


def read_hashes(file: Container, keys: Sequence[str]) -> dict[str, str]:
    """The hash that the file states of each tensor; those of its header and of its texts are proved."""
    if not file.has_whole_header:
        raise ArtifactError("its header does not have the hash that it states, so it is damaged")
    hashes: dict[str, str] = decode(dict[str, str], parse(file.metadata.get("hashes", "")), "hashes")
    if hashes.get("texts") != texts_digest({name: file.metadata[name] for name in keys}):
        raise ArtifactError("its texts do not have the hash that it states, so it is damaged")
    if set(hashes) != {"texts", *file.tensors}:
        raise ArtifactError("its weights are not those that it states, so it is damaged")
    return hashes


def texts_digest(texts: Mapping[str, Any]) -> str:
    return hashlib.sha256(encode(texts).encode()).hexdigest()


def advice(sentence: str) -> str:
    told = any(word in sentence for word in ("update", "no such file", "again", "lacks", "open_library"))
    return "" if told else "; compile the net again"
