"""`--to caffe --fold`: which layers go, what the others are then called and read, and how far the numbers may move."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cortado
from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph
from cortado.compiler.reference import evaluate_blobs
from cortado.exporters.exporter import Export
from cortado.frontends.files import caffemodel

from .small_nets import data
from .test_export_caffe import official
from .test_goldens import CASES, GoldenCase, reference

Weights = dict[str, Any]
FOLDED = re.compile("BatchNorm|BN|Scale|Bias|Dropout|Axpy|Normalize|DROPOUT|dropout")
CONV = """
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 1 } }
"""
BN = 'layer { name: "n" type: "BatchNorm" bottom: "c" top: "n" batch_norm_param { eps: 0 } }\n'
SCALE = 'layer { name: "s" type: "Scale" bottom: "n" top: "s" scale_param { bias_term: true } }\n'
RELU = 'layer { name: "r" type: "ReLU" bottom: "s" top: "r" }\n'
# 2x + 1; mean 3 and variance 4, stored times a factor of 2; times 6 and plus 5: 6 ((2x + 1) - 3) / 2 + 5 = 6x - 1.
NUMBERS: Weights = {
    "c:0": [[[[2.0]]], [[[2.0]]]],
    "c:1": [1.0, 1.0],
    "n:0": [6.0, 6.0],
    "n:1": [8.0, 8.0],
    "n:2": [2.0],
    "s:0": [6.0, 6.0],
    "s:1": [5.0, 5.0],
}


class Folded:
    """A net and what --fold makes of it: the layers as (name, type, bottoms, tops), blobs by layer, notes."""

    def __init__(self, folder: Path, text: str, weights: Weights, **options: Any) -> None:
        path = folder / "given.prototxt"
        path.write_text(text)
        given = {name: np.asarray(value, np.float32) for name, value in weights.items()}

        def fill(layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
            return given[f"{layer}:{index}"].reshape(shape)

        self.graph = driver.read_net(path, fill, driver.Options(outputs=options.get("outputs", ()))).graph
        self.made: Export = cortado.export(path, fill, to="caffe", out=folder / "made", fold=True, **options)
        net = official((folder / "made.prototxt").read_text())
        self.layers = [(l.name, l.type, [*l.bottom], [*l.top]) for l in net.layer if l.type != "Input"]
        self.net = {l.name: l for l in net.layer}
        self.blobs = {
            layer.name: [b.data for b in layer.blobs] for layer in caffemodel.read(folder / "made.caffemodel").layers
        }
        self.again = driver.read_net(
            folder / "made.prototxt", folder / "made.caffemodel", driver.Options(outputs=options.get("outputs", ()))
        ).graph

    @property
    def types(self) -> list[str]:
        return [type for _, type, _, _ in self.layers]

    def compare(self, *tensors: torch.Tensor, tolerance: float) -> None:
        """The same outputs, of the same names, from both nets."""
        inputs = dict(zip((v.name for v in self.graph.inputs), tensors, strict=True))
        wanted, got = (run(graph, inputs) for graph in (self.graph, self.again))
        assert [*wanted] == [*got]
        for name, x in wanted.items():
            torch.testing.assert_close(got[name], x, rtol=0, atol=tolerance)


def run(graph: Graph, inputs: dict[str, torch.Tensor], dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """The outputs."""
    found = evaluate_blobs(graph, inputs, dtype)
    return {name: found[name] for name, _ in graph.returns}


def test_a_chain_becomes_one_convolution(tmp_path: Path) -> None:
    made = Folded(tmp_path, data(1, 1, 2, 2) + CONV + BN + SCALE + RELU, NUMBERS)
    assert made.layers == [("c", "Convolution", ["data"], ["c"]), ("r", "ReLU", ["c"], ["r"])]
    assert [b.reshape(-1).tolist() for b in made.blobs["c"]] == [[6, 6], [-1, -1]]
    assert made.made.facts[:2] == (("layers", "3"), ("folded", "1 BatchNorm, 1 Scale"))
    assert made.made.notes == ()
    made.compare(torch.arange(-2.0, 2).reshape(1, 1, 2, 2), tolerance=0)  # small whole numbers


def test_the_bias_that_a_convolution_lacks_is_added(tmp_path: Path) -> None:
    text = data(1, 1, 2, 2) + CONV.replace("kernel_size: 1", "kernel_size: 1 bias_term: false") + BN + SCALE
    made = Folded(tmp_path, text, NUMBERS)  # 6 (2x - 3) / 2 + 5 = 6x - 4
    assert [b.reshape(-1).tolist() for b in made.blobs["c"]] == [[6, 6], [-4, -4]]
    assert [b.shape for b in made.blobs["c"]] == [(2, 1, 1, 1), (2,)]
    assert not made.net["c"].convolution_param.HasField("bias_term")


def test_an_output_keeps_its_name(tmp_path: Path) -> None:
    made = Folded(tmp_path, data(1, 1, 2, 2) + CONV + BN + SCALE, NUMBERS)
    assert made.layers == [("c", "Convolution", ["data"], ["s"])]


def test_a_blob_that_is_asked_for_keeps_its_name_and_numbers(tmp_path: Path) -> None:
    made = Folded(tmp_path, data(1, 1, 2, 2) + CONV + BN + SCALE + RELU, NUMBERS, outputs=("n", "r"))
    assert made.layers == [
        ("c", "Convolution", ["data"], ["n"]),
        ("s", "Scale", ["n"], ["s"]),
        ("r", "ReLU", ["s"], ["r"]),
    ]
    assert made.made.notes == (
        '"n" is read by layers, so that Caffe does not count it as an output',
        'layer "s" (Scale) is not folded into conv: n is an output of the net',
    )


def test_in_place_layers_stay_in_place(tmp_path: Path) -> None:
    text = (data(1, 1, 2, 2) + CONV + BN + SCALE + RELU).replace('top: "n"', 'top: "c"').replace('top: "s"', 'top: "c"')
    text = text.replace('bottom: "n"', 'bottom: "c"').replace('bottom: "s" top: "r"', 'bottom: "c" top: "c"')
    made = Folded(tmp_path, text, NUMBERS)
    assert made.layers == [("c", "Convolution", ["data"], ["c"]), ("r", "ReLU", ["c"], ["c"])]


def test_without_a_convolution_affine_layers_become_one_scale(tmp_path: Path) -> None:
    text = data(1, 2, 2, 2, name="c") + BN + SCALE
    made = Folded(tmp_path, text, NUMBERS)  # 6 (x - 3) / 2 + 5 = 3x - 4
    assert made.layers == [("n", "Scale", ["c"], ["s"])]
    assert [b.tolist() for b in made.blobs["n"]] == [[3, 3], [-4, -4]]
    assert made.made.facts[1:3] == (("folded", "1 Scale"), ("made Scale", "1 BatchNorm"))


def test_a_convolution_of_a_constant_is_folded_too(tmp_path: Path) -> None:
    """A DummyData is a constant, as in Caffe."""
    text = """
        layer { name: "d" type: "DummyData" top: "data" dummy_data_param {
          shape { dim: 1 dim: 1 dim: 2 dim: 2 } data_filler { value: 2 } } }
        """ + CONV + BN + SCALE  # fmt: skip
    made = Folded(tmp_path, text, NUMBERS)  # 6 · 2 - 1
    assert made.types == ["DummyData", "Convolution"]
    assert run(made.again, {})["s"].unique().tolist() == [11]


def test_what_others_read_stays(tmp_path: Path) -> None:
    """The convolution is read by another layer, too: the affine layers become a Scale."""
    other = 'layer { name: "t" type: "TanH" bottom: "c" top: "t" }\n'
    made = Folded(tmp_path, data(1, 1, 2, 2) + CONV + other + BN + SCALE, NUMBERS)
    assert made.types == ["Convolution", "TanH", "Scale"]
    assert made.made.notes == ('layer "n" (BatchNorm) is not folded into conv: c is also read by t',)


DROPOUT = 'layer { name: "d" type: "Dropout" bottom: "x" top: "d" }\n'


def dropped(*layers: str) -> str:
    """A net that ends with a TanH, which makes x, a Dropout of x, which makes d, and layers written as `TYPE b t`."""
    text = (
        data(2, 3)
        + """
        layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 3 } }
        layer { name: "x" type: "TanH" bottom: "fc" top: "x" }"""
    )
    for name, layer in zip("abe", layers, strict=False):
        type, bottom, top = layer.split()
        text += f'layer {{ name: "{name}" type: "{type}" bottom: "{bottom}" top: "{top}" }}\n'
    return text.replace('top: "x" }', f'top: "x" }}\n{DROPOUT}', 1)


@pytest.mark.parametrize(
    ("layers", "stays", "layer"),
    [
        ((), False, ("x", "TanH", ["fc"], ["d"])),
        (("Sigmoid d y",), False, ("a", "Sigmoid", ["x"], ["y"])),
        (("Sigmoid d y", "ReLU x z"), False, ("b", "ReLU", ["x"], ["z"])),
        (("ReLU d d",), False, ("a", "ReLU", ["d"], ["d"])),  # in place, and the only reader
        (("Sigmoid x y", "ReLU d d"), True, ("b", "ReLU", ["d"], ["d"])),  # in place, beside another reader
        (("ReLU d d", "Sigmoid x y"), True, ("a", "ReLU", ["d"], ["d"])),
        (("Sigmoid x y",), True, ("a", "Sigmoid", ["x"], ["y"])),  # d is an output, and would be read
        (("Flatten d f", "ReLU f f", "Sigmoid x y"), True, ("b", "ReLU", ["f"], ["f"])),  # f is d's storage
        (("Flatten d f", "ReLU f f"), False, ("b", "ReLU", ["f"], ["f"])),
        (("Flatten x f", "Dropout f f", "ReLU d y"), True, ("e", "ReLU", ["d"], ["y"])),  # in place on x's storage
    ],
)
def test_dropout_goes_unless_a_blob_would_change(
    layers: tuple[str, ...], stays: bool, layer: tuple[str, str, list[str], list[str]], tmp_path: Path
) -> None:
    numbers = {"fc:0": np.arange(9) / 8 - 0.5, "fc:1": [0.25, 0, -0.25]}
    made = Folded(tmp_path, dropped(*layers), numbers)
    assert ("Dropout" in made.types) is stays
    assert layer in made.layers
    assert any("(Dropout) stays" in note for note in made.made.notes) is stays
    made.compare(torch.linspace(-1, 1, 6).reshape(2, 3), tolerance=0)


def test_two_outputs_keep_the_dropout_between_them(tmp_path: Path) -> None:
    numbers = {"fc:0": np.arange(9) / 8 - 0.5, "fc:1": [0.25, 0, -0.25]}
    made = Folded(tmp_path, dropped(), numbers, outputs=("x", "d"))
    assert made.types == ["InnerProduct", "TanH", "Dropout"]


def test_a_scale_by_a_parameter_layer_is_not_folded(tmp_path: Path) -> None:
    """The layer that makes the parameter would be left without a reader."""
    text = (
        data(1, 1, 2, 2)
        + CONV
        + """
        layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 } } }
        layer { name: "s" type: "Scale" bottom: "c" bottom: "p" top: "s" }"""
    )
    made = Folded(tmp_path, text, NUMBERS | {"p:0": [3, 4]})
    assert made.types == ["Convolution", "Parameter", "Scale"]
    made.compare(torch.ones(1, 1, 2, 2), tolerance=0)


def test_weights_of_several_images_are_left_alone(tmp_path: Path) -> None:
    """One layer with two bottoms has one weight: two different layers behind it cannot both be in it."""
    text = (
        data(1, 1, 2, 2, name="a")
        + data(1, 1, 2, 2, name="b")
        + """
        layer { name: "c" type: "Convolution" bottom: "a" bottom: "b" top: "c" top: "d"
          convolution_param { num_output: 2 kernel_size: 1 } }
        layer { name: "s" type: "Scale" bottom: "c" top: "s" }
        layer { name: "t" type: "Scale" bottom: "d" top: "t" }"""
    )
    made = Folded(tmp_path, text, NUMBERS | {"t:0": [3, 4]})
    assert made.types == ["Convolution", "Scale", "Scale"]
    assert made.made.notes == ('layer "c" (Convolution) stays as it is: folding would change more than its weights',)


def test_shared_weights_are_shared_no_more_where_they_differ(tmp_path: Path) -> None:
    text = (
        data(1, 1, 2, 2)
        + """
        layer { name: "a" type: "Convolution" bottom: "data" top: "a" param { name: "w" lr_mult: 2 } param { name: "b" }
          convolution_param { num_output: 2 kernel_size: 1 } }
        layer { name: "s" type: "Scale" bottom: "a" top: "s" scale_param { bias_term: true } }
        layer { name: "b" type: "Convolution" bottom: "data" top: "b" param { name: "w" } param { name: "b" }
          convolution_param { num_output: 2 kernel_size: 1 } }"""
    )
    numbers = {"a:0": NUMBERS["c:0"], "a:1": NUMBERS["c:1"], "s:0": [6, 6], "s:1": [5, 5]}
    made = Folded(tmp_path, text, numbers)
    assert [b.reshape(-1).tolist() for b in made.blobs["a"]] == [[12, 12], [11, 11]]  # 6 (2x + 1) + 5
    assert [b.reshape(-1).tolist() for b in made.blobs["b"]] == [[2, 2], [1, 1]]
    assert [[p.name for p in made.net[n].param] for n in "ab"] == [["", ""], ["w", "b"]]
    assert made.net["a"].param[0].lr_mult == 2


def test_a_scale_behind_a_concat_is_folded_through_it(tmp_path: Path) -> None:
    second = CONV.replace('"c"', '"e"')
    text = (
        data(1, 1, 2, 2)
        + CONV
        + second
        + """
        layer { name: "both" type: "Concat" bottom: "c" bottom: "e" top: "both" }
        layer { name: "s" type: "Scale" bottom: "both" top: "s" scale_param { bias_term: true } }"""
    )
    numbers = {f"{n}:{i}": NUMBERS[f"c:{i}"] for n in "ce" for i in (0, 1)}
    numbers |= {"s:0": [1, 2, 3, 4], "s:1": [0, 1, 0, 1]}
    made = Folded(tmp_path, text, numbers)
    assert made.layers[-1] == ("both", "Concat", ["c", "e"], ["s"])
    assert [[b.reshape(-1).tolist() for b in made.blobs[n]] for n in "ce"] == [[[2, 4], [1, 3]], [[6, 8], [3, 5]]]
    made.compare(torch.ones(1, 1, 2, 2), tolerance=0)


def test_a_scale_that_cannot_be_folded_stays_behind_the_concat(tmp_path: Path) -> None:
    """One of the convolutions would get an infinite weight; a layer is in one place, or in none."""
    text = (
        data(1, 1, 2, 2)
        + CONV
        + CONV.replace('"c"', '"e"')
        + """
        layer { name: "both" type: "Concat" bottom: "c" bottom: "e" top: "both" }
        layer { name: "s" type: "Scale" bottom: "both" top: "s" }"""
    )
    numbers = {"c:0": [1e10, 1], "c:1": [1, 1], "e:0": [2, 2], "e:1": [1, 1], "s:0": [1e30, 1, 2, 3]}
    made = Folded(tmp_path, text, numbers)
    assert made.types == ["Convolution", "Convolution", "Concat", "Scale"]
    made.compare(torch.zeros(1, 1, 2, 2), tolerance=0)


def test_a_layer_that_reads_storage_written_in_another_shape_is_folded(tmp_path: Path) -> None:
    """The graph has a reshape there, which the reader makes by itself, as before."""
    text = data(1, 2, 2, 2, name="c") + """
        layer { name: "f" type: "Flatten" bottom: "c" top: "f" }
        layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
        """ + BN  # fmt: skip
    made = Folded(tmp_path, text, NUMBERS)
    assert made.types == ["Flatten", "ReLU", "Scale"]
    made.compare(torch.linspace(-1, 1, 8).reshape(1, 2, 2, 2), tolerance=1e-6)  # of up to 1.5, rounded once or twice


def test_nvcaffes_batch_norm_with_scale_becomes_a_scale(tmp_path: Path) -> None:
    """Two operators of one layer, which become one."""
    text = data(1, 2, 2, 2, name="c") + 'layer { name: "n" type: "BatchNorm" bottom: "c" top: "n" ' \
        "batch_norm_param { scale_bias: true eps: 1e-5 } }"  # fmt: skip
    numbers = {"n:0": [3, 3], "n:1": [4, 4], "n:2": [1], "n:3": [6, 6], "n:4": [5, 5]}
    made = Folded(tmp_path, text, numbers)
    assert made.layers == [("n", "Scale", ["c"], ["n"])]
    np.testing.assert_allclose(np.array(made.blobs["n"], np.float32), [[3, 3], [-4, -4]], rtol=1e-5)  # but for eps
    made.compare(torch.ones(1, 2, 2, 2), tolerance=1e-6)  # of about 1


def test_without_weights_nothing_is_folded(tmp_path: Path) -> None:
    (tmp_path / "given.prototxt").write_text(data(1, 1, 2, 2) + CONV)
    with pytest.raises(CompileError, match="there are none"):
        cortado.export(tmp_path / "given.prototxt", to="caffe", out=tmp_path / "made", fold=True)


def test_the_error_is_that_of_rounding_the_weights(tmp_path: Path) -> None:
    """Computed in float64: each weight is rounded once, and so is Caffe's own square root of the variance."""
    random = np.random.default_rng(1)
    text = (
        data(1, 8, 6, 6)
        + """
        layer { name: "c" type: "Convolution" bottom: "data" top: "c"
          convolution_param { num_output: 8 kernel_size: 3 } }"""
        + BN.replace("eps: 0", "eps: 1e-3")
        + SCALE
    )
    numbers: dict[str, np.ndarray] = {
        "c:0": random.standard_normal((8, 8, 3, 3)), "c:1": random.standard_normal(8),
        "n:0": random.standard_normal(8), "n:1": random.uniform(0.5, 2, 8), "n:2": np.ones(1),
        "s:0": random.standard_normal(8), "s:1": random.standard_normal(8),
    }  # fmt: skip
    made = Folded(tmp_path, text, numbers)
    x = torch.from_numpy(random.standard_normal((1, 8, 6, 6)))
    wanted, got = (run(graph, {"data": x}, torch.float64)["s"] for graph in (made.graph, made.again))
    weight, bias = (torch.from_numpy(np.array(b, np.float64)) for b in made.blobs["c"])
    largest = torch.nn.functional.conv2d(x.abs(), weight.abs(), bias.abs())
    gamma, beta = (np.abs(numbers[f"s:{i}"]) for i in (0, 1))
    # The bias, (c - mean) · a + beta, has terms that may cancel, each rounded by the factor a.
    inside = (np.abs(numbers["c:1"]) + np.abs(numbers["n:0"])) * gamma / np.sqrt(numbers["n:1"]) + beta
    bound = 2 * 2.0**-24 * (largest + torch.from_numpy(inside)[:, None, None])
    assert ((got - wanted).abs() <= bound).all()
    assert (got != wanted).any()


@pytest.mark.parametrize("path", [p for p in CASES if FOLDED.search(p.read_text())], ids=lambda p: p.stem)
def test_golden_cases_keep_caffes_numbers(path: Path, tmp_path: Path) -> None:
    """To the tolerance that compiled nets are held to, which fold as much; and folding again changes nothing."""
    case = GoldenCase(path)
    options = {"to": "caffe", "fold": True, "dialect": case.dialects}
    try:
        cortado.export(path, case.weights, out=tmp_path / "made", **options)  # type: ignore[arg-type]
    except CompileError as e:
        pytest.skip(e.message)
    files = tmp_path / "made.prototxt", tmp_path / "made.caffemodel"
    case.compare(reference(driver.read_net(*files, driver.Options(dialects=case.dialects)).graph, case))
    cortado.export(*files, out=tmp_path / "twice", **options)  # type: ignore[arg-type]
    assert [(tmp_path / f"twice{p.suffix}").read_bytes() == p.read_bytes() for p in files] == [True, True]


SETTINGS = {
    "Convolution": "convolution_param { num_output: 2 kernel_size: 1 }",
    "Scale": "scale_param { bias_term: true }",
}
LEARNT = ["Convolution", "BatchNorm", "Scale"]
ELEMENTWISE = ["Dropout", "ReLU", "Sigmoid"]
JOINING = ["Eltwise", "Concat"]
Shapes = dict[str, tuple[int, ...]]


def learnt_blobs(name: str, type: str, channels: int) -> Shapes:
    """The shapes of a layer's blobs, by layer and index."""
    shapes: list[tuple[int, ...]] = [(2, channels, 1, 1), (2,)] if type == "Convolution" else [(channels,), (channels,)]
    return {f"{name}:{i}": shape for i, shape in enumerate(shapes if type in LEARNT else [])}


@st.composite
def random_nets(draw: st.DrawFn) -> tuple[str, Shapes]:
    """A prototxt, and its blobs' shapes: each layer reads blobs that are there, at random in place if it may be."""
    text, shapes, read, flat = data(1, 2, 3, 3), Shapes(), set[str](), set[str]()
    channels = {"data": 2}
    for i in range(draw(st.integers(2, 9))):
        bottom = draw(st.sampled_from([*channels][-3:]))
        anywhere = [
            *LEARNT,
            *LEARNT,
            *ELEMENTWISE,
            *JOINING,
            "Flatten",
            *(["Slice"] if channels[bottom] > 2 and channels[bottom] % 2 == 0 else []),
        ]
        type = draw(st.sampled_from(ELEMENTWISE if bottom in flat else anywhere))
        bottoms = [bottom]
        if type in JOINING:
            fitting = [b for b in channels if b not in flat and (type == "Concat" or channels[b] == channels[bottom])]
            bottoms.append(draw(st.sampled_from(fitting)))
        can_be_in_place = type in ("BatchNorm", "Scale", *ELEMENTWISE) and bottom not in read
        tops = [bottom] if can_be_in_place and draw(st.booleans()) else [f"b{i}", f"c{i}"][: 1 + (type == "Slice")]
        shapes |= learnt_blobs(f"l{i}", type, channels[bottom])
        made = {"Convolution": 2, "Concat": sum(channels[b] for b in bottoms), "Slice": channels[bottom] // 2}
        if tops != [bottom]:
            read.update(bottoms)
            flat.update(tops if type == "Flatten" or bottom in flat else [])
            channels |= dict.fromkeys(tops, made.get(type, channels[bottom]))
        listed = " ".join([*(f'bottom: "{b}"' for b in bottoms), *(f'top: "{t}"' for t in tops)])
        text += f'layer {{ name: "l{i}" type: "{type}" {listed} {SETTINGS.get(type, "")} }}\n'
    return text, shapes


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random_nets())
def test_random_nets_keep_their_numbers(tmp_path: Path, drawn: tuple[str, Shapes]) -> None:
    """In place or not, read once or often: the outputs have their names, and their numbers but for rounding."""
    text, shapes = drawn
    random = np.random.default_rng(len(text))
    factors = {f"l{i}:2": np.ones(1) for i in range(9)}  # of BatchNorm's statistics
    made = Folded(tmp_path, text, factors | {name: random.uniform(0.5, 1.5, shape) for name, shape in shapes.items()})
    x = torch.from_numpy(random.uniform(-1, 1, (1, 2, 3, 3)))
    wanted, got = (run(graph, {"data": x}, torch.float64) for graph in (made.graph, made.again))
    assert sorted(wanted) == sorted(got)  # Caffe sorts them itself
    # A layer multiplies the largest number by at most 1.5 for each channel that it reads, and adds at most 1.5; with
    # each new weight a relative error of 2^-24 comes in, and Caffe's square root of a variance is rounded as much.
    largest = max((int(np.prod(s[1:])) for s in shapes.values()), default=1)
    tolerance = 4 * 2.0**-24 * (1.5 * max(largest, 2) + 1.5) ** text.count("layer {")
    for name, y in wanted.items():
        torch.testing.assert_close(got[name], y, rtol=0, atol=tolerance)
