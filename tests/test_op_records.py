"""An operator's record: attribute types, arity and traits are declared, checked, and agree with its methods."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from cortado.compiler import ops as _ops  # noqa: F401  (fills the registry)
from cortado.compiler.op import REGISTRY, Arity, Elementwise, Op, Trait, make_op, op
from cortado.compiler.ops.fused import Fused
from cortado.compiler.targets import target
from cortado.compiler.text import parse
from cortado.compiler.types import TensorType
from cortado.passes import Context, run

X = TensorType("f32", (1, 2, 3, 3))


def method_arity(cls: type[Op]) -> Arity:
    """How many operands the method that defines an operator takes, after `self` (and `m`)."""
    if issubclass(cls, Elementwise) and cls.infer is Elementwise.infer:
        operands = [*inspect.signature(cls.scalar).parameters.values()][2:]
    else:
        operands = [*inspect.signature(cls.infer).parameters.values()][1:]
    if any(p.kind is p.VAR_POSITIONAL for p in operands):
        return Arity(1, None)
    return Arity(sum(p.default is p.empty for p in operands), len(operands))


@pytest.mark.parametrize("name", sorted(REGISTRY.keys() - {"fused"}))
def test_arity_is_the_methods(name: str) -> None:
    assert REGISTRY[name].arity == method_arity(REGISTRY[name])


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("relu", 2, "takes 1 operand, not 2"),
        ("add", 1, "takes 2 operands, not 1"),
        ("conv", 4, "takes 2 to 3 operands, not 4"),
        ("concat", 0, "takes 1 or more operands, not 0"),
    ],
)
def test_the_number_of_operands_is_checked(name: str, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_op(name, {}).infer_types([X] * count)


def test_an_unknown_attribute_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^Rotate\.angle: no attribute can be complex; the types are int, float, "):

        @op("rotate")
        class Rotate(Op):
            angle: complex = 0j

    assert "rotate" not in REGISTRY


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("conv", {"stride": [1, 2.0]}, "stride is a whole number or a list of them, not [1, 2.0]"),
        ("conv", {"groups": True}, "groups is a whole number, not True"),
        ("relu", {"slope": "0"}, "slope is a number, not '0'"),
        ("prior_box", {"min_size": None}, "min_size is a number or a list of them, not None"),
        ("max_pool", {"mask": 1}, "mask is a bool, not 1"),
        ("reduce", {"how": 1}, "how is a str, not 1"),
        ("fused", {"body": "net"}, "body is a graph, not 'net'"),
    ],
)
def test_attributes_are_checked(name: str, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_op(name, attributes)


def test_attributes_are_kept_in_one_form() -> None:
    assert make_op("max_pool", {"kernel": [3, 3], "stride": 2}).all_attributes() == {
        "kernel": (3,),
        "stride": (2,),
        "pad": (0,),
        "round": "up",
        "mask": False,
    }
    assert make_op("max_pool", {"kernel": None}).attributes() == {}
    assert make_op("slice", {"points": 4}).attributes() == {"points": (4,)}
    assert make_op("relu", {"slope": 1}).attributes() == {"slope": 1.0}


def test_traits_are_declared() -> None:
    declared = {trait: {name for name, cls in REGISTRY.items() if trait in cls.traits} for trait in Trait}
    elementwise = {name for name, cls in REGISTRY.items() if issubclass(cls, Elementwise)}
    assert declared.pop(Trait.ANY_SIZE) - elementwise == {
        "avg_pool", "concat", "conv", "deconv", "flatten", "im2col", "linear", "lrn", "max_pool", "relayout", "reshape",
        "slice", "softmax", "stochastic_pool", "transpose",
    }  # fmt: skip
    assert declared == {
        Trait.REINTERPRETS: {"flatten", "reshape", "squeeze"},
        Trait.SHAPE_ONLY: {"prior_box"},
        Trait.ROW_MAJOR_ONLY: {"detection_output", "distance", "flatten", "linear", "reshape", "squeeze", "user"},
        Trait.LAYOUT_AGNOSTIC: {"transpose"},
        Trait.READS_ANY_LAYOUT: {"avg_pool", "conv", "im2col", "max_pool", "stochastic_pool"},
        Trait.JOINS: {"concat"},
        Trait.SLICES: {"slice"},
    }


@pytest.mark.parametrize("trait", [Trait.JOINS, Trait.SLICES])
def test_a_trait_without_its_method_is_refused(trait: Trait) -> None:
    with pytest.raises(TypeError, match=rf"^Broken has to have the trait {trait.name} and define \w+, or neither$"):

        @op("broken")
        class Broken(Op):
            traits = frozenset({trait})

    assert "broken" not in REGISTRY


@pytest.mark.parametrize(
    ("name", "attributes", "shapes", "expected"),
    [
        ("conv", {"pad": 1}, [(1, 3, 4, 4), (8, 3, 3, 3), (8,)], 2 * 128 * 27 + 128),
        ("deconv", {}, [(1, 3, 4, 4), (3, 8, 3, 3)], 2 * 48 * 72),
        ("linear", {}, [(2, 12), (5, 12), (5,)], 2 * 10 * 12 + 10),
        ("max_pool", {"kernel": (2, 3)}, [(1, 1, 4, 6)], 6 * 12),  # three by four windows
        ("avg_pool", {}, [(1, 2, 4, 6)], 2 * 24),
        ("lrn", {}, [(1, 2, 1, 1)], 2 * 14),
        ("lrn", {"size": 3, "region": "within"}, [(1, 2, 1, 1)], 2 * 22),
        ("lstm", {}, [(4, 3, 8), (4, 3), (8, 2)], 96 * 9),
        ("interp", {"sizes": (3, 3)}, [(1, 1, 2, 2)], 54),
        ("add", {"alpha": 2}, [(3,), (3,)], 6),  # a product and a sum
        ("swish", {}, [(3,)], 6),
        ("transpose", {"order": (1, 0)}, [(2, 3)], 0),
    ],
)
def test_flops_by_hand(name: str, attributes: dict[str, Any], shapes: list[tuple[int, ...]], expected: int) -> None:
    operands = [TensorType("f32", shape) for shape in shapes]
    made = make_op(name, attributes)
    assert made.flops(operands, made.infer_types(operands)) == expected


@pytest.mark.parametrize("activation", ["mish", "hard_swish"])
@pytest.mark.parametrize("name", ["onednn", "cuda"])
def test_new_activations_are_fused(name: str, activation: str) -> None:
    """Into a chain of elementwise operators on both targets; into a convolution's kernel on a GPU."""
    source = f"""
        net case(x: f32[1,8,6,6]) {{
            weight w: f32[8,8,3,3]
            weight g: f32[8]
            weight h: f32[8]
            c = conv(x, w, pad=1)
            pooled = max_pool({activation}(c), kernel=2)
            y = scale({activation}(pooled), g, h)
            return y
        }}
    """
    graph = run(parse(source), Context(target(name))).graph
    fused = [[n.op.name for n in node.op.body.nodes] for node in graph.nodes if isinstance(node.op, Fused)]
    pool = ["max_pool", activation, "scale"]
    assert fused == ([["conv", activation], pool] if name == "cuda" else [[activation, "scale"]])
