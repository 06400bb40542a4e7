"""Mean and scale of pictures as part of the weights: the same numbers as before, or a refusal that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import cortado
from cortado import driver
from cortado.cli import main
from cortado.compilation import run_passes
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Constant, Graph
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.reference import evaluate
from cortado.compiler.text import parse, parse_planned
from cortado.runtime.artifact import Preprocessing, read
from cortado.runtime.preprocess import prepare

from .test_passes import fill_weights

FORM = Preprocessing(mean=(104.0, 117.5, 123.25), scale=0.017, bgr=True, resize=(9, 12), crop=(8, 10))
PLAIN = Preprocessing(bgr=True, resize=(9, 12), crop=(8, 10))
NETS = {
    "one convolution": "return relu(conv(x, w, b, stride=2))",
    "two that read it": "return add(conv(x, w, b), conv(x, v))",
    "one of groups": "return conv(x, g, groups=3)",
    "a matrix product": "return linear(x, m)",
    "a layer between, that pads behind": "return conv(conv(bias(scale(x, s), s), w, b), u, pad=1)",
    "behind a normalisation": "return conv(batch_norm(x, s, s), w, b)",
}
WEIGHTS = {"w": "4,3,3,3", "b": "4", "v": "4,3,3,3", "g": "6,1,2,2", "m": "5,240", "s": "3", "u": "2,4,3,3"}


def net(body: str) -> Graph:
    declared = "\n".join(f"weight {name}: f32[{sizes}]" for name, sizes in WEIGHTS.items() if f" {name}" in body)
    value = body.removeprefix("return ")
    torch.manual_seed(3)
    return fill_weights(
        parse_planned(f"net n(x: f32[2,3,8,10]) {{\n{declared}\ny = {value}\nreturn y\n}}", "n.net")
    ).graph


def fold(graph: Graph, form: Preprocessing, input: str = "x", **options: Any) -> driver.Compilation:
    forms = {input: form}
    return driver.compile_graph(graph, driver.Options(preprocessing=forms, fold_preprocessing=True, **options))


def pixels() -> np.ndarray:
    """Two pictures as they are, in the net's order of channels: whole numbers of 0 to 255."""
    generator = np.random.default_rng(5)
    pictures = [Image.fromarray(generator.integers(0, 256, (20, 31, 3), np.uint8)) for _ in range(2)]
    return np.stack([prepare(p, (8, 10), PLAIN) for p in pictures])


@pytest.mark.parametrize("form", [FORM, Preprocessing(mean=(7.0,)), Preprocessing(raw_scale=1.0, mean=(0.5,))], ids=str)
@pytest.mark.parametrize("body", NETS.values(), ids=list(NETS))
def test_the_same_numbers_without_preparing(body: str, form: Preprocessing) -> None:
    graph, x = net(body), pixels()
    done = ((x * (form.raw_scale / 255) - np.reshape(form.mean, (-1, 1, 1))) * form.scale).astype(np.float32)
    (wanted,) = evaluate(graph, torch.from_numpy(done))
    made = fold(graph, form)
    found = made.load()(x=x)["y"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * float(wanted.abs().max()) + 1e-4)
    left = made.artifact.preprocessing["x"]
    assert (left.mean, left.scale, left.raw_scale) == ((), 1.0, 255.0)
    assert (left.bgr, left.resize, left.crop) == (form.bgr, form.resize, form.crop)
    plain = run_passes(PlannedGraph(graph), driver.Options()).final.graph
    assert len(made.graph.nodes) == len(plain.nodes), "it costs nothing at run time"


def test_it_is_worked_out_in_float64() -> None:
    graph = net("return conv(x, w, b)")
    made = fold(graph, FORM)
    w, b = (v.data.double() for v in graph.nodes[0].inputs[1:] if isinstance(v, Constant))
    mean = torch.tensor(FORM.mean, dtype=torch.float64)
    now = {v.name: v for v in made.stages.by_name["fold_forward"].graph.constants}
    assert torch.equal(now["w.folded"].data, (w * 0.017).float())
    assert torch.equal(now["b.folded"].data, (b + (w * (-mean * 0.017)[:, None, None]).sum((1, 2, 3))).float())


def test_padding_sees_a_mean_but_no_scale() -> None:
    graph = net("return conv(x, w, b, pad=1)")
    with pytest.raises(
        CompileError, match='"x" cannot be part of the weights: y pads with zeros, which the shift'
    ) as e:
        fold(graph, FORM)
    assert "Compile without folding" in str(e.value)
    x = pixels()
    (wanted,) = evaluate(graph, torch.from_numpy(x * np.float32(0.5)))
    found = fold(graph, Preprocessing(scale=0.5)).load()(x=x)["y"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("body", "form", "options", "why"),
    [
        ("return relu(x)", FORM, {}, r"only convolutions and matrix products .* y \(relu\) reads"),
        ("return conv(x, w)", FORM, {"optimize": False}, "passes, and they are disabled"),
        ("return add(conv(x, w), conv(max_pool(x, kernel=1), w))", FORM, {}, r" and y\.1\.0 \(max_pool\) reads it"),
        ("return concat(conv(x, w), conv(crop(x, axis=2, sizes=[8, 10]), w))", FORM, {}, r"\(crop\)"),
        ("return conv(x, w)", Preprocessing(mean=(1.0, 2.0)), {}, '2 mean values, and "x" has 3 channels'),
        ("return conv(x, w)", Preprocessing(mean_image="0123456789ab"), {}, "differs from pixel to pixel"),
    ],
)
def test_what_cannot_be_is_refused(body: str, form: Preprocessing, options: dict[str, Any], why: str) -> None:
    with pytest.raises(CompileError, match=why):
        fold(net(body), form, **options)


def test_an_input_that_is_none_and_one_that_is_returned() -> None:
    graph = net("return conv(x, w)")
    with pytest.raises(CompileError, match='no input "data"'):
        fold(graph, FORM, input="data")
    returned = parse("net n(x: f32[1,3,2,2]) {\nreturn x\n}", "n.net")
    with pytest.raises(CompileError, match="the net's caller reads it"):
        fold(returned, FORM)
    flat = parse("net n(x: f32[3]) {\ny = relu(x)\nreturn y\n}", "n.net")
    with pytest.raises(CompileError, match="no channels"):
        fold(flat, FORM)


def test_nothing_to_fold_changes_nothing() -> None:
    graph = net("return relu(x)")
    assert fold(graph, PLAIN).artifact.preprocessing == {"x": PLAIN}


def test_by_the_python_api(tmp_path: Path) -> None:
    path = tmp_path / "n.net"
    path.write_text("net n(x: f32[1,3,1,1]) {\nweight w: f32[1,3,1,1] = [1, 2, 3]\ny = conv(x, w)\nreturn y\n}\n")
    forms = {"x": Preprocessing(mean=(1.0, 2.0, 3.0), scale=2.0)}
    made = cortado.compile(path, preprocessing=forms, fold_preprocessing=True)
    assert made(x=np.full((1, 3, 1, 1), 10, np.float32))["y"].tolist() == [[[[2 * (9 + 16 + 21)]]]]
    assert made.artifact.preprocessing == {"x": Preprocessing()}
    again = cortado.compile(path, preprocessing=forms)
    assert again(x=np.full((1, 3, 1, 1), 10, np.float32))["y"].item() == 60


def test_by_the_command_line(tmp_path: Path) -> None:
    path, out = tmp_path / "n.net", tmp_path / "n.cortado"
    path.write_text("net n(x: f32[1,3,2,2]) {\nweight w: f32[1,3,1,1] = [1, 2, 3]\ny = conv(x, w)\nreturn y\n}\n")
    Image.fromarray(np.full((2, 2, 3), (10, 20, 30), np.uint8)).save(tmp_path / "p.png")

    def ran(*options: str) -> Any:
        return CliRunner().invoke(main, options)

    arguments = ("compile", str(path), "-o", str(out), "--mean", "1,2,3", "--scale", "2", "--bgr")
    answers = []
    for more in ((), ("--fold",)):
        done = ran(*arguments, *more)
        assert done.exit_code == 0, done.output
        done = ran("run", str(out), "--input", str(tmp_path / "p.png"), "--output-file", str(tmp_path / "y.npz"))
        assert done.exit_code == 0, done.output
        with np.load(tmp_path / "y.npz") as arrays:
            answers.append(arrays["y"].tolist())
    assert answers[0] == answers[1] == [[[[2 * (29 + 36 + 21)] * 2] * 2]]
    assert read(out).preprocessing == {"x": Preprocessing()}
    nothing = ran("compile", str(path), "-o", str(out), "--fold")
    assert nothing.exit_code == 2 and "Give --mean" in nothing.output
