"""The walk over what is around a layer's settings: fields of the net, of every layer, of rules, params and fillers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from cortado.compiler.errors import CompileError
from cortado.compiler.reference import evaluate
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.upgrade import UNCHANGED_FIELDS, upgrade_net
from cortado.frontends.caffe.upgrade_v0 import TYPES as V0_TYPES
from cortado.frontends.caffe.weights import FunctionWeights
from cortado.frontends.files.message import Message
from cortado.frontends.files.prototxt import parse
from cortado.frontends.files.schema import field_types

# NET and LAYER, RULE, PARAM, FILLER and STATE are where a row puts its field.
TEMPLATE = """NET
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 3 dim: 3 } } }
layer { name: "fill" type: "DummyData" top: "c" dummy_data_param { shape { dim: 1 dim: 1 dim: 3 dim: 3 } data_filler { value: 2 FILLER } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" LAYER param { lr_mult: 1 PARAM } RULES
  convolution_param { num_output: 1 kernel_size: 3 bias_term: false } }
layer { name: "again" type: "Convolution" bottom: "c" top: "y2" param { AGAIN } exclude { stage: "s" }
  convolution_param { num_output: 1 kernel_size: 3 bias_term: false } }
state { STATE }
"""  # noqa: E501
PLACES = {
    "NetParameter": "NET",
    "LayerParameter": "LAYER",
    "ParamSpec": "PARAM",
    "FillerParameter": "FILLER",
    "NetState": "STATE",
    "NetStateRule": "RULE",
}
TRAINING = "it is about training"


@dataclass
class Frame:
    """What a field does: `text` in place of the place's word, and the answer with it; or a reason; or words."""

    text: str
    reason: str = ""  # nothing changes, because of this
    refused: str = ""  # the error says this
    told: str = ""  # a warning says this, and nothing else changes
    changed: bool = False  # the answer is another one


def nothing(text: str, reason: str = TRAINING) -> Frame:
    return Frame(text, reason=reason)


def refused(text: str, words: str) -> Frame:
    return Frame(text, refused=words)


LOWER = "for lower precision in a fork: cortado computes in float32"
FIELDS = {
    "NetParameter.name": nothing('name: "n"', "it is the net's name"),
    "NetParameter.input": Frame('input: "z" input_shape { dim: 2 }', changed=True),
    "NetParameter.input_shape": Frame('input: "z" input_shape { dim: 2 }', changed=True),
    "NetParameter.input_dim": Frame('input: "z" input_dim: [1, 1, 1, 1]', changed=True),
    "NetParameter.force_backward": nothing("force_backward: true"),
    "NetParameter.state": nothing("", "its fields are below"),
    "NetParameter.debug_info": nothing("debug_info: true", "it prints"),
    "NetParameter.layer": nothing("", "its fields are below"),
    "NetParameter.layers": refused("layers { }", "mixes `layer` and `layers`"),
    "NetParameter.default_forward_type": Frame("default_forward_type: FLOAT16", told=LOWER),
    "NetParameter.default_backward_type": nothing("default_backward_type: FLOAT16"),
    "NetParameter.default_forward_math": Frame("default_forward_math: FLOAT16", told=LOWER),
    "NetParameter.default_backward_math": nothing("default_backward_math: FLOAT16"),
    "NetParameter.global_grad_scale": nothing("global_grad_scale: 8"),
    "NetParameter.eltwise_mem_sharing": nothing("eltwise_mem_sharing: false", "it is about memory"),
    "NetParameter.engine": nothing('engine: "MKLDNN"', "it names a library that computes the same"),
    "NetParameter.bn_stats_batch_size": nothing("bn_stats_batch_size: 4"),
    "NetState.phase": Frame("phase: TRAIN", told="Caffe ignores it too"),
    "NetState.level": Frame("level: 3", told="Caffe ignores it too"),
    "NetState.stage": Frame('stage: "s"', changed=True),
    "NetStateRule.phase": Frame("exclude { phase: TEST }", changed=True),
    "NetStateRule.min_level": Frame("include { min_level: 1 }", changed=True),
    "NetStateRule.max_level": Frame("include { max_level: -1 }", changed=True),
    "NetStateRule.stage": Frame('include { stage: "deploy" }', changed=True),
    "NetStateRule.not_stage": Frame('exclude { not_stage: "deploy" }', changed=True),
    "LayerParameter.name": refused('name: "other"', "name is given twice"),
    "LayerParameter.type": refused('type: "ReLU"', "type is given twice"),
    "LayerParameter.bottom": refused('bottom: "c"', "it has 2 bottoms and 1 tops"),
    "LayerParameter.top": refused('top: "more"', "it has 1 bottoms and 2 tops"),
    "LayerParameter.phase": refused("phase: TRAIN", "always work as in training"),
    "LayerParameter.loss_weight": nothing("loss_weight: 3", "it weights gradients"),
    "LayerParameter.param": refused("param { }", "param is given 2 times, and it has 1 learnt blob"),
    "LayerParameter.blobs": nothing("blobs { data: 1 }", "those of the caffemodel replace them, and have to be there"),
    "LayerParameter.propagate_down": nothing("propagate_down: false"),
    "LayerParameter.include": Frame("include { phase: TRAIN }", changed=True),
    "LayerParameter.exclude": Frame("exclude { }", changed=True),
    "LayerParameter.engine": nothing('engine: "MKLDNN"', "it names a library that computes the same"),
    "LayerParameter.forward_type": Frame("forward_type: FLOAT16", told=LOWER),
    "LayerParameter.backward_type": nothing("backward_type: FLOAT16"),
    "LayerParameter.forward_math": Frame("forward_math: FLOAT16", told=LOWER),
    "LayerParameter.backward_math": nothing("backward_math: FLOAT16"),
    "ParamSpec.name": Frame('name: "shared"', changed=True),
    "ParamSpec.share_mode": nothing("share_mode: PERMISSIVE", "the shapes are equal here; else test_sources.py"),
    "ParamSpec.lr_mult": nothing("", TRAINING),
    "ParamSpec.decay_mult": nothing("decay_mult: 3"),
    "FillerParameter.type": refused('type: "gaussian"', "random values (gaussian)"),
    "FillerParameter.value": nothing("", "the template sets it; another: test_schema_walk.py"),
    "FillerParameter.min": refused("min: 3", "does not compute min"),
    "FillerParameter.max": refused("max: 3", "does not compute max"),
    "FillerParameter.mean": refused("mean: 3", "does not compute mean"),
    "FillerParameter.std": refused("std: 3", "does not compute std"),
    "FillerParameter.sparse": refused("sparse: 3", "does not compute sparse"),
    "FillerParameter.variance_norm": refused("variance_norm: AVERAGE", "does not compute variance_norm: AVERAGE"),
}


def fill_template(place: str, text: str) -> str:
    words = {"RULES" if place == "RULE" else place: text}
    if text.startswith("name: ") and place == "PARAM":
        words["AGAIN"] = text
    made = TEMPLATE
    for word in ("NET", "LAYER", "RULES", "AGAIN", "PARAM", "FILLER", "STATE"):
        made = made.replace(word, words.get(word, ""))
    return made


def run(text: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """The outputs by name, and the warnings. Each layer has weights of its own."""
    said = list[str]()
    fill = FunctionWeights(lambda layer, type, i, shape: np.full(shape, 1 if layer == "conv" else 3, np.float32))
    graph = build_graph(parse(text), fill, warn=said.append)
    made = evaluate(graph, *(torch.ones(v.type.shape) for v in graph.inputs))
    return {n: t.numpy() for (n, _), t in zip(graph.returns, made, strict=True)} | {
        v.name: np.ones(v.type.shape) for v in graph.inputs
    }, said


@pytest.mark.parametrize("message", PLACES)
def test_every_field_has_a_row(message: str) -> None:
    """All but those that are settings of a layer type, which is told once for all of them."""
    fields = {n for n in field_types(message) if not (message == "LayerParameter" and n.endswith("_param"))}
    assert {key.partition(".")[2] for key in FIELDS if key.startswith(f"{message}.")} == fields


@pytest.mark.parametrize("key", FIELDS)
def test_a_field(key: str) -> None:
    frame, place = FIELDS[key], PLACES[key.partition(".")[0]]
    text = fill_template(place, frame.text)
    if frame.refused:
        with pytest.raises(CompileError) as caught:
            run(text)
        assert frame.refused in str(caught.value)
        return
    (made, said), (base, _) = run(text), run(fill_template(place, ""))
    equal = made.keys() == base.keys() and all(np.array_equal(made[n], base[n]) for n in base)
    assert equal is not frame.changed
    assert bool(said) is bool(frame.told) and all(frame.told in sentence for sentence in said), said


def test_an_unknown_field_of_a_rule_is_told_where_the_layer_is_left_out() -> None:
    text = fill_template("RULE", 'exclude { phase: TEST not_stagee: "x" }')
    with pytest.raises(CompileError, match="Caffe has no field not_stagee in NetStateRule") as caught:
        run(text)
    assert "Did you mean not_stage?" in str(caught.value)
    with pytest.raises(CompileError, match="Caffe has no field stagee in NetState"):
        run(fill_template("STATE", 'stagee: "s"'))


# The older generations


def test_every_field_of_the_second_generation_is_carried_over() -> None:
    today = field_types("LayerParameter")
    lists = {"type", "param", "blob_share_mode", "blobs_lr", "weight_decay", "layer"}  # upgraded by code of their own
    for name, kind in field_types("V1LayerParameter").items():
        if name.endswith("_param"):
            assert today[name].message == kind.message
        else:
            assert name in lists or name in UNCHANGED_FIELDS


EXAMPLES = {"uint32": "3", "int32": "3", "float": "0.125", "bool": "true", "string": '"said"', "enum": "AVE"}


@pytest.mark.parametrize("type", sorted(V0_TYPES))
def test_every_field_of_the_first_generation_is_carried_over_or_told(type: str) -> None:
    """The value is somewhere in the upgraded layer, or the upgrade says that Caffe drops it."""
    for name, kind in field_types("V0LayerParameter").items():
        if name in ("name", "type", "blobs"):
            continue
        example = "{ }" if kind.message else EXAMPLES[kind.type]
        example = "false" if kind.default is True else example
        net = (
            f'layers {{ layer {{ name: "l" type: "{type}" {name}{"" if kind.message else ":"} {example} }} top: "y" }}'
        )
        dropped = list[CompileError]()
        (made,) = upgrade_net(parse(net), dropped)["layer"]
        (given,) = parse(net)["layers"][0]["layer"].values[name]
        kept = [v for part in made.walk() for several in part.values.values() for v in several]
        if kind.message:
            found = any(isinstance(v, Message) and v.type == given.type for v in kept)
        else:
            found = given in [v for v in kept if not isinstance(v, Message)]
        assert found is not bool(dropped), f"{name}: {kept}, {dropped}"
        assert all(f"has no {name}" in e.message for e in dropped)
