"""Published models and deploy files through `--to caffe`, with and without --fold."""

from __future__ import annotations

from pathlib import Path

import pytest

import cortado
from cortado import driver
from cortado.benchmarks import zoo
from cortado.benchmarks.zoo_table import COMPILED, MATCHED, ZooEntry
from cortado.exporters.caffe.proof import find_difference
from cortado.tests.goldens.fill import fill_param

from .shared import SHARED
from .test_export_caffe import official
from .test_models import CASES, MODELS, Model, compare, golden

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="needs the published models")


@pytest.mark.parametrize("fold", [False, True], ids=["upgraded", "folded"])
@pytest.mark.parametrize("model", CASES, ids=lambda m: m.golden)
def test_models_give_caffes_numbers(model: Model, fold: bool, tmp_path: Path) -> None:
    inputs, outputs, _ = golden(model.golden)
    files = MODELS / model.prototxt, MODELS / model.caffemodel
    made = cortado.export(*files, to="caffe", out=tmp_path / "made", fold=fold)
    weights, net = made.paths
    official(net.read_text())
    if not fold:
        assert not find_difference(driver.read_net(*files).graph, driver.read_net(net, weights).graph)
    compare(model, driver.compile_net(net, weights).load()(inputs), outputs)


def sample() -> list[ZooEntry]:
    """Thirty of the deploy files that compile, evenly over the names."""
    if not SHARED.exists():
        return []
    rows = zoo.TABLE.read_text("utf-8").splitlines()
    fine = {row.split(" | ")[0].strip("| ") for row in rows if f"| {MATCHED} |" in row or f"| {COMPILED} |" in row}
    known = [entry for entry in zoo.entries() if entry.kind == "deploy" and entry.name in fine]
    return [known[i * len(known) // 30] for i in range(30)]


@pytest.mark.long
@pytest.mark.parametrize("entry", sample(), ids=lambda e: e.name)
def test_deploy_files_are_written_and_folded(entry: ZooEntry, tmp_path: Path) -> None:
    """With random weights; what is folded differs by rounding, which a net of many layers amplifies."""
    first = driver.read_net(entry.path, fill_param).graph
    made = cortado.export(entry.path, fill_param, to="caffe", out=tmp_path / "made", fold=False)
    weights, net = made.paths
    official(net.read_text())
    assert not find_difference(first, driver.read_net(net, weights).graph)
    cortado.export(net, weights, to="caffe", out=tmp_path / "twice")
    assert (tmp_path / "twice.prototxt").read_text() == net.read_text()
    assert (tmp_path / "twice.caffemodel").read_bytes() == weights.read_bytes()
