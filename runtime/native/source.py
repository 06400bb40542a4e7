"""A plan as one file of C: its kernels, a table of its steps, and the pool that runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from math import prod

from ..extents import shape_of
from ..plan import Plan, Slot, Step
from .conflicts import StepGroup, first_writers
from .deconvolution import deconv_halo as deconv_halo
from .errors import UNFIT
from .kinds import FINDS_ROWS as FINDS_ROWS
from .kinds import KINDS, finds_rows
from .machine import MACHINES, Machine
from .movement import NOTHING
from .movement import parts_in_place as parts_in_place
from .site import ARENA, INPUT, NAME, WEIGHTS, NotNative, PackedBlocks, Place, Site, WrittenStep
from .winograd_choice import choose_form as choose_form
from .winograd_forms import FORMS as FORMS
from .winograd_forms import evaluate_form as evaluate_form

TEMPLATES = {  # in this order, and the kinds of steps that need it, or "" for all
    "vector.h": {""},
    "tile.h": {"product"},
    "depthwise.h": {"depthwise"},
    "winograd.h": {"winograd"},
    "rows.h": {"softmax", "normalize", "standardize"},
    "softmax.h": {"softmax"},
    "normalize.h": {"normalize"},
    "standardize.h": {"standardize"},
    "pool.h": {"pool"},
    "lrn.h": {"lrn_within"},
    "deconv.h": {"deconv"},
    "resample.h": {"resample"},
    "net.h": {""},
    "detection.h": {"detection"},
}
MOST_NUMBERS = 1 << 30  # of a value: kernels count in int
MOST_TASKS = (1 << 20) - 2  # of a step, so that with its border the pool can count them (templates/pool.c, claim)
MAY_READ_NOTHING = ("native.copy", "native.alias")
BASES = {ARENA: "ARENA", WEIGHTS: "WEIGHTS"}


@dataclass(frozen=True, slots=True)
class NativeSource:
    """`kernels` is the C file without a way in. `numbers` gives by number of a plan's step that of its C step, or None.

    `nothing` are the plan's steps without work; `blocks` the packed weights; `padded` the inputs that kernels may read
    past the end of; `clears` by number of a host's step the slots whose border it has to clear first.
    """

    kernels: str
    numbers: tuple[int | None, ...]
    nothing: frozenset[int]
    blocks: PackedBlocks
    padded: frozenset[str]
    clears: Mapping[int, tuple[Slot, ...]]

    @property
    def text(self) -> str:
        """The C file that the runtime compiles for itself."""
        return f"{self.kernels}\n{template('entry.c')}"


def write_step(step: Step, plan: Plan, machine: Machine, blocks: PackedBlocks, padded: set[str]) -> WrittenStep:
    """One step as C. NotNative, with the reason, if it cannot be."""
    if step.kind not in KINDS:
        raise NotNative(f"{step.kind} is no native step")
    schema, write = KINDS[step.kind]
    site = Site(replace(step, payload=schema.complete(step.payload)), plan, machine, blocks, padded)
    require_known_sizes(step, plan)
    if has_nothing_to_do(step, plan):
        return NOTHING
    written = write(site)
    if written.tasks > MOST_TASKS:
        raise NotNative(f"it has {written.tasks} parts")
    return written


def require_known_sizes(step: Step, plan: Plan) -> None:
    """NotNative for a value whose size is known only when the net runs, other than rows that the step itself finds."""
    results = step.results[1:] if finds_rows(step) else step.results
    for name in (*step.operands, *results):
        if name in plan.slots and not plan.slots[name].is_static:
            raise NotNative(f"the size of {name} is known only when the net runs")


def has_nothing_to_do(step: Step, plan: Plan) -> bool:
    """True if the result has no numbers. NotNative if a value has too many, or only the operands have none."""
    sizes = {name: shape_of(name, plan) for name in (*step.operands, *step.results)}
    for name, shape in sizes.items():
        stored = plan.slots[name].stored_shape if name in plan.slots else shape
        if prod(max(n, 1) for n in stored) > MOST_NUMBERS:
            raise NotNative(f"{name} has more numbers than a kernel counts")
    if len(step.results) == 1 and 0 in sizes[step.results[0]]:
        return True
    if step.kind not in MAY_READ_NOTHING and (empty := [name for name in step.operands if 0 in sizes[name]]):
        raise NotNative(f"{empty[0]} has no numbers")
    return False


def reason_not_native(step: Step, plan: Plan) -> str:
    """Why a step of a plan cannot be written as C; "" if it can. The machine makes no difference to it."""
    try:
        write_step(step, plan, MACHINES["plain"], PackedBlocks(), set())
    except NotNative as e:
        return str(e)
    return ""


def write_source(plan: Plan, machine: Machine) -> NativeSource:
    """The C of a plan. NotNative if one of its native steps cannot be written."""
    return SourceWriter(plan, machine).write()


class SourceWriter:
    """Collects functions and the rows of the tables, step by step."""

    def __init__(self, plan: Plan, machine: Machine) -> None:
        self.plan, self.machine = plan, machine
        self.blocks, self.padded = PackedBlocks(), set[str]()
        self.functions: dict[str, str] = {}  # names by body: equal steps share a function
        self.helpers: dict[str, None] = {}
        self.kinds = {""}
        self.texts, self.rows, self.halos = list[str](), list[str](), list[Slot]()
        self.scratch, self.operands = 0, 1

    def write(self) -> NativeSource:
        numbers, nothing, clears = list[int | None](), set[int](), dict[int, tuple[Slot, ...]]()
        borders, group = first_writers(self.plan), StepGroup(self.plan)
        for i, step in enumerate(self.plan.steps):
            numbers.append(None)
            if step.kind not in KINDS:
                clears[i] = borders.get(i, ())
                group = StepGroup(self.plan, len(self.rows))
                continue
            try:
                written = write_step(step, self.plan, self.machine, self.blocks, self.padded)
            except NotNative as e:
                raise NotNative(f"step {step.label!r} ({step.kind}): {e}") from None
            except UNFIT as e:
                words = "its operands and attributes do not fit together"
                raise NotNative(f"step {step.label!r} ({step.kind}): {words}") from e
            if not written.body:
                nothing.add(i)
                continue
            numbers[i] = len(self.rows)
            first = group.enter(step, len(self.rows), clears_border=i in borders)
            self.add_row(step, written, borders.get(i, ()), first)
        text = self.join()
        return NativeSource(text, tuple(numbers), frozenset(nothing), self.blocks, frozenset(self.padded), clears)

    def add_row(self, step: Step, written: WrittenStep, borders: tuple[Slot, ...], first: int) -> None:
        """Add a row to the table of steps, and its function if no earlier step has the same."""
        self.helpers.update(dict.fromkeys(written.helpers))
        self.kinds.add(written.kind)
        self.scratch = max(self.scratch, written.scratch)
        self.operands = max(self.operands, len(written.operands))
        if written.body not in self.functions:
            self.functions[written.body] = name = f"{written.kind}_{len(self.functions)}"
            self.texts.append(f"/* {comment(written.doc)} */\n{written.body.replace(NAME, name)}")
        assert len(borders) <= 1, "a native step has one result with a border at most"
        border = len(self.halos) if borders else -1
        self.halos += borders
        places = ", ".join(map(format_place, written.operands))
        fields = (self.functions[written.body], written.tasks, len(written.operands), f"{{{places}}}", written.out)
        row = ", ".join(map(str, (*fields, border, first)))
        self.rows.append(f"    {{{row}}}, /* {comment(step.results[0])} */")

    def join(self) -> str:
        parts = [
            f"/* {comment(self.plan.net)}, written by cortado for {self.machine.name}. */\n",
            f"#define V {self.machine.vector}\n#define SCRATCH {self.scratch} /* floats that each thread needs */\n"
            f"#define OPERANDS {self.operands} /* of a step, at most */\n",
            *(template(name) for name, kinds in TEMPLATES.items() if kinds & self.kinds),
            *self.helpers,
            *self.texts,
            "static const struct halo halos[] = {\n" + "".join(map(format_halo, self.halos)) + "    {0},\n};\n",
            "static const struct step steps[] = {\n" + "\n".join(self.rows) + "\n    {0},\n};\n",
            template("pool.c"),
        ]
        return "\n".join(parts)


def template(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text("utf-8")


def comment(words: str) -> str:
    """Text for a C comment: nothing in it can end the comment, or go on with the next line."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "\\*?" else "." for c in words)


def format_place(place: Place) -> str:
    base = BASES.get(place.base, f"INPUT + {place.base - INPUT}")
    return f"{{{base}, {place.at}}}"


def format_halo(slot: Slot) -> str:
    assert slot.halo is not None and slot.at is not None
    n, c, h, w = slot.stored_shape
    row, (before, after) = w * c, slot.halo
    numbers = (slot.at // 4, row, h * row, n, h - before - after, w - before - after, c, before, after)
    return f"    {{{', '.join(map(str, numbers))}}},\n"
