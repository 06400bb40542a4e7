"""`cortado check` on a caffemodel: what it sees of the numbers, each case with its place and its count."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cortado.cli import main
from cortado.frontends.files.caffemodel import WrittenLayer, write

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 6 dim: 6 } } }\n'
Blobs = Mapping[str, Sequence[np.ndarray]]


def net_of(*layers: str) -> str:
    """A chain of layers, each `name type settings`."""
    text, bottom = INPUT, "data"
    for layer in layers:
        name, type, settings = (*layer.split(" ", 2), "")[:3]
        text += f'layer {{ name: "{name}" type: "{type}" bottom: "{bottom}" top: "{name}" {settings} }}\n'
        bottom = name
    return text


CONV = "c Convolution convolution_param { num_output: 3 kernel_size: 1 }"
NORM = "n BatchNorm"
SCALE = "s Scale scale_param { bias_term: true }"
DECONV = "u Deconvolution convolution_param { num_output: 4 kernel_size: 2 group: 2 bias_term: false }"
DENSE = "d InnerProduct inner_product_param { num_output: 3 }"
ONES, BIAS = np.ones((3, 4, 1, 1)), np.ones(3)


def changed(array: np.ndarray, *places: tuple[Any, float]) -> np.ndarray:
    made = np.array(array, np.float64)
    for at, number in places:
        made[at] = number
    return made


def statistics(variance: Sequence[float], factor: float = 1) -> list[np.ndarray]:
    return [np.zeros(4), np.array(variance), np.array([factor])]


def cortado(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def write_model(path: Path, blobs: Blobs) -> None:
    write(path, "n", [WrittenLayer(n, "", [np.asarray(b, np.float32) for b in bs], (), ()) for n, bs in blobs.items()])


def run_check(folder: Path, layers: Sequence[str], blobs: Blobs) -> list[dict[str, Any]]:
    """The findings as JSON; the exit code is 1 where one is an error."""
    (folder / "n.prototxt").write_text(net_of(*layers))
    write_model(folder / "n.caffemodel", blobs)
    done = cortado("check", folder / "n.prototxt", folder / "n.caffemodel", "--json")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert done.exit_code == any(f["severity"] == "error" for f in found), done.output
    return found


# By name: layers, blobs, and what is found: rule, severity, layer, blob, count, first.
CASES: dict[str, tuple[list[str], Blobs, list[tuple[str, str, str, int | None, int, list[int]]]]] = {
    "all is well": ([CONV], {"c": [ONES, BIAS]}, []),
    "NaN": (
        [CONV],
        {"c": [changed(ONES, ((1, 2), np.nan), ((2, 0), np.nan)), BIAS]},
        [("not_a_number", "error", "c", 0, 2, [1, 2, 0, 0])],
    ),
    "infinite, and NaN in another blob": (
        [CONV],
        {"c": [changed(ONES, ((0, 3), -np.inf)), changed(BIAS, (2, np.nan))]},
        [("infinite", "error", "c", 0, 1, [0, 3, 0, 0]), ("not_a_number", "error", "c", 1, 1, [2])],
    ),
    "large": (
        [CONV],
        {"c": [changed(ONES, ((2, 1), -1e9)), BIAS]},
        [("large_numbers", "warning", "c", 0, 1, [2, 1, 0, 0])],
    ),
    "denormal": ([CONV], {"c": [changed(ONES, (0, 1e-40)), BIAS]}, [("denormal", "warning", "c", 0, 4, [0, 0, 0, 0])]),
    "dead filters": (
        [CONV],
        {"c": [changed(ONES, (1, 0), (2, 0)), changed(BIAS, (2, 0))]},
        [("dead_channels", "warning", "c", 0, 1, [2])],
    ),
    "filters of 0": ([CONV], {"c": [ONES * 0, BIAS]}, [("all_zero", "warning", "c", 0, 12, [0])]),
    "a deconvolution of 0": (
        [DECONV],
        {"u": [np.zeros((4, 2, 2, 2))]},
        [("all_zero", "error", "u", 0, 32, [0])],
    ),
    "a dead channel of a deconvolution": (  # of group 1, the second: channel 3 of the result
        [DECONV],
        {"u": [changed(np.ones((4, 2, 2, 2)), ((slice(2, 4), 1), 0))]},
        [("dead_channels", "warning", "u", 0, 1, [3])],
    ),
    "a dead row of a matrix": (
        [DENSE],
        {"d": [changed(np.ones((3, 144)), (1, 0)), changed(BIAS, (1, 0))]},
        [("dead_channels", "warning", "d", 0, 1, [1])],
    ),
    "a dead column of a transposed matrix": (
        [DENSE.replace("3 }", "3 transpose: true }")],
        {"d": [changed(np.ones((144, 3)), ((slice(None), 2), 0)), BIAS * 0]},
        [("dead_channels", "warning", "d", 0, 1, [2])],
    ),
    "gamma of 0": (
        [SCALE],
        {"s": [np.array([1, 0, 0, 1]), np.array([0, 0, 1, 0])]},
        [("dead_channels", "warning", "s", 0, 1, [1])],
    ),
    "a factor of 0": ([NORM], {"n": statistics([1] * 4, 0)}, [("factor_of_zero", "error", "n", 2, 1, [0])]),
    "variances of -eps and less": (
        [NORM],
        {"n": statistics([1, -1e-5, -2, -1e-6])},
        [("negative_variance", "error", "n", 1, 2, [1]), ("negative_variance", "warning", "n", 1, 1, [3])],
    ),
    "by the factor": (  # -1e-3 / 1000 + 1e-5 > 0
        [NORM],
        {"n": statistics([1, -1e-3, 1, 1], 1000)},
        [("negative_variance", "warning", "n", 1, 1, [1])],
    ),
    "another eps": (
        [NORM + " batch_norm_param { eps: 3 }"],
        {"n": statistics([1, 1, 1, -2])},
        [
            ("negative_variance", "warning", "n", 1, 1, [3]),
        ],
    ),
    "the batch's statistics": (
        [NORM + " batch_norm_param { use_global_stats: false }"],
        {"n": statistics([-1.0] * 4)},
        [],
    ),
    "PSPNet's variances": (
        ["b BN bn_param { frozen: true }"],
        {"b": [np.full((1, 4, 1, 1), v) for v in (1, 0, 0, -1)]},
        [("negative_variance", "error", "b", 3, 4, [0])],
    ),
    "weights that are not used": (
        [CONV],
        {"c": [ONES, BIAS], "x": [BIAS], "y": [BIAS]},
        [("unused_weights", "warning", "x", None, 2, [])],
    ),
    "weights of a layer that has none": (
        [CONV, "r ReLU"],
        {"c": [ONES, BIAS], "r": [BIAS]},
        [("unused_weights", "error", "r", 0, 1, [])],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_findings(name: str, tmp_path: Path) -> None:
    layers, blobs, wanted = CASES[name]
    found = run_check(tmp_path, layers, blobs)
    keys = ("rule", "severity", "layer", "blob", "count", "first")
    assert [tuple(f[k] for k in keys) for f in found if f["rule"] != "refused"] == wanted
    assert all(f["message"] and f["advice"] for f in found)
    assert all(f["line"] == 2 + [x.split()[0] for x in layers].index(f["layer"]) for f in found if f["line"])


def test_blobs_that_do_not_fit_are_told_with_the_net(tmp_path: Path) -> None:
    for blobs in ({"c": [ONES]}, {"c": [ONES, BIAS, BIAS]}, {"c": [ONES.reshape(1, 3, 4, 1), BIAS]}):
        assert [f["rule"] for f in run_check(tmp_path, [CONV], blobs)] == ["refused"]


def test_it_reads_for_people(tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text(net_of(CONV))
    write_model(tmp_path / "n.caffemodel", {"c": [changed(ONES, ((1, 2), np.nan)), BIAS]})
    done = cortado("check", tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    assert done.exit_code == 1
    first = done.stdout.split("\n")[0]
    assert first == (
        f'{tmp_path / "n.prototxt"}:2:9: layer "c" (Convolution): blob 0 in {tmp_path / "n.caffemodel"} has 1 NaN, '
        "the first at [1, 2, 0, 0] [not_a_number]"
    )
    write_model(tmp_path / "n.caffemodel", {"c": [ONES * 0, BIAS]})
    done = cortado("check", tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    assert done.exit_code == 0 and "[all_zero, warning]" in done.stdout


def test_numbers_of_a_training_net_are_seen_without_shapes(tmp_path: Path) -> None:
    text = net_of(CONV).replace(INPUT, 'layer { name: "data" type: "Data" top: "data" }\n')
    (tmp_path / "n.prototxt").write_text(text)
    write_model(tmp_path / "n.caffemodel", {"c": [ONES * np.nan, BIAS]})
    found = json.loads(cortado("check", tmp_path / "n.prototxt", tmp_path / "n.caffemodel", "--json").stdout)
    assert [f["rule"] for f in found] == ["not_a_number"]


def test_a_blob_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places and counts are those of the blob, wherever a piece ends."""
    from cortado.frontends.caffe.lint import numbers

    monkeypatch.setattr(numbers, "PIECE", 5)
    blobs = {"c": [changed(ONES, ((1, 1), np.inf), ((1, 2), np.inf), ((2, 3), np.inf)), BIAS]}
    (found,) = run_check(tmp_path, [CONV], blobs)
    assert (found["count"], found["first"]) == (3, [1, 1, 0, 0])
