"""Small valid nets, and every way to make one fault in one of them: a field less, another name, value or character."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from cortado.frontends.files import textformat
from cortado.frontends.files.textformat import FieldSyntax, MessageBlock, Scalar

TODAY = """name: "n"
layer { name: "in" type: "Input" top: "data" top: "extra"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } shape { dim: 1 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { name: "w" lr_mult: 1 }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { eps: 0.001 } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" include { phase: TEST } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "cut" type: "Slice" bottom: "pool" top: "a" top: "b" slice_param { axis: 1 slice_point: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum"
  eltwise_param { operation: SUM coeff: 1 coeff: -1 } }
layer { name: "join" type: "Concat" bottom: "a" bottom: "sum" top: "join" concat_param { axis: 1 } }
layer { name: "fc" type: "InnerProduct" bottom: "join" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "both" type: "Eltwise" bottom: "fc" bottom: "extra" top: "both" eltwise_param { operation: MAX } }
layer { name: "prob" type: "Softmax" bottom: "both" top: "prob" softmax_param { axis: 1 } }
"""
LEGACY = """name: "n"
input: "data" input: "info"
input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 4 } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "info" top: "sum" }
layer { name: "up" type: "Deconvolution" bottom: "sum" top: "up"
  convolution_param { num_output: 2 group: 2 kernel_size: 4 stride: 2 bias_term: false
    weight_filler { type: "bilinear" } } }
"""
SHAPED = """input: "data" input: "rois"
input_shape { dim: 1 dim: 3 dim: 4 dim: 4 } input_shape { dim: 1 dim: 3 }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Flatten" bottom: "mean" top: "flat" }
layer { name: "sum" type: "Eltwise" bottom: "flat" bottom: "rois" top: "sum" }
layer { name: "dummy" type: "DummyData" top: "k" top: "z"
  dummy_data_param { shape { dim: 1 dim: 3 } shape { dim: 1 dim: 3 }
    data_filler { value: 2 } data_filler { value: 1 } } }
layer { name: "more" type: "Eltwise" bottom: "sum" bottom: "k" bottom: "z" top: "more" }
"""
V1 = """name: "n" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  convolution_param { num_output: 4 kernel_size: 3 stride: 1 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }
"""
V0 = """name: "n" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 } bottom: "padded" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 biasterm: true } bottom: "conv" top: "fc" }
"""
NETS = {"today": TODAY, "legacy": LEGACY, "shaped": SHAPED, "V1": V1, "V0": V0}
CHARACTERS = "{}\"':[]<>,;=#~$\0é/"


Change = Callable[[FieldSyntax], list[FieldSyntax]]


@dataclass(frozen=True)
class Fault:
    """One fault: what was done, and the text with it."""

    kind: str
    text: str


def faults(text: str, seed: int, characters: int = 200) -> Iterator[Fault]:
    """Faults of every kind at every field of the text, then such a number of inserted and of removed characters."""
    dice, tree = random.Random(seed), textformat.parse(text)
    for number, field in enumerate(walk(tree)):
        for what, change in changes(field, dice):
            yield Fault(f"field {number}, {field.name}: {what}", write(rebuild(tree, number, change)))
    for _ in range(characters):
        at, char = dice.randrange(len(text)), dice.choice(CHARACTERS)
        yield Fault(f"{char!r} put in at {at}", text[:at] + char + text[at:])
        yield Fault(f"{text[at]!r} left out at {at}", text[:at] + text[at + 1 :])


def changes(field: FieldSyntax, dice: random.Random) -> Iterator[tuple[str, Change]]:
    """The faults that one field can have."""
    yield "left out", lambda f: []
    yield "twice", lambda f: [f, f]
    for name in (misspell(field.name, dice), "unheard_of"):
        yield f"called {name}", lambda f, name=name: [replace(f, name=name)]  # type: ignore[misc]
    value = field.values[0]
    for other in other_values(value, dice):
        shown = "a block" if isinstance(other, MessageBlock) else f"{other.token_type} {other.text}"
        yield f"is {shown}", lambda f, other=other: [replace(f, values=(other,))]  # type: ignore[misc]


def other_values(value: Scalar | MessageBlock, dice: random.Random) -> Iterator[Scalar | MessageBlock]:
    """Values of the same and of other kinds."""
    if isinstance(value, MessageBlock):
        yield replace(value, fields=())
        yield scalar("number", "3")
        return
    if value.token_type == "number":
        yield from (scalar("number", n) for n in ("0", "-1", "2", "7", "100", "0.5", "1e30", "99999999999999999999"))
    else:
        yield from (scalar(value.token_type, name) for name in (misspell(value.text, dice), "unheard_of"))
    for token_type, text in (("number", "3"), ("word", "THREE"), ("string", "three")):
        if token_type != value.token_type:
            yield scalar(token_type, text)
    yield MessageBlock((), 1, 1)


def scalar(token_type: str, text: str) -> Scalar:
    return Scalar(token_type, text, 1, 1)


def misspell(word: str, dice: random.Random) -> str:
    """The word with two neighbours exchanged, or a letter more where they are equal."""
    at = dice.randrange(max(1, len(word) - 1))
    swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    return swapped if swapped != word else f"{word}x"


def walk(block: MessageBlock) -> Iterator[FieldSyntax]:
    """All fields, outer ones before those in them."""
    for field in block.fields:
        yield field
        for value in field.values:
            if isinstance(value, MessageBlock):
                yield from walk(value)


def rebuild(block: MessageBlock, number: int, change: Change) -> MessageBlock:
    """The tree with the field of that number in `walk` changed."""
    count = iter(range(1 << 30))

    def rebuilt(block: MessageBlock) -> MessageBlock:
        fields = list[FieldSyntax]()
        for field in block.fields:
            at = next(count)
            inner = tuple(rebuilt(v) if isinstance(v, MessageBlock) else v for v in field.values)
            fields += change(field) if at == number else [replace(field, values=inner)]
        return replace(block, fields=tuple(fields))

    return rebuilt(block)


def write(block: MessageBlock) -> str:
    """The text of a tree, a line for each of its outermost fields."""
    return "\n".join(map(write_field, block.fields)) + "\n"


def write_field(field: FieldSyntax) -> str:
    """`name: value` or `name { ... }`."""
    (value,) = field.values
    if isinstance(value, MessageBlock):
        return f"{field.name} {{ {' '.join(map(write_field, value.fields))} }}"
    return f"{field.name}: " + (f'"{value.text}"' if value.token_type == "string" else value.text)
