"""Files that ask for too much, and what reading them costs: `python -m tests.hostile FOLDER`, a line of JSON each.

Run in a process of its own, so that memory can be measured: for each file the CPU seconds, the largest resident memory
above what the process had before, and what was said.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

HEAD = 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n'


def relu_layers(count: int) -> str:
    lines = (
        f'layer {{ name: "l{i}" type: "ReLU" bottom: "{f"t{i - 1}" if i else "data"}" top: "t{i}" }}'
        for i in range(count)
    )
    return HEAD + "\n".join(lines)


def line_per(count: int, line: Callable[[int], str]) -> str:
    return HEAD + "\n".join(map(line, range(count)))


def net(body: str, before: str = "") -> str:
    return f"{before}net n(x: f32[1,4]) {{\n    a = relu(x)\n    {body}\n    return a\n}}\n"


def functions_of_ten_calls(depth: int, leaf: str) -> str:
    """Function i calls function i - 1 ten times: 10^depth calls."""
    text = f"function f0(a) {{ {leaf} }}\n"
    for i in range(1, depth):
        calls = " ".join(f"c{j} = f{i - 1}({f'c{j - 1}' if j else 'a'})" for j in range(10))
        text += f"function f{i}(a) {{ {calls} return c9 }}\n"
    return text


def squares(depth: int) -> str:
    """Function i gives function i - 1 the square of its number: 3^(2^depth)."""
    text = "function f0(a, n) { b = tile(a, axis=0, tiles=n) return b }\n"
    for i in range(1, depth):
        text += f"function f{i}(a, n) {{ b = f{i - 1}(a, n * n) return b }}\n"
    return text


# By name: the file, and words of the error.
TEXTS: dict[str, tuple[Callable[[], str], str]] = {
    "blocks.prototxt": (lambda: "layer { " * 500_000 + "} " * 500_000, "nested deeper than 100"),
    "known_blocks.prototxt": (lambda: "layer { " * 1_000 + "} " * 1_000, "nested deeper than 100"),
    "unknown_blocks.prototxt": (lambda: HEAD + "foo { " * 100_000 + "} " * 100_000, "nested deeper than 100"),
    "lists.prototxt": (lambda: "layer { bottom: " + "[" * 100_000, "nested deeper than 100"),
    "million_layers.prototxt": (lambda: relu_layers(1_000_000), "at most 8388608 bytes"),
    "long_string.prototxt": (lambda: f'name: "{"a" * (1 << 24)}"\n{relu_layers(1)}', "at most 8388608 bytes"),
    "string.prototxt": (lambda: f'name: "{"a" * (1 << 22)}\n{relu_layers(1)}', "not closed on its line"),
    "bad_bottoms.prototxt": (
        lambda: line_per(20_000, lambda i: f'layer {{ name: "l{i}" type: "ReLU" bottom: "q{i}" top: "t{i}" }}'),
        "which no layer before it makes",
    ),
    "bad_types.prototxt": (
        lambda: line_per(20_000, lambda i: f'layer {{ name: "l{i}" type: "ReLU{i}" bottom: "data" top: "t{i}" }}'),
        "no layer type ReLU0",
    ),
    "bad_fields.prototxt": (
        lambda: line_per(5_000, lambda i: f'layer {{ name: "l{i}" type: "ReLU" bottom: "data" top: "t{i}" k{i}: 3 }}'),
        "no field k0",
    ),
    "bad_values.prototxt": (lambda: "\n".join("layer { name: 7 }" for _ in range(5_000)), "takes a text, not 7"),
    "many_axes.prototxt": (
        lambda: f'input: "x" input_shape {{ {"dim: 1 " * 100_000} }} layer {{ name: "r" type: "ReLU" bottom: "x" }}',
        "axes, and Caffe's limit is 32",
    ),
    "sum.net": (lambda: net(f"b = tile(a, axis=0, tiles={'+'.join(['20000'] * 200_000)})"), "tiles is too large"),
    "parentheses.net": (lambda: net(f"b = tile(a, axis=0, tiles={'(' * 50_000}1"), "nested deeper than 100"),
    "calls.net": (lambda: net(f"b = {'relu(' * 90}x{')' * 90}"), "calls are nested deeper than 50"),
    "lists.net": (lambda: net(f"b = transpose(a, order={'[' * 50_000}"), "nested deeper than 100"),
    "repeat.net": (lambda: net("repeat 1000000000 { a = relu(a) }"), "a whole number up to 10000"),
    "nested_repeats.net": (lambda: net("repeat 10000 { repeat 10000 { a = relu(a) } }"), "more than 50000 values"),
    "empty_repeats.net": (lambda: net("repeat 10000 { repeat 10000 { repeat 10000 { } } }"), "more than 50000"),
    "functions.net": (
        lambda: net("b = f8(a)", functions_of_ten_calls(9, "b = relu(a) return b")),
        "more than 50000 values",
    ),
    "empty_functions.net": (lambda: net("b = f8(a)", functions_of_ten_calls(9, "return a")), "more than 50000"),
    "squares.net": (lambda: net("b = f39(a, 3)", squares(40)), "no number of 64 bits"),
    "digits.net": (lambda: net(f"b = tile(a, axis=0, tiles={'9' * 100_000})"), "100000 digits is too large"),
    "digits_of_a_size.net": (lambda: f"net n(x: f32[1,{'9' * 10_000}]) {{ return x }}", "is no type"),
    "size.net": (lambda: "net n(x: f32[9223372036854775807,2]) { return x }", "elements, and Caffe's limit"),
    "weight.net": (
        lambda: net("weight w: f32[4,9223372036854775807]\n    b = linear(a, w)"),
        "elements, and Caffe's limit is 2147483647",
    ),
}


def write_all(folder: Path) -> Iterator[tuple[Path, str]]:
    """Write the texts, one after another; of each its path and words of the error."""
    for name, (text, words) in TEXTS.items():
        path = folder / name
        path.write_text(text(), "utf-8")
        yield path, words


def measure(path: Path) -> dict[str, Any]:
    """Read a net up to its graph."""
    from cortado import driver
    from cortado.compiler.errors import CompileError

    before, start = reset_peak(), process_time()
    try:
        driver.read_net(path)
        said = ""
    except CompileError as e:
        said = str(e)
    return {"seconds": process_time() - start, "bytes": peak() - before, "said": said[:4000], "length": len(said)}


def reset_peak() -> int:
    """Start to measure the largest resident memory anew (Linux); that of now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    folder = Path(sys.argv[1])
    from cortado import driver

    warm = folder / "warm.net"
    warm.write_text("net n(x: f32[1]) { y = relu(x) return y }")
    driver.read_net(warm)
    for path, words in write_all(folder):
        print(json.dumps({"file": path.name, "words": words, **measure(path)}), flush=True)
        path.unlink()


if __name__ == "__main__":
    main()
