"""What cannot be computed exactly is refused: layer, line, reason and remedy, all of a file's problems in one go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cortado.compiler.errors import CompileError, CompileErrors
from cortado.compiler.ir import Graph
from cortado.frontends.caffe import net as caffe_net
from cortado.frontends.caffe import unused_fields
from cortado.frontends.caffe.layer import LAYERS, Layer, layer
from cortado.frontends.caffe.rules import State
from cortado.frontends.caffe.weights import NoWeights
from cortado.frontends.files.prototxt import parse
from cortado.frontends.files.schema import CAFFE, field_types

HEAD = 'name: "n" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 9 dim: 9 } } }\n'
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 %s } }'
)
CONV += "\n"


def read(text: str, **options: Any) -> tuple[Graph, list[str]]:
    said: list[str] = []
    return caffe_net.build_graph(parse(text, "n.prototxt"), NoWeights(), warn=said.append, **options), said


def expect_refusals(text: str, **options: Any) -> tuple[CompileError, ...]:
    with pytest.raises(CompileError) as caught:
        read(text, **options)
    error = caught.value
    return error.errors if isinstance(error, CompileErrors) else (error,)


# Fields


HARMLESS = [
    'weight_filler { type: "xavier" std: 0.1 }', 'bias_filler { value: 1 }', "engine: CAFFE", "force_nd_im2col: true",
    "cudnn_convolution_algo_seeker: FINDEX", 'conv_algorithm: "winograd"',
]  # fmt: skip


@pytest.mark.parametrize("field", HARMLESS)
def test_fields_without_effect_are_passed_over(field: str) -> None:
    assert read(HEAD + CONV % field)[1] == []


def test_fields_of_training_are_passed_over() -> None:
    more = 'top: "c" propagate_down: false loss_weight: 1 param { lr_mult: 0 decay_mult: 2 }'
    text = (HEAD + CONV % "").replace('top: "c"', more)
    assert read("force_backward: true debug_info: false " + text)[1] == []


def test_a_known_field_that_nobody_computes_is_refused() -> None:
    (error,) = expect_refusals(HEAD + CONV % "temporal_stride: 2")
    assert error.message == 'layer "c" (Convolution): cortado does not compute temporal_stride of ConvolutionParameter'
    assert error.loc is not None and error.loc.line == 2
    assert error.loc.column == (CONV % "temporal_stride: 2").index("temporal") + 1
    assert "lenient" in error.advice
    _, said = read(HEAD + CONV % "temporal_stride: 2", lenient=True)
    assert said == [f"{error.loc}: {error.message}: ignored"]


def test_a_default_said_aloud_is_no_problem() -> None:
    assert read(HEAD + CONV % "temporal_stride: 1 temporal_pad: 0")[1] == []


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    (error,) = expect_refusals(HEAD + CONV % "strides: 2")
    assert error.message == "Caffe has no field strides in ConvolutionParameter"
    assert error.advice.startswith("Did you mean stride? ")
    assert read(HEAD + CONV % "strides: 2", lenient=True)[1] == [f"{error.loc}: {error.message}: ignored"]


def test_a_setting_of_another_type_is_told() -> None:
    text = HEAD + (CONV % "").replace("convolution_param", "pooling_param { kernel_size: 2 } convolution_param")
    assert read(text)[1] == [
        f'n.prototxt:2:{CONV.index("convolution_param") + 1}: layer "c" (Convolution) has pooling_param, '
        "which belongs to another layer type: Caffe ignores it too"
    ]


def test_half_precision_of_a_fork_is_told() -> None:
    _, said = read("default_forward_type: FLOAT16 default_backward_type: FLOAT16 " + HEAD + CONV % "")
    assert len(said) == 1 and "the net has default_forward_type, for lower precision in a fork" in said[0]
    assert read("default_forward_type: FLOAT " + HEAD + CONV % "")[1] == []


def test_a_layer_that_always_trains_is_refused() -> None:
    drop = 'layer { name: "d" type: "Dropout" bottom: "x" top: "y" phase: %s }'
    assert read(HEAD + drop % "TEST")[1] == []
    assert "always work as in training" in expect_refusals(HEAD + drop % "TRAIN")[0].message


def test_the_phase_of_training_is_for_choosing_layers_only() -> None:
    drop = 'layer { name: "d" type: "Dropout" bottom: "x" top: "y" include { phase: TRAIN } }'
    graph, said = read(HEAD + drop, state=State("TRAIN"))
    assert [name for name, _ in graph.returns] == ["y"] and "computed as at TEST" in said[0]


def test_unknown_settings_of_data_do_not_matter() -> None:
    text = 'layer { name: "d" type: "Data" top: "x" data_param { shuffle: true } transform_param { flow: true } }\n'
    assert read(text + CONV % "", shapes={"x": (1, 3, 8, 8)})[1] == []


@pytest.mark.parametrize("type", sorted(LAYERS))
def test_no_layer_can_pass_over_a_setting(type: str) -> None:
    """Whatever a type's own function does: were it to read nothing, each of its settings would be refused or known."""
    param = LAYERS[type].param
    if param is None:
        pytest.skip("it has no settings of its own")
    message = field_types("LayerParameter")[param].message
    for name, kind in field_types(message).items():
        if kind.type not in ("uint32", "int32", "float") or kind.repeated or kind.required:
            continue
        text = f'layer {{ name: "l" type: "{type}" {param} {{ {name}: 77 }} }}'
        try:
            (l,) = parse(text)["layer"]
        except CompileError:
            continue  # another field is required
        unread = list(unused_fields.find_unread(l, "it", param))
        assert unread or unused_fields.has_no_effect(l.submessages(param)[0], name)


def test_the_table_names_fields_that_exist() -> None:
    forks = {"cudnn_convolution_algo_seeker", "conv_algos_override", "conv_algorithm", "random_seed", "multinode"}
    forks |= {"default_conv_algos_override", "default_cudnn_math_override"}
    forks |= {"global_grad_scale_adaptive", "reduce_buckets"}
    for message, names in unused_fields.NO_EFFECT.items():
        assert names - forks <= field_types(message).keys(), message
    for message in unused_fields.DATA_MESSAGES:
        assert CAFFE.descriptor(message)


@pytest.fixture
def layer_types() -> Iterator[None]:
    """Layer types that a test adds are removed after it."""
    before = set(LAYERS)
    yield
    for type in set(LAYERS) - before:
        LAYERS.remove(type)


def test_a_new_layers_oversight_is_found(layer_types: None) -> None:
    @layer("Sloppy", "elu_param")
    def sloppy(l: Layer, x: Any) -> Any:
        return x

    text = HEAD + 'layer { name: "s" type: "Sloppy" bottom: "x" top: "y" elu_param { alpha: 3 } }'
    (error,) = expect_refusals(text)
    assert error.message == 'layer "s" (Sloppy): cortado does not compute alpha of ELUParameter'


# All problems in one go


def test_all_problems_in_one_go_in_the_order_of_the_file() -> None:
    text = (
        HEAD
        + CONV % "group: 3"  # 2
        + 'layer { name: "r" type: "ReLu" bottom: "x" top: "r" }\n'  # 3
        + 'layer { name: "p" type: "Pooling" bottom: "xx" top: "p" pooling_param { kernel_size: 2 } }\n'  # 4
        + 'layer { name: "after" type: "ReLU" bottom: "c" top: "q" }\n'  # 5: nothing is wrong with it
        + 'layer { name: "e" type: "ELU" bottom: "x" top: "e" elu_param { alfa: 2 } include { } exclude { } }\n'  # 6
        + 'layer { name: "two" type: "Concat" bottom: "x" top: "t" concat_param { axis: 5 } }\n'  # 7
        + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" top: "loss" }\n'  # 8
    )
    found = expect_refusals(text)
    assert [e.loc.line for e in found if e.loc] == [2, 3, 4, 6, 7, 8]
    assert all(e.text == text for e in found)
    told = [e.message for e in found]
    assert "4 outputs" in told[0] and "3 groups" in told[0] and '"x"' in told[0]
    assert told[1].endswith("cortado has no layer type ReLu; did you mean ReLU?")
    assert told[2].startswith('layer "p" reads the blob "xx", which no layer before it makes')
    assert "include and exclude" in told[3]
    assert "there is no axis 5" in told[4]
    assert "it has 1 bottoms, and takes 2" in told[5]
    excerpt = str(found[1]).splitlines()
    assert excerpt[1].strip().startswith('layer { name: "r"') and excerpt[2].index("^") == excerpt[1].index("type")


def test_a_blob_made_later_or_in_another_phase_is_named() -> None:
    later = HEAD + 'layer { name: "a" type: "ReLU" bottom: "b" top: "a" }\n'
    later += 'layer { name: "b" type: "ReLU" bottom: "x" top: "b" }'
    assert expect_refusals(later)[0].message.endswith('no layer before it makes; layer "b" on line 3 does')
    other = HEAD + 'layer { name: "b" type: "ReLU" bottom: "x" top: "b" include { phase: TRAIN } }\n'
    other += 'layer { name: "a" type: "ReLU" bottom: "b" top: "a" }\n'
    other += 'layer { name: "c" type: "ReLU" bottom: "b" top: "c" }'
    (once,) = expect_refusals(other)
    assert once.message.endswith('layer "b" on line 2 does') and "another phase" in once.advice


def test_a_name_with_weights_stands_once() -> None:
    text = HEAD + CONV % "" + (CONV % "").replace('top: "c"', 'top: "c2"')
    (error,) = expect_refusals(text)
    assert "another layer with weights has the same name, on line 2" in error.message


def test_a_python_layer_and_a_training_file_say_what_to_do() -> None:
    text = HEAD + 'layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "m" layer: "L" } }'
    (error,) = expect_refusals(text)
    assert error.message.endswith("its code, m.L, is not in the file") and "Input layer" in error.advice
    data = 'layer { name: "d" type: "AnnotatedData" top: "x" }\n' + CONV % ""
    (error,) = expect_refusals(data)
    assert "--shape x=" in error.advice and "deploy" in error.advice
