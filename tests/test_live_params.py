"""Learnt blobs of live nets that are shared, compared and dropped; DummyData as inputs; runs that ignore changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortado.compat.live_net import LiveNet
from cortado.compiler.errors import CompileError
from cortado.frontends.files import caffemodel, caffemodel_writer

NET = b"""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "scale" type: "Scale" bottom: "data" top: "scale" scale_param { bias_term: true } }
layer { name: "shift" type: "Bias" bottom: "scale" top: "shift" }
"""
ONES = np.ones((2, 3), np.float32)


def run(net: LiveNet, name: str = "shift", **settings: Any) -> float:
    """A blob of which all numbers are equal, as one number."""
    (made,) = net.run({"data": ONES}, [name], **settings)
    assert (made == made.flat[0]).all()
    return float(made.flat[0])


def test_a_run_may_ignore_what_was_written_since_the_last_one() -> None:
    net = LiveNet.read(NET)
    assert run(net) == 1
    net.layers[1].params[0][...] = 5
    assert run(net, "scale", reads_changes=False) == 1 and run(net, reads_changes=False) == 1
    assert run(net) == 5 and run(net, "scale", reads_changes=False) == 5


def test_an_array_that_nobody_holds_is_not_compared_again() -> None:
    net = LiveNet.read(NET)
    kept = net.layers[1].params[0]
    view = net.layers[2].params[0].reshape(3, 1)[1:]
    net.layers[1].params[1][...] = 2
    assert run(net) == 3 and net.weights.live.keys() == {("scale", 0), ("shift", 0)}
    view[...] = 7
    kept[...] = 2
    assert net.run({"data": ONES}, ["shift"])[0].tolist() == [[4, 11, 11]] * 2
    del kept, view
    assert net.run({"data": ONES})[0].tolist() == [[4, 11, 11]] * 2 and not net.weights.live


def test_shared_blobs_are_those_of_both_nets_whoever_writes() -> None:
    net, other = LiveNet.read(NET), LiveNet.read(NET)
    other.layers[1].params[0][...] = 3
    net.layers[1].share_params(other.layers[1])
    assert run(net) == run(other) == 3
    net.layers[1].params[1][...] = 1
    assert run(other) == run(net) == 4
    other.layers[2].params[0][...] = 9  # is not shared
    assert run(other) == 13 and run(net) == 4


def test_a_dummy_data_layer_may_become_an_input() -> None:
    text = (
        b'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 } data_filler { value: 3 } } }'
    )
    net = LiveNet.read(text + b'layer { name: "abs" type: "AbsVal" bottom: "d" top: "y" }')
    assert net.run({})[0].tolist() == [3, 3]
    made = LiveNet.read(text + b'layer { name: "abs" type: "AbsVal" bottom: "d" top: "y" }')
    made.make_inputs({"d": (2,)})
    assert made.inputs == ("d",) and made.run({"d": np.array([-1, 2])})[0].tolist() == [1, 2]
    with pytest.raises(CompileError, match="not given"):
        made.run({})


def test_settings_are_written_with_a_layer(tmp_path: Any) -> None:
    layer = caffemodel_writer.WrittenLayer("ip", "InnerProduct", [np.eye(2, dtype=np.float32)], ("x",), ("y",))
    settings = b"\xaa\x07\x02\x08\x02"  # inner_product_param { num_output: 2 }: field 117, of two bytes
    caffemodel_writer.write(tmp_path / "net.caffemodel", "net", [layer], {"ip": settings})
    (found,) = caffemodel.read(tmp_path / "net.caffemodel").layers
    assert found.blobs[0].data.tolist() == [[1, 0], [0, 1]]
    assert settings in (tmp_path / "net.caffemodel").read_bytes()
