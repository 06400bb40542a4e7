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

from .check import check_plan, require
from .container import digest, read_tensors, write_tensors
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


@dataclass(frozen=True, slots=True)
class Source:
    """What a compiled file keeps for compiling it again: a net's text, its weights by handle, and for which target."""

    text: str
    weights: Mapping[str, Tensor]
    target: str
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled net.

    `plans` are ways to run it, the preferred one first: a net is run by the first whose runner this machine has.
    `weights` are tensors by handle, those of `source` and of all plans; `binaries` what runners need beside them, u8
    tensors by names that are theirs (machine code of a GPU's kernels: "KERNEL.sm_90"). `source` is the net before
    shapes mattered, for compiling it again; `net` the final text and `kernels` their sources by name, for reading;
    `preprocessing` is by input; `version` says what made it ({"cortado": "0.1.0", "torch": ...}); `hashes` are those of
    weights (`digest`) that are known: all where the artifact was read, and "texts" too. `write` works out the others.
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

    The same artifact gives the same bytes; weights are never copied in memory.
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
    write_tensors(Path(path), tensors, texts | {"cortado": str(FORMAT_VERSION), "hashes": encode(hashes)})


def read(path: str | Path, verify: bool = False) -> Artifact:
    """Map a file and check all that a run relies on. Weights are views of the file; `verify` also hashes them.

    ArtifactError, with the file's name, if it is foreign, cut off, damaged, older or newer than this program reads.
    """
    with naming(path):
        return decode_artifact(*read_tensors(Path(path)), verify)


def read_source(path: str | Path) -> Source:
    """What a file keeps for compiling it again; also of a file of the former format, which nothing else reads.

    Errors are those of `read`, but the plans are not looked at.
    """
    with naming(path):
        return decode_source(*read_tensors(Path(path)))


def read_for_running(path: str | Path) -> Artifact | Source:
    """What `read` returns; of a file of the former format, which has to be compiled again, what `read_source` does."""
    with naming(path):
        tensors, metadata = read_tensors(Path(path))
        return decode_source(tensors, metadata) if is_former(metadata) else decode_artifact(tensors, metadata)


def is_former(metadata: Mapping[str, str]) -> bool:
    """True for a file that cortado 0.1 compiled."""
    return metadata.get("cortado") == str(FORMER_VERSION)


def decode_artifact(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], verify: bool = False) -> Artifact:
    texts = read_texts(metadata, TEXT_KEYS, FORMAT_VERSION)
    hashes = read_hashes(metadata, texts, tensors)
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
    )
    artifact.check()
    if verify and (bad := [name for name, tensor in tensors.items() if digest(tensor) != hashes[name]]):
        raise ArtifactError(f"weight {bad[0]!r} does not have the hash that it states, so it is damaged")
    return artifact


def decode_source(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Source:
    former = is_former(metadata)
    keys = ("plan", "primitives", "source", "net", "kernels", "preprocessing", "version") if former else TEXT_KEYS
    texts = read_texts(metadata, keys, FORMER_VERSION if former else FORMAT_VERSION)
    read_hashes(metadata, texts, tensors)
    plans = [parse(texts["plan"])] if former else parse(texts["plans"])
    if not isinstance(plans, list) or not plans or not isinstance(plans[0], dict):
        raise ArtifactError("it holds no plan")
    forms = decode(dict[str, Preprocessing], parse(texts["preprocessing"]), "preprocessing")
    return Source(texts["source"], tensors, str(plans[0].get("target")), forms)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Errors begin with the file's name and end with what to do."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}{advice(str(error))}") from None


def read_texts(metadata: Mapping[str, str], keys: Sequence[str], expected: int) -> dict[str, str]:
    version = metadata.get("cortado")
    if version is None:
        raise ArtifactError("it is a safetensors file, but no net compiled by cortado")
    if version == str(FORMER_VERSION) != str(expected):
        raise ArtifactError("cortado 0.1 compiled it; compile it again: cortado compile THIS_FILE -o NEW.cortado")
    if version != str(expected):
        raise ArtifactError(f"it has format {version[:20]!r} and this cortado reads {expected}; update cortado")
    if missing := [name for name in (*keys, "hashes") if name not in metadata]:
        raise ArtifactError(f"its {missing[0]} is missing")
    return {name: metadata[name] for name in keys}


def read_hashes(metadata: Mapping[str, str], texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The hash that the file states of each tensor, and of its texts, which is proved."""
    hashes: dict[str, str] = decode(dict[str, str], parse(metadata.get("hashes", "")), "hashes")
    if hashes.get("texts") != texts_digest(texts):
        raise ArtifactError("its texts do not have the hash that it states, so it is damaged")
    if set(hashes) != {"texts", *tensors}:
        raise ArtifactError("its weights are not those that it states, so it is damaged")
    return hashes


def texts_digest(texts: Mapping[str, Any]) -> str:
    return hashlib.sha256(encode(texts).encode()).hexdigest()


def advice(sentence: str) -> str:
    told = any(word in sentence for word in ("update", "no such file", "again", "lacks"))
    return "" if told else "; compile the net again"
