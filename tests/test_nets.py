"""The nets of the benchmarks, written in the language: the same as the published files, compiled, and run."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import pytest

from cortado import driver
from cortado.benchmarks import table
from cortado.benchmarks.on_gpu import nets
from cortado.compiler.ir import Constant, Graph, Value
from cortado.compiler.reference import evaluate
from cortado.compiler.specialize import with_outputs
from cortado.compiler.text import parse
from cortado.passes import PIPELINE
from cortado.passes.merge_convolutions import merge_convolutions

from .shared import SHARED

PUBLISHED = {  # beside the checkout
    "alexnet": "zoo/prototxt/alexnet--caffe__models__bvlc_alexnet__deploy",
    "caffenet": "zoo/prototxt/caffenet--caffe__models__bvlc_reference_caffenet__deploy",
    "densenet121": "zoo/prototxt/densenet--DenseNet-Caffe__DenseNet_121",
    "enet": "zoo/prototxt/enet--deepdetect__templates__caffe__enet__deploy",
    "fcn8s": "zoo/prototxt/fcn--fcn.berkeleyvision.org__voc-fcn8s__deploy",
    "googlenet": "zoo/prototxt/googlenet--caffe__models__bvlc_googlenet__deploy",
    "inception_v3": "zoo/prototxt/inception-v3--caffe-model__cls__inception__deploy_inception-v3",
    "inception_v4": "zoo/prototxt/inception-v4--caffe-model__cls__inception__deploy_inception-v4",
    "mobilenet_ssd": "zoo/prototxt/mobilenet-ssd--MobileNet-SSD__deploy",
    "mobilenet_v1": "zoo/prototxt/mobilenet--MobileNet-Caffe__mobilenet_deploy",
    "mobilenet_v2": "zoo/prototxt/mobilenet--MobileNet-Caffe__mobilenet_v2_deploy",
    "open_nsfw": "zoo/prototxt/open-nsfw--open_nsfw__nsfw_model__deploy",
    "pspnet": "zoo/prototxt/pspnet--synopsys-caffe__evaluation__prototxt__pspnet50_ADE20K_473",
    "resnet50": "zoo/prototxt/resnet--deep-residual-networks__prototxt__ResNet-50-deploy",
    "resnet101": "zoo/prototxt/resnet--deepdetect__templates__caffe__resnet_101__resnet_101",
    "resnet152": "zoo/prototxt/resnet--caffe-model__cls__resnet__deploy_resnet152",
    "segnet": "zoo/prototxt/segnet--deepdetect__templates__caffe__segnet__deploy",
    "squeezenet_v1.1": "models/squeezenet-v1.1/squeezenet_v1.1",
    "squeezenet_v1.0": "zoo/prototxt/squeezenet--SqueezeNet__SqueezeNet_v1.0__train_val",
    "vgg16": "zoo/prototxt/vgg--caffe__models__intel_optimized_models__benchmark__vgg16__deploy",
}
CLASSES = {"enet": ("num_output: 0", "num_output: 19")}  # left open in the file, which is a template
OUTPUTS = {"squeezenet_v1.0": ("pool10",)}  # of a file for training, which ends in losses
UNDECIDED = {"mobilenet_ssd": ["where", "which"], "enet": ["scores"]}  # what the answer is chosen by
QUICK = ("mobilenet_ssd", "squeezenet_v1.1")  # run in every test; the others take seconds each


# On cuda, softmax included: before any convolutions are merged, and after.
LAUNCHES = {
    "resnet50": (57, 53),
    "googlenet": (75, 57),
    "squeezenet_v1.1": (31, 31),
    "mobilenet_v1": (30, 30),
    "vgg16": (22, 22),
}
UNMERGED = tuple(p for p in PIPELINE if p is not merge_convolutions)
# MiB on cpu: residual sums added in place, and what is joined written in its place, in the best order known.
ARENA = {
    "alexnet": 2.216,
    "caffenet": 1.375,
    "googlenet": 4.594,
    "squeezenet_v1.0": 5.620,
    "squeezenet_v1.1": 3.883,
    "mobilenet_v1": 4.594,
    "mobilenet_v2": 5.742,
    "resnet50": 4.60,
    "resnet152": 4.60,
}


def parse_net(name: str) -> Graph:
    """The net as its text has it, without weights."""
    return parse(nets.texts()[name], f"{name}.net")


def wiring(graph: Graph) -> list[tuple[Any, ...]]:
    """What a net does, without a name: each node's operator, what its operands are, and the types of its results.

    A computed value is told by its place in the order, a weight by when it is read first.
    """
    number: dict[Value, tuple[str, int]] = {v: ("input", i) for i, v in enumerate(graph.inputs)}
    weights = 0
    rows: list[tuple[Any, ...]] = [tuple(str(v.type) for v in graph.inputs)]
    for node in graph.nodes:
        for v in node.inputs:
            if isinstance(v, Constant) and v not in number:
                number[v], weights = ("weight", weights), weights + 1
        operands = [(*number[v], str(v.type)) for v in node.inputs]
        rows.append((node.op, operands, [str(v.type) for v in node.results]))
        number.update((v, ("computed", len(number))) for v in node.results)
    return [*rows, tuple(number[v] for v in graph.outputs)]


def test_every_net_has_its_published_file() -> None:
    assert set(nets.texts()) - {"tiny"} == set(PUBLISHED)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the published prototxts")
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_same_as_published(name: str, tmp_path: Path) -> None:
    """The same operators with the same settings and shapes, wired alike, in the same order."""
    ours, path = parse_net(name), SHARED / f"{PUBLISHED[name]}.prototxt"
    if name in CLASSES:
        text = path.read_text("utf-8").replace(*CLASSES[name])
        path = tmp_path / path.name
        path.write_text(text, "utf-8")
    options = driver.Options(shapes={v.name: v.type.shape for v in ours.inputs}, outputs=OUTPUTS.get(name, ()))
    theirs = driver.read_net(path, None, options).graph
    for mine, published in zip(wiring(ours), wiring(theirs), strict=True):
        assert mine == published


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in sorted(PUBLISHED)]
)
def test_the_compiled_net_gives_what_the_text_means(name: str) -> None:
    """Before a softmax or a detector chooses, which random numbers may turn either way."""
    graph = nets.with_random_weights(parse_net(name))
    graph = with_outputs(graph, UNDECIDED[name]) if name in UNDECIDED else graph
    given = nets.random_inputs(graph, 0)
    expected = evaluate(graph, *(given[v.name] for v in graph.inputs))
    found = driver.compile_graph(graph, driver.Options()).load()(given)
    for (output, _), tensor in zip(graph.returns, expected, strict=True):
        assert found[output].shape == tensor.shape
        assert nets.relative_error(found[output], tensor) < 1e-4


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in LAUNCHES | ARENA else pytest.mark.long) for name in sorted(PUBLISHED)],
)
def test_launches_and_memory_got_no_worse(name: str) -> None:
    """Not above what is asked of a net, nor above the committed table."""
    graph, stated = nets.with_random_weights(parse_net(name)), json.loads(table.RESULTS.read_text("utf-8"))[name]
    for target in table.TARGETS:
        found = table.collect_counts(table.plan_graph(graph, target, PIPELINE), target)
        assert found["arena"] == found["bound"]
        worse = {
            key: (number, stated[target][key][1]) for key, number in found.items() if number > stated[target][key][1]
        }
        assert not worse, f"{target}: {worse}, now and in {table.RESULTS.name}"
        if target == "onednn":
            assert round(found["arena"] / 2**20, 3) <= ARENA.get(name, inf)
        elif name in LAUNCHES:
            unmerged = table.collect_counts(table.plan_graph(graph, target, UNMERGED), target)
            most, after = LAUNCHES[name]
            assert unmerged["launches"] <= most
            assert found["launches"] <= after
