"""Tells the generations of Caffe's files apart, and how to mend a file that mixes two of them.

    layers { name: "c" type: CONVOLUTION blobs_lr: 1 ... }                  2014 (V1): the type is a name in capitals
    layer { name: "c" type: "Convolution" param { lr_mult: 1 } ... }        since 2015: the type is a quoted text

Caffe refuses a file that has both. It can only be told here, on the syntax tree: every setting of a block in the wrong
generation would be an error of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...compiler.errors import CompileError, Loc
from .schema import field_types
from .textformat import FieldSyntax, MessageBlock, Scalar

V1_TYPES = {  # the types of 2014 by their names of today (UpgradeV1LayerType in util/upgrade_proto.cpp)
    "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DECONVOLUTION": "Deconvolution",
    "DATA": "Data", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData", "EUCLIDEAN_LOSS": "EuclideanLoss",
    "ELTWISE": "Eltwise", "EXP": "Exp", "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col", "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct", "LRN": "LRN", "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN", "POOLING": "Pooling", "POWER": "Power",
    "RELU": "ReLU", "SIGMOID": "Sigmoid", "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence", "SLICE": "Slice", "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split",
    "TANH": "TanH", "THRESHOLD": "Threshold", "WINDOW_DATA": "WindowData",
}  # fmt: skip
TODAY = {new: old for old, new in V1_TYPES.items()}
TRAINING_FIELDS = ("blobs_lr", "weight_decay")  # V1 fields that set learning rates, and nothing else
MOST_LINES = 12  # that an advice lists


@dataclass(frozen=True, slots=True)
class Block:
    """A `layer` or `layers` block of a file."""

    keyword: str
    field: FieldSyntax
    block: MessageBlock

    @property
    def type(self) -> Scalar | None:
        """The value of its type field, if it has one."""
        found = [v for f in self.block.fields if f.name == "type" for v in f.values]
        return found[0] if found and isinstance(found[0], Scalar) else None

    @property
    def is_today(self) -> bool | None:
        """True if the type is quoted, False if it is a name in capitals, None for neither."""
        if self.type is None:
            return None
        if self.type.token_type == "string":
            return True
        return False if self.keyword == "layers" or self.type.text in V1_TYPES else None

    @property
    def is_v0(self) -> bool:
        """True for the format of 2013, in which the settings are in a `layer` inside."""
        return any(f.name == "layer" for f in self.block.fields)

    @property
    def names(self) -> set[str]:
        return {f.name for f in self.block.fields}

    @property
    def has_text_param(self) -> bool:
        """True if it names shared parameters as in 2014, by param: "w"."""
        return any(isinstance(v, Scalar) for f in self.block.fields if f.name == "param" for v in f.values)


def mixed_generations_error(tree: MessageBlock, file: str, text: str) -> CompileError | None:
    """The error, with the whole mend as its advice, for a net that mixes generations; None for one that does not."""
    blocks = [
        Block(f.name, f, v)
        for f in tree.fields
        if f.name in ("layer", "layers")
        for v in f.values
        if isinstance(v, MessageBlock)
    ]
    old, new = ([b for b in blocks if b.keyword == keyword] for keyword in ("layers", "layer"))
    v1 = [b for b in old if not b.is_today]
    if not (old and new) and len(v1) == len(old) and not any(b.is_today is False for b in new):
        return None
    if 2 * len(v1) > len(blocks) and all(map(can_be_v1, blocks)):
        wrong = [b for b in blocks if b not in v1]
        advice = v1_advice(wrong)
    else:
        wrong = [b for b in blocks if b.keyword == "layers" or b.is_today is False]
        advice = today_advice(wrong, is_whole_file=not new)
    loc = Loc(file, wrong[0].field.line, wrong[0].field.column)
    caffe = "Caffe refuses this file too"
    if old and new:
        caffe += " (older versions read `layers` and dropped every `layer`, saying nothing)"
    return CompileError(describe_mixture(old, new), loc, text, f"{caffe}. {advice}")


def describe_mixture(old: Sequence[Block], new: Sequence[Block]) -> str:
    """What the file is."""
    if old and new:
        lines = f"`layer` on line {new[0].field.line}, `layers` on line {old[0].field.line}"
        return f"the file mixes `layer` and `layers` ({lines})"
    if old:
        quoted = sum(b.is_today is True for b in old)
        return (
            f"`layers` blocks, of 2014, name their type in capitals, and {quoted} of {len(old)} quote it like `layer`"
        )
    named = sum(b.is_today is False for b in new)
    return f"`layer` blocks quote their type, and {named} of {len(new)} name it in capitals, like `layers` of 2014"


def today_advice(blocks: Sequence[Block], is_whole_file: bool) -> str:
    """How to rewrite blocks of 2014 as today's."""
    renamed = [b for b in blocks if b.keyword == "layers"]
    types = [b.type.text for b in blocks if b.type and not b.is_today]
    has_text_param = any(b.has_text_param for b in renamed)
    fields = {name for b in renamed for name in b.names}
    if renamed:
        where = "" if is_whole_file else lines_of(renamed)
        advice = rewrite_advice(where, types, fields, has_text_param)
    else:
        advice = list_types(types)
    if any(b.is_v0 for b in blocks):
        advice += " A block of 2013, `layers { layer { } }`, has to be written anew."
    return advice


def rewrite_advice(where: str, types: Iterable[str], fields: Iterable[str], has_text_param: bool) -> str:
    """How to rewrite `layers` blocks, at `where` or everywhere, as `layer`: their types, and fields that changed."""
    changes = [f"Write `layer` for `layers` {where or 'everywhere'}."]
    changes += [quoted] if (quoted := list_types(types)) else []
    if dropped := [name for name in TRAINING_FIELDS if name in fields]:
        changes.append(f"Leave out {' and '.join(dropped)} there, which are for training.")
    if has_text_param:
        changes.append('Write param: "w" there as param { name: "w" }.')
    return " ".join(changes)


def list_types(types: Iterable[str]) -> str:
    """How types of 2014, by name or number, are written today; "" for none."""
    numbers = {str(number): name for name, number in field_types("V1LayerParameter")["type"].numbers.items()}
    pairs = {f'type: {old} as type: "{V1_TYPES.get(numbers.get(old, old), old)}"' for old in types}
    return f"Write {', '.join(sorted(pairs))}." if pairs else ""


def v1_advice(blocks: Sequence[Block]) -> str:
    """How to rewrite today's blocks as those of 2014."""
    renamed = [b for b in blocks if b.keyword == "layer"]
    pairs = {f'type: "{b.type.text}" as type: {TODAY[b.type.text]}' for b in blocks if b.type and b.is_today}
    changes = [f"Write `layers` for `layer` {lines_of(renamed)}."] if renamed else []
    changes += [f"Write {', '.join(sorted(pairs))}."] if pairs else []
    return " ".join(changes)


def can_be_v1(block: Block) -> bool:
    """True if the block is, or could be written as, one of 2014."""
    known = field_types("V1LayerParameter")
    has_block_param = any(
        isinstance(v, MessageBlock) for f in block.block.fields if f.name == "param" for v in f.values
    )
    is_named = not block.is_today or (block.type is not None and block.type.text in TODAY)
    return is_named and not block.is_v0 and block.names <= known.keys() and not has_block_param


def lines_of(blocks: Sequence[Block]) -> str:
    """`on line 3`, or `on lines 3, 5 and 9`; of many, the first dozen and how many more."""
    lines = [str(b.field.line) for b in blocks]
    if len(lines) > MOST_LINES:
        return f"on lines {', '.join(lines[:MOST_LINES])} and wherever else it stands ({len(lines)} in all)"
    return f"on lines {', '.join(lines[:-1])} and {lines[-1]}" if len(lines) > 1 else f"on line {lines[0]}"
