"""Nets as C: programs that embed them, other processors, what is refused, and that nothing of the user's is lost."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import cortado
from cortado.cli import main
from cortado.cli.options import PROCESSOR_NAMES
from cortado.compiler.errors import CompileError
from cortado.compiler.reference import evaluate
from cortado.compiler.targets.native import algorithms
from cortado.driver import Compilation
from cortado.exporters.native_plan import embed_compilation
from cortado.runtime.native.embedding import c_text
from cortado.runtime.native.machine import PROCESSORS, machine_of
from cortado.runtime.native.site import NotNative
from cortado.runtime.output import OutputError

from .c_programs import NASTY, build, compile_text, require_sanitizer, run, run_example, tool
from .shared import ROOT
from .test_native import CASES, MOVEMENTS, RESIZED, SPREAD, STATISTICS, WINOGRAD

DIGITS = ROOT / "examples" / "digits"
FILES = (DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")
SANITIZERS = ("address,undefined", "thread")
FORM_WINDOWS = {"F2": 3, "F4": 3, "F25": 5}
KERNELS = (
    CASES
    | {form: WINOGRAD.replace("K", str(size)).replace("P", str(size // 2)) for form, size in FORM_WINDOWS.items()}
    | {"movements": MOVEMENTS, "spread": SPREAD, "statistics": STATISTICS, "resized": RESIZED}
)
TOLERANCE = 1e-5  # of the largest result: sums of up to a thousand products, in another order
pytestmark = pytest.mark.usefixtures("c_compiler")


@pytest.fixture(scope="module")
def nasty() -> Compilation:
    return compile_text(NASTY)


@pytest.fixture(scope="module")
def inputs(nasty: Compilation) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal(v.type.shape, np.float32) for v in nasty.graph.inputs]


@pytest.fixture(scope="module")
def due(nasty: Compilation, inputs: list[np.ndarray]) -> list[np.ndarray]:
    return [y.numpy() for y in evaluate(nasty.file.graph, *map(torch.from_numpy, inputs))]


def write_c(folder: Path, made: Compilation, processor: str = "", name: str = "net") -> Path:
    """The files of `cortado export --to c`, of a net that a test has compiled."""
    net = embed_compilation(made, machine_of(processor), name)
    folder.mkdir(exist_ok=True)
    for file, text in {**net.texts, **net.example}.items():
        (folder / file).write_text(text)
    (folder / net.weights_name).write_bytes(net.head + net.block.tobytes())
    return folder


def check_outputs(found: list[np.ndarray], due: list[np.ndarray]) -> None:
    for y, expected in zip(found, due, strict=True):
        np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def test_the_example_is_built_by_make_and_gives_the_outputs(
    nasty: Compilation, inputs: list[np.ndarray], due: list[np.ndarray], tmp_path: Path
) -> None:
    folder = write_c(tmp_path / "c", nasty)
    build(folder, tool("make"), "-s", "CFLAGS=-O1 -Wall -Wextra -Werror")
    check_outputs(run_example(folder, inputs, [y.shape for y in due]), due)
    shown = run(folder / "net_example", folder / "in0", folder / "in1").stdout
    best = int(due[1].argmax())
    found = re.search(r"^z:\n  (\d+)  (\S+)", shown, re.M)
    assert shown.startswith('*/ "out??/:') and found and int(found[1]) == best
    assert float(found[2]) == pytest.approx(due[1].ravel()[best], rel=1e-5)
    wrong = run(folder / "net_example", folder / "in1", folder / "in1", expected=1)
    assert "in1: is no file of 858 float32 numbers" in wrong.stderr
    assert "of 2 inputs and 5 outputs" in run(folder / "net_example", expected=2).stderr


TEN_LINES = r"""
#include "a.h"
#include "b.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

static void repeat(const float *const *in, const std::vector<float> *due)
{
    struct a *net;
    if (a_init(&net, 3) != A_OK) std::abort();
    for (int i = 0; i < 20; i++) {
        std::vector<std::vector<float>> y;
        float *out[A_OUTPUTS];
        for (int k = 0; k < A_OUTPUTS; k++) { y.emplace_back(a_output(k)->count); out[k] = y[k].data(); }
        if (a_run(net, in, out) != A_OK) std::abort();
        for (int k = 0; k < A_OUTPUTS; k++)
            if (std::memcmp(y[k].data(), due[k].data(), y[k].size() * sizeof(float))) std::abort();
    }
    a_free(net);
}

int main()
{
    std::vector<float> x(A_INPUT_0, 0.5f), y(A_INPUT_1, 0.25f), due[A_OUTPUTS];
    const float *in[] = {x.data(), y.data()};
    float *out[A_OUTPUTS];
    for (int k = 0; k < A_OUTPUTS; k++) { due[k].resize(a_output(k)->count); out[k] = due[k].data(); }
    struct a *net;
    if (a_init(&net, 1) || a_run(net, in, out)) return 1;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) threads.emplace_back(repeat, in, due);
    for (auto &t : threads) t.join();

    struct b *other;
    std::vector<float> p(B_INPUT_0, -2.0f), q(B_OUTPUT_0);
    const float *given[] = {p.data()};
    float *wanted[] = {q.data()};
    if (b_init(&other, 2) || b_run(other, given, wanted)) return 2;
    std::printf("%s %g %d\n", b_output(0)->name, q[0], b_output(1) == nullptr && b_input(-1) == nullptr);

    const float *none[] = {nullptr, nullptr};
    if (a_run(net, none, out) != A_WRONG_ARGUMENT || a_run(nullptr, in, out) != A_WRONG_ARGUMENT) return 3;
    if (a_run(net, in, nullptr) != A_WRONG_ARGUMENT || a_init(nullptr, 1) != A_WRONG_ARGUMENT) return 4;
    a_free(net);
    b_free(other);
    b_free(nullptr);
    return a_abi() == A_ABI ? 0 : 5;
}
"""


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_two_nets_in_a_program_in_cpp_are_clean_under_sanitizers(
    sanitizer: str, nasty: Compilation, tmp_path: Path
) -> None:
    """Threads with a net each, on one pool: no stray access, undefined behaviour, leak or data race.

    For races the channels fill vectors: otherwise kernels load, and do not use, what lies behind a pixel, which another
    one may be writing.
    """
    require_sanitizer(tmp_path, sanitizer)
    whole = compile_text(NASTY.replace("37", "48").replace("24,", "32,"))
    write_c(tmp_path, whole if sanitizer == "thread" else nasty, name="a")
    flags = machine_of().flags
    write_c(tmp_path, compile_text("net n(x: f32[1,4]) {\n    y = sigmoid(relu(x))\n    return y\n}\n"), name="b")
    (tmp_path / "main.cpp").write_text(TEN_LINES)
    options = ("-g", "-Wall", "-Wextra", "-Werror", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    for name in ("a.c", "b.c"):
        build(tmp_path, tool("gcc"), "-std=gnu11", "-fwrapv", *options, *flags, "-c", name)
    build(tmp_path, tool("g++"), "-std=c++11", *options, "main.cpp", "a.o", "b.o", "-o", "both", "-pthread", "-lm")
    assert run(tmp_path / "both").stdout == "y 0.5 1\n"


def test_c11_and_clang_take_it_too(nasty: Compilation, tmp_path: Path) -> None:
    folder = write_c(tmp_path, nasty)
    clang = next(filter(None, map(shutil.which, ("clang", "clang-15", "clang-16", "clang-14"))), None)
    for compiler in filter(None, (clang, tool("gcc"))):
        build(folder, compiler, "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", *machine_of().flags, "-c", "net.c")


@pytest.mark.parametrize("processor", ["armv8-a", "generic"])
def test_an_arm_processor_computes_the_same(
    processor: str, nasty: Compilation, inputs: list[np.ndarray], due: list[np.ndarray], tmp_path: Path
) -> None:
    cc, emulator = tool("aarch64-linux-gnu-gcc"), tool("qemu-aarch64")
    folder = write_c(tmp_path, nasty, processor)
    build(folder, tool("make"), "-s", f"CC={cc}", "CFLAGS=-O1", "LDFLAGS=-static")
    check_outputs(run_example(folder, inputs, [y.shape for y in due], emulator), due)


@pytest.mark.long
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_under_sanitizers_and_on_arm(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_sanitizer(tmp_path, "address,undefined")
    monkeypatch.setattr(algorithms, "choose_form", lambda weight, result: name if name in FORM_WINDOWS else "")
    made = compile_text(KERNELS[name])
    found = [s.payload.get("algorithm", "") for s in made.artifact.plan.steps if s.kind == "native.conv"]
    assert name not in FORM_WINDOWS or found == [name, name]
    random = np.random.default_rng(0)
    given = [random.standard_normal(v.type.shape, np.float32) for v in made.graph.inputs]
    due = [y.numpy() for y in evaluate(made.file.graph, *map(torch.from_numpy, given))]
    shapes = [y.shape for y in due]
    for processor in ("", "x86-64"):  # vectors of this machine, and of 4 floats
        folder = write_c(tmp_path / f"c{processor}", made, processor)
        options = "-g -fsanitize=address,undefined -fno-sanitize-recover=all"
        build(folder, tool("make"), "-s", f"CFLAGS={options}", f"LDFLAGS={options}")
        check_outputs(run_example(folder, given, shapes), due)
    folder = write_c(tmp_path / "arm", made, "armv8-a")
    build(folder, tool("make"), "-s", f"CC={tool('aarch64-linux-gnu-gcc')}", "CFLAGS=-O1", "LDFLAGS=-static")
    check_outputs(run_example(folder, given, shapes, tool("qemu-aarch64")), due)


def test_a_processor_without_the_instructions_is_told(nasty: Compilation, tmp_path: Path) -> None:
    """On a processor of 2003, as the emulator has it: an error, and no SIGILL."""
    emulator = tool("qemu-x86_64")
    folder = write_c(tmp_path, nasty, "x86-64-v3")
    build(folder, tool("make"), "-s", "CFLAGS=-O2", "LDFLAGS=-static")
    done = run(emulator, "-cpu", "qemu64", folder / "net_example", expected=1)
    assert "net_init: this processor lacks instructions that the net was compiled for (x86-64-v3)" in done.stderr
    shown = run(emulator, "-cpu", "max", folder / "net_example", expected=2)
    assert "usage:" in shown.stderr, "and another one is let through"


def test_before_the_processor_is_asked_nothing_runs_that_it_may_lack(nasty: Compilation, tmp_path: Path) -> None:
    objdump = tool("objdump")
    folder = write_c(tmp_path, nasty, "x86-64-v4")
    build(folder, tool("gcc"), "-O3", "-std=gnu11", *machine_of("x86-64-v4").flags, "-c", "net.c")
    text = run(objdump, "-d", "--no-show-raw-insn", folder / "net.o").stdout
    functions = {found[1]: found[2] for found in re.finditer(r"<(\w+)[.\w]*>:\n(.*?)(?=\n\n|\Z)", text, re.S)}
    newer = re.compile(r"\t(v\w+|andn|bextr|bls\w+|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|tzcnt|lzcnt|popcnt)\b")
    for name in ("net_abi", "net_title", "net_message", "net_input", "net_output", "net_init", "is_right_processor",
                 "are_right_weights"):  # fmt: skip
        assert not newer.search(functions[name])
    assert newer.search(functions["net_run"]), "the kernels use them"


def test_the_wrong_flags_do_not_compile(nasty: Compilation, tmp_path: Path) -> None:
    folder = write_c(tmp_path, nasty, "x86-64-v3")
    v3 = "-march=x86-64-v3"
    for flags, words in (((), f"compile it with {v3}"), ((v3, "-ffast-math"), "-ffast-math")):
        done = subprocess.run([tool("gcc"), *flags, "-c", "net.c"], cwd=folder, capture_output=True, text=True)
        assert done.returncode and words in done.stderr


def test_weights_of_another_net_are_refused(nasty: Compilation, tmp_path: Path) -> None:
    """A file of the same size, and of another net: from beside the code, and from memory."""
    folder = write_c(tmp_path, nasty)
    weights = folder / "net_weights.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    build(folder, tool("make"), "-s", "CFLAGS=-O1")
    assert "the weights are not those that belong" in run(folder / "net_example", expected=1).stderr
    (folder / "main.c").write_text(r"""
#include <stdio.h>
#include <stdlib.h>
#include "net.h"
int main(int argc, char **argv)
{
    struct net *net;
    char *bytes = aligned_alloc(64, 1 << 20);
    FILE *file = fopen(argv[argc - 1], "rb");
    long count = fread(bytes, 1, 1 << 20, file);
    printf("%d ", net_init(&net, 1));
    printf("%d %d ", net_use_weights(bytes + 1, count), net_use_weights(bytes, count - 4));
    printf("%d ", net_use_weights(bytes, count));
    printf("%d\n", net_init(&net, 1));
    return 0;
}
""")
    flags = ("-O1", "-DNET_SEPARATE_WEIGHTS", *machine_of().flags)
    build(folder, tool("gcc"), "-std=gnu11", *flags, "main.c", "net.c", "-o", "separate", "-pthread", "-lm")
    assert run(folder / "separate", weights).stdout == "4 3 4 4 4\n"
    weights.write_bytes(whole)
    assert run(folder / "separate", weights).stdout == "4 3 4 0 0\n"


def test_cmake_builds_it_elsewhere(tmp_path: Path) -> None:
    """From another folder, whose weights are found by their path."""
    folder = tmp_path / "a folder"
    cortado.export(*FILES, to="c", out=folder, name="digits")
    built = tmp_path / "built"
    cmake = tool("cmake")
    run(cmake, "-S", folder, "-B", built, "-DCMAKE_BUILD_TYPE=MinSizeRel")
    run(cmake, "--build", built)
    pictures = np.load(DIGITS / "pictures.npz")["pictures"][:1]
    shutil.copy(built / "digits_example", folder)
    (found,) = run_example(folder, [pictures], [(1, 10)], program="digits_example")
    expected = cortado.compile(*FILES, target="onednn")(pictures)["prob"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


LITERAL = r'"(?:[^"\\\n]|\\[0-7]{3}|\\[n"])*"'


def test_texts_are_escaped() -> None:
    assert c_text('a"\\?\n\x1f\x7fé/*') == r"a\042\134\077\012\037\177\303\251/*"
    with pytest.raises(NotNative, match="has a zero in it"):
        c_text("a\0b")


def test_no_name_ends_a_comment_or_a_literal(nasty: Compilation) -> None:
    net = embed_compilation(nasty, machine_of("generic"))
    for text in net.texts.values():
        code = re.sub(r"/\*.*?\*/|" + LITERAL, "", text, flags=re.S)
        assert text.isascii() and "??" not in text and '"' not in code and "*/" not in code


def test_the_processors_of_the_option_are_those_that_there_are() -> None:
    assert tuple(PROCESSORS) == PROCESSOR_NAMES
    with pytest.raises(CompileError, match="no processor is called x86-64-v9"):
        cortado.export(*FILES, to="c", out="never", march="x86-64-v9")


def test_equal_nets_give_equal_bytes(nasty: Compilation) -> None:
    first, second = (embed_compilation(compiled, machine_of("x86-64-v3")) for compiled in (nasty, compile_text(NASTY)))
    assert first.texts == second.texts and first.head == second.head and np.array_equal(first.block, second.block)


HOSTED = """net n(x: f32[1,4,5,5]) {
    weight w: f32[4,2,2,2]
    up = deconv(relu(x), w, stride=2, groups=2)
    y = relu(up)
    return y
}
"""


def test_steps_of_the_host_are_refused_by_name() -> None:
    words = r"n cannot be written as C, because of y \(it has groups\)"
    with pytest.raises(CompileError, match=words) as e:
        embed_compilation(compile_text(HOSTED), machine_of())
    assert e.value.loc is not None and e.value.loc.line == 3 and "--output" in e.value.advice


def test_layers_of_the_users_program_are_refused_by_name(no_registered_layers: None) -> None:
    cortado.register_layer("Twice", run=lambda bottoms, settings, blobs: [2 * bottoms[0]])
    made = compile_text('net n(x: f32[2,3]) {\n    y = user(x, layer="Twice")\n    return y\n}\n')
    with pytest.raises(CompileError, match=r"because of y \(it is a layer of your own program\)"):
        embed_compilation(made, machine_of())


@pytest.mark.parametrize(
    ("inputs", "result", "words"),
    [
        ("x: i64[4]", "x", "x is i64, and the interface in C has f32 only"),
        ("x: f32[4], y: f32[?8]", "x", "the size of y is known only when the net runs"),
    ],
)
def test_values_that_the_interface_lacks_are_refused(inputs: str, result: str, words: str) -> None:
    made = compile_text(f"net n({inputs}) {{\n    return {result}\n}}\n")
    with pytest.raises(CompileError, match=words):
        embed_compilation(made, machine_of())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "cuda"}, "the target cuda is not compiled to C"),
        ({"shapes": {"data": ("?4", 1, 8, 8)}}, "the size of data is known only when the net runs"),
        ({"name": "My-Net"}, "cannot begin the names of functions"),
    ],
)
def test_what_cannot_be_c_is_refused(options: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=words):
        cortado.export(*FILES, to="c", out=tmp_path / "c", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "c").exists()


def export(*words: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, FILES), "--to", "c", *map(str, words)])


def test_the_folder_is_made_but_not_its_parent(tmp_path: Path) -> None:
    done = export("-o", tmp_path / "c", "--march", "generic")
    assert done.exit_code == 0 and "digits, for c" in done.stdout
    names = ["CMakeLists.txt", "Makefile", "main.c", "net.c", "net.h", "net_weights.bin"]
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == names
    for out, said in ((tmp_path / "no" / "c", "there is no folder"), ("", "the path is empty")):
        done = export("-o", out)
        assert done.exit_code == 2 and said in done.output


def test_what_is_in_the_folder_stays(tmp_path: Path) -> None:
    """A changed example is left alone; a file of one of the net's names that cortado did not write stops it."""
    (tmp_path / "main.c").write_text("int main(void) { return 7; }\n")
    done = export("-o", tmp_path)
    assert done.exit_code == 0 and "main.c is there already, and stays as it is" in done.stdout
    assert (tmp_path / "main.c").read_text().startswith("int main(void)")
    assert export("-o", tmp_path, "--march", "generic").exit_code == 0, "what it wrote itself is replaced"
    assert "written by cortado for plain" in (tmp_path / "net.c").read_text()
    (tmp_path / "net.h").write_text("/* mine */\n")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    done = export("-o", tmp_path)
    assert done.exit_code == 2 and "cortado did not write it" in done.output
    with pytest.raises(OutputError):
        cortado.export(*FILES, to="c", out=tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_new_folder_goes_if_nothing_could_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str, file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cortado.exporters.c.write_text", fail)
    done = export("-o", tmp_path / "c")
    assert done.exit_code == 2 and "No space left on device" in done.output
    assert not (tmp_path / "c").exists()
