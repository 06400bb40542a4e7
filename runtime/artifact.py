"""The compiled net as one file: plan, weights, and the texts that let people read it and the compiler resize it.

It is a safetensors file, so any of that library's tools opens it: weights are tensors named by handle, everything
else is text in its metadata. Reading it runs nothing that it holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from .check import CUBIN_NAME, check_cubins
from .check import check as check
from .container import digest, read_tensors, write_tensors
from .encoding import decode, encode, parse
from .plan import DTYPES as DTYPES
from .plan import ArtifactError as ArtifactError
from .plan import Plan as Plan
from .plan import Preprocessing as Preprocessing
from .plan import Slot as Slot
from .plan import Step as Step
from .plan import Weight as Weight
from .primitive_table import ACTIVATIONS as ACTIVATIONS
from .primitive_table import EXPR_FUNCTIONS as EXPR_FUNCTIONS
from .primitive_table import PRIMITIVE_TABLE as PRIMITIVE_TABLE

FORMAT_VERSION = 1
TEXT_KEYS = ("plan", "primitives", "source", "net", "kernels", "preprocessing", "version")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled net.

    `weights` are tensors by handle, those of `source` and of `plan`; `cubins` the machine code of kernels for GPUs, u8
    tensors named by kernel and architecture: "KERNEL.sm_90". `source` is the net before shapes mattered, for
    compiling it again; `net` the final text and `kernels` their sources by name, for reading; `preprocessing` is by
    input; `version` says what made it ({"cortado": "0.1.0", "torch": ...}); `hashes` are those of weights (`digest`)
    that are known: all where the artifact was read, and "texts" too. `write` works out the others.
    """

    plan: Plan
    weights: Mapping[str, Tensor]
    source: str = ""
    net: str = ""
    kernels: Mapping[str, str] = field(default_factory=dict)
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    version: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    cubins: Mapping[str, Tensor] = field(default_factory=dict)

    def check(self) -> None:
        """ArtifactError if the plan cannot be run, or names a weight that is not there or is of another size."""
        check(self.plan)
        for name, weight in self.plan.weights.items():
            tensor = self.weights.get(weight.handle)
            if tensor is None:
                raise ArtifactError(f"weight {name!r} is {weight.handle!r}, which is missing")
            count = 1
            for dim in weight.shape:
                count *= dim
            if tensor.dtype != DTYPES[weight.dtype] or tensor.numel() != count:
                is_, due = f"{tensor.dtype} {list(tensor.shape)}", f"{weight.dtype} {list(weight.shape)}"
                raise ArtifactError(f"weight {name!r} is {is_}, not {due}")
        check_cubins(self.plan, self.cubins)
        for name, form in self.preprocessing.items():
            if name not in self.plan.inputs:
                raise ArtifactError(f"there is preprocessing for {name!r}, which is no input")
            if form.mean_image and form.mean_image not in self.weights:
                raise ArtifactError(f"the mean picture of {name!r} is missing")


def write(path: str | Path, artifact: Artifact) -> None:
    """Write one file, whole or not at all. The same artifact gives the same bytes; weights are never copied in
    memory.
    """
    artifact.check()
    texts = {
        "plan": encode(artifact.plan),
        "primitives": encode({s.primitive: PRIMITIVE_TABLE[s.primitive].version for s in artifact.plan.steps}),
        "source": artifact.source,
        "net": artifact.net,
        "kernels": encode(dict(artifact.kernels)),
        "preprocessing": encode({name: asdict(form) for name, form in artifact.preprocessing.items()}),
        "version": encode(dict(artifact.version)),
    }
    tensors = {**artifact.weights, **artifact.cubins}
    hashes = {name: artifact.hashes.get(name) or digest(tensor) for name, tensor in tensors.items()}
    hashes["texts"] = texts_digest(texts)
    write_tensors(Path(path), tensors, texts | {"cortado": str(FORMAT_VERSION), "hashes": encode(hashes)})


def read(path: str | Path, verify: bool = False) -> Artifact:
    """Map a file and check all that a run relies on. Weights are views of the file; `verify` also hashes them.

    ArtifactError, with the file's name, if it is foreign, cut off, damaged, or newer than this program.
    """
    try:
        tensors, metadata = read_tensors(Path(path))
        texts = read_texts(metadata)
        hashes = decode(dict[str, str], parse(metadata.get("hashes", "")), "hashes")
        if hashes.get("texts") != texts_digest(texts):
            raise ArtifactError("its texts do not have the hash that it states, so it is damaged")
        if set(hashes) != {"texts", *tensors}:
            raise ArtifactError("its weights are not those that it states, so it is damaged")
        for name, version in decode(dict[str, int], parse(texts["primitives"]), "primitives").items():
            if name not in PRIMITIVE_TABLE or version != PRIMITIVE_TABLE[name].version:
                raise ArtifactError(f"it needs version {version} of primitive {name!r}, which this cortado lacks")
        cubins = {name: tensor for name, tensor in tensors.items() if CUBIN_NAME.fullmatch(name)}
        weights = {name: tensor for name, tensor in tensors.items() if name not in cubins}
        artifact = Artifact(
            decode(Plan, parse(texts["plan"]), "plan"),
            weights,
            texts["source"],
            texts["net"],
            decode(dict[str, str], parse(texts["kernels"]), "kernels"),
            decode(dict[str, Preprocessing], parse(texts["preprocessing"]), "preprocessing"),
            decode(dict[str, str], parse(texts["version"]), "version"),
            hashes,
            cubins,
        )
        artifact.check()
        if verify and (bad := [name for name, tensor in tensors.items() if digest(tensor) != hashes[name]]):
            raise ArtifactError(f"weight {bad[0]!r} does not have the hash that it states, so it is damaged")
        return artifact
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}{advice(str(error))}") from None


def read_texts(metadata: Mapping[str, str]) -> dict[str, str]:
    version = metadata.get("cortado")
    if version is None:
        raise ArtifactError("it is a safetensors file, but no net compiled by cortado")
    if version != str(FORMAT_VERSION):
        raise ArtifactError(f"it has format {version[:20]!r} and this cortado reads {FORMAT_VERSION}; update cortado")
    if missing := [name for name in (*TEXT_KEYS, "hashes") if name not in metadata]:
        raise ArtifactError(f"its {missing[0]} is missing")
    return {name: metadata[name] for name in TEXT_KEYS}


def texts_digest(texts: Mapping[str, Any]) -> str:
    return hashlib.sha256(encode(texts).encode()).hexdigest()


def advice(sentence: str) -> str:
    return "" if "update" in sentence or "no such file" in sentence else "; compile the net again"
