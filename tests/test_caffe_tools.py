"""Caffe's tools as commands: their command lines, what they print and write, and numbers worked out by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cortado.cli import main
from cortado.frontends.files.caffemodel_writer import WrittenLayer, write
from cortado.frontends.files.schema import message_class

BODY = """
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "mean" top: "fc"
  inner_product_param { num_output: 3 bias_term: false } }
layer { name: "flat" type: "ReLU" bottom: "fc" top: "flat" }
layer { name: "prob" type: "Softmax" bottom: "flat" top: "prob" }
"""
NET = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }' + BODY
LISTED = (
    """layer { name: "data" type: "ImageData" top: "data" top: "label" transform_param { mean_value: 10 scale: 0.5 }
  image_data_param { source: "list.txt" batch_size: 2 new_height: 4 new_width: 4 SHUFFLE } }"""
    + BODY
)
OPTIONS = "--model-def n.prototxt --pretrained-model n.caffemodel"
SCALE = 1 / 64  # of the weights: the scores are the softmax of the mean blue, green and red by 64
COLOURS = {"a": (64, 0, 128), "b": (0, 192, 64), "c": (8, 8, 8)}  # red, green, blue


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.prototxt").write_text(NET)
    write("n.caffemodel", "n", [WrittenLayer("fc", "InnerProduct", [np.eye(3) * SCALE])])
    (tmp_path / "labels.txt").write_text("n01 blue\nn02 green\nn03 red\n")
    (tmp_path / "pictures").mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (6, 5), colour).save(f"pictures/{name}.png")
    mean = message_class("BlobProto")(num=1, channels=3, height=2, width=2, data=[0, 64, 0, 64] + [16] * 4 + [0] * 4)
    (tmp_path / "mean.binaryproto").write_bytes(mean.SerializeToString())
    return tmp_path


def run(words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, words.split())
    assert done.exit_code == code, done.output
    return done


def softmax(blue: float, green: float, red: float) -> np.ndarray:
    e = np.exp(np.maximum([blue, green, red], 0) * SCALE)
    found: np.ndarray = e / e.sum()
    return found


def test_classify_is_cpp_classification(folder: Path) -> None:
    """By hand: of blue 128, green 0, red 64 the mean's channels 32, 16 and 0 are subtracted."""
    said = run("classify n.prototxt n.caffemodel mean.binaryproto labels.txt pictures/a.png").stdout
    blue, green, red = softmax(96, -16, 64)
    assert said.splitlines() == [
        "---------- Prediction for pictures/a.png ----------",
        f'{blue:.4f} - "n01 blue"',
        f'{red:.4f} - "n03 red"',
        f'{green:.4f} - "n02 green"',
    ]
    again = "classification.bin n.prototxt n.caffemodel pictures/a.png -mean_file=mean.binaryproto -labels labels.txt"
    assert run(again).stdout == said


def test_classify_takes_folders_and_writes_scores_and_json(folder: Path) -> None:
    said = run("classify n.prototxt n.caffemodel pictures --top 1 --output scores.npy --json").stdout
    found = json.loads(said)["pictures"]
    assert [Path(one["picture"]).name for one in found] == ["a.png", "b.png", "c.png"]
    assert [one["top"][0]["index"] for one in found] == [0, 1, 0]  # of equal ones the first
    expected = [softmax(*reversed(colour)) for colour in COLOURS.values()]
    np.testing.assert_allclose(np.load("scores.npy"), expected, rtol=1e-5)


def test_numbers_that_json_lacks_are_null(folder: Path) -> None:
    """A NaN among the weights of one class makes NaN of all probabilities; the mean of infinite inputs is infinite."""
    weights = np.eye(3)
    weights[0] = np.nan
    write("n.caffemodel", "n", [WrittenLayer("fc", "InnerProduct", [weights])])
    (found,) = json.loads(run("classify n.prototxt n.caffemodel pictures/a.png --json").stdout)["pictures"]
    assert [one["score"] for one in found["top"]] == [None] * 3
    run("compile n.prototxt n.caffemodel -o n.cortado --output prob --output mean --shape data=1,3,4,4")
    np.save("x.npy", np.full((1, 3, 4, 4), np.inf, np.float32))
    found = json.loads(run("run n.cortado --input x.npy --json").stdout)["outputs"]
    assert [one["score"] for one in found["prob"]["top"][0] + found["mean"]["top"][0]] == [None] * 6


@pytest.mark.parametrize("crops", ["", "--center_only"])
def test_classify_is_classify_py(crops: str, folder: Path) -> None:
    """A picture of one colour is the same in all crops; numbers of 0 to 32, of which half are subtracted, by 2."""
    np.save("mean.npy", np.full((3, 4, 4), 8, np.float32))
    words = "--model_def n.prototxt --pretrained_model n.caffemodel --raw_scale 32 --input_scale 2 --images_dim 5,6"
    said = run(f"classify.py pictures out.npy {words} --mean_file mean.npy --ext png {crops}").stdout
    assert re.fullmatch(r"Classifying 3 inputs\.\nDone in [\d.]+ s\.\nSaving results into out\.npy\n", said)
    expected = [softmax(*[(c * 32 / 255 - 8) * 2 for c in reversed(colour)]) for colour in COLOURS.values()]
    np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-5)
    np.save("pictures.npy", np.stack([np.full((5, 6, 3), np.array(c) / 255) for c in COLOURS.values()]))
    run(f"classify.py pictures.npy out.npy {words} --mean_file mean.npy {crops}")  # writes over its own output
    np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-5)
    assert "no mean is subtracted" in run(f"classify pictures/a.png {words} --channel-swap 2,1,0").stderr


def test_ten_crops_are_averaged(folder: Path) -> None:
    """By hand: half red and half black, and crops 2 of 4 wide: 4 of 10 are red, 4 black, and 2 half of each."""
    text = NET.replace("dim: 4 dim: 4", "dim: 4 dim: 2")
    (folder / "n.prototxt").write_text(text)
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:, :2, 0] = 255
    Image.fromarray(pixels).save("half.png")
    run("classify n.prototxt n.caffemodel half.png --oversample --images-dim 4,4 --output out.npy")
    expected = 0.4 * softmax(0, 0, 255) + 0.4 * softmax(0, 0, 0) + 0.2 * softmax(0, 0, 127.5)
    np.testing.assert_allclose(np.load("out.npy"), [expected], rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("classify", "NET and WEIGHTS are missing"),
        ("classify n.prototxt n.caffemodel mean.binaryproto labels.txt", "no picture is given"),
        ("classify n.prototxt n.caffemodel labels.txt pictures --labels labels.txt", "are both given"),
        ("classify pictures --model-def n.prototxt", "--pretrained-model, which is missing"),
        ("classify n.prototxt n.caffemodel none.png", "none.png"),
        ("classify n.prototxt n.caffemodel pictures --ext tiff", "no picture in it that ends in .tiff"),
        ("classify n.prototxt none.caffemodel pictures", "Could not open file none.caffemodel"),
        ("classify n.prototxt n.caffemodel short.txt pictures", 'short.txt has 1 labels, and "prob" has 3 classes'),
        ("classify n.prototxt n.caffemodel pictures --images-dim 5", "'5' is not 2 numbers with commas, like 256,256"),
        ("classify n.prototxt n.caffemodel pictures --images-dim 5,0", "0 in '5,0' is less than 1"),
        ("classify n.prototxt n.caffemodel empty.txt pictures", 'empty.txt has 0 labels, and "prob" has 3 classes'),
        ("classify bad.prototxt n.caffemodel pictures", "bad.prototxt:1:1: this binary"),
        ("classify n.prototxt n.caffemodel pictures --output n.caffemodel", "it is an input too"),
        (f"classify pictures n.prototxt {OPTIONS}", "it is an input too"),
        ("train --solver s.prototxt", "There is no command train. cortado computes nets forward only"),
        ("clasify", "There is no command clasify; did you mean classify?"),
        (f"detect w.csv o.csv {OPTIONS} --crop_mode selective_search", "MATLAB"),
        (f"detect w.csv o.h5 {OPTIONS}", "o.h5: give a .csv or an .npz"),
        (f"detect w.csv o.csv {OPTIONS}", "w.csv:3: a window begins above"),
        (f"detect whole.csv o.csv {OPTIONS}", "a context of 16 pixels at each side leaves no room"),
        (f"detect whole.csv o.csv {OPTIONS} --context-pad 2", "is 4 pixels wide: give a context_pad below 2"),
        (f"detect v.csv o.csv {OPTIONS}", "v.csv:1: there is no column ymax"),
        ("extract_features n.caffemodel n.prototxt fc f 10 leveldb", "LevelDB databases are not written"),
        ("extract_features n.caffemodel n.prototxt fc f.lmdb", "f.lmdb: what is to be written?"),
        ("extract_features n.caffemodel n.prototxt fc,prob f 10 lmdb", "2 blobs, and 1 databases"),
        ("extract_features n.caffemodel n.prototxt fc pictures 10 lmdb", "pictures cannot be written: it is a folder"),
        ("extract_features n.caffemodel n.prototxt fc,prob f.npy", "2 blobs, and 1 files"),
        ("extract_features n.caffemodel n.prototxt fc f.npy", "that layer data (Input) names. Give --pictures."),
        ("extract_features n.caffemodel n.prototxt none f.npy --pictures pictures", 'no blob "none"'),
        ("extract_features n.caffemodel n.prototxt fc f.npy ten", "ten is no number of batches"),
        ("time", "Give one net"),
        ("time n.prototxt --gpu 0", "does not time the kernels of a GPU"),
        ("upgrade_net_proto_text n.prototxt n.prototxt", "it is an input too"),
        ("upgrade_net_proto_binary n.prototxt out", "this is a prototxt, not a caffemodel"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(words: str, said: str, folder: Path) -> None:
    (folder / "short.txt").write_text("one\n")
    (folder / "empty.txt").write_text("")
    (folder / "whole.csv").write_text("filename,ymin,xmin,ymax,xmax\npictures/a.png,0,0,5,6\n")
    (folder / "bad.prototxt").write_bytes(b"\0" * 100)
    (folder / "w.csv").write_text("filename,ymin,xmin,ymax,xmax\npictures/a.png,0,0,1,1\npictures/a.png,3,3,1,1\n")
    (folder / "v.csv").write_text("filename,ymin,xmin\n")
    said = said.replace("this binary", "this is binary data")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    output = " ".join(run(words, 2).output.split())
    assert said in output, output
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_detect_is_detect_py(folder: Path) -> None:
    """By hand: one window is all red, of one half is, and the whole picture has a quarter."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :4, 0] = 255
    Image.fromarray(pixels).save("x.png")
    (folder / "w.csv").write_text(
        "filename,ymin,xmin,ymax,xmax\nx.png,0,0,4,4\nx.png,0.0,0,8.0,4\nx.png,0,0,8,8\npictures/c.png,0,0,5,5\n"
    )
    net = "--model_def n.prototxt --pretrained_model n.caffemodel --context_pad=0"
    assert "Processed 4 windows in" in run(f"detect.py w.csv out.csv --crop_mode list {net}").stdout
    head, *rows = (folder / "out.csv").read_text().splitlines()
    assert head == "filename,ymin,xmin,ymax,xmax,class0,class1,class2"
    assert [row.split(",")[:5] for row in rows[:2]] == [["x.png", "0", "0", "4", "4"], ["x.png", "0", "0", "8", "4"]]
    found = np.array([[float(n) for n in row.split(",")[5:]] for row in rows])
    expected = [softmax(0, 0, 255), softmax(0, 0, 127.5), softmax(0, 0, 63.75), softmax(8, 8, 8)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    run(f"detect w.csv out.npz {net}")
    with np.load("out.npz") as arrays:
        assert arrays["filename"].tolist() == ["x.png"] * 3 + ["pictures/c.png"]
        assert arrays["window"].tolist()[1] == [0, 0, 8, 4] and (arrays["prediction"] == found.astype("f4")).all()


def test_extract_features_reads_the_list_of_the_net(folder: Path) -> None:
    """Three pictures in batches of two: the second begins again; without a number each is there once."""
    (folder / "l.prototxt").write_text(LISTED.replace("SHUFFLE", "shuffle: true"))
    (folder / "list.txt").write_text("pictures/a.png 0\npictures/b.png 7\n\npictures/c.png\n")
    done = run("extract_features.bin n.caffemodel l.prototxt flat,prob flat.npy,prob.npy 2 CPU")
    assert done.stdout == "flat [4, 3], of 4 pictures\nprob [4, 3], of 4 pictures\n"
    assert "in the order of the list" in done.stderr
    bgr = [[(c - 10) / 2 for c in reversed(colour)] for colour in COLOURS.values()]
    expected = np.array([softmax(*one) for one in bgr])
    np.testing.assert_allclose(np.load("prob.npy"), expected[[0, 1, 2, 0]], rtol=1e-5)
    np.testing.assert_allclose(np.load("flat.npy")[:3], np.maximum(bgr, 0) * SCALE, rtol=1e-5, atol=1e-6)
    run("extract-features n.caffemodel l.prototxt fc,prob both.npz --pictures pictures/c.png --pictures pictures")
    with np.load("both.npz") as arrays:
        np.testing.assert_allclose(arrays["prob"], expected[[2, 0, 1, 2]], rtol=1e-5)
        assert arrays["fc"].min() < 0  # the blob as it is before ReLU
    pytest.importorskip("h5py")
    run("extract-features n.caffemodel n.prototxt prob out.h5 --pictures list.txt --mean 10 --scale 0.5")
    import h5py

    with h5py.File("out.h5") as file:
        np.testing.assert_allclose(file["prob"][...], expected, rtol=1e-5)


def test_files_that_other_files_name_are_not_written_over(folder: Path) -> None:
    """The net's list and mean picture, and the pictures in a list, a folder and a table of windows."""
    listed = LISTED.replace("SHUFFLE", "").replace("list.txt", "list.npy")
    (folder / "l.prototxt").write_text(listed)
    (folder / "list.npy").write_text("pictures/a.png 0\n")
    np.save("mean.npy", np.zeros((3, 4, 4), np.float32))
    (folder / "m.prototxt").write_text(listed.replace("mean_value: 10", 'mean_file: "mean.npy"'))
    (folder / "a.npz").hardlink_to("pictures/a.png")
    (folder / "a.npy").hardlink_to("pictures/a.png")
    (folder / "w.csv").write_text("filename,ymin,xmin,ymax,xmax\npictures/a.png,0,0,1,1\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for words in (
        "extract-features n.caffemodel l.prototxt prob list.npy",
        "extract-features n.caffemodel l.prototxt prob a.npz",
        "extract-features n.caffemodel m.prototxt prob mean.npy",
        "extract-features n.caffemodel n.prototxt prob a.npy --pictures pictures",
        "classify n.prototxt n.caffemodel pictures --output a.npy",
        f"detect w.csv a.npz {OPTIONS}",
    ):
        assert "cannot be written: it is " in run(words, 2).output
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_extract_features_reads_and_writes_databases(folder: Path) -> None:
    """A net with a Data layer: its size is that of the pictures, which are cut in the middle, as they are."""
    pytest.importorskip("lmdb")
    from cortado.compat.pycaffe import io
    from cortado.compat.pycaffe.proto import caffe_pb2

    (folder / "plain.prototxt").write_text(NET.replace("dim: 2 dim: 3 dim: 4 dim: 4", "dim: 1 dim: 3 dim: 5 dim: 6"))
    run("extract-features n.caffemodel plain.prototxt data,mean data_lmdb,mean_lmdb lmdb --pictures pictures --bgr")
    import lmdb

    with lmdb.open("mean_lmdb", readonly=True) as database, database.begin() as transaction:
        made = [(bytes(key), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()]
    assert [key for key, _ in made] == [b"0000000000", b"0000000001", b"0000000002"]
    assert (made[1][1].channels, made[1][1].height, made[1][1].width) == (3, 1, 1)
    assert list(made[1][1].float_data) == [64, 192, 0] and not made[1][1].HasField("label")
    done = run("extract-features n.caffemodel n.prototxt prob out.npy --pictures data_lmdb", 2)
    assert "a picture is u8 [1,H,W] or [3,H,W], and this is float64 [3, 5, 6]" in done.output
    pixels = np.zeros((3, 5, 6), np.uint8)
    pixels[:, 1:3, 1:5] = np.array([64, 0, 128], np.uint8).reshape(3, 1, 1)  # blue, green, red
    with lmdb.open("pictures_lmdb", map_size=1 << 20) as database, database.begin(write=True) as transaction:
        transaction.put(b"0", io.array_to_datum(pixels, 1).SerializeToString())
        packed = caffe_pb2.Datum(encoded=True, data=(folder / "pictures" / "b.png").read_bytes())
        transaction.put(b"1", packed.SerializeToString())
    data = """layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
      transform_param { crop_size: 2 scale: 2 } data_param { source: "pictures_lmdb" batch_size: 1 backend: LMDB } }"""
    (folder / "d.prototxt").write_text(data + BODY)
    run("extract-features n.caffemodel d.prototxt prob out.npy 3")
    first, second = softmax(128, 0, 256), softmax(2 * 64, 2 * 192, 0)
    np.testing.assert_allclose(np.load("out.npy"), [first, second, first], rtol=1e-5)


def test_time_prints_every_layer_once(folder: Path) -> None:
    said = run("time -model n.prototxt -iterations 2").stdout.splitlines()
    assert said[0] == "Average time per layer: " and said[-1].startswith("Total Time: ")
    names = [line.split("\t")[0].strip() for line in said[1:-2]]
    assert names == ["data", "mean", "fc", "flat", "prob"]
    assert said[1] == "      data\tforward: nothing to compute."
    for line in said[2:-2]:
        assert re.search(r"\tforward: ([\d.e-]+ ms|with \w+)\.$", line), line
    data = 'layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "x" batch_size: 1 } }'
    (folder / "d.prototxt").write_text(data + BODY)
    assert '"data", which layer "data" (Data) would read' in run("time d.prototxt", 2).output
    assert "Average Forward pass" in run("time d.prototxt --iterations 1 --shape data=1,3,4,4").stdout
    assert "write it without ?" in run("time d.prototxt --shape data=?1,3,4,4", 2).output
    found = json.loads(run("time n.prototxt n.caffemodel --iterations 2 --json").stdout)
    assert found["iterations"] == 2 and found["forward"] > 0
    timed = {layer["name"] for layer in found["layers"] if layer["forward"]}
    assert timed and all(layer["with"] in timed for layer in found["layers"] if layer["with"])
