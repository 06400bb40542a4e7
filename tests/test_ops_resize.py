"""Images at another size: operators against numbers worked out by hand, and the forks' layers made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cortado.compiler.ops.pool import MaxPool
from cortado.compiler.ops.resize import Interp, Resize, Unpool, Upsample
from cortado.compiler.types import AtMost, TensorType
from cortado.runtime.primitive_table import PRIMITIVE_TABLE
from cortado.runtime.primitives import IMPLEMENTATIONS, CallSite, Operand, PackedWeights

from .small_nets import Nets, arange, data, f32, layer


@pytest.fixture(autouse=True)
def one_thread_and_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


F16 = TensorType("f16", (1, 1, 30, 40))


@pytest.mark.parametrize(("wrong", "sentence"), [
    (lambda: Interp(sizes=(3,)).infer(f32(1, 1, 4, 4)), "sizes has 1 numbers, the image 2 axes"),
    (lambda: Interp(sizes=(3, 0)).infer(f32(1, 1, 4, 4)), "a size is 1 or more, not 0"),
    (lambda: Interp(shrink=0).infer(f32(1, 1, 4)), "shrink is 1 or more, not 0"),
    (lambda: Interp(zoom=2, times=2).infer(f32(1, 1, 4)), "give sizes, or shrink and zoom, or times"),
    (lambda: Interp(zoom=2, trim=(2, 2)).infer(f32(1, 1, 4)), "trimmed by 2 and 2"),
    (lambda: Interp(trim=(-1, 0)).infer(f32(1, 1, 4)), "trim is 0 or more"),
    (lambda: Interp(zoom=2).infer(f32(1, 4)), r"takes images \[n, c, \.\.\.\]"),
    (lambda: Interp(zoom=2).infer(f32(1, 1, AtMost(4), 4)), "has to be known"),
    (lambda: Upsample(scale=(0,)).infer(f32(1, 1, 4)), "scale is 1 or more"),
    (lambda: Upsample(scale=(2, 3)).infer(f32(1, 1, 4)), "scale has 2 numbers, the image 1 axes"),
    (lambda: Unpool().infer(f32(1, 2, 4), f32(1, 1, 4)), "the mask has to have the shape of x"),
    (lambda: Unpool(sizes=(2,)).infer(f32(1, 2, 4, 4), f32(1, 2, 4, 4)), "sizes has 1 numbers, the image 2 axes"),
    (lambda: Unpool(cut=(8,)).infer(f32(1, 2, 4), f32(1, 2, 4)), "nothing is left of a plane of"),
    (lambda: Unpool().infer(F16, F16), "f16 cannot hold the indices of a plane of 4800"),
])  # fmt: skip
def test_what_cannot_be(wrong: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        wrong()


def test_interp_puts_corners_on_corners() -> None:
    """Positions are float32 as in Caffe: at most 2^-22 off, between neighbours that differ by at most 6."""

    def close(found: torch.Tensor, expected: list[list[list[float]]]) -> None:
        expected_numbers = torch.tensor(expected, dtype=torch.float32)
        torch.testing.assert_close(found, expected_numbers, rtol=0, atol=6 * 2**-22)

    x = torch.tensor([[[0.0, 3.0, 9.0]]])
    close(Interp(sizes=(5,)).reference(x), [[[0, 1.5, 3, 6, 9]]])
    close(Interp(sizes=(2,)).reference(x), [[[0, 9]]])
    close(Interp(sizes=(1,)).reference(x), [[[0]]])
    close(Interp(sizes=(4,)).reference(x), [[[0, 2, 5, 9]]])  # thirds of the way: 0, 2/3, 4/3, 2
    close(Interp(zoom=3).reference(x), [[[0, 1, 2, 3, 5, 7, 9]]])
    close(Interp(shrink=2).reference(x), [[[0, 9]]])
    close(Interp(shrink=2, zoom=3).reference(x), [[[0, 2, 5, 9]]])  # one step, to (3 - 1) // 2 * 3 + 1
    close(Interp(times=2).reference(x[..., :2]), [[[0, 1, 2, 3]]])
    close(Interp(trim=(1, 0), zoom=2).reference(x), [[[3, 6, 9]]])
    close(Interp(trim=(0, 1)).reference(x), [[[0, 3]]])
    assert Interp().infer(f32(AtMost(7), 2, 5, 6)) == f32(AtMost(7), 2, 5, 6)


def test_interp_of_two_axes() -> None:
    x = torch.tensor([[[[0.0, 4.0], [8.0, 16.0]]]])
    assert Interp(sizes=(3, 2)).reference(x).tolist() == [[[[0, 4], [4, 10], [8, 16]]]]
    assert Interp(zoom=2).reference(x).tolist() == [[[[0, 2, 4], [4, 7, 10], [8, 12, 16]]]]
    assert Interp(sizes=(2, 3)).reference(torch.full((1, 1, 1, 1), 5.0)).tolist() == [[[[5, 5, 5], [5, 5, 5]]]]


def test_upsample_repeats() -> None:
    assert Upsample(scale=(2,)).reference(arange(1, 1, 2)).tolist() == [[[0, 0, 1, 1]]]
    assert Upsample(scale=(1, 3)).reference(arange(1, 1, 2, 2)).tolist() == [[[[0, 0, 0, 1, 1, 1], [2, 2, 2, 3, 3, 3]]]]


def test_unpool_puts_back() -> None:
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    places = torch.tensor([[[[5.0, 2.0]], [[0.0, 7.0]]]])
    made = Unpool().reference(x, places)
    assert made.tolist() == [[[[0, 0, 2, 0], [0, 1, 0, 0]], [[3, 0, 0, 0], [0, 0, 0, 4]]]]
    assert Unpool(cut=(0, 1), scale=(2,)).infer(f32(2, 3, 4, 5), f32(2, 3, 4, 5)) == f32(2, 3, 8, 9)
    assert Unpool(sizes=(7, 9)).infer(f32(2, 3, 4, 5), f32(2, 3, 4, 5)) == f32(2, 3, 7, 9)
    assert Unpool(sizes=(2,)).reference(arange(1, 1, 3), torch.tensor([[[1.9, 0.0, 1.0]]])).tolist() == [[[1, 2]]]
    with pytest.raises(ValueError, match="the mask holds the index 4 for a plane of 4"):
        Unpool().reference(arange(1, 1, 2), torch.tensor([[[4.0, 0.0]]]))


def test_a_mask_of_f16_pictures_is_f32() -> None:
    """f16 counts to 2048 without a gap, and a plane has more places."""
    x = torch.zeros(1, 1, 60, 60, dtype=torch.float16)
    x[..., 59, 58] = 1
    _, where = MaxPool(kernel=None, mask=True).reference(x)
    assert where.item() == 59 * 60 + 58
    pool = MaxPool(kernel=(2,), stride=(2,), mask=True)
    assert pool.infer_types([TensorType("f16", (1, 1, 4, 4))])[1] == f32(1, 1, 2, 2)


CASES = [
    (Interp(sizes=(7, 3)), (2, 5, 4, 6)),
    (Interp(sizes=(1, 9)), (1, 3, 5, 5)),
    (Interp(zoom=3, shrink=2), (2, 3, 5, 8)),
    (Interp(times=2), (1, 2, 3, 4)),
    (Interp(trim=(1, 2), zoom=2), (1, 3, 6, 5)),
    (Interp(trim=(1, 0)), (2, 3, 4, 4)),
    (Interp(sizes=(5,)), (2, 3, 4)),
    (Interp(sizes=(3, 5, 2)), (1, 2, 4, 3, 3)),
    (Upsample(scale=(2, 3)), (2, 3, 4, 5)),
    (Upsample(scale=(2,)), (2, 3, 4)),
    (Upsample(scale=(2,)), (1, 2, 2, 3, 2)),
    (Unpool(), (2, 3, 4, 5)),
    (Unpool(cut=(1, 0)), (2, 3, 4, 5)),
    (Unpool(sizes=(2, 2)), (1, 2, 5, 5)),  # many numbers for each place
    (Unpool(scale=(3,)), (1, 2, 5)),
    (Unpool(scale=(1,)), (1, 2, 2, 3, 4)),
]


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "part"])
@pytest.mark.parametrize(("op", "shape"), CASES, ids=str)
def test_primitives_mean_the_same(op: Any, shape: tuple[int, ...], layout: str) -> None:
    operands = [torch.randn(shape)]
    (type,) = op.infer_types([f32(*shape)] * (2 if isinstance(op, Unpool) else 1))
    if isinstance(op, Unpool):
        operands.append(torch.randint(0, int(np.prod(type.shape[2:])), shape).float())

    def laid(t: torch.Tensor) -> torch.Tensor:
        if layout == "part":
            return torch.cat([t * torch.nan, t, t * torch.nan], 1)[:, shape[1] : 2 * shape[1]]
        return t.movedim(1, -1).contiguous().movedim(-1, 1) if layout == "nhwc" else t.clone()

    given, result = [laid(t) for t in operands], laid(torch.full(type.shape, torch.nan))
    attributes = {k: list(v) if isinstance(v, tuple) else v for k, v in op.all_attributes().items()}
    complete = PRIMITIVE_TABLE[op.name].complete(attributes)
    shapes = IMPLEMENTATIONS[op.name].infer_shapes
    assert shapes is not None and list(shapes(complete, [shape] * len(given), [type.shape])) == [type.shape]
    made = CallSite(
        complete, tuple(Operand(t.dtype, shape) for t in given), (Operand(torch.float32, type.shape),), PackedWeights()
    )
    run = IMPLEMENTATIONS[op.name].prepare(made)
    for _ in range(2):  # nothing is left over from a run
        run([result], given)
        torch.testing.assert_close(result, op.reference(*operands), rtol=0, atol=2e-6)


@pytest.mark.parametrize("place", [-1.0, 8.0, float("nan")])
def test_a_mask_that_leaves_the_plane(nets: Nets, place: float) -> None:
    """Caffe ends the program there, or writes elsewhere."""
    text = data(1, 1, 1, 2) + data(1, 1, 1, 2, name="mask") + layer("Upsample", bottoms=("data", "mask"))
    net = nets.compile(text)
    good = net(data=arange(1, 1, 1, 2).numpy() + 1, mask=np.array([[[[0, 7]]]], np.float32))["y"]
    assert good.tolist() == [[[[1, 0, 0, 0], [0, 0, 0, 2]]]]
    with pytest.raises(ValueError, match=r"the mask holds the index -?[0-9]+ for a plane of 8"):
        net(data=np.zeros((1, 1, 1, 2), np.float32), mask=np.array([[[[place, 0]]]], np.float32))


def test_upsample_with_one_bottom_and_with_two(nets: Nets) -> None:
    x = arange(1, 1, 2, 2).numpy()
    assert nets.run(data(1, 1, 2, 2) + layer("Upsample"), {"data": x})["y"].tolist() == x.tolist()
    twice = x.repeat(2, 2).repeat(2, 3).tolist()
    assert (
        nets.run(data(1, 1, 2, 2) + layer("Upsample", "upsample_param { scale: 2 }"), {"data": x})["y"].tolist()
        == twice
    )
    darknet = layer("UpsampleDarknet", "upsample_darknet_param { stride: 2 }")
    assert nets.run(data(1, 1, 2, 2) + darknet, {"data": x})["y"].tolist() == twice


def test_upsample_by_the_mask_of_an_earlier_pool_with_rest(nets: Nets) -> None:
    """Five columns pool to three; back again they are pad_out_w's five."""
    text = data(2, 3, 4, 5) + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" top: "m" pooling_param {'
    text += " kernel_size: 2 stride: 2 } }" + layer("Upsample", "upsample_param { pad_out_w: true }", ("p", "m"))
    x = torch.randn(2, 3, 4, 5)
    made = torch.from_numpy(nets.run(text, {"data": x})["y"])
    assert made.shape == x.shape and torch.equal(made[made != 0], x[made != 0])
    assert int((made != 0).sum()) == 2 * 3 * 2 * 3


@pytest.mark.parametrize(("bottoms", "settings", "said"), [
    (2, "upsample_h: 4", "upsample_h and upsample_w go together"),
    (2, "scale_w: 3", "scale_h and scale_w go together"),
    (2, "scale: 2 scale_h: 2 scale_w: 2", "scale and scale_h, scale_w are both given"),
    (2, "scale: 1", "scale has to be 2 or more, in Caffe too"),
    (2, "scale: 3 pad_out_h: true", "pad_out_h is for a scale of 2, and this is 3"),
    (1, "scale: 0", "scale is 1 or more"),
    (1, "scale_h: 2 scale_w: 2", "in mobilenet-yolo, it has no scale_h; in segnet, it takes 2 bottoms"),
])  # fmt: skip
def test_upsample_refused(nets: Nets, bottoms: int, settings: str, said: str) -> None:
    text = data(1, 1, 2, 2) + data(1, 1, 2, 2, name="m")
    assert said in nets.expect_refusal(
        text + layer("Upsample", f"upsample_param {{ {settings} }}", ("data", "m")[:bottoms])
    )


@pytest.mark.parametrize(("settings", "said"), [
    ("", "no field sets the size of the result"),
    ("height: 5", "no field sets the size of the result"),
    ("zoom_factor: 0", "zoom_factor is 1 or more"),
    ("zoom_factor: 2 pad_beg: 1", "pad_beg is 0, or less to cut"),
    ("zoom_factor: 2 pad_beg: -4", "trimmed by 4 and 0"),
    ("full_zoom_factor: 2 zoom_factor: 2", "full_zoom_factor and other fields both set the size"),
    ("zoom_factor: 2 use_blob_size: true", "use_blob_size: true goes with a second bottom"),
])  # fmt: skip
def test_interp_refused(nets: Nets, settings: str, said: str) -> None:
    refused = nets.expect_refusal(data(1, 1, 4, 4) + layer("Interp", f"interp_param {{ {settings} }}"))
    assert said in refused and "net.prototxt:" in refused


def test_a_factor_alone_wins_over_a_size_and_says_so(nets: Nets) -> None:
    text = data(1, 1, 2, 3) + layer("Interp", "interp_param { height: 9 width: 9 zoom_factor: 2 }")
    made = nets.compilation(text)
    assert made.load()(data=np.zeros((1, 1, 2, 3), np.float32))["y"].shape == (1, 1, 3, 5)
    (warning,) = made.file.warnings
    assert warning == 'layer "l" (Interp) has a zoom_factor, so Caffe ignores its height and width'


def test_a_zoom_follows_the_picture(nets: Nets) -> None:
    """A net is compiled again for another shape out of what its layers say, not out of the sizes they once made."""
    net = nets.compile(data(1, 1, 2, 2) + layer("Interp", "interp_param { zoom_factor: 2 }"))
    assert net(data=np.zeros((2, 1, 4, 3), np.float32))["y"].shape == (2, 1, 7, 5)


@pytest.mark.parametrize(("op", "shapes", "wanted"), [
    (Resize(axis=0, axes=1, sizes=(7,)), ((4,),), [0, 0.5, 1, 1.5, 2, 2.5, 3]),
    (Resize(axis=0, axes=1, sizes=(2,), align="edges"), ((4,),), [0, 2]),
    (Resize(axis=0, axes=1, sizes=(8,), align="centers"), ((4,),), [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]),
    (Resize(axis=0, axes=1, sizes=(1,), align="centers"), ((4,),), [1.5]),
    (Resize(axis=0, axes=1, sizes=(1,), align="torch"), ((4,),), [0]),
    (Resize(axis=0, axes=1, sizes=(7,), how="nearest"), ((4,),), [0, 1, 1, 2, 2, 3, 3]),
    (Resize(axis=0, axes=1, sizes=(8,), how="nearest", align="onnx"), ((4,),), [0, 0, 0, 1, 1, 2, 2, 3]),
    (Resize(axis=0, axes=1, sizes=(3,), how="nearest", align="centers"), ((4,),), [0, 2, 3]),
    (Resize(axis=0, axes=1, sizes=(3,), how="nearest", align="edges"), ((4,),), [0, 1, 2]),
    (Resize(axis=0, axes=1, scale=(0.6,), align="edges"), ((4,),), [0, 2]),
    (Resize(axis=0, axes=1, multiple=4), ((3,),), [0, 2 / 3, 4 / 3, 2]),
    (Resize(axis=0, axes=1, multiple=4, enlarge=True), ((4,),), [0, 1, 2, 3]),
    (Resize(axis=0, axes=1, sizes=(3,), enlarge=True), ((4,),), [0, 1, 2, 3]),
    (Resize(axis=0, axes=1), ((2,), (3,), (1,)), [0, 0.5, 1]),
])  # fmt: skip
def test_resize_by_hand(op: Resize, shapes: Any, wanted: list[float]) -> None:
    found = op.reference(*(arange(*shape) for shape in shapes))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)
    (type,) = op.infer_types([f32(*shape) for shape in shapes])
    assert type.shape == found.shape


@pytest.mark.parametrize(("op", "shape", "said"), [
    (Resize(how="cubic"), (1, 1, 2, 2), '"cubic" and "corners" are no way to resize'),
    (Resize(how="nearest", align="torch"), (1, 1, 2, 2), '"nearest" and "torch" are no way'),
    (Resize(), (1, 2, 2), "there are no 2 dimensions from 2 on"),
    (Resize(sizes=(1,)), (1, 1, 2, 2), "sizes and scale have 2 numbers"),
    (Resize(multiple=0), (1, 1, 2, 2), "multiple is 1 or more"),
    (Resize(scale=(0.1, 1.0)), (1, 1, 2, 2), r"cannot be resized to \[0, 2\]"),
])  # fmt: skip
def test_resize_refused(op: Resize, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        op.infer_types([f32(*shape)])


def test_interp_to_the_size_of_a_blob(nets: Nets) -> None:
    """At another size, too: the second bottom's is what counts, and none is kept."""
    text = layer("Interp", "interp_param { use_blob_size: true }", ("data", "like"))
    x = arange(1, 1, 2, 2).numpy()
    net = nets.compile(data(1, 1, 2, 2) + data(1, 3, 3, 2, name="like") + text)
    assert net(data=x, like=np.zeros((1, 3, 3, 2), np.float32))["y"].tolist() == [[[[0, 1], [1, 2], [2, 3]]]]
    assert net(data=x, like=np.zeros((1, 3, 2, 3), np.float32))["y"].tolist() == [[[[0, 0.5, 1], [2, 2.5, 3]]]]


ONE_IMAGE = data(1, 1, 2, 2) + data(1, 1, 3, 3, name="like")


def test_accum(nets: Nets) -> None:
    """To the largest size, which only a larger multiple along both axes replaces; or to the last bottom's."""
    x, like = arange(1, 1, 2, 2).numpy(), np.ones((1, 1, 3, 3), np.float32)
    both = nets.run(ONE_IMAGE + layer("Accum", "", ("data", "like")), {"data": x, "like": like})["y"]
    assert both.shape == (1, 2, 3, 3) and both[0, 0].tolist() == [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]
    last = layer("Accum", "accum_param { have_reference: true }", ("data", "like"))
    assert nets.run(ONE_IMAGE + last, {"data": x, "like": like})["y"].tolist() == both[:, :1].tolist()
    net = nets.compile(data(1, 1, 2, 2) + layer("Accum", "accum_param { size_divisible_by: 3 }"))
    assert net(data=x)["y"].shape == (1, 1, 3, 3)
    assert net(data=np.zeros((1, 1, 4, 5), np.float32))["y"].shape == (1, 1, 6, 6)
    assert net(data=np.zeros((1, 1, 3, 5), np.float32))["y"].shape == (1, 1, 3, 5)  # 3 is a multiple already


@pytest.mark.parametrize(("text", "said"), [
    (layer("Interp", "interp_param { height: 3 width: 3 }", ("data", "like")), "use_blob_size: true goes with"),
    (layer("Interp", "interp_param { use_blob_size: true zoom_factor: 2 }", ("data", "like")), "both set the size"),
    (layer("Accum", "accum_param { size_divisible_by: 0 }"), "size_divisible_by is 1 or more"),
    (layer("Accum", "accum_param { have_reference: true }"), "have_reference needs a second bottom"),
    (layer("ResizeBilinear", 'resize_bilinear_param { data_format: "CHW" }'), "is NHWC, NCHW, NCHWD, not CHW"),
    (layer("ResizeBilinear", 'resize_bilinear_param { data_format: "NCHWD" }'), "NCHWD has 5 axes"),
    (layer("ResizeBilinear", "resize_bilinear_param { align_corners: true half_pixel_centers: true }"), "are both set"),
    (layer("ResizeBilinear", "resize_bilinear_param { output_height: 0 }"), "output_height is 1 or more"),
    (layer("ResizeNearestNeighbor", "resize_nearest_neighbor_param { scale_width: 0.1 }"), "cannot be resized to"),
    (layer("ResizeNearestNeighbor", tops=("data",)), "Caffe does not let ResizeNearestNeighbor be in place"),
])  # fmt: skip
def test_resizing_layers_refused(nets: Nets, text: str, said: str) -> None:
    refused = nets.expect_refusal(ONE_IMAGE + text)
    assert 'layer "l" (' in refused and said in refused
