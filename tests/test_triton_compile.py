"""Kernel files and their machine code: readable, complete, the same every time, and as small as the table says."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.build import build
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.targets import target
from cortado.compiler.targets.cuda import aot, machine_code, source, tiles
from cortado.compiler.targets.cuda.aot import compile_machine_code
from cortado.compiler.targets.cuda.expr import Expr, ExprBuilder
from cortado.compiler.targets.cuda.tf32 import split_tf32
from cortado.compiler.targets.cuda.view import View, contiguous, view_of
from cortado.compiler.text import parse, show
from cortado.passes import PIPELINE, Context, run
from cortado.runtime.artifact import Artifact, Slot, read, write

from .kernels.nets import load_graph as net

triton = pytest.importorskip("triton")
CONV = """net t(x: f32[1,16,8,8]) {
    weight w: f32[8,16,3,3]
    weight b: f32[8]
    y = relu(conv(x, w, b, pad=1), slope=0.1)
    return y
}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here takes from the user's cache, or writes there."""
    monkeypatch.setenv("CORTADO_CACHE", str(cache))


def optimize(graph: Graph, on: str = "cuda") -> PlannedGraph:
    return run(graph, Context(target(on)), PIPELINE)


@pytest.fixture(scope="module")
def conv() -> dict[str, str]:
    """The files of a convolution with its bias and a leaky relu: Hopper's, and the older one."""
    return {
        name: text for name, text in target("cuda").sources(optimize(parse(CONV, "t.net"))).items() if "conv" in name
    }


@pytest.fixture(scope="module")
def digits(cache: Path) -> Artifact:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTADO_CACHE", str(cache))
        return driver.compile_graph(net("digits"), driver.Options(target="cuda")).artifact


def test_a_file_says_what_it_computes(conv: dict[str, str]) -> None:
    """The docstring is a kernel of our language: read back it prints itself."""
    for text in conv.values():
        meaning = (ast.get_docstring(ast.parse(text), clean=False) or "").split("\n\n")[0]
        called = f"{meaning.strip()}\n\nnet t(x: f32[1,16,8,8]:nhwc, w: f32[8,16,3,3], b: f32[8]) {{\n"
        name = meaning.split("(")[0].removeprefix("kernel ")
        again = parse(f"{called}    y: f32[1,8,8,8]:nhwc = {name}(x, w, b)\n    return y\n}}\n")
        assert show(again).startswith(meaning)


def test_a_file_is_its_template_with_its_own_epilogue(conv: dict[str, str]) -> None:
    tiled, gathered = sorted(conv.values(), key=lambda text: "FLAT" in text)
    for template, text in (("conv_tiled", tiled), ("conv", gathered)):
        about, code = source.read_template(template)
        kernel = code[code.index("def kernel(") + len("def kernel") :]
        assert about in text and kernel in text
    assert tiled.count("tl.where(d > 0.0, d, d * 0.1)") == 1


def test_kernels_are_named_by_what_they_are() -> None:
    """Another batch or size is the same kernels for the older GPUs, another slope is others."""

    def named(old: str, new: str, on: str = "sm_") -> set[str]:
        files = target("cuda").sources(optimize(parse(CONV.replace(old, new), "t.net")))
        return {name for name, text in files.items() if "conv" in name and on in text.split("ARCHITECTURES")[1]}

    assert len(named("", "")) == 2
    assert named("[1,16,8,8]", "[3,16,8,8]", "sm_80") == named("", "", "sm_80")
    assert named("[1,16,8,8]", "[1,16,32,10]", "sm_80") == named("", "", "sm_80")
    assert named("0.1", "0.2").isdisjoint(named("", ""))


def test_the_same_net_is_the_same_bytes(conv: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = min(conv)
    job = (name, ast.literal_eval(conv[name].split("ARCHITECTURES = ")[1])[0])
    found = []
    for folder in ("a", "b"):
        monkeypatch.setenv("CORTADO_CACHE", str(tmp_path / folder))
        found.append(compile_machine_code(conv, [job])[job])
    assert found[0] == found[1]
    assert str(tmp_path).encode() not in found[0].cubin and b".py" not in found[0].cubin


def test_the_cache_is_read_and_survives_damage(
    conv: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTADO_CACHE", str(tmp_path))
    name = next(n for n, text in conv.items() if "sm_80" in text)
    first = compile_machine_code(conv, [(name, "sm_80")])
    (kept,) = tmp_path.iterdir()
    monkeypatch.setattr(aot, "run_worker", None)  # a second compilation would call it
    assert compile_machine_code(conv, [(name, "sm_80")]) == first
    kept.write_text(kept.read_text()[:-10])
    with pytest.raises(TypeError):
        compile_machine_code(conv, [(name, "sm_80")])


def test_what_cannot_be_compiled_is_named(conv: dict[str, str]) -> None:
    name = next(n for n, text in conv.items() if "sm_80" in text)
    broken = {name: conv[name].replace("tl.zeros", "tl.no_such_thing")}
    with pytest.raises(CompileError, match=rf"(?s)kernel {name} cannot be compiled for sm_80: .*no_such_thing"):
        compile_machine_code(broken, [(name, "sm_80")])


def test_an_artifact_holds_code_for_both_architectures(digits: Artifact, tmp_path: Path) -> None:
    write(tmp_path / "digits.cortado", digits)
    again = read(tmp_path / "digits.cortado", verify=True)
    assert again.plan == digits.plan and again.kernels == digits.kernels
    assert {n: c.tolist() for n, c in again.binaries.items()} == {n: c.tolist() for n, c in digits.binaries.items()}
    for step in again.plan.steps:
        assert step.kind in ("launch", "view")
        if step.kind == "launch":
            older = {**step.payload, **step.payload["variants"].get("sm_80", {})}
            assert f"{step.payload['kernel']}.sm_90" in again.binaries and f"{older['kernel']}.sm_80" in again.binaries
            assert older["shared"] <= 101_376 and not any("descriptor" in a for a in older["arguments"])
    assert all(bytes(cubin[:4].tolist()) == b"\x7fELF" for cubin in again.binaries.values())


def test_weights_are_packed_once_and_kept_beside_their_source(digits: Artifact) -> None:
    named = {name for step in digits.plan.steps for name in step.operands}
    assert digits.plan.weights.keys() <= named, "a weight that no step reads would be loaded"
    packed = {name: digits.weights[w.handle] for name, w in digits.plan.weights.items() if ":2301" in name}
    originals = [t for t in digits.weights.values() if t.ndim == 4]
    assert {name.rpartition(":")[2] for name in packed} == {"2301", "big", "rest"}
    for name, data in packed.items():
        if not name.endswith(":rest"):
            whole = data + packed[name.replace(":big", ":rest")] if name.endswith(":big") else data
            assert any(
                torch.equal(t.permute(2, 3, 0, 1).reshape(whole.shape), whole)
                for t in originals
                if t.numel() == whole.numel()
            )


def test_kernels_that_overlap_wait_before_anything_else() -> None:
    """Programmatic dependent launch: the launch before may still run, and may read what this one writes."""
    sources = target("cuda-f16-pdl").sources(optimize(parse(CONV, "t.net"), "cuda-f16-pdl"))
    newest = [text for text in sources.values() if "'sm_90'" in text]
    assert len(newest) == 2 and len(sources) == 4, "each kernel once more for older GPUs, without"
    for text in sources.values():
        functions = [f for f in ast.parse(text).body if isinstance(f, ast.FunctionDef)]
        kernel = next(f for f in functions if re.fullmatch(r"\w+_[0-9a-f]{12}", f.name))
        calls = [ast.unparse(line) for line in kernel.body[:2]]
        assert (calls == ["gdc_wait()", "gdc_launch_dependents()"]) == (text in newest)


@pytest.mark.parametrize(
    ("inputs", "body", "steps"),
    [
        ("x: f32[2,3,4,4,4]", "y = relu(max_pool(x, kernel=2, stride=2))", "max_pool launch"),
        ("x: f32[2,16,5,6], w: f32[8,32,1,1]", "a, c = slice(abs(w), points=16); y = conv(x, c)", "conv_packed"),
        ("x: f32[3,20], w: f32[8,32]", "a, c = slice(abs(w), points=12); y = linear(x, c)", "linear_packed"),
        ("x: f32[1,2,2,2], w: f32[2,2,300,300]", "y = deconv(x, w, stride=300)", "deconv_packed"),
        ("x: f32[0,16,5,5]", "y = softmax(avg_pool(x))", "view view"),
    ],
    ids=[
        "images of three axes",
        "weights with gaps",
        "rows of weights with gaps",
        "too large a grid",
        "nothing to compute",
    ],
)
def test_what_has_no_kernel_runs_on_the_host(inputs: str, body: str, steps: str) -> None:
    """A grid of more than 65,535 programs along its last axis is one that CUDA cannot launch."""
    text = f"net t({inputs}) {{\n{body.replace('; ', chr(10))}\nreturn y\n}}\n"
    final = optimize(parse(text, "t.net"))
    kinds = [s.kind for s in build(final, final.graph, "cuda").plan.steps]
    assert kinds[-len(steps.split()) :] == steps.split(), kinds


def test_a_size_known_only_later_is_refused_or_left_to_the_host() -> None:
    with pytest.raises(CompileError, match="known only when the net runs"):
        view_of(Slot("f32", ("?8", 3, 4, 4), at=0))


PIPELINED = """
$L__func_begin0:
\tcp.async.cg.shared.global [ %r1 + 0 ], [ %rd1 + 0 ], 0x10, %r2;
$L__BB0_1:
\tcp.async.wait_group 0x1;
\tbar.sync 0;
\tfence.proxy.async.shared::cta;
\twgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%f1};
\t@%p1 bra $L__BB0_1;
\tret;
"""
FENCE = "\tfence.proxy.async.shared::cta;\n"


@pytest.mark.parametrize(
    ("ptx", "expected"),
    [
        (PIPELINED, True),
        (PIPELINED.replace(FENCE, ""), False),
        (PIPELINED.replace(FENCE, "").replace("$L__BB0_1:\n", f"{FENCE}$L__BB0_1:\n", 1), False),
        (PIPELINED.replace(FENCE, "").replace("\t@%p1", f"{FENCE}\t@%p1"), False),
        (PIPELINED.replace(FENCE, f"\t@%p2 bra $L__BB0_2;\n{FENCE}$L__BB0_2:\n"), False),
        (PIPELINED.replace("cp.async.wait_group 0x1", "mbarrier.try_wait").replace(FENCE, ""), True),
    ],
    ids=["in the loop", "nowhere", "before the loop", "behind the product", "on one path only", "no cp.async"],
)
def test_a_fence_stands_before_each_product(ptx: str, expected: bool) -> None:
    """Between an asynchronous copy's arrival and wgmma, on every path: one elsewhere in the kernel does not help."""
    assert machine_code.has_required_fence(ptx) is expected


def test_positions_of_pixels_are_rounded(tmp_path: Path) -> None:
    """A product fused with the subtraction after it would not be: 5 · 0.4 is 2 in f32, and its neighbour counts 0."""
    from triton.backends.compiler import GPUTarget

    text = "net t(x: f32[1,16,9,9]) {\n    y = interp(x, sizes=[21,21])\n    return y\n}\n"
    sources = target("cuda").sources(optimize(parse(text, "t.net")))
    name = next(name for name in sources if name.startswith("interp"))
    (file := tmp_path / f"{name}.py").write_text(sources[name], "utf-8")
    kernel, options = machine_code.read_kernel(str(file), name)
    ptx = triton.compile(kernel, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
    scale = "0f" + np.float32(0.4).tobytes()[::-1].hex().upper()
    assert "cvt.rn.f32.f64" in ptx and not [line for line in ptx.splitlines() if "fma" in line and scale in line]


def test_text_binds_as_python_does() -> None:
    a, b = Expr("a"), Expr("b")
    assert str((a + b) * 2) == "(a + b) * 2.0"
    assert str(a - (b - 1)) == "a - (b - 1.0)"
    assert str(a - b - 1) == "a - b - 1.0"
    assert str(-(a * b)) == "-(a * b)"
    assert str(a / (b + 1)) == "tl.div_rn(a, b + 1.0)"
    assert str((a > b) == (b > a)) == "(a > b) == (b > a)"
    assert str(a * -0.5) == "a * -0.5"
    calls = ExprBuilder()
    assert str(calls.where(a > 0, calls.tanh(a), float("-inf"))) == 'tl.where(a > 0.0, tanh(a), -float("inf"))'
    assert calls.used_functions == {"tanh"}


def test_tma_tiles_cover_an_image_without_waste() -> None:
    """Where powers of two divide it they do."""
    for rows, size in ((128, 28), (128, 14), (128, 7), (64, 56)):
        shape = tiles.tma_tile(rows, 128, size, size)
        assert np.prod(shape) == rows
        assert tiles.tile_count(shape, 128, size, size) * rows == 128 * size * size


def test_views_step_as_memory_does() -> None:
    image = View("f32", (2, 3, 4, 5), (96, 1, 24, 6), at=32)  # channels 2 … 5 of 6, channels innermost
    assert image.merged_stride((2, 3)) is None and image.merged_stride((0, 2)) == 24
    assert contiguous("f16", (2, 3, 4)).merged_stride((0, 1, 2)) == 1
    assert view_of(Slot("f32", (2, 3, 4, 5), "nhwc", 64, (2, 6))) == View("f32", (2, 3, 4, 5), (120, 1, 30, 6), 72)
    assert not view_of(Slot("f32", (2, 3, 4, 5), "nhwc", 64, (2, 6))).is_aligned


def test_a_measured_tile_goes_before_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = tiles.MatmulProblem("conv", "f32", 100, 64, 64)
    tile = {"rows": 64, "columns": 32, "depth": 16, "warps": 4, "stages": 2}
    row = {
        "template": "conv",
        "dtype": "f32",
        "problem": problem.to_dict(),
        "tile": tile,
        "gpu": "some GPU",
        "seconds": 1e-5,
    }
    monkeypatch.setattr(tiles, "TUNING_FOLDER", tmp_path)
    for stated, expected in (
        (tile, tiles.TileShape(64, 32, 16, 4, 2)),
        (tile | {"rows": 60}, tiles.TileShape(64, 32, 32, 4)),
    ):
        (tmp_path / "sm_90.json").write_text(json.dumps({"rows": [row | {"tile": stated}]}))
        tiles.read_tuning.cache_clear()
        tiles.tuned_tile.cache_clear()
        assert tiles.rule_tile(problem) == expected
    tiles.read_tuning.cache_clear()
    tiles.tuned_tile.cache_clear()


def test_three_products_of_parts_are_as_good_as_f32() -> None:
    """What tensor cores do for `f32`: each number a sum of two tf32, the product of the small parts left out."""
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(64, 2304, generator=random), torch.randn(2304, 64, generator=random)

    def tf32(t: torch.Tensor) -> torch.Tensor:
        return (t.view(torch.int32) & ~0x1FFF).view(torch.float32)

    a_big, b_big = tf32(a), tf32(b)
    a_small, b_small = tf32(a - a_big), tf32(b - b_big)
    exact = a.double() @ b.double()
    errors = [
        ((product.double() - exact).norm() / exact.norm()).item()
        for product in (a @ b, a_small @ b_big + a_big @ b_small + a_big @ b_big, a_big @ b_big)
    ]
    plain, parts, truncated = errors
    assert parts < 2e-6 and plain < 2e-6 < 1e-4 < truncated


def test_parts_of_numbers() -> None:
    """Their sum is exact; from 2048 on, no part's product can be infinite with the wrong sign."""
    random = torch.Generator().manual_seed(1)
    numbers = torch.randn(20000, generator=random) * 2.0 ** torch.randint(-20, 120, (20000,), generator=random)
    data = torch.cat([numbers, torch.tensor([3.4028234e38, 2048.5, 2047.99, 1e-40, 0.0])])
    big, rest = split_tf32(data).values()
    large = data.abs() >= 2048
    assert torch.equal(big + rest, data) and not (big.view(torch.int32) & 0x1FFF).any()
    assert (big * rest >= 0)[large].all() and (rest.abs() < 1)[~large].all()
