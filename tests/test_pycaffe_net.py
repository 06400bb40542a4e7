"""Net of pycaffe's: names and Splits, forward and its arguments, weights between nets and files, what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortado.compat import pycaffe as caffe
from cortado.compat.pycaffe import mode
from cortado.frontends.files import caffemodel
from cortado.runtime.output import OutputError

from .plain_caffe import NET, SPLIT

Made = Callable[..., Any]


@pytest.fixture
def make(tmp_path: Path) -> Made:
    def make(text: str = NET, **settings: Any) -> Any:
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), settings.pop("phase", caffe.TEST), **settings)

    return make


def test_layers_and_blobs_are_named_as_caffe_names_them(make: Made) -> None:
    """By insert_splits.cpp: conv is read three times behind the last layer that writes it in place."""
    net = make()
    tops = [f"{SPLIT}_{i}" for i in range(3)]
    assert list(net.blobs) == ["data", "conv", *tops, "pool", "twice", "shift", "sum"] == net._blob_names
    assert net._layer_names == ["data", "conv", "scale", "relu", SPLIT, "pool", "twice", "shift", "sum"]
    assert [layer.type for layer in net.layers][3:6] == ["ReLU", "Split", "Pooling"]
    assert net.top_names[SPLIT] == tops and net.bottom_names[SPLIT] == ["conv"]
    assert net.bottom_names["pool"] == tops[:1] and net.bottom_names["sum"] == [tops[2], "shift"]
    assert (net.inputs, net.outputs) == (["data"], ["pool", "sum"])
    assert (
        net._inputs == [0] and net._outputs == [5, 8] and net._top_ids(4) == [2, 3, 4] and net._bottom_ids(8) == [4, 7]
    )


def test_a_loss_weight_counts_as_a_reader(make: Made) -> None:
    text = """input: "data" input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1
    layer { name: "a" type: "AbsVal" bottom: "data" top: "a" loss_weight: 1 }
    layer { name: "b" type: "AbsVal" bottom: "a" top: "b" }
    layer { name: "c" type: "AbsVal" bottom: "data" top: "c" }"""
    net = make(text)
    assert net._layer_names == ["input", "data_input_0_split", "a", "a_a_0_split", "b", "c"]
    assert net.top_names["a_a_0_split"] == ["a_a_0_split_0", "a_a_0_split_1"]
    assert net.bottom_names["b"] == ["a_a_0_split_1"] and net.bottom_names["a"] == ["data_input_0_split_0"]


def test_forward_takes_exactly_the_inputs_of_the_batch_size(make: Made) -> None:
    net = make()
    ones = np.ones((1, 3, 4, 4))
    assert set(net.forward(data=ones)) == {"pool", "sum"}
    assert set(net.forward(["conv"], data=ones)) == {"pool", "sum", "conv"}
    assert set(net.forward(blobs=["twice"])) == {"pool", "sum", "twice"}
    with pytest.raises(ValueError, match="the net's inputs data"):
        net.forward(image=ones)
    with pytest.raises(ValueError, match=r'"data" has a batch of 2, and the blob 1; call net.blobs\["data"\]'):
        net.forward(data=np.ones((2, 3, 4, 4)))
    with pytest.raises(KeyError, match="nothing"):
        net.forward(["nothing"])


def test_outputs_are_views_that_the_next_forward_writes(make: Made) -> None:
    net = make()
    first = net.forward(data=np.ones((1, 3, 4, 4)))["sum"]
    before = first.copy()
    second = net.forward(data=-np.ones((1, 3, 4, 4)))["sum"]
    assert np.shares_memory(first, second) and (first == second).all() and (first != before).any()


def test_forward_all_pads_the_last_batch_and_drops_the_padding(make: Made) -> None:
    net = make(NET.replace("dim: 1 dim: 3", "dim: 2 dim: 3"))
    pictures = np.random.default_rng(0).random((5, 3, 4, 4), np.float32)
    found = net.forward_all(blobs=["conv"], data=pictures)
    assert {name: array.shape for name, array in found.items()} == {
        "pool": (5, 4, 2, 2), "sum": (5, 4, 4, 4), "conv": (5, 4, 4, 4)
    }  # fmt: skip
    net.blobs["data"].reshape(5, 3, 4, 4)
    np.testing.assert_allclose(found["sum"], net.forward(data=pictures)["sum"], atol=1e-6)


def test_shapes_follow_a_reshape(make: Made) -> None:
    net = make()
    assert net.blobs["sum"].shape == (1, 4, 4, 4) and (net.blobs["sum"].data == 0).all()
    net.blobs["data"].reshape(2, 3, 8, 6)
    assert net.blobs["sum"].shape == (1, 4, 4, 4)
    net.reshape()
    blob = net.blobs["pool"]
    assert blob.shape == blob.data.shape == (2, 4, 4, 3)
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 4, 4, 3, 96)
    with pytest.raises(AttributeError, match=r"blob.data\[...\] = array"):
        blob.data = np.zeros(3)
    with pytest.raises(caffe.CaffeError, match="negative"):
        blob.reshape(-1, 3)
    with pytest.raises(caffe.CaffeError, match="has 8000000000000 elements, and Caffe's limit is 2147483647"):
        net.blobs["data"].reshape(20000, 20000, 20000, 1)
    with pytest.raises(ValueError, match=r"a phase is caffe.TRAIN \(0\) or caffe.TEST \(1\), not 5"):
        caffe.Net(__file__, 5)
    net.blobs["data"].reshape(1, 5, 4, 4)
    with pytest.raises(caffe.CaffeError, match="conv"):
        net.forward()


def test_a_layer_that_writes_the_input_in_place_changes_the_next_input(make: Made) -> None:
    """As in Caffe, where the input's memory is written: forward twice, and Power is applied twice."""
    net = make("""input: "data" input_shape { dim: 2 }
    layer { name: "twice" type: "Power" bottom: "data" top: "data" power_param { scale: 2 } }
    layer { name: "y" type: "AbsVal" bottom: "data" top: "y" }""")
    net.blobs["data"].data[...] = [1, -3]
    assert net.forward()["y"].tolist() == [2, 6] and net.blobs["data"].data.tolist() == [2, -6]
    assert net.forward()["y"].tolist() == [4, 12]


def test_only_what_is_read_is_computed(make: Made) -> None:
    net = make()
    runs: list[list[str]] = []
    run = net._live.run

    def record(inputs: Any, wanted: Any, **settings: Any) -> Any:
        runs.append(list(wanted))
        return run(inputs, wanted, **settings)

    net._live.run = record
    for _, blob in net.blobs.items():
        assert blob.data.size  # before the first forward: nothing is kept, nothing computed
    net.forward()
    net.blobs["twice"].data.sum()
    net.forward()
    assert runs == [["pool", "sum"], ["pool", "twice", "sum"], ["pool", "twice", "sum"]]
    for name in net.blobs:
        net.blobs[name].data.sum()
    assert runs[3:] == [["conv", "pool", "twice", "sum"], ["conv", "pool", "twice", "shift", "sum"]]
    for _ in range(4):
        net.forward()
    assert runs[-1] == ["pool", "sum"]  # what was read once, three forwards ago, is not computed any more
    kept = net.blobs["shift"].data
    net.forward()
    assert runs[-1] == ["pool", "shift", "sum"] and kept.shape


def test_a_net_without_weights_has_its_fillers_numbers_and_a_converter_fills_it(make: Made, tmp_path: Path) -> None:
    net = make()
    assert net.params["conv"][0].data.any() and net.params["scale"][0].data.tolist() == [1, 1, 1, 1]
    for name, blobs in net.params.items():
        assert type(blobs) is caffe._caffe.BlobVec
        for i, blob in enumerate(blobs):
            blob.data[...] = i + len(name)
    net.save(str(tmp_path / "made.caffemodel"))
    other = make(weights=str(tmp_path / "made.caffemodel"))
    assert other.params["shift"][0].data.tolist() == [5, 5, 5, 5]
    ones = np.ones((1, 3, 4, 4))
    np.testing.assert_allclose(other.forward(data=ones)["sum"], net.forward(data=ones)["sum"])
    assert net.params.has_key("conv") and list(net.params.iterkeys()) == ["conv", "scale", "shift"]


def test_a_net_is_not_saved_over_its_prototxt(make: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file of weights may be replaced, as scripts that change some do."""
    net = make()
    net.save(tmp_path / "made.caffemodel")
    (tmp_path / "link.h5").symlink_to("net.prototxt")
    monkeypatch.chdir(tmp_path)
    for write in (net.save, net.save_hdf5):
        for name in ("net.prototxt", "link.h5"):
            with pytest.raises(OutputError, match="cannot be written: it is the input"):
                write(name)
    assert (tmp_path / "net.prototxt").read_text() == NET
    make(weights=tmp_path / "made.caffemodel").save(tmp_path / "made.caffemodel")


def test_a_saved_net_has_its_layers_with_settings_and_splits(make: Made, tmp_path: Path) -> None:
    net = make()
    net.save(tmp_path / "made.caffemodel")
    found = caffe.proto.caffe_pb2.NetParameter.FromString((tmp_path / "made.caffemodel").read_bytes())
    assert found.name == "plain" and [layer.name for layer in found.layer] == net._layer_names
    assert found.layer[1].convolution_param.num_output == 4 and found.layer[1].phase == caffe.TEST
    assert found.layer[1].convolution_param.weight_filler.type == "xavier"
    assert found.layer[5].pooling_param.pool == found.layer[5].pooling_param.MAX
    assert list(found.layer[5].bottom) == [f"{SPLIT}_0"] and found.layer[4].type == "Split"
    assert list(found.layer[1].blobs[0].shape.dim) == [4, 3, 1, 1]
    assert len(caffemodel.read(tmp_path / "made.caffemodel").layers) == len(net.layers)


def test_a_layer_that_the_file_lacks_keeps_its_filler_with_a_warning(make: Made, tmp_path: Path) -> None:
    make(NET.replace('name: "scale"', 'name: "other"')).save(tmp_path / "made.caffemodel")
    with pytest.warns(caffe.CaffeWarning, match='layer "scale"') as found:
        net = make(weights=tmp_path / "made.caffemodel")
    assert len(found) == 1 and net.params["scale"][0].data.tolist() == [1, 1, 1, 1]


def test_weights_of_a_file_are_copied_by_name_or_not_at_all(make: Made, tmp_path: Path) -> None:
    source = make()
    source.params["conv"][1].data[...] = 7
    source.save(tmp_path / "made.caffemodel")
    net = make(NET.replace('name: "scale"', 'name: "other"'))
    net.copy_from(str(tmp_path / "made.caffemodel"))
    assert (net.params["conv"][1].data == 7).all() and net.forward(data=np.zeros((1, 3, 4, 4)))["sum"].max() == 21
    wide = make(NET.replace("num_output: 4", "num_output: 6"))
    with pytest.raises(caffe.CaffeError, match=r'layer "conv": blob 0 is \[4, 3, 1, 1\]'):
        wide.copy_from(tmp_path / "made.caffemodel")
    assert not (wide.params["conv"][1].data == 7).any()


def test_weights_are_written_and_read_in_hdf5(make: Made, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    net, other = make(), make()
    net.params["shift"][0].data[...] = [1, 2, 3, 4]
    net.save_hdf5(tmp_path / "made.h5")
    other.load_hdf5(tmp_path / "made.h5")
    assert other.params["shift"][0].data.tolist() == [1, 2, 3, 4]


def test_nets_share_weights(make: Made) -> None:
    net, other = make(), make()
    net.share_with(other)
    other.params["conv"][0].data[...] = 2
    ones = np.ones((1, 3, 4, 4))
    assert net.forward(data=ones)["sum"][0, 0, 0, 0] == other.forward(data=ones)["sum"][0, 0, 0, 0] == 18
    with pytest.raises(caffe.CaffeError, match=r'layer "conv" has the blobs'):
        net.share_with(make(NET.replace("num_output: 4", "num_output: 6")))


def test_learnt_blobs_keep_their_number_and_size(make: Made) -> None:
    vec = make().params["conv"]
    vec[0].reshape(3, 4)
    assert vec[0].data.shape == (3, 4)
    with pytest.raises(caffe.CaffeError, match=r"\[4\] to \[5\] is another"):
        vec[1].reshape(5)
    with pytest.raises(caffe.CaffeError, match=r"blobs\[0\].data\[...\]"):
        vec[0] = vec[1]
    with pytest.raises(caffe.CaffeError, match="none can be added"):
        vec.add_blob(3)


@pytest.mark.parametrize("use", ["backward", "forward_backward_all", "_backward"])
def test_gradients_are_refused_in_one_sentence(make: Made, use: str) -> None:
    net = make()
    assert not net.blobs["conv"].diff.any() and net.blobs["conv"].diff.shape == (1, 4, 4, 4)
    with pytest.raises(caffe.CaffeError, match=r"no gradients. To train .* use Caffe itself, or the net in PyTorch"):
        getattr(net, use)()


def test_solvers_and_parts_of_nets_are_refused(make: Made) -> None:
    net = make()
    for solver in (caffe.SGDSolver, caffe.AdamSolver, caffe.get_solver):
        with pytest.raises(caffe.CaffeError, match="no gradients"):
            solver("solver.prototxt")
    for part in ({"start": "conv"}, {"end": "conv"}):
        with pytest.raises(caffe.CaffeError, match=r"Call forward\(\) and read the blob"):
            net.forward(**part)
    with pytest.raises(caffe.CaffeError, match="read the blob"):
        net._forward(1, 3)
    assert net._forward(0, len(net.layers) - 1) == 0
    with pytest.raises(caffe.CaffeError, match="fuses layers"):
        net.before_forward(print)


def test_a_net_is_read_in_the_ways_that_scripts_call_it(make: Made, tmp_path: Path) -> None:
    make().save(tmp_path / "w.caffemodel")
    file, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")
    for net in (
        caffe.Net(file, weights, caffe.TEST),
        caffe.Net(file, caffe.TEST, weights=weights),
        caffe.Net(network_file=file, phase=caffe.TEST, weights=weights),
        caffe.Net(file, 1, 0, ["a"], weights),
        caffe.Net(Path(file), np.int64(1)),
    ):
        assert net.inputs == ["data"]
    for wrong in ((file,), (file, 1, 0, None, None, 5)):
        with pytest.raises(TypeError):
            caffe.Net(*wrong)
    with pytest.raises(TypeError, match="twice"):
        caffe.Net(file, 1, phase=1)
    with pytest.raises(caffe.CaffeError, match="Could not open file nothing"):
        caffe.Net("nothing", caffe.TEST)
    with pytest.raises(caffe.CaffeError, match=r"net.prototxt:1:1: Caffe has no field nam"):
        make('nam: "x"' + NET.replace("\n", " "))


def test_levels_and_stages_select_layers(make: Made) -> None:
    rule = NET + 'layer { name: "more" type: "AbsVal" bottom: "sum" top: "more" include { min_level: 1 stage: "a" } }'
    assert make(rule).outputs == ["pool", "sum"]
    assert make(rule, level=1, stages=["a"]).outputs == ["more", "pool"]


def test_dummy_data_is_filled_as_in_caffe(make: Made) -> None:
    """A constant once, so that a script may write it; random numbers at each forward (dummy_data_layer.cpp)."""
    net = make("""layer { name: "d" type: "DummyData" top: "c" top: "r" dummy_data_param {
        shape { dim: 3 } shape { dim: 4 } data_filler { value: 5 } data_filler { type: "gaussian" std: 1 } } }
    layer { name: "a" type: "Power" bottom: "c" top: "a" } layer { name: "b" type: "Power" bottom: "r" top: "b" }""")
    first = net.forward()["b"].copy()
    assert net.forward()["a"].tolist() == [5, 5, 5] and (net.blobs["b"].data != first).all() and net.inputs == []
    net.blobs["c"].data[...] = 1
    assert net.forward()["a"].tolist() == [1, 1, 1] and net.outputs == ["a", "b"]


def test_a_data_layer_needs_its_data(make: Made) -> None:
    net = make("""layer { name: "d" type: "Data" top: "data" data_param { batch_size: 1 }
        transform_param { crop_size: 2 force_color: true } }
    layer { name: "a" type: "Power" bottom: "data" top: "a" }""")
    with pytest.raises(caffe.CaffeError, match=r'layer "d" \(Data\) reads files in Caffe.* net.blobs\["data"\].data'):
        net.forward()
    net.blobs["data"].data[...] = 3
    assert (net.forward()["a"] == 3).all()


def test_memory_data_gives_a_batch_to_each_forward(make: Made) -> None:
    net = make("""layer { name: "d" type: "MemoryData" top: "data" top: "label"
        memory_data_param { batch_size: 2 channels: 1 height: 1 width: 1 } }
    layer { name: "a" type: "Power" bottom: "data" top: "a" }
    layer { name: "b" type: "Power" bottom: "label" top: "b" }""")
    with pytest.raises(caffe.CaffeError, match="no whole batches of 2"):
        net.set_input_arrays(np.zeros((3, 1, 1, 1), np.float32), np.zeros(3, np.float32))
    net.set_input_arrays(np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1), np.arange(4, dtype=np.float32))
    found = [net.forward()["a"].ravel().tolist() for _ in range(3)]
    assert found == [[0, 1], [2, 3], [0, 1]] and net.blobs["b"].data.ravel().tolist() == [0, 1]


def test_the_gpu_is_asked_for_and_warned_of_once(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode, "MODE", mode.Mode())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(caffe.CaffeWarning, match="nets run on the CPU") as found:
        caffe.set_mode_gpu()
    assert len(found) == 1 and found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caffe.set_mode_gpu()
        caffe.set_device(1)
    assert mode.MODE.target == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    caffe.set_mode_gpu()
    assert mode.MODE.target == "cuda"
    caffe.set_mode_cpu()
    assert mode.MODE.target == "cpu"
