"""A plan as C that programs embed: the net's code and header, its packed weights, and what builds an example."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import prod

import numpy as np

from ..arena import strides_in, strides_of
from ..artifact import Artifact
from ..encoding import encode
from ..output import OutputStream
from ..plan import Dim, Plan, Shape, Slot, Step, upper_bound
from ..preprocessing import Preprocessing, describe_preprocessing
from .kinds import KINDS, finds_rows
from .machine import Machine, processor_name
from .program import SLACK, pack
from .site import ARENA, INPUT, Floats, NotNative, pack_plainly
from .source import BASES, NativeSource, comment, template, write_source

ABI_FLAGS = ("-std=gnu11", "-fno-math-errno", "-fwrapv")
HEAD = 64  # bytes before the packed weights that say which they are
GUARDS = {  # what the compiler has to define, by machine; vectors wider than the registers are many times slower
    "avx512": ("__AVX512F__", "__AVX512VL__", "__AVX512DQ__"),
    "avx2": ("__AVX2__", "__FMA__"),
    "sse": ("__SSE2__",),
    "neon": ("__ARM_NEON",),
}
C_NAMES = re.compile(r"\bnet(?=_\w|\.[cho]\b)|\bNET(?=_\w)|(?<=\bstruct )net\b")  # that the templates define
BUILD_NAMES = re.compile(r"\bnet(?=\b|_)|\bNET(?=_WEIGHTS)")


@dataclass(frozen=True)
class EmbeddedNet:
    """A net as C: its code and header by file name, what builds an example with them, and the file of its weights."""

    texts: Mapping[str, str]
    example: Mapping[str, str]
    weights_name: str
    head: bytes
    block: Floats

    def write_weights(self, file: OutputStream) -> None:
        """Write the bytes of the file of weights."""
        file.write(self.head)
        file.write(self.block.view(np.uint8).data)


def host_steps(plan: Plan) -> tuple[Step, ...]:
    """The steps that have no kernel in C."""
    return tuple(step for step in plan.steps if step.kind not in KINDS)


def embed(artifact: Artifact, plan: Plan, machine: Machine, name: str = "net") -> EmbeddedNet:
    """The C of an artifact's native plan, for a machine. `name` begins the names of its files and functions.

    NotNative, with the reason, for a net with steps of the host, or with inputs or outputs that are not f32.
    """
    return Embedding(artifact, plan, machine, name).make()


class Embedding:
    """Fills in the templates."""

    def __init__(self, artifact: Artifact, plan: Plan, machine: Machine, name: str) -> None:
        self.artifact, self.plan, self.machine, self.name = artifact, plan, machine, name
        self.source: NativeSource = write_source(plan, machine)
        self.values: dict[str, str] = {}
        # by value whose number of rows a run finds, the value that is this number
        self.found = {step.results[0]: step.results[1] for step in plan.steps if finds_rows(step)}

    def make(self) -> EmbeddedNet:
        if hosted := host_steps(self.plan):
            raise NotNative(f"{hosted[0].results[0]} ({hosted[0].kind}) has no kernel in C")
        for name in (*self.plan.inputs, *(value for _, value in self.plan.outputs)):
            self.require_floats(name)
        views = "".join(f"    {self.view_of(value)},\n" for _, value in self.plan.outputs)  # may add to the block
        floats = {name: w for name, w in self.plan.weights.items() if w.dtype == "f32"}
        block = pack(self.source, {n: self.artifact.weights[w.handle].reshape(w.shape) for n, w in floats.items()})
        head = f"cortado weights {hashlib.sha256(block.view(np.uint8).data).hexdigest()[:40]}".ljust(HEAD - 1) + "\n"
        self.values = {**self.describe(), "views": views, "head": head[:-1] + r"\n", "weight_bytes": str(block.nbytes)}
        preamble, api = self.fill("preamble.h"), self.fill("api.c")
        texts = {
            f"{self.name}.c": f"{preamble}\n{self.source.kernels}\n{api}",
            f"{self.name}.h": self.fill("api.h"),
        }
        example = {
            "main.c": self.fill("main.c"),
            "Makefile": self.fill("Makefile", BUILD_NAMES),
            "CMakeLists.txt": self.fill("CMakeLists.txt", BUILD_NAMES),
        }
        return EmbeddedNet(texts, example, f"{self.name}_weights.bin", head.encode(), block)

    def require_floats(self, name: str) -> None:
        """NotNative unless a value's numbers are f32 and of known size, and those of an input in Caffe's order."""
        where = self.plan.weights.get(name) or self.plan.slots[name]
        if where.dtype != "f32":
            raise NotNative(f"{name} is {where.dtype}, and the interface in C has f32 only")
        if isinstance(where, Slot) and not where.is_static and name not in self.found:
            raise NotNative(f"the size of {name} is known only when the net runs")
        if name in self.plan.inputs:
            assert isinstance(where, Slot)
            if strides_in(where, where.bounds) != (strides_of(where.bounds, "nchw"), 0):
                raise NotNative(f"{name} is no input in Caffe's order")

    def fill(self, file: str, names: re.Pattern[str] = C_NAMES) -> str:
        """A template with this net's names in it, and then its texts."""
        text = template(file)
        if self.name != "net":
            text = names.sub(self.rename, text)
        return re.sub(r"@([a-z_]+)@", lambda m: self.values[m[1]], text)

    def rename(self, found: re.Match[str]) -> str:
        return self.name.upper() if found[0].isupper() else self.name

    def describe(self) -> dict[str, str]:
        """The texts of the templates' places, but for those on weights."""
        plan, slots = self.plan, self.plan.slots
        processor = processor_name(self.machine)
        version = self.artifact.version.get("cortado", "")
        inputs = [(name, slots[name].dims, self.artifact.preprocessing.get(name)) for name in plan.inputs]
        outputs = [(blob, self.dims_of(value), None) for blob, value in plan.outputs]
        lines = [*describe_tensors("input", inputs), *describe_tensors("output", outputs)]
        flags = (*ABI_FLAGS, *self.machine.flags)
        guard = " || ".join(f"!defined({macro})" for macro in GUARDS.get(self.machine.name, ()))
        return {
            "net": comment(plan.net),
            "version": comment(version),
            "processor": processor,
            "title": c_text(f"{plan.net}, compiled by cortado {version} for {processor}"),
            "flags": " ".join(("-O3", *flags)),
            "kernel_flags": " ".join(flags),
            "guard": f'#if {guard}\n#error "compile it with {self.machine.flags[0]}"\n#endif\n' if guard else "",
            "tensors": "\n".join(f"     {line}" for line in lines),
            "in_count": str(len(inputs)),
            "out_count": str(len(outputs)),
            "sizes": "\n".join(size_lines("INPUT", inputs, self.name) + size_lines("OUTPUT", outputs, self.name)),
            "inputs": "".join(map(format_tensor, inputs)),
            "outputs": "".join(map(format_tensor, outputs)),
            "rank": str(max((len(dims) for _, dims, _ in outputs), default=1) or 1),
            "copied": "".join(f"{int(name in self.source.padded)}, " for name in plan.inputs),
            "arena": str(plan.arena),
            "slack": str(SLACK),
        }

    def dims_of(self, value: str) -> tuple[Dim, ...]:
        weight = self.plan.weights.get(value)
        return weight.shape if weight else self.plan.slots[value].dims

    def view_of(self, value: str) -> str:
        """Where an output's numbers are, as a `struct view`; one that is a weight is added to the packed ones."""
        dims, found = tuple(map(upper_bound, self.dims_of(value))), 0
        if value in self.plan.weights:
            place = self.source.blocks.add(prod(dims), partial(pack_plainly, value))
            base, at, strides = place.base, place.at, strides_of(dims, "nchw")
        else:
            slot = self.plan.slots[value]
            strides, first = strides_in(slot, dims)
            is_input = value in self.plan.inputs
            base = INPUT + self.plan.inputs.index(value) if is_input else ARENA
            at = first if is_input else (slot.at or 0) // 4 + first
            found = (self.plan.slots[self.found[value]].at or 0) // 4 if value in self.found else 0
        return f"{{{BASES.get(base, f'INPUT + {base - INPUT}')}, {at}, {array_of(strides)}, {found}}}"


Described = tuple[str, tuple[Dim, ...], Preprocessing | None]


def describe_tensors(noun: str, tensors: Sequence[Described]) -> Iterator[str]:
    """Lines for the header's comment."""
    for i, (name, dims, form) in enumerate(tensors):
        sizes = (f"up to {upper_bound(dim)}" if isinstance(dim, str) else str(dim) for dim in dims)
        yield f"{noun} {i}: {comment(name)}, f32 [{', '.join(sizes)}]"
        if form is not None:
            yield f"  pictures: {comment(describe_preprocessing(form, tuple(map(upper_bound, dims))))}"


def size_lines(word: str, tensors: Sequence[Described], name: str) -> list[str]:
    """How many there are, and how many numbers each has, for arrays whose sizes the compiler has to know."""
    lines = [f"#define {name.upper()}_{word}S {len(tensors)}"]
    for i, (_, dims, _) in enumerate(tensors):
        noun = "numbers" if all(isinstance(dim, int) for dim in dims) else "numbers at most"
        lines.append(f"#define {name.upper()}_{word}_{i} {prod(map(upper_bound, dims))} /* {noun} */")
    return lines


def format_tensor(tensor: Described) -> str:
    """A `struct net_tensor`."""
    name, dims, form = tensor
    text = c_text(encode(asdict(form))) if form is not None else ""
    varies = next((axis for axis, dim in enumerate(dims) if isinstance(dim, str)), -1)
    sizes = tuple(map(upper_bound, dims))
    return f'    {{"{c_text(name)}", "{text}", {array_of(sizes)}, {prod(sizes)}, {len(sizes)}, {varies}}},\n'


def array_of(numbers: Shape) -> str:
    """A constant array, of at least one number."""
    return f"(const int64_t[]){{{', '.join(map(str, numbers or (1,)))}}}"


def c_text(text: str) -> str:
    """A text between the quotes of a C literal: what is not plain in every C is an octal escape of its UTF-8.

    NotNative for a zero, which would end it.
    """
    if "\0" in text:
        raise NotNative(f"the name {text!r} has a zero in it, and ends there in C")
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return "".join(plain)
