"""What a data layer's transform_param says becomes the input's preprocessing, as data_transformer.cpp has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cortado.cli import main
from cortado.compiler.errors import CompileError
from cortado.driver import Options, compile_net, read_net
from cortado.driver import compile as compile_file
from cortado.frontends.files.schema import message_class
from cortado.runtime.artifact import Preprocessing, read
from cortado.runtime.preprocess import read_input

NET = """
layer {{ name: "data" type: "{type}" top: "data" {settings} }}
layer {{ name: "copy" type: "Power" bottom: "data" top: "copy" power_param {{ scale: 1 }} }}
"""
IMAGES = "image_data_param { batch_size: 1 new_height: 4 new_width: 5 }"
SHAPE: dict[str, Any] = {"data": (1, 3, 4, 5)}


def write_net(folder: Path, settings: str, type: str = "ImageData") -> Path:
    (folder / "n.prototxt").write_text(NET.format(type=type, settings=settings))
    return folder / "n.prototxt"


def write_mean(path: Path, mean: np.ndarray) -> None:
    """A picture [C,H,W] as Caffe's compute_image_mean writes it."""
    blob: Any = message_class("BlobProto")()
    blob.num, (blob.channels, blob.height, blob.width) = 1, mean.shape
    blob.data.extend(mean.ravel().tolist())
    path.write_bytes(blob.SerializeToString())


def cortado(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def transform_as_caffe(
    bgr: np.ndarray, crop: tuple[int, int], mean: np.ndarray | None, values: list[float], scale: float
) -> np.ndarray:
    """DataTransformer::Transform(const cv::Mat&, Blob*) at TEST, loop by loop; `bgr` is u8 [H,W,3]."""
    img_height, img_width, channels = bgr.shape
    height, width = crop
    h_off, w_off = (img_height - height) // 2, (img_width - width) // 2
    out = np.zeros((channels, height, width), np.float32)
    for h in range(height):
        for w in range(width):
            for c in range(channels):
                pixel = np.float32(bgr[h_off + h, w_off + w, c])
                if mean is not None:
                    out[c, h, w] = (pixel - mean[c, h_off + h, w_off + w]) * np.float32(scale)
                elif values:
                    out[c, h, w] = (pixel - np.float32(values[c])) * np.float32(scale)
                else:
                    out[c, h, w] = pixel * np.float32(scale)
    return out


CASES: dict[str, tuple[str, bool, list[float], float]] = {
    "nothing": ("", False, [], 1),
    "scale": ("scale: 0.00390625", False, [], 0.00390625),
    "values": ("mean_value: 104 mean_value: 117.5 mean_value: 123", False, [104, 117.5, 123], 1),
    "one value": ("mean_value: 100 scale: 0.017", False, [100, 100, 100], 0.017),
    "a picture": ('mean_file: "m.binaryproto" scale: 0.5', True, [], 0.5),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("crop", ["", "crop_size: 3", "crop_h: 2 crop_w: 3"])
def test_the_numbers_are_those_of_caffes_code(name: str, crop: str, tmp_path: Path) -> None:
    settings, with_mean, values, scale = CASES[name]
    random = np.random.default_rng(1)
    rgb, mean = random.integers(0, 256, (4, 5, 3), np.uint8), random.random((3, 4, 5), np.float32) * 255
    Image.fromarray(rgb).save(tmp_path / "p.png")
    write_mean(tmp_path / "m.binaryproto", mean)
    net = write_net(tmp_path, f"{IMAGES} transform_param {{ {settings} {crop} }}")
    size = {"": (4, 5), "crop_size: 3": (3, 3), "crop_h: 2 crop_w: 3": (2, 3)}[crop]
    wanted = transform_as_caffe(rgb[..., ::-1], size, mean if with_mean else None, values, scale)
    assert cortado("compile", net, "-o", tmp_path / "n.cortado").exit_code == 0
    done = cortado("run", tmp_path / "n.cortado", "--input", tmp_path / "p.png", "--output-file", tmp_path / "o.npz")
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "o.npz") as arrays:
        assert np.array_equal(arrays["copy"][0], wanted)


def test_by_hand(tmp_path: Path) -> None:
    """A 2x4 picture; 2x2 from its middle: columns 1 and 2. Blue: (b - 10) * 2."""
    rgb = np.zeros((2, 4, 3), np.uint8)
    rgb[..., 2] = [[1, 12, 13, 4], [5, 16, 17, 8]]  # blue
    rgb[..., 0] = 50  # red
    Image.fromarray(rgb).save(tmp_path / "p.png")
    net = write_net(
        tmp_path,
        "image_data_param { batch_size: 1 new_height: 2 new_width: 4 } transform_param { crop_size: 2 scale: 2 "
        "mean_value: 10 mean_value: 20 mean_value: 30 }",
    )
    form = read_net(net).preprocessing["data"]
    assert form == Preprocessing(mean=(10, 20, 30), scale=2, crop=(2, 2), resize=(2, 4))
    assert read_input(tmp_path / "p.png", (1, 3, 2, 2), form).tolist() == [
        [[4, 6], [12, 14]],
        [[-40, -40], [-40, -40]],
        [[40, 40], [40, 40]],
    ]


FORMS: dict[str, tuple[str, str, dict[str, tuple[int, ...]], Preprocessing | None]] = {
    "nothing to do": ("ImageData", IMAGES, {}, None),
    "training's random choices only": ("ImageData", f"{IMAGES} transform_param {{ mirror: true }}", {}, None),
    "of a database": ("Data", "transform_param { mean_value: 5 }", SHAPE, Preprocessing(mean=(5,))),
    "in memory": (
        "MemoryData",
        "memory_data_param { batch_size: 1 channels: 1 height: 2 width: 2 } transform_param { scale: 2 }",
        {},
        Preprocessing(scale=2),
    ),
    "grey": (
        "ImageData",
        "image_data_param { batch_size: 1 is_color: false new_height: 4 new_width: 4 } transform_param { scale: 2 }",
        {},
        Preprocessing(scale=2),
    ),
    "force_gray and a cut": (
        "Data",
        "data_param { batch_size: 2 } transform_param { force_gray: true crop_size: 4 }",
        {},
        Preprocessing(crop=(4, 4)),
    ),
    "SSD's resize_param": (
        "AnnotatedData",
        "transform_param { mean_value: 104 resize_param { resize_mode: WARP height: 6 width: 7 } crop_h: 4 crop_w: 5 }",
        SHAPE,
        Preprocessing(mean=(104,), resize=(6, 7), crop=(4, 5)),
    ),
    "a shape that is no cut": (
        "Data",
        "data_param { batch_size: 1 } transform_param { crop_size: 7 }",
        SHAPE,
        None,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str, tmp_path: Path) -> None:
    type, settings, shapes, wanted = FORMS[name]
    found = read_net(write_net(tmp_path, settings, type), None, Options(shapes=shapes))
    assert dict(found.preprocessing) == ({} if wanted is None else {"data": wanted})


def test_a_file_of_the_v1_format(tmp_path: Path) -> None:
    """Caffe moves the older fields to transform_param in V1 files alone (UpgradeNetDataTransformation)."""
    net, shape = tmp_path / "n.prototxt", {"x": (2, 3, 6, 6)}
    settings = 'top: "x" data_param { batch_size: 2 scale: 0.5 crop_size: 6 }'
    net.write_text(
        f'layers {{ name: "d" type: DATA {settings} }} layers {{ name: "c" type: POWER bottom: "x" top: "c" }}'
    )
    assert read_net(net, None, Options(shapes=shape)).preprocessing == {"x": Preprocessing(scale=0.5, crop=(6, 6))}
    net.write_text(
        f'layer {{ name: "d" type: "Data" {settings} }} layer {{ name: "c" type: "Power" bottom: "x" top: "c" }}'
    )
    found = read_net(net, None, Options(shapes=shape))
    assert not found.preprocessing
    assert found.warnings == (
        'layer "d" (Data): scale of data_param has no effect in Caffe, which reads transform_param',
    )


def test_warnings(tmp_path: Path) -> None:
    def warnings(settings: str, type: str = "Data", **shapes: Any) -> list[str]:
        file = read_net(write_net(tmp_path, settings, type), None, Options(shapes=shapes))
        return [w.removeprefix(f'layer "data" ({type}): ') for w in file.warnings]

    drawn = "mirror, expand_param is drawn at random in Caffe, and is not done here"
    assert warnings("transform_param { mirror: true expand_param { } }", **SHAPE) == [drawn]
    assert warnings("transform_param { mirror: false scale: 2 }", **SHAPE) == []
    (sentence,) = warnings("transform_param { mean_value: 1 mean_value: 2 }", "VideoData", data=(1, 9, 4, 5))
    assert sentence.startswith("its transform_param is not kept")
    (sentence,) = warnings("transform_param { crop_size: 4 }", data=(1, 3, 4, 4))
    assert sentence.startswith("it does not say how large its pictures are") and "--resize" in sentence
    (sentence,) = warnings("transform_param { crop_size: 4 }", **SHAPE)
    assert sentence == "crop_size is 4x4, and the input is f32[1,3,4,5]: that counts"
    (sentence,) = warnings("transform_param { resize_param { resize_mode: FIT_SMALL_SIZE height: 2 } }", **SHAPE)
    assert sentence.startswith("resize_param of FIT_SMALL_SIZE is not kept")


FAULTS = {
    "two means": ('mean_value: 1 mean_file: "m"', "has both mean_file and mean_value", "mean_file"),
    "means of other channels": ("mean_value: 1 mean_value: 2", "has 2 mean_value, and 3 channels", "mean_value"),
    "two colours": ("force_color: true force_gray: true", "has both force_color and force_gray", "force_gray"),
    "no colours": ("force_gray: true", "has force_gray, which makes 1 channels, and its input has 3", "force_gray"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_caffe_refuses_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    settings, sentence, field = FAULTS[name]
    net = write_net(tmp_path, f"{IMAGES} transform_param {{ {settings} }}")
    with pytest.raises(CompileError) as e:
        read_net(net)
    error = e.value.errors[0] if hasattr(e.value, "errors") else e.value
    assert sentence in error.message and error.loc is not None
    line = net.read_text().splitlines()[error.loc.line - 1]
    assert line[error.loc.column - 1 :].startswith(field)


def test_hdf5_data_are_not_transformed(tmp_path: Path) -> None:
    net = write_net(tmp_path, "transform_param { scale: 2 }", "HDF5Data")
    with pytest.raises(CompileError, match="does not transform its data"):
        read_net(net, None, Options(shapes=SHAPE))


def test_a_mean_picture_that_is_not_here_is_told(tmp_path: Path) -> None:
    net, out = (
        write_net(tmp_path, f'{IMAGES} transform_param {{ scale: 2 mean_file: "m.bin" }}'),
        tmp_path / "n.cortado",
    )
    told = cortado("compile", net, "-o", out)
    sentence = 'its mean picture "m.bin" is not here, so none is subtracted; give it by --mean FILE'
    assert told.exit_code == 0 and sentence in told.output
    assert read(out).preprocessing == {"data": Preprocessing(scale=2)}
    told = cortado("compile", net, "-o", out, "--mean", "7")
    assert told.exit_code == 0 and "mean picture" not in told.output
    assert read(out).preprocessing == {"data": Preprocessing(scale=2, mean=(7,))}
    assert not read_net(net, None, Options(preprocessing={"data": Preprocessing()})).warnings
    with pytest.warns(UserWarning, match="mean picture") as given:
        compile_file(net)
    assert [(str(w.message).partition(": ")[2], w.filename) for w in given] == [(sentence, __file__)]
    (tmp_path / "m.bin").write_bytes(b"\xff" * 30)
    assert "cannot be read" in cortado("compile", net, "-o", out).output
    (tmp_path / "m.bin").unlink()
    (tmp_path / "m.bin").mkdir()
    assert "is not here" in cortado("compile", net, "-o", out).output


@pytest.mark.parametrize(("option", "number"), [("--scale", "1e+40"), ("--raw-scale", "1e+40"), ("--mean", "inf")])
def test_what_is_infinite_as_an_f32_is_refused(option: str, number: str, tmp_path: Path) -> None:
    """One sentence, without NumPy's warning of the overflow."""
    net = write_net(tmp_path, IMAGES)
    told = cortado("compile", net, "-o", tmp_path / "n.cortado", option, "1e40")
    word = option.strip("-").replace("-", " ")
    assert told.exit_code == 2
    assert f'the {word} of the input "data" is {number}, and has to be finite as an f32' in told.output
    assert "overflow" not in told.output


def test_a_mean_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    net = write_net(tmp_path, 'transform_param { mean_file: "m.binaryproto" crop_size: 3 }', "Data")
    for shape, sentence in (((1, 4, 5), "has 1 channels"), ((3, 2, 9), "of which 3x3 cannot be cut")):
        write_mean(tmp_path / "m.binaryproto", np.ones(shape, np.float32))
        with pytest.raises(CompileError, match=sentence):
            compile_net(net, None, Options(shapes={"data": (1, 3, 3, 3)}))


def test_the_command_line_counts_and_says_so(tmp_path: Path) -> None:
    settings = f"{IMAGES} transform_param {{ scale: 2 mean_value: 1 mean_value: 2 mean_value: 3 }}"
    net, out = write_net(tmp_path, settings), tmp_path / "n.cortado"
    told = cortado("compile", net, "-o", out, "--mean", "4", "--scale", "2", "--rgb")
    assert '--mean counts, and not what the file says of "data": 1,2,3' in told.output
    assert "--scale counts" not in told.output and "--rgb counts" not in told.output
    assert "picture  data: red, green, blue; minus 4; times 2" in told.output
    assert read(out).preprocessing == {"data": Preprocessing(mean=(4,), scale=2, bgr=False)}
    again = cortado("compile", out, "-o", tmp_path / "m.cortado", "--scale", "3")
    assert '--scale counts, and not what the file says of "data": 2' in again.output
    assert read(tmp_path / "m.cortado").preprocessing == {"data": Preprocessing(mean=(4,), scale=3, bgr=False)}


def test_show_tells_it_beside_the_text(tmp_path: Path) -> None:
    net = write_net(tmp_path, f"{IMAGES} transform_param {{ scale: 0.5 crop_size: 3 }}")
    words = 'note: pictures for "data": resized to 4x5; 3x3 cut from the middle; blue, green, red; times 0.5\n'
    shown = cortado("show", net)
    assert shown.stderr == words
    (tmp_path / "n.net").write_text(shown.stdout)
    assert cortado("show", tmp_path / "n.net").stdout == shown.stdout
    assert cortado("compile", net, "-o", tmp_path / "n.cortado").exit_code == 0
    assert cortado("show", tmp_path / "n.cortado").stderr == words
    told = json.loads(cortado("show", tmp_path / "n.cortado", "--json").stdout)["preprocessing"]["data"]
    assert (told["scale"], told["crop"], told["resize"]) == (0.5, [3, 3], [4, 5])


def test_it_can_be_folded(tmp_path: Path) -> None:
    net = tmp_path / "n.prototxt"
    net.write_text(
        f'layer {{ name: "data" type: "ImageData" top: "data" {IMAGES}'
        " transform_param { scale: 2 mean_value: 3 } }\n"
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 1 kernel_size: 1'
        " } }\n"
    )
    options = Options(fold_preprocessing=True)
    made = compile_net(net, lambda layer, type, i, shape: np.ones(shape), options)
    assert made.artifact.preprocessing == {"data": Preprocessing()}
    # three channels of (10 - 3) * 2, and a bias of 1
    assert made.load()(data=np.full((1, 3, 4, 5), 10, np.float32))["c"].ravel().tolist() == [43.0] * 20
