"""Whatever a script does to a net of pycaffe's, in any order, it reads what a plain model of Caffe holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortado.compat import pycaffe as caffe

from .plain_caffe import NET, PARAMS, SPLIT, PlainNet

BLOBS = ("data", "conv", "pool", "twice", "shift", "sum", f"{SPLIT}_1")
LEARNT = [(name, index) for name, shapes in PARAMS.items() for index in range(len(shapes))]
SIZES = [(1, 4, 4), (2, 4, 4), (1, 2, 6), (1, 6, 8)]
TOLERANCE = 1e-5  # of numbers up to 10: sums of at most five products of f32

step = st.one_of(
    st.tuples(st.just("write input"), st.integers(0, 9)),
    st.tuples(st.just("write learnt"), st.sampled_from(LEARNT)),
    st.tuples(st.just("write kept"), st.integers(0, 9)),
    st.tuples(st.just("keep learnt"), st.sampled_from(LEARNT)),
    st.tuples(st.just("resize input"), st.sampled_from(SIZES)),
    st.tuples(st.just("resize blob"), st.sampled_from(("conv", "sum"))),
    st.tuples(st.just("reshape"), st.none()),
    st.tuples(st.sampled_from(("forward", "forward")), st.none()),
    st.tuples(st.sampled_from(("read", "read", "keep view")), st.sampled_from(BLOBS)),
    st.tuples(st.just("write blob"), st.sampled_from(BLOBS)),
)


class Both:
    """A net, and its plain model, to which the same is done."""

    def __init__(self, path: Path) -> None:
        self.net: Any = caffe.Net(str(path), caffe.TEST)
        learnt = {name: [blob.data.copy() for blob in self.net.params[name]] for name in PARAMS}
        self.plain: Any = PlainNet(learnt)
        self.random = np.random.default_rng(0)
        self.views: list[tuple[Any, Any]] = []  # that a script holds: of blobs
        self.kept: list[tuple[Any, Any]] = []  # of learnt blobs

    def do(self, action: str, what: Any) -> None:
        """Do one thing to both, and compare all views that are held."""
        pair = self.pairs(what)
        if action.startswith("write") and (action != "write kept" or self.kept):
            self.write(self.kept[what % len(self.kept)] if action == "write kept" else pair())
        elif action == "keep learnt":
            self.kept.append(pair())
        elif action == "keep view":
            self.views.append(pair())
        elif action == "read":
            self.compare(*pair())
        for side in (self.net, self.plain):
            if action in ("forward", "reshape"):
                getattr(side, action)()
            elif action == "resize input":
                side.blobs["data"].reshape(what[0], 3, *what[1:])
            elif action == "resize blob":
                side.blobs[what].reshape(2, 5)
        for mine, theirs in self.views:
            self.compare(mine, theirs)

    def pairs(self, what: Any) -> Callable[[], tuple[Any, Any]]:
        """A function for the arrays in both nets of a blob, a learnt blob, or, by number, the input."""
        if isinstance(what, tuple) and what[0] in PARAMS:
            return lambda: (self.net.params[what[0]][what[1]].data, self.plain.params[what[0]][what[1]])
        name = what if isinstance(what, str) else "data"
        return lambda: (self.net.blobs[name].data, self.plain.blobs[name].data)

    def write(self, arrays: tuple[Any, Any]) -> None:
        numbers = self.random.uniform(-1, 1, arrays[0].shape).astype(np.float32)
        for array in arrays:
            array[...] = numbers

    def compare(self, mine: Any, theirs: Any) -> None:
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, atol=TOLERANCE)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=4, max_size=14))
def test_a_script_reads_what_caffe_holds(steps: list[tuple[str, Any]], tmp_path: Path) -> None:
    run(steps, tmp_path)


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=4, max_size=25))
def test_many_scripts_read_what_caffe_holds(steps: list[tuple[str, Any]], tmp_path: Path) -> None:
    run(steps, tmp_path)


def run(steps: list[tuple[str, Any]], folder: Path) -> None:
    path = folder / "net.prototxt"
    path.write_text(NET)
    both = Both(path)
    for action, what in steps:
        both.do(action, what)
    for name in BLOBS:
        both.do("read", name)


@pytest.mark.parametrize(
    "steps",
    [
        # A late read is of what the last forward met, whatever was written since.
        [("write input", 0), ("forward", None), ("write learnt", ("conv", 0)), ("write input", 1), ("read", "conv")],
        [("forward", None), ("read", "conv"), ("write learnt", ("shift", 0)), ("read", "shift"), ("forward", None)],
        # A view that is kept from before the first forward is written by each.
        [("keep view", "twice"), ("write input", 0), ("forward", None), ("write input", 1), ("forward", None)],
        # Memory that is outgrown is new, and zeros; smaller blobs keep theirs.
        [("write input", 0), ("forward", None), ("resize input", SIZES[1]), ("reshape", None), ("read", "sum")],
        [("write input", 0), ("forward", None), ("resize input", SIZES[2]), ("reshape", None), ("read", "sum")],
        [("write input", 0), ("forward", None), ("resize blob", "conv"), ("read", "conv"), ("forward", None)],
        # What is written into an intermediate blob has no effect on the next forward, and is overwritten by it.
        [("write input", 0), ("forward", None), ("write blob", "conv"), ("forward", None), ("read", "sum")],
    ],
)
def test_a_sequence_that_is_easily_got_wrong(steps: list[tuple[str, Any]], tmp_path: Path) -> None:
    run(steps, tmp_path)
