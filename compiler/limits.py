"""The limits of a net: what is refused whatever the machine's memory. docs/limits.md lists them.

Caffe's own are INT_MAX elements and 32 axes a blob (blob.cpp, Reshape; blob.hpp, kMaxBlobAxes), and settings that fit
an int: it counts with them. The others bound the time and the memory that reading a hostile text can take.
"""

from __future__ import annotations

from .types import TensorType

MAX_ELEMENTS = 2**31 - 1  # of a value: Caffe's limit, "blob size exceeds INT_MAX"
MAX_AXES = 32  # of a value: Caffe's limit
MAX_INTEGER = 2**31 - 1  # a setting of a layer, an attribute of an operator: Caffe's int
MAX_CONSTANT_ELEMENTS = 2**26  # of a constant that the compiler works out itself: 256 MiB of float32
MAX_NODES = 50_000  # layers of a Caffe net; values of a text once its functions and rounds are expanded
MAX_TEXT_BYTES = 2**23  # of a prototxt, or of a text in cortado's language
MAX_NESTING = 100  # brackets inside each other: protobuf's limit of messages
MAX_CALLS = 50  # calls inside each other, of functions and of operators
MAX_ERRORS = 100  # reported at once: a hostile file has one a line


def size_fault(type: TensorType, limit: int = MAX_ELEMENTS) -> str:
    """What makes a type larger than a value may be, as a predicate ("has 2147483648 elements, ..."); "" if nothing."""
    if type.rank > MAX_AXES:
        return f"has {type.rank} axes, and Caffe's limit is {MAX_AXES}"
    if type.numel <= limit:
        return ""
    whose = "Caffe's limit is" if limit == MAX_ELEMENTS else "the limit of a constant is"
    return f"has {format_large(type.numel)} elements, and {whose} {limit}"


def require_size(type: TensorType, limit: int = MAX_ELEMENTS) -> TensorType:
    """The type; ValueError if it has too many elements or axes."""
    if fault := size_fault(type, limit):
        raise ValueError(f"{show_type(type)} {fault}")
    return type


def show_type(type: TensorType) -> str:
    """A type for a message, cut short where a hostile file made it long."""
    text = str(type)
    return text if len(text) <= 80 else f"{text[:77]}..."


def format_large(number: int) -> str:
    """A number as it is or, from 10^18 on, as a power of ten: what overflowed may have thousands of digits."""
    return str(number) if number < 10**18 else f"over 10^{int((number.bit_length() - 1) * 0.30103)}"
