"""The detection output in C: against the reference, in any number of forms, embedded, and in plans that are wrong."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from cortado.compiler.reference import evaluate
from cortado.driver import Compilation
from cortado.exporters.so import export_library
from cortado.exporting import write_export
from cortado.runtime import open_library
from cortado.runtime.artifact import ArtifactError, Plan, Slot, Step
from cortado.runtime.detections import SSD, rows_by_output
from cortado.runtime.native import NativeProgram
from cortado.runtime.native.machine import MACHINES
from cortado.runtime.resources import Resources
from cortado.runtime.trace import trace

from .c_programs import build, compile_text, require_sanitizer, run, run_example, tool
from .test_embedding import write_c

pytestmark = pytest.mark.usefixtures("c_compiler")
IMAGES, PRIORS, CLASSES = 2, 60, 4
SIZES = {
    "loc": f"{IMAGES},{4 * PRIORS}",
    "each": f"{IMAGES},{4 * PRIORS * CLASSES}",
    "conf": f"{IMAGES},{PRIORS * CLASSES}",
    "prior": f"1,2,{4 * PRIORS}",
    "scores": f"{IMAGES},{2 * PRIORS}",
    "first": f"{IMAGES},{4 * PRIORS}",
}
HEAD = f"net n({', '.join(f'{name}: f32[{sizes}]' for name, sizes in SIZES.items())})"
FORMS = [
    f'{operands}, classes={CLASSES}, code="{code}", {settings}'
    for (operands, code), settings in product(
        [
            ("loc, conf, prior", "center_size"),
            ("loc, conf, prior", "corner"),
            ("loc, conf, prior, scores", "corner"),
            ("loc, conf, prior, scores, first", "center_size"),
            ("each, conf, prior", "corner_size"),
        ],
        [
            "nms_threshold=0.3",
            "nms_threshold=0.9, eta=0.8, top_k=40, keep_top_k=20, confidence=0.2",
            "nms_threshold=0.45, keep_top_k=7, confidence=0.6, variance_in_target=true, background=2, objectness=0.5",
            "nms_threshold=0.6, top_k=3, background=-1",
            "keep_top_k=0",
            "top_k=0",
            "confidence=1.5",
        ],
    )
]


def write_net(forms: list[str], head: str = HEAD) -> str:
    """A net with a detection output of each form."""
    share = (", share_location=false" if form.startswith("each") else "" for form in forms)
    lines = [f"    y{i} = detection_output({form}{s})" for i, (form, s) in enumerate(zip(forms, share, strict=True))]
    return "\n".join([f"{head} {{", *lines, f"    return {', '.join(f'y{i}' for i in range(len(forms)))}", "}", ""])


@pytest.fixture(scope="module")
def forms() -> Compilation:
    made = compile_text(write_net(FORMS))
    assert {step.kind for step in made.artifact.plan.steps} == {"native.detection_output"}
    return made


def draw(seed: int) -> dict[str, np.ndarray]:
    """Boxes, many equal scores among them; with an odd seed also what is no number, or without end."""
    random = np.random.default_rng(seed)
    corner, size = random.random((PRIORS, 2)), random.random((PRIORS, 2)) * 0.3
    prior = np.stack([np.concatenate([corner, corner + size], 1), random.uniform(0.1, 0.2, (PRIORS, 4))])
    made = {
        "loc": random.standard_normal((IMAGES, 4 * PRIORS)),
        "each": random.standard_normal((IMAGES, 4 * PRIORS * CLASSES)),
        "conf": np.round(random.random((IMAGES, PRIORS * CLASSES)), 2),
        "prior": prior.reshape(1, 2, -1),
        "scores": random.random((IMAGES, 2 * PRIORS)),
        "first": random.standard_normal((IMAGES, 4 * PRIORS)),
    }
    if seed % 2:
        for name, values in (("loc", [np.nan, np.inf, -np.inf, 900]), ("conf", [np.nan, np.inf]), ("prior", [np.nan])):
            hit = random.random(made[name].shape) < 0.03
            made[name][hit] = random.choice(values, hit.sum())
    return {name: array.astype(np.float32) for name, array in made.items()}


@pytest.mark.parametrize("seed", range(4))
def test_all_forms_give_the_rows_of_the_reference(forms: Compilation, seed: int) -> None:
    """The kernel searches forward and lazily; the reference suppresses whole classes, and then keeps the best."""
    inputs, net = draw(seed), forms.load()
    due = evaluate(forms.file.graph, *map(torch.from_numpy, inputs.values()))
    for _ in range(2):  # the second run finds the first one's numbers in memory
        for (name, made), rows in zip(net(inputs).items(), due, strict=True):
            np.testing.assert_allclose(made, rows, rtol=2e-6, atol=1e-6, err_msg=f"{name}: {FORMS[int(name[1:])]}")


def test_steps_one_by_one_find_the_same_rows(forms: Compilation) -> None:
    net, inputs = forms.load(), draw(0)
    due, seen = net(inputs), trace(net, inputs)
    for name, value in net.plan.outputs:
        np.testing.assert_array_equal(seen[value], due[name])
    program = next(iter(net.programs.values()))
    assert isinstance(program, NativeProgram)
    ready = {name: torch.from_numpy(x) for name, x in inputs.items()}
    assert min(program.make_instance().time_steps(ready)) > 0


ONE = write_net(["loc, conf, prior, classes=4, nms_threshold=0.3, keep_top_k=9, confidence=0.5"])


@pytest.fixture(scope="module")
def one() -> Compilation:
    return compile_text(ONE)


def test_a_library_tells_how_many_rows_a_run_found(one: Compilation, tmp_path: Path) -> None:
    write_export(export_library(one, tmp_path / "n.so", ""), ())
    library, net = open_library(tmp_path / "n.so"), one.load()
    assert str(library.outputs["y0"]) == "f32[1,1,?18,7]"
    none = draw(0) | {"conf": np.zeros((IMAGES, PRIORS * CLASSES), np.float32)}
    counts = []
    for inputs in (draw(0), none, draw(1)):
        found, due = library(inputs)["y0"], net(inputs)["y0"]
        np.testing.assert_array_equal(found, due)
        assert found.flags.owndata
        counts.append(found.shape[2])
    assert counts == [18, IMAGES, 18]
    assert not library.library.net_output_dims(ctypes.c_void_p(), 0)


def test_the_program_in_c_writes_the_rows_that_there_are(one: Compilation, tmp_path: Path) -> None:
    require_sanitizer(tmp_path, sanitizer := "address,undefined")
    folder = write_c(tmp_path / "c", one)
    assert "output 0: y0, f32 [1, 1, up to 18, 7]" in (folder / "net.h").read_text()
    assert "#define NET_OUTPUT_0 126 /* numbers at most */" in (folder / "net.h").read_text()
    flags = ("-Wall", "-Wextra", "-Werror", "-O1", "-g", f"-fsanitize={sanitizer}")
    build(folder, tool("gcc"), *flags, "-march=native", "main.c", "net.c", "-o", "program", "-pthread", "-lm")
    inputs = draw(0)
    inputs["conf"][inputs["conf"] < 0.97] = 0
    files = [tmp_path / name for name in inputs]
    for path, array in zip(files, inputs.values(), strict=True):
        array.tofile(path)
    run(folder / "program", *files, tmp_path / "out")
    due = one.load()(inputs)["y0"]
    assert 1 < due.shape[2] < 18
    found = np.fromfile(tmp_path / "out", np.float32).reshape(due.shape)
    np.testing.assert_allclose(found, due, rtol=0, atol=1e-6)


@pytest.mark.long
def test_an_arm_processor_finds_the_same_rows(one: Compilation, tmp_path: Path) -> None:
    cc, emulator = tool("aarch64-linux-gnu-gcc"), tool("qemu-aarch64")
    folder = write_c(tmp_path / "c", one, "armv8-a")
    build(folder, tool("make"), "-s", f"CC={cc}", "CFLAGS=-O1", "LDFLAGS=-static")
    for seed in range(4):
        inputs = draw(seed)
        due = one.load()(inputs)["y0"]
        (found,) = run_example(folder, list(inputs.values()), [due.shape], emulator)
        np.testing.assert_allclose(found, due, rtol=2e-6, atol=1e-6)


def change_plans(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Plans whose step would read or write outside of its operands and results, and why they are refused."""
    (step,) = plan.steps
    rows, count = plan.slots["y0"], plan.slots["y0.count"]

    def with_slots(**slots: Slot) -> Plan:
        return replace(plan, slots={**plan.slots, **{k.replace("_", "."): v for k, v in slots.items()}})

    def with_payload(**payload: object) -> Plan:
        return replace(plan, steps=(replace(step, payload={**step.payload, **payload}),))

    yield "rows are more than the result has", with_slots(y0=replace(rows, dims=(1, 1, "?17", 7)))
    yield "rows are more than the result has", with_slots(y0=replace(rows, dims=(1, 1, 18, 7)))
    yield "rows are more than the result has", with_payload(keep_top_k=10)
    yield "rows are more than the result has", with_payload(keep_top_k=-1)
    yield "number of rows is an i32", with_slots(y0_count=replace(count, dims=(0,)))
    yield "number of rows is an i32", with_slots(y0_count=replace(count, dtype="f32"))
    yield "would be over what is read", with_slots(y0_count=replace(count, at=rows.at))
    yield "do not belong together", with_payload(classes=5)
    yield "do not belong together", with_payload(share_location=False)
    yield "nothing to detect", with_payload(classes=0)
    yield "nothing to detect", with_payload(code="edge")
    yield "has 1 results", replace(plan, steps=(replace(step, results=("y0",)),))


def test_plans_that_would_leave_their_memory_are_refused(one: Compilation) -> None:
    one.artifact.check()
    for words, plan in change_plans(one.artifact.plan):
        with pytest.raises(ArtifactError, match=words):
            replace(one.artifact, plans=(plan,)).check()


def test_the_rows_are_shown_as_detections(one: Compilation) -> None:
    """As on every target: labels, scores and boxes in pixels, not seven numbers."""
    plan = one.artifact.plan
    assert rows_by_output(plan) == {"y0": replace(SSD, classes=CLASSES)}


def test_a_number_of_rows_that_another_step_writes_over_is_refused(one: Compilation) -> None:
    """It is read when all steps of a region have run."""
    plan = one.artifact.plan
    slots = {**plan.slots, "q": Slot("f32", (1,)), "z": Slot("f32", (1,), at=plan.slots["y0.count"].at)}
    over = Step("native.map", {"code": [["exp", 0]], "axes": [None]}, ("q",), ("z",))
    plan = replace(plan, slots=slots, inputs=(*plan.inputs, "q"), steps=(*plan.steps, over))
    replace(one.artifact, plans=(plan,)).check()
    program = NativeProgram(plan, MACHINES["plain"], Resources(one.artifact.weights))
    inputs = {name: torch.from_numpy(array) for name, array in draw(0).items() if name in plan.inputs}
    with pytest.raises(ArtifactError, match=r"y0 was found to be .*, planned for"):
        program(inputs | {"q": torch.zeros(1)})
