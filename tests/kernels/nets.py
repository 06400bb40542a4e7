"""Whole nets as test cases: digits, LeNet, a fire module, a residual block, a detector."""

from __future__ import annotations

from pathlib import Path

from cortado.compiler.ir import Graph
from cortado.compiler.text import parse
from cortado.driver import read_net

from .prove import KernelCase, fill_weights, prove_graph

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NETS = {
    "lenet": """net lenet(data: f32[2,1,28,28]) {
        weight a: f32[20,1,5,5]
        weight b: f32[20]
        weight c: f32[50,20,5,5]
        weight d: f32[50]
        weight e: f32[500,800]
        weight f: f32[500]
        weight g: f32[10,500]
        weight h: f32[10]
        pool1 = max_pool(conv(data, a, b), kernel=2, stride=2)
        pool2 = max_pool(conv(pool1, c, d), kernel=2, stride=2)
        prob = softmax(linear(relu(linear(pool2, e, f)), g, h))
        return prob
    }""",
    "fire": """net fire(data: f32[1,3,27,27]) {
        weight w: f32[64,3,3,3]
        weight b: f32[64]
        weight squeeze.w: f32[16,64,1,1]
        weight squeeze.b: f32[16]
        weight one.w: f32[64,16,1,1]
        weight one.b: f32[64]
        weight three.w: f32[64,16,3,3]
        weight three.b: f32[64]
        pool1 = max_pool(relu(conv(data, w, b, stride=2)), kernel=3, stride=2)
        squeeze = relu(conv(pool1, squeeze.w, squeeze.b))
        one = relu(conv(squeeze, one.w, one.b))
        three = relu(conv(squeeze, three.w, three.b, pad=1))
        both = concat(one, three)
        pool2 = max_pool(both, kernel=3, stride=2)
        return pool2, both
    }""",
    "residual": """net residual(data: f32[2,32,14,14]) {
        weight a: f32[16,32,1,1]
        weight am: f32[16]
        weight variance.a: f32[16]
        weight b: f32[16,16,3,3]
        weight bm: f32[16]
        weight variance.b: f32[16]
        weight c: f32[64,16,1,1]
        weight p: f32[64,32,1,1]
        weight pb: f32[64]
        x = relu(batch_norm(conv(data, a, stride=2), am, variance.a))
        y = relu(batch_norm(conv(x, b, pad=1), bm, variance.b))
        z = conv(y, c)
        short = conv(data, p, pb, stride=2)
        out = relu(add(short, z))
        pool = avg_pool(out)
        return pool, out
    }""",
    "inception": """net inception(data: f32[1,16,9,9]) {
        weight a: f32[8,16,1,1]
        weight b: f32[4,16,1,1]
        weight c: f32[12,4,3,3]
        weight d: f32[4,16,1,1]
        norm = lrn(data, alpha=0.1)
        one = relu(conv(norm, a))
        three = relu(conv(relu(conv(norm, b)), c, pad=1))
        pooled = relu(conv(max_pool(norm, kernel=3, stride=1, pad=1), d))
        all = concat(one, three, pooled)
        left, right = slice(all, points=10)
        out = max_pool(add(all, all, beta=-0.5), kernel=3, stride=2)
        return out, left, right
    }""",
    "detector": """net detector(data: f32[1,16,6,5]) {
        weight w: f32[32,16,3,3]
        weight a: f32[3,16,1,1]
        weight b: f32[20,16,1,1]
        weight c: f32[5,32,1,1]
        weight d: f32[8,32,3,3]
        small = relu(conv(data, w, pad=1, stride=2))
        p = flatten(transpose(conv(data, a), order=[0, 2, 3, 1]))
        q = flatten(relu(transpose(conv(data, b), order=[0, 2, 3, 1])))
        r = flatten(transpose(conv(small, c), order=[0, 2, 3, 1]))
        s = flatten(transpose(conv(small, d, pad=1), order=[0, 2, 3, 1]))
        row = concat(p, q, r, s)
        scores = softmax(reshape(row, shape=[1, 269, 3]), axis=2)
        return scores
    }""",
}


def load_graph(name: str) -> Graph:
    """A net with its weights: those of the example for digits, else random ones."""
    if name == "digits":
        folder = EXAMPLES / "digits"
        return read_net(folder / "digits.prototxt", folder / "digits.caffemodel").graph
    return fill_weights(parse(NETS[name], f"{name}.net"), name)


def prove(name: str, on: str) -> str:
    return prove_graph(load_graph(name), KernelCase(name, on))
