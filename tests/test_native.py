"""Kernels in C: what they compute, how they are built, and what is refused (runtime and compiler/targets/native)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cortado.compiler.plan import PlannedGraph
from cortado.compiler.reference import evaluate
from cortado.compiler.targets.native import algorithms
from cortado.compiler.text import parse
from cortado.driver import Compilation, NetFile, Options, compile_file
from cortado.runtime import Net
from cortado.runtime.artifact import ArtifactError, Plan
from cortado.runtime.native import NativeProgram, build
from cortado.runtime.native.epilogue import format_float, write_epilogue
from cortado.runtime.native.machine import MACHINES, Machine
from cortado.runtime.native.source import FORMS, comment, evaluate_form, write_source
from cortado.runtime.native.split import choose_tile, split
from cortado.runtime.resources import Resources

from .proof.numbers import fill_weights

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-5  # of the largest result: sums of up to a thousand products, in another order

CONV = """net n(x: f32[2,3,13,11]) {
    weight w: f32[37,3,3,3]
    weight b: f32[37]
    weight v: f32[37,1,3,3]
    weight u: f32[24,37,1,1]
    c = relu(conv(x, w, b, stride=2, pad=1))
    d = conv(c, v, pad=1, groups=37)
    s = relu(add(c, d))
    y = tanh(conv(s, u))
    return y
}
"""
pytestmark = pytest.mark.usefixtures("c_compiler")


def compile_text(text: str, target: str = "native") -> Compilation:
    graph = fill_weights(parse(text, "n.net"))
    return compile_file(NetFile(PlannedGraph(graph), len(graph.nodes)), Options(target=target))


def inputs_of(made: Compilation, seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {v.name: torch.randn(v.type.shape, generator=random) for v in made.graph.inputs}


def check_against_reference(text: str) -> tuple[Compilation, Net]:
    """The results of the first and the second run are those of the reference."""
    made = compile_text(text)
    net, inputs = made.load(), inputs_of(made)
    graph = made.file.graph
    for _ in range(2):
        found = net(inputs)
        for (blob, _), due in zip(graph.returns, evaluate(graph, *inputs.values()), strict=True):
            torch.testing.assert_close(found[blob], due, rtol=0, atol=TOLERANCE * float(due.abs().max()))
    return made, net


def one_line(call: str, shape: str = "2,20,9,7", weights: str = "") -> str:
    return f"net n(x: f32[{shape}]) {{\n{weights}    y = {call}\n    return y\n}}\n"


def weight(name: str, shape: str) -> str:
    return f"    weight {name}: f32[{shape}]\n"


CASES = {
    "dilated": one_line("conv(x, w, dilation=2, pad=2)", weights=weight("w", "5,20,3,3")),
    "rectangular": one_line("conv(x, w, stride=[1, 3], pad=[2, 0])", weights=weight("w", "18,20,5,2")),
    "grouped": one_line("conv(x, w, groups=4, pad=1)", weights=weight("w", "24,5,3,3")),
    "multiplier": one_line("conv(x, w, groups=20, pad=1)", weights=weight("w", "40,1,3,3")),
    "large depthwise": one_line("conv(x, w, groups=20, pad=4)", weights=weight("w", "20,1,9,9")),
    "strided depthwise": one_line("relu(conv(x, w, groups=20, pad=1, stride=2))", weights=weight("w", "20,1,3,3")),
    "unequal pads": one_line("conv(x, w, pad=[0, 1, 2, 3])", weights=weight("w", "5,20,3,3")),
    "depthwise, unequal pads": one_line(
        "conv(x, w, groups=20, pad=[0, 0, 1, 2], stride=2)", weights=weight("w", "20,1,3,3")
    ),
    "padded gray": one_line("conv(x, w, pad=1)", "2,1,9,7", weight("w", "5,1,3,3")),
    "transposed": one_line("deconv(x, w, stride=2)", weights=weight("w", "20,6,2,2")),
    "transposed, padded": one_line(
        "relu(bias(deconv(x, w, b, stride=2, pad=1), a))",
        weights=weight("w", "20,17,4,4") + weight("b", "17") + weight("a", "17"),
    ),
    "transposed, rectangular": one_line("deconv(x, w, stride=[1, 3], pad=[2, 0])", weights=weight("w", "20,5,3,5")),
    "transposed, added": one_line(
        "add(deconv(conv(x, v), w, stride=2, pad=1), deconv(x, u, stride=2, pad=1))",
        weights=weight("v", "4,20,1,1") + weight("w", "4,3,3,3") + weight("u", "20,3,3,3"),
    ),
    "transposed, many phases": one_line("deconv(x, w, stride=[8, 3], pad=[4, 1])", weights=weight("w", "20,5,16,4")),
    "transposed depthwise": one_line(
        "add(relu(deconv(x, w, b, stride=[3, 2], groups=20)), deconv(x, w, stride=[3, 2], groups=20))",
        weights=weight("w", "20,1,2,4") + weight("b", "20"),
    ),
    "bilinear": one_line("deconv(x, w, stride=8, pad=4, groups=20)", weights=weight("w", "20,1,16,16")),
    "matrix": one_line("sigmoid(linear(x, w, b))", "3,50", weight("w", "70,50") + weight("b", "70")),
    "a matrix for rows": one_line(
        "add(linear(x, w, axis=2), linear(x, v, axis=2))", "3,5,4", weight("w", "1,4") + weight("v", "1,4")
    ),
    "a matrix for one row": one_line(
        "mul(linear(x, w, axis=2), abs(linear(x, w, axis=2)))", "3,1,4", weight("w", "7,4")
    ),
    "a number for each row": one_line(
        "scale(relu(linear(x, w, axis=2)), b, axis=1)", "3,7,5", weight("w", "7,5") + weight("b", "7")
    ),
    "transposed matrix": one_line("linear(x, w, transpose=true)", "3,50", weight("w", "50,7")),
    "mean of all": one_line("avg_pool(x)"),
    "overlapping means": one_line("avg_pool(x, kernel=3, stride=2, pad=1)"),
    "means with unequal pads": one_line("avg_pool(x, kernel=3, stride=2, pad=[2, 0, 1, 2])"),
    "inner means with unequal pads": one_line("avg_pool(x, kernel=3, pad=[2, 0, 1, 2], include_pad=false)"),
    "largest with unequal pads": one_line("max_pool(x, kernel=3, stride=2, pad=[0, 1, 1, 0])"),
    "means without pad": one_line("avg_pool(x, kernel=3, stride=2, pad=1, include_pad=false)"),
    "largest, rounded down": one_line('max_pool(x, kernel=2, stride=2, round="down")'),
    "lrn": one_line("lrn(x, size=3, alpha=0.5, beta=0.6)"),
    "softmax": one_line("softmax(x)", "3,50"),
    "softmax of few": one_line("softmax(x, axis=2)", "2,35,3"),
    "softmax of many": one_line("softmax(x, axis=-1)", "2,5,70"),
    "softmax of rows": one_line("softmax(x, axis=2)", "2,3,40,21"),
    "softmax of columns": one_line("softmax(x, axis=1)", "2,33,5,3"),
    "length of pixels": one_line("l2_normalize(conv(x, w), across=false)", weights=weight("w", "39,20,1,1")),
    "length of few channels": one_line("l2_normalize(x, across=false, eps=0.5)", "2,5,3,7"),
    "length of pictures": one_line("l2_normalize(x)", "2,5,3,7"),
    "softmax of pixels": one_line("softmax(conv(x, w))", weights=weight("w", "21,20,1,1")),
    "slopes": one_line("prelu(max_pool(conv(x, w), kernel=2), a)", weights=weight("a", "9") + weight("w", "9,20,1,1")),
    "planes": one_line("abs(bias(scale(x, a, b), a))", weights=weight("a", "20") + weight("b", "20")),
    "a chain": one_line("mul(exp(relu(x)), add(x, tanh(x)))"),
    "channels and images": one_line(
        "scale(relu(conv(x, w)), a, b)", weights=weight("w", "9,20,1,1") + weight("a", "9") + weight("b", "9")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_kernels(name: str) -> None:
    made, _ = check_against_reference(CASES[name])
    assert [step for step in made.artifact.plan.steps if not step.kind.startswith("native.")] == []


MOVEMENTS = """net n(x: f32[2,6,9,8], z: f32[1,4,3]) {
    weight w: f32[6,6,3,3]
    weight k: f32[2,3,9,8]
    c = conv(x, w, pad=1)
    t1 = transpose(x, order=[0,2,3,1])
    t2 = transpose(c, order=[3,1,0,2])
    f1 = flip(x, axes=[2])
    f2 = flip(c, axes=[1,-1])
    c1 = crop(x, axis=2, offset=[1,2], sizes=[5,4])
    c2 = crop(c, axis=1, offset=1, sizes=[2,8,7])
    n1 = tile(c, tiles=3, axis=1)
    n2 = tile(z, tiles=2, axis=-1)
    u1 = upsample(c, scale=[1,3])
    p1 = pad(c, before=[0,1,2,0], after=[1,0,-1,3], value=2.5)
    p2 = pad(z, before=[0,0,-1], after=[0,-2,1])
    r1 = reorg(crop(x, axis=1, sizes=[4,8,8]), stride=2)
    r2 = reorg(pad(c, before=[0,0,0,0], after=[0,2,0,0]), stride=2, reverse=true)
    s1, s2, s3 = slice(x, axis=2, points=[2,5])
    j1 = concat(relu(s2), abs(s2), axis=0)
    j2 = concat(x, relu(x), k, x, axis=1)
    j3 = concat(c, f2, exp(x), axis=1)
    q = conv(concat(c, u1, axis=3), w, pad=1)
    s4, s5 = slice(relu(x), axis=1, points=[4])
    e1 = relu(s5)
    h1 = reshape(x, shape=[4,3,72])
    h2 = reshape(transpose(c, order=[0,2,1,3]), shape=[2,9,48])
    return t1, t2, f1, f2, c1, c2, n1, n2, u1, p1, p2, r1, r2, s1, s2, s3, j1, j2, j3, q, s4, e1, h1, h2
}
"""


SPREAD = """net n(x: f32[2,6,9,8], g: f32[2,6], h: f32[9,8], q: f32[6,9,8], r: f32[2], v: f32[6]) {
    weight w: f32[6,6,3,3]
    weight k: f32[6,9,8]
    weight m: f32[2,6]
    weight o: f32[9,8]
    c = conv(x, w, pad=1)
    a, b = slice(relu(x), axis=1, points=[2])
    c1 = scale(c, abs(g), axis=0)
    c2 = bias(c, h, axis=2)
    c3 = scale(c, r, axis=0)
    c4 = bias(c, v, axis=1)
    c5 = scale(c, m, axis=0)
    c6 = bias(c, o, axis=2)
    p1 = scale(x, g, axis=0)
    p2 = bias(x, h, axis=2)
    p3 = scale(x, r, axis=0)
    p4 = bias(x, v, axis=1)
    p5 = scale(x, m, axis=0)
    p6 = bias(x, o, axis=2)
    p7 = bias(x, q, axis=1)
    p8 = scale(x, k, axis=1)
    p9 = bias(exp(b), h, axis=2)
    return c1, c2, c3, c4, c5, c6, p1, p2, p3, p4, p5, p6, p7, p8, a, p9
}
"""


STATISTICS = """net n(x: f32[2,6,9,8], r: f32[3,700]) {
    weight w: f32[20,6,3,3]
    c = conv(x, w, pad=1)
    m1 = standardize(c)
    m2 = standardize(x)
    m3 = standardize(c, per=[0])
    m4 = standardize(x, per=[0], eps_in="variance", eps=0.1)
    m5 = standardize(c, per=[1], eps_in="variance", eps=0.1)
    m6 = standardize(c, scaled=false)
    m7 = standardize(r, per=[0])
    m8 = standardize(r, per=[1])
    l1 = lrn(c, size=3, region="within", alpha=0.5)
    l2 = lrn(x, size=5, region="within", alpha=0.7, beta=0.4)
    return m1, m2, m3, m4, m5, m6, m7, m8, l1, l2
}
"""
RESIZED = """net n(x: f32[2,6,9,8]) {
    weight w: f32[20,6,3,3]
    weight u: f32[1,6,3,3]
    c = conv(x, w, pad=1)
    k = conv(x, u)
    i1 = interp(c, times=2)
    i2 = interp(c, sizes=[17,5])
    i3 = interp(c, sizes=[1,8], trim=[2,1])
    i4 = interp(c, sizes=[5,4], trim=[3,1])
    i5 = interp(x, times=3)
    i6 = interp(k, times=3)
    s1 = resize(c, sizes=[17,5], align="edges")
    s2 = resize(c, sizes=[4,19], align="centers")
    s3 = resize(c, sizes=[4,19], how="nearest", align="onnx")
    s4 = resize(c, sizes=[1,9], align="torch")
    return i1, i2, i3, i4, i5, i6, s1, s2, s3, s4
}
"""


@pytest.mark.parametrize("text", [STATISTICS, RESIZED], ids=["statistics", "resized"])
def test_normalized_and_resized(text: str) -> None:
    made, _ = check_against_reference(text)
    assert [step for step in made.artifact.plan.steps if not step.kind.startswith("native.")] == []


def test_operands_that_are_spread() -> None:
    """Numbers for each channel, picture, or pixel, and combinations, computed or weights, in both layouts."""
    made, _ = check_against_reference(SPREAD)
    assert [step for step in made.artifact.plan.steps if not step.kind.startswith("native.")] == []


def test_movements() -> None:
    """Copies in all layouts, into and out of borders and channel ranges, from inputs and weights."""
    made, _ = check_against_reference(MOVEMENTS)
    assert [step for step in made.artifact.plan.steps if not step.kind.startswith("native.")] == []


HOSTED = """net n(x: f32[1,4,5,5]) {
    weight w: f32[4,2,2,2]
    weight v: f32[6,4,3,3]
    r = relu(x)
    d = deconv(r, w, stride=2, groups=2)
    y = conv(d, v, pad=1)
    return y
}
"""


def test_what_has_no_kernel_runs_on_the_host_between_two_regions() -> None:
    """A deconvolution with groups, whose border has to be cleared before it, and the reason is told."""
    made, net = check_against_reference(HOSTED)
    kinds = [step.kind for step in made.artifact.plan.steps]
    assert "deconv_packed" in kinds and "native.conv" in kinds
    assert made.artifact.plan.slots["d"].halo == (1, 1)
    program = next(iter(net.programs.values()))
    assert isinstance(program, NativeProgram)
    for instance in program.pool:
        instance.arena.fill_(0xFF)
    inputs = inputs_of(made)
    (due,) = evaluate(made.file.graph, *inputs.values())
    torch.testing.assert_close(net(inputs)["y"], due, rtol=0, atol=TOLERANCE * float(due.abs().max()))


def test_an_epilogue_that_neither_has_is_split() -> None:
    """The operand is read in another shape, too, so that it has no border: oneDNN convolves, and the rest follows."""
    text = """net n(x: f32[1,2,3,1]) {
    weight w: f32[2,2,3,3]
    a = relu(x)
    y = tanh(exp(conv(a, w, pad=1)))
    t = transpose(a, order=[0, 2, 1, 3])
    f = flatten(t)
    return f, y
}
"""
    made, _ = check_against_reference(text)
    kinds = [step.kind for step in made.artifact.plan.steps]
    if "conv_packed" in kinds:
        assert "expr" in kinds
        assert made.artifact.plan.arena > (made.plan.arena or 0)


WINOGRAD = """net n(x: f32[2,7,13,11]) {
    weight w: f32[37,7,K,K]
    weight b: f32[37]
    weight a: f32[37]
    c = prelu(conv(x, w, b, pad=P), a)
    weight v: f32[37,37,K,K]
    y = relu(add(conv(c, v, pad=P), c))
    return y
}
"""


@pytest.mark.parametrize(("form", "window"), [("F2", 3), ("F4", 3), ("F25", 5)])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_winograd(form: str, window: int, pad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that leave the image, vectors that are not full, several images, an epilogue with operands."""
    monkeypatch.setattr(algorithms, "choose_form", lambda weight, result: form if weight[2] == window else "")
    text = WINOGRAD.replace("K", str(window)).replace("P", str(pad))
    if 2 * pad != window - 1:
        text = text.replace("relu(add(conv(c, v, pad=P), c))".replace("P", str(pad)), f"conv(c, v, pad={pad})")
    made, net = check_against_reference(text)
    found = [s.payload["algorithm"] for s in made.artifact.plan.steps if s.kind == "native.conv"]
    assert found == [form, form]
    program = next(iter(net.programs.values()))
    assert isinstance(program, NativeProgram)
    for name in ("avx2", "plain"):
        other = NativeProgram(made.artifact.plan, MACHINES[name], Resources(made.artifact.weights))
        inputs = inputs_of(made)
        due = net(inputs)["y"]
        torch.testing.assert_close(other(inputs)["y"], due, rtol=0, atol=TOLERANCE * float(due.abs().max()))


@pytest.mark.parametrize("form", FORMS)
def test_what_a_form_computes(form: str) -> None:
    """The model of a form, by which its error is measured, is a convolution; weights of one number show G."""
    random = np.random.default_rng(0)
    k = FORMS[form].window
    x, w = random.standard_normal((1, 5, 14, 17), np.float32), random.standard_normal((7, 5, k, k), np.float32)
    due = torch.nn.functional.conv2d(torch.from_numpy(x).double(), torch.from_numpy(w).double()).numpy()
    np.testing.assert_allclose(evaluate_form(form, x, w), due, rtol=0, atol=1e-5 * np.abs(due).max())


def test_a_form_is_chosen_by_its_cost_and_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """net n(x: f32[1,64,56,56]) {
    weight w: f32[64,64,3,3]
    y = conv(x, w, pad=1)
    return y
}
"""

    def algorithm(target: str = "native") -> str:
        plan = compile_text(text, target).artifact.plan
        (step,) = (s for s in plan.steps if s.kind == "native.conv")
        found: str = step.payload.get("algorithm", "")
        return found

    assert algorithm() == "F4"
    assert algorithm("native-strict") == ""
    weight = torch.randn(64, 64, 3, 3, generator=torch.Generator().manual_seed(1))
    errors = {form: algorithms.winograd_error(form, weight) for form in ("F2", "F4")}
    assert errors["F2"] < 1e-6 < errors["F4"] < 1e-5
    monkeypatch.setattr(algorithms, "LARGEST_ERROR", 1e-6)
    assert algorithm() == "F2"
    monkeypatch.setattr(algorithms, "LARGEST_ERROR", 1e-9)
    assert algorithm() == ""
    assert algorithms.winograd_error("F4", torch.full((4, 4, 3, 3), torch.nan)) != 0, "NaN is above any limit"


@pytest.mark.parametrize("name", ["avx2", "sse", "plain"])
def test_other_vectors(name: str) -> None:
    """The same kernels for vectors of 8 and of 4 floats, on fewer registers."""
    made = compile_text(CONV)
    inputs = inputs_of(made)
    program = NativeProgram(made.artifact.plan, MACHINES[name], Resources(made.artifact.weights))
    (due,) = evaluate(made.file.graph, *inputs.values())
    torch.testing.assert_close(program(inputs)["y"], due, rtol=0, atol=TOLERANCE * float(due.abs().max()))


def test_any_number_of_threads_gives_the_same_bits() -> None:
    made = compile_text(CONV)
    net, inputs = made.load(), inputs_of(made)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            found += [net(inputs)["y"] for _ in range(20)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], y) for y in found)


def test_many_threads_call_at_once() -> None:
    made = compile_text(CONV)
    net = made.load()
    given = [inputs_of(made, seed) for seed in range(8)]
    due = [net(x)["y"] for x in given]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: net(given[i % 8])["y"], range(200)))
    assert all(torch.equal(y, due[i % 8]) for i, y in enumerate(found))


def test_a_forked_process_runs_it_too() -> None:
    """The child has none of the threads, and starts its own."""
    code = f"""
import os, sys, torch
sys.path.insert(0, {str(ROOT / ".src")!r})
from cortado.tests.test_native import CONV, compile_text, inputs_of
torch.set_num_threads(2)
made = compile_text(CONV)
net, inputs = made.load(), inputs_of(made)
due = net(inputs)["y"]
child = os.fork()
if not child:
    os._exit(0 if all(torch.equal(net(inputs)["y"], due) for _ in range(5)) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert torch.equal(net(inputs)["y"], due)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120, cwd=ROOT)


def plan_of(text: str = CONV) -> Plan:
    return compile_text(text, "native-strict").artifact.plan


def test_the_source_can_be_read() -> None:
    """Each kernel stands below what it computes; the table names the values."""
    text = write_source(plan_of(), MACHINES["avx512"]).text
    assert "/* conv 3x3 stride 2x2 pad 1x1: [2,13,11,3] -> [2,7,6,37], maximum; tile of 6 pixels x 48 channels" in text
    assert "/* depthwise 3x3 stride 1 pad 1x1: [2,7,6,37] -> [2,7,6,37], add, maximum; 1 rows x 6 pixels" in text
    assert re.search(r"\{product_\d+, \d+, 2, \{\{ARENA, \d+\}, \{WEIGHTS, \d+\}\}, \d+, 1, \d+\}, /\* c \*/", text)


def test_the_kernels_of_squeezenet_are_a_thousand_lines_at_most() -> None:
    made = compile_text((ROOT / "benchmarks" / "nets" / "squeezenet_v1.1.net").read_text())
    assert len(write_source(made.artifact.plan, replace(MACHINES["avx512"], threads=2)).text.splitlines()) <= 1000


def test_equal_steps_share_a_function() -> None:
    lines = "".join(f"    a{i + 1} = conv(a{i}, w{i}, pad=1)\n" for i in range(4))
    weights = "".join(weight(f"w{i}", "16,16,3,3") for i in range(4))
    text = f"net n(a0: f32[1,16,8,8]) {{\n{weights}{lines}    return a4\n}}\n"
    made = write_source(plan_of(text), MACHINES["avx512"]).text
    assert made.count("static void product_") == 2, "the last has a result without a border"


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda m: m.name)
def test_tiles_fit_into_the_registers(machine: Machine) -> None:
    for pixels in (1, 7, 13, 56, 3136):
        for vectors in (1, 2, 3, 8, 64):
            m, n = choose_tile(machine, pixels, vectors, 576)
            assert m * n + n <= machine.registers - 2 and m <= pixels and n <= vectors


def test_tasks_are_shared_out_evenly() -> None:
    two = replace(MACHINES["avx512"], threads=2)
    assert split(two, 14, 1000) == 7, "two tasks of seven rows, and not three of five, five and four"
    assert split(two, 1, 1e6) == 1
    assert split(two, 100, 1) == 100, "what takes a microsecond is one task"


def test_names_cannot_end_a_comment() -> None:
    assert comment("a*/ int main; /* \n ??/ \\ \u202e é") == "a./ int main; /. . ../ . . ."
    text = """net "*/ #include <x> /*"(x: f32[1,4]) {
    "*/ y" = relu(x)
    return "*/ y"
}
"""
    assert "#include <x>" not in re.sub(r"/\*.*?\*/", "", write_source(plan_of(text), MACHINES["plain"]).text)


def test_constants_are_exact() -> None:
    assert [format_float(x) for x in (0.1, 1e39, "-inf", "nan", -0.0)] == [
        "0.10000000149011612f", "INFINITY", "-INFINITY", "NAN", "-0.0f",
    ]  # fmt: skip
    assert "return v_maximum(a, splat(0.0f));" in write_epilogue("f", [["maximum", 0, {"c": 0}]], 0)


Change = Callable[[Plan], Plan]


def with_slot(name: str, **changes: object) -> Change:
    return lambda plan: replace(plan, slots={**plan.slots, name: replace(plan.slots[name], **changes)})  # type: ignore[arg-type]


def with_payload(kind: str, **changes: object) -> Change:
    def change(plan: Plan) -> Plan:
        steps = [replace(s, payload={**s.payload, **changes}) if s.kind == kind else s for s in plan.steps]
        return replace(plan, steps=tuple(steps))

    return change


MISTAKES: dict[str, tuple[Change, str]] = {
    "no border": (with_slot("x.nhwc", halo=None), "has no border"),
    "smaller image": (with_slot("y", dims=(2, 24, 5, 6)), "to other sizes"),
    "other stride": (with_payload("native.conv", stride=[1, 1]), "to other sizes"),
    "negative pad": (with_payload("native.conv", pad=[-1, -1]), "to other sizes"),
    "negative pad behind": (with_payload("native.conv", pad=[1, 1, -1, 1]), "to other sizes"),
    "no stride": (with_payload("native.conv", stride=[0, 0]), "to other sizes"),
    "groups": (with_payload("native.conv", groups=0), "to other sizes|groups"),
    "unknown function": (with_payload("native.conv", code=[["system", 0]]), "should be an epilogue"),
    "huge border": (with_slot("x.nhwc", halo=(1 << 40, 1)), "cannot have a border"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_plans_that_would_leave_the_arena_are_refused(name: str) -> None:
    change, reason = MISTAKES[name]
    artifact = compile_text(CONV).artifact
    artifact.check()
    with pytest.raises(ArtifactError, match=reason):
        replace(artifact, plans=(change(artifact.plan),)).check()


BOX = {"from": 0, "read": [0, 0], "write": [0, 0], "loops": [[2, [1, 0], [1, 0]], [3, [0, 1], [0, 1]]]}
WRONG_BOXES: dict[str, tuple[dict[str, object], str]] = {
    "past the operand": ({"read": [0, 2]}, "reaches from 2 to 4 along axis 1"),
    "before the operand": ({"loops": [[3, [0, -1], [0, 1]]]}, "reaches from -2 to 0"),
    "past the result": ({"write": [1, 0]}, "reaches from 1 to 2 along axis 0"),
    "other axes": ({"read": [0, 0, 0]}, "other axes"),
    "other axes of a loop": ({"loops": [[2, [1], [1, 0]]]}, "other axes"),
    "a negative count": ({"loops": [[-2, [1, 0], [1, 0]]]}, "other axes"),
    "no end": ({"loops": [[1 << 39, [0, 0], [0, 0]]]}, "more numbers than the result has"),
    "another operand": ({"from": 1}, "do not fit together"),
    "an operand from behind": ({"from": -1}, "should be a list of boxes"),
    "too large a shape": ({"from_dims": [2, 5]}, "has no shape"),
    "text": ({"read": ["0", "0"]}, "should be a list of boxes"),
    "no value": ({"from": None}, "should be a list of boxes"),
    "unknown": ({"at": 1}, "should be a list of boxes"),
}


@pytest.mark.parametrize("name", WRONG_BOXES)
def test_boxes_that_leave_their_values_are_refused(name: str) -> None:
    change, reason = WRONG_BOXES[name]
    artifact = compile_text("net n(x: f32[2,4]) {\n    y = crop(x, axis=1, sizes=[3])\n    return y\n}\n").artifact
    replace(artifact, plans=(with_payload("native.copy", boxes=[BOX])(artifact.plan),)).check()
    with pytest.raises(ArtifactError, match=reason):
        replace(artifact, plans=(with_payload("native.copy", boxes=[BOX | change])(artifact.plan),)).check()


def test_an_epilogue_reads_earlier_lines_only() -> None:
    artifact = compile_text(CONV).artifact
    changed = with_payload("native.conv", code=[["add", 0, 9]])(artifact.plan)
    with pytest.raises(ArtifactError, match="reads"):
        replace(artifact, plans=(changed,)).check()


def test_without_a_compiler_it_runs_what_was_compiled_before_or_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compile_text(CONV)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    expected = made.load()(inputs_of(made))["y"]
    monkeypatch.setenv("PATH", str(tmp_path))
    build.find_compiler.cache_clear()
    assert torch.equal(made.load()(inputs_of(made))["y"], expected)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    with pytest.raises(ArtifactError, match="no C compiler"):
        made.load()
    monkeypatch.setenv("CORTADO_CC", "none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ArtifactError, match="CORTADO_CC=none forbids"):
        made.load()


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo 'net.c:1: error: no such luck' >&2; exit 1", "no such luck"), ("exec sleep 30", "more than")],
)
def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str) -> None:
    fake = tmp_path / "fakecc"
    fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec echo fake\n{script}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("CORTADO_CC", str(fake))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "SECONDS", 1)
    build.find_compiler.cache_clear()
    try:
        with pytest.raises(ArtifactError, match=words):
            build.build_library("int x;", MACHINES["plain"])
    finally:
        monkeypatch.undo()
        build.find_compiler.cache_clear()
    left = [p.suffix for p in (tmp_path / "cache" / "cortado" / "native").iterdir()]
    assert left == [".c"], "the source, and nothing half"


def test_a_library_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls: list[Sequence[str]] = []
    compile_c = build.run_compiler

    def count(command: list[str]) -> None:
        calls.append(command)
        compile_c(command)

    monkeypatch.setattr(build, "run_compiler", count)
    first = compile_text(CONV).load()
    second = compile_text(CONV).load()
    assert len(calls) == 1 and first.plan == second.plan
    folder = tmp_path / "cortado" / "native"
    assert sorted(p.suffix for p in folder.iterdir()) == [".c", ".so"]


def test_a_cache_that_others_may_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "cortado" / "native"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(ArtifactError, match="others may write to it"):
        compile_text(CONV).load()


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # as for a user that the system does not know
    with pytest.raises(ArtifactError, match="no home folder to keep compiled kernels in; set XDG_CACHE_HOME"):
        build.cache_folder()


def test_times_of_steps() -> None:
    made = compile_text(CONV)
    net = made.load()
    program = next(iter(net.programs.values()))
    assert isinstance(program, NativeProgram)
    seconds = program.make_instance().time_steps(inputs_of(made))
    assert len(seconds) == len(made.artifact.plan.steps) and all(s > 0 for s in seconds)


def test_exp_is_within_two_units_in_the_last_place() -> None:
    """From where it is 0 to where it is infinite; below the smallest normal number a unit is that of a denormal one."""
    x = np.linspace(-110, 95, 40_960, dtype=np.float32)
    net = compile_text("net n(x: f32[40960]) {\n    y = exp(x)\n    return y\n}\n").load()
    found, exact = net(x=x)["y"], np.exp(x.astype(np.float64))
    finite = exact < float(np.finfo(np.float32).max)
    unit = np.maximum(exact * np.finfo(np.float32).eps, np.finfo(np.float32).smallest_subnormal)
    assert (np.abs(found - exact)[finite] <= 2 * unit[finite]).all() and np.isposinf(found[~finite]).all()
    special = np.resize(np.array([np.nan, np.inf, -np.inf, 0], np.float32), 40_960)
    np.testing.assert_array_equal(net(x=special)["y"][:4], [np.nan, np.inf, 0, 1])
