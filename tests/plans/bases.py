"""The plans that are mutated: small nets that between them have every kind of native step, and random nets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from unittest.mock import patch

from cortado.compiler.plan import PlannedGraph
from cortado.compiler.targets.native import algorithms
from cortado.driver import NetFile, Options, compile_file
from cortado.runtime.artifact import Artifact

from ..proof.generator import net
from ..proof.numbers import fill_weights
from ..test_native import CASES, CONV, HOSTED, MOVEMENTS, RESIZED, SPREAD, STATISTICS, WINOGRAD, compile_text
from ..test_native_detection import CLASSES, FORMS, HEAD, IMAGES, PRIORS, write_net

JOINED = """net n(x: f32[2,6,9,7], r: f32[3,4,5]) {
    weight w: f32[6,6,3,3]
    weight u: f32[20,12,1,1]
    weight k: f32[5,5]
    a = relu(conv(x, w, pad=1))
    b = max_pool(a, kernel=3, stride=1, pad=1)
    j = concat(a, b, axis=1)
    y = conv(j, u)
    s, t = slice(y, axis=1, points=[8])
    q = relu(s)
    p = lrn(t, size=3)
    m = add(linear(r, k, axis=2), r)
    f = flatten(avg_pool(y))
    z = softmax(f)
    return q, p, m, z
}
"""
FEWER = {f"f32[{IMAGES},{n * PRIORS}": f"f32[{IMAGES},{n * 6}" for n in (4, 4 * CLASSES, CLASSES, 2)}


def texts() -> Iterator[tuple[str, str]]:
    """Names and nets."""
    yield from CASES.items()
    yield from {"conv": CONV, "hosted": HOSTED, "joined": JOINED, "resized": RESIZED, "spread": SPREAD}.items()
    yield from {"statistics": STATISTICS, "movements": MOVEMENTS}.items()
    head = HEAD.replace(f"{8 * PRIORS // 2}]", "24]")
    for text, fewer in FEWER.items():
        head = head.replace(text + "]", fewer + "]")
    for number in range(0, len(FORMS), 4):
        yield f"detection {number}", write_net(FORMS[number : number + 2], head)


@cache
def bases() -> tuple[tuple[str, Artifact], ...]:
    """Names and compiled nets."""
    made = [(name, compile_text(text).artifact) for name, text in texts()]
    for form, window in (("F2", 3), ("F4", 3), ("F25", 5)):
        text = WINOGRAD.replace("K", str(window)).replace("P", str(window // 2)).replace("37", "18")
        with patch.object(algorithms, "choose_form", lambda weight, result, form=form: form):
            made.append((form, compile_text(text).artifact))
    return tuple(made)


@lru_cache(maxsize=4)
def random_base(number: int) -> tuple[str, Artifact]:
    """Random net `number` (tests/proof), or the first one behind it that has a kernel in C."""
    graph = fill_weights(net(number).graph, late=True)
    artifact = compile_file(NetFile(PlannedGraph(graph), len(graph.nodes)), Options(target="native")).artifact
    if any(step.kind.startswith("native.") for step in artifact.plan.steps):
        return f"random net {number}", artifact
    return random_base(number + 1)


def base(name: str) -> Artifact:
    """The net that is called so."""
    return random_base(int(name.split()[-1]))[1] if name.startswith("random net") else dict(bases())[name]
