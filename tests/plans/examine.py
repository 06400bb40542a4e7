"""One mutated plan: refused, or as what the driver runs; anything else is a finding."""

from __future__ import annotations

import random
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from math import prod

import numpy as np
import torch
from torch import Tensor

from cortado.runtime.arena import strides_in
from cortado.runtime.artifact import Artifact
from cortado.runtime.extents import extent_of, is_computed
from cortado.runtime.native.machine import MACHINES, Machine, processor_kind
from cortado.runtime.native.program import SLACK
from cortado.runtime.native.site import NAME, WrittenStep
from cortado.runtime.native.source import NativeSource, SourceWriter
from cortado.runtime.plan import DTYPES, ArtifactError, Plan, Slot, Step

from ..time_limit import limit_time
from .bases import bases, random_base
from .mutate import mutate, resized

SECONDS = 20  # of CPU time, for a plan to be checked and written
OF_A_RANDOM_NET = 25  # mutated plans
LARGEST = 1 << 26  # bytes of a plan that is run
USABLE = {"avx512": ("avx512", "avx2", "sse"), "avx2": ("avx2", "sse")}


@dataclass(frozen=True)
class Examined:
    """What came of a mutated plan: `fault` is "" unless it is a finding.

    `job` is what the driver reads, "" of a plan that is refused or too large; `functions` are the C functions by name,
    with what they call. `source` is the whole C, and what runs it.
    """

    number: int
    base: str
    refusal: str = ""
    fault: str = ""
    job: str = ""
    functions: Mapping[str, tuple[str, tuple[str, ...]]] | None = None
    vector: int = 0
    source: str = ""
    whole: str = ""


class RecordingWriter(SourceWriter):
    """Writes a plan's C, and keeps its steps as what the driver reads."""

    def __init__(self, plan: Plan, machine: Machine) -> None:
        super().__init__(plan, machine)
        self.lines = list[str]()
        self.bodies: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.packed = 0

    def add_row(self, step: Step, written: WrittenStep, borders: tuple[Slot, ...], first: int) -> None:
        super().add_row(step, written, borders, first)
        text = "\n".join([str(self.machine.vector), written.body, *written.helpers])
        name = f"f_{sha256(text.encode()).hexdigest()[:24]}"
        self.bodies[name] = (written.body.replace(f"static void {NAME}(", f"void {NAME}(").replace(NAME, name),
                             written.helpers)  # fmt: skip
        reads = [extent_of(self.plan.slots[n]) for n in step.operands if is_computed(n, self.plan)]
        writes = [part for n in step.results for part in parts_of(self.plan.slots[n], whole=bool(borders))]
        numbers = [written.tasks, len(written.operands), *(n for p in written.operands for n in (p.base, p.at))]
        numbers += [written.out, *(halo_numbers(borders[0]) if borders else (-1,)), self.packed, self.blocks.size]
        for ranges in ([(e.start, e.stop) for e in reads], sorted(writes)):
            numbers += [len(ranges), *(n for start, stop in ranges for n in (start, stop))]
        self.packed = self.blocks.size
        self.lines.append(" ".join([name, *map(str, numbers)]))


def parts_of(slot: Slot, whole: bool) -> list[tuple[int, int]]:
    """The bytes of a value, without those of other channels of its storage and of the border; or the whole storage."""
    assert slot.at is not None
    size = DTYPES[slot.dtype].itemsize
    if whole or not (slot.channels or slot.halo) or slot.nbytes > LARGEST:
        return [(slot.at, slot.at + slot.nbytes)]
    strides, first = strides_in(slot, slot.bounds)
    own = np.zeros(slot.nbytes // size + 2, np.int8)  # with one number before and one behind, which are no value's
    np.lib.stride_tricks.as_strided(own[1 + first :], slot.bounds, strides)[...] = 1
    edges = np.flatnonzero(np.diff(own)).reshape(-1, 2)
    return [(slot.at + size * int(a), slot.at + size * int(b)) for a, b in edges]


def halo_numbers(slot: Slot) -> tuple[int, ...]:
    """Those of struct halo, and before them a mark that there is one."""
    assert slot.halo is not None and slot.at is not None
    n, c, h, w = slot.stored_shape
    before, after = slot.halo
    return (0, slot.at // 4, w * c, h * w * c, n, h - before - after, w - before - after, c, before, after)


def seeded(number: int) -> random.Random:
    return random.Random(f"mutated plan {number}")


def mutant(number: int) -> tuple[str, Artifact]:
    """The name of what was mutated, and the artifact with the mutated plan: perhaps after others that are accepted."""
    rng = seeded(number)
    name, artifact = rng.choice(bases()) if rng.random() < 0.4 else random_base(number // OF_A_RANDOM_NET)
    for _ in range(rng.choice((0, 0, 0, 1, 2, 4))):
        changed = with_mutated_plan(artifact, rng)
        try:
            changed.check()
        except ArtifactError:
            continue
        artifact = changed
    return name, with_mutated_plan(artifact, rng)


def with_mutated_plan(artifact: Artifact, rng: random.Random) -> Artifact:
    """The artifact with its plan mutated; weights of other shapes are mostly there, too."""
    plan, weights = mutate(artifact.plan, rng), dict[str, Tensor](artifact.weights)
    for key, weight in plan.weights.items():
        before = artifact.plan.weights.get(key)
        if weight == before or weight.dtype not in DTYPES or min((0, *weight.shape)) < 0:
            continue
        if prod(weight.shape) < 1 << 24 and rng.random() < 0.9:
            handle = resized(weight)
            weights[handle] = torch.zeros(weight.shape, dtype=DTYPES[weight.dtype])
            plan = replace(plan, weights={**plan.weights, key: replace(weight, handle=handle)})
    return replace(artifact, plans=(plan,), weights=weights)


def examine(number: int, whole: bool = False) -> Examined:
    """Mutate, check, write; with `whole` also the C as the runtime compiles it."""
    name = ""
    try:
        with limit_time(SECONDS):
            name, artifact = mutant(number)
            try:
                artifact.check()
            except ArtifactError as error:
                return Examined(number, name, refusal=str(error))
            return write_job(number, name, artifact, whole)
    except Exception:
        return Examined(number, name, fault=traceback.format_exc(limit=-4))


@cache
def machines() -> tuple[Machine, ...]:
    """Those whose code this processor runs, the first one mostly."""
    names = USABLE.get(processor_kind(), (processor_kind(),))
    return tuple(replace(MACHINES[name], threads=2) for name in names)


def write_job(number: int, name: str, artifact: Artifact, whole: bool) -> Examined:
    plan, usable = artifact.plan, machines()
    machine = usable[0] if number % 4 else usable[number // 4 % len(usable)]
    writer = RecordingWriter(plan, machine)
    source = writer.write()
    inputs = [plan.slots[n].nbytes + SLACK * (n in source.padded) for n in plan.inputs]
    if max(plan.arena, source.blocks.size * 4, writer.scratch * 4, *inputs, 0) > LARGEST:
        return Examined(number, name)
    pack_weights(source, artifact)
    head = ["job", number, plan.arena, source.blocks.size, writer.scratch, len(inputs), len(writer.lines)]
    job = "\n".join([" ".join(map(str, head)), *map(str, inputs), *writer.lines]) + "\n"
    text, run = "", ""
    if whole and writer.lines:
        text = source.text
        tail = [plan.arena, source.blocks.size, len(writer.lines), len(inputs), *inputs]
        run = f"whole {number} @ {' '.join(map(str, tail))}\n"
    return Examined(number, name, job=job, functions=writer.bodies, vector=machine.vector, source=text, whole=run)


def pack_weights(source: NativeSource, artifact: Artifact) -> None:
    """As the runtime does; an error here is one of a net that was accepted."""
    weights = {n: artifact.weights[w.handle].reshape(w.shape) for n, w in artifact.plan.weights.items()}
    block = np.zeros(source.blocks.size + SLACK // 4, np.float32)
    source.blocks.fill(block, {n: w.numpy() for n, w in weights.items() if w.dtype == torch.float32})
