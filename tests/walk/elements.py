"""The walk of layers on single elements, vectors and axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .harness import Array, Becomes, Golden, Nothing, Refused, Trial, Walk, f32, image, same

TRAINING = "it is about training"
FILLER = "the weights come from the caffemodel, which has to have them"
FILLERS = ({"type": "xavier"}, {"type": "gaussian", "std": 0.1, "variance_norm": "AVERAGE"})
THREE, CUBE = image(2, 3), image(2, 3, 4)


def fillers() -> Nothing:
    return Nothing(FILLER, FILLERS)


def along(w: Array, axis: int, rank: int = 3) -> Array:
    """A weight that broadcasts over an array of that rank, from `axis` on."""
    return w.reshape([1] * axis + list(w.shape) + [1] * (rank - axis - w.ndim))


def reshaped(*shape: int) -> Callable[[Trial], Array]:
    return lambda t: t.x[0].reshape(shape)


def normalized(t: Trial) -> Array:
    x = t.x[0]
    mean, variance = x.mean((0, 2), keepdims=True), x.var((0, 2), keepdims=True)
    made: Array = (x - mean) / np.sqrt(variance + 1e-5)
    return made


def nvcaffe_normalized(t: Trial) -> Array:
    """The statistics as they are stored, whatever the factor is; then scale and bias."""
    mean, variance, _, scale, bias = (along(w, 1) for w in t.w)
    return f32((t.x[0] - mean) / np.sqrt(variance + f32(1e-5)) * scale + bias)


def eps_outside(t: Trial) -> Array:
    mean, variance, factor = (along(w, 1) for w in t.w)
    return f32((t.x[0] - mean / factor) / (np.sqrt(variance / factor) + f32(0.5)))


def node_step(t: Trial) -> list[Array]:
    """lstm_node_layer.cpp: h and c; the third bottom, if there is one, multiplies the forget gate."""
    x, c, *cont = t.x
    d = c.shape[1]
    sums = x.reshape(len(x), -1) @ t.w[0].T + (t.w[1] if len(t.w) > 1 else 0)
    i, f, o = np.split(1 / (1 + np.exp(-sums[:, : 3 * d])), 3, 1)
    c = f * (cont[0][:, None] if cont else 1) * c + i * np.tanh(sums[:, 3 * d :])
    return [f32(o * np.tanh(c)), f32(c)]


def recurrent(states: int) -> Walk:
    """LSTM or RNN: three steps of two streams."""
    bottoms = (image(3, 2, 4), np.ones((3, 2), np.float32))
    return Walk(
        bottoms,
        settings={"num_output": 5},
        rows={
            "num_output": Golden("lstm" if states == 2 else "rnn"),
            "weight_filler": fillers(),
            "bias_filler": fillers(),
            "debug_info": Nothing("it prints", [True, False]),
            "expose_hidden": Refused(True, words="it has 2 bottoms"),  # and with them: test_hidden_state
        },
    )


def selu(x: Array, scale: float = 1.050700987, alpha: float = 1.67326324) -> Array:
    """synopsys-caffe's selu_layer.cpp."""
    return f32(scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def distances(x: Array, centres: Array) -> Array:
    """The squared distances of each image from each row."""
    made: Array = ((x.reshape(len(x), 1, -1) - centres) ** 2).sum(-1)
    return made


def to_space(x: Array) -> Array:
    """Four channels, or the last axis, as the pixels of a 2 x 2 block, row by row."""
    made = np.zeros((len(x), 1, 2 * x.shape[2], 2 * x.shape[3]), np.float32)
    for place in range(4):
        made[:, 0, place // 2 :: 2, place % 2 :: 2] = x[:, place]
    return made


def interleaved(x: Array) -> Array:
    """The rows of two batches in turns, as one."""
    return np.stack([x[0], x[1]], 1).reshape(1, -1, x.shape[-1])


WIDE = f32([[-2, -0.3, 0.2], [0.4, 0.9, 3]])
SELU = Walk(
    [THREE],
    {
        "lambda": Becomes({"lambda": 2}, lambda t: selu(t.x[0], 2)),
        "alpha": Becomes({"alpha": 2}, lambda t: selu(t.x[0], alpha=2)),
    },
)
SELU_DROPOUT = Walk(
    [THREE],
    {
        "dropout_ratio": Nothing("nothing is dropped at inference", [0.2, 0.9]),
        "alpha": Nothing("what is dropped becomes this in training", [-1.0]),
    },
)
WALKS = {
    "AbsVal": Walk([THREE], {}),
    "Sigmoid": Walk([THREE], {}),
    "TanH": Walk([THREE], {}),
    "BNLL": Walk([THREE], {}),
    "Mish": Walk([THREE], {}),
    "HardSwish": Walk([THREE], {}),
    "Split": Walk([THREE], {}, tops=2),
    "Silence": Walk([THREE], {}, tops=0),
    "BatchReindex": Walk([THREE, f32([1, 0, 1])], {}),
    "Filter": Walk([THREE, f32([1, 0])], {}),
    "LSTMUnit": Walk([image(1, 2, 3), image(1, 2, 12), np.ones((1, 2), np.float32)], {}, tops=2),
    "ReLU": Walk(
        [THREE],
        {
            "negative_slope": Golden("relu_leaky"),
            "relu6": Becomes({"relu6": True}, lambda t: np.clip(t.x[0], 0, 6), [9 * WIDE]),
            "maximum": Becomes({"maximum": 0.5}, lambda t: np.clip(t.x[0], 0, 0.5), [WIDE]),
            "minimum": Becomes({"minimum": 0.5}, lambda t: np.maximum(t.x[0], 0.5)),
            "minimum negative_slope": Becomes(
                {"minimum": -0.05, "negative_slope": 0.1},
                lambda t: np.where(t.x[0] > 0, t.x[0], np.maximum(0.1 * t.x[0], -0.05)),
            ),
        },
    ),
    "ReLU6": Walk(
        [9 * WIDE],
        {
            "negative_slope": Golden("relu6_slope"),
            "relu6": Refused(True),
            "maximum": Refused(6.0),
            "minimum": Refused(-1.0),
        },
    ),
    "SeLU": SELU,
    "SeLu": SELU,
    "HardSigmoid": Walk(
        [9 * THREE],
        {
            "alpha": Becomes({"alpha": 0.1}, lambda t: np.clip(0.1 * t.x[0] + 0.5, 0, 1)),
            "beta": Becomes({"beta": 0.1}, lambda t: np.clip(0.2 * t.x[0] + 0.1, 0, 1)),
        },
    ),
    "PReLU": Walk([THREE], {"channel_shared": Golden("prelu_shared"), "filler": fillers()}),
    "ELU": Walk([THREE], {"alpha": Golden("elu_alpha")}),
    "Swish": Walk([THREE], {"beta": Golden("swish_beta")}),
    "Clip": Walk([THREE], {"min max": Golden("clip")}, {"min": -1, "max": 1}),
    "Threshold": Walk([THREE], {"threshold": Golden("threshold")}),
    "Power": Walk([THREE], {"power": Golden("power_frac"), "scale shift": Golden("power_affine")}),
    "Exp": Walk([THREE], {"base scale shift": Golden("exp_base2")}),
    "Log": Walk(
        [np.exp(THREE)],
        {
            "shift": Golden("log"),
            "base": Becomes({"base": 2}, lambda t: np.log2(t.x[0])),
            "scale": Becomes({"scale": 3}, lambda t: np.log(3 * t.x[0])),
        },
    ),
    "Dropout": Walk(
        [THREE],
        {
            "dropout_ratio": Nothing("nothing is dropped at inference", [0.1, 0.9]),
            "scale_train": Becomes({"scale_train": False}, lambda t: t.x[0] * 0.5),
            "scale_train dropout_ratio": Becomes({"scale_train": False, "dropout_ratio": 0.9}, lambda t: t.x[0] * 0.1),
            "sample_weights_test": Refused(True, words="it draws at random in TEST"),
        },
    ),
    "SpatialDropout": Walk([THREE], {"dropout_ratio": Nothing("nothing is dropped at inference", [0.1, 0.9])}),
    "SeLUDropout": SELU_DROPOUT,
    "SeLuDropout": SELU_DROPOUT,
    "Eltwise": Walk(
        [image(2, 3, seed=i) for i in range(3)],
        {
            "operation=PROD": Golden("eltwise_prod"),
            "operation=MAX": Golden("eltwise_max"),
            "operation=MIN": Golden("eltwise_min"),
            "operation=DIV": Refused("DIV", words="DIV takes two bottoms"),  # and of two: test_layer_checks.py
            "coeff": Becomes({"coeff": [2, -1, 0.5]}, lambda t: 2 * t.x[0] - t.x[1] + 0.5 * t.x[2]),
            "stable_prod_grad": Nothing(TRAINING, [True, False]),
        },
    ),
    "Bias": Walk(
        [CUBE],
        {
            "axis": Becomes({"axis": 2}, lambda t: t.x[0] + along(t.w[0], 2)),
            "num_axes": Becomes({"num_axes": -1}, lambda t: t.x[0] + along(t.w[0], 1)),
            "filler": fillers(),
        },
    ),
    "Scale": Walk(
        [CUBE],
        {
            "axis": Becomes({"axis": 2}, lambda t: t.x[0] * along(t.w[0], 2)),
            "num_axes": Becomes({"num_axes": 2}, lambda t: t.x[0] * along(t.w[0], 1)),
            "bias_term": Becomes({"bias_term": True}, lambda t: t.x[0] * along(t.w[0], 1) + along(t.w[1], 1)),
            "filler": fillers(),
            "bias_filler": fillers(),
        },
    ),
    "BatchNorm": Walk(
        [CUBE],
        {
            "use_global_stats": Becomes({"use_global_stats": False}, normalized),
            "moving_average_fraction": Nothing(TRAINING, [0.5, 0.999]),
            "eps": Golden("bn_eps"),
            "scale_bias": Becomes({"scale_bias": True}, nvcaffe_normalized),
            "scale_filler": same({"scale_filler": {"value": 2}}, {"scale_bias": True}),
            "bias_filler": same({"bias_filler": {}}, {"scale_bias": True}),
            "filler": Refused({"value": 1}),
            "add_eps_before_sqrt": Becomes({"add_eps_before_sqrt": False, "eps": 0.5}, eps_outside),
            "icnet": Nothing("it says what training keeps", [True, False]),
            "relu disable_mean disable_variance": Refused(True),
            "use_weight_bias bias_term": Refused(False),
            "stats_batch_size": Nothing(TRAINING, [0, 4]),
            "update_global_stats": Nothing(TRAINING, [True, False]),
        },
    ),
    "InnerProduct": Walk(
        [THREE],
        {
            "num_output": Golden("ip"),
            "bias_term": Golden("ip_no_bias"),
            "axis": Golden("ip_axis_neg1"),
            "transpose": Golden("ip_transpose"),
            "weight_filler bias_filler": fillers(),
        },
        {"num_output": 4},
    ),
    "Embed": Walk(
        [f32([1, 0, 3])],
        {
            "num_output input_dim": Golden("embed"),
            "bias_term": Golden("embed_no_bias"),
            "weight_filler bias_filler": fillers(),
        },
        {"num_output": 2, "input_dim": 5},
    ),
    "Softmax": Walk(
        [THREE],
        {
            "axis": Becomes({"axis": 0}, lambda t: np.exp(t.x[0]) / np.exp(t.x[0]).sum(0)),
            "normalize_type": Refused("L1"),
        },
    ),
    "Concat": Walk(
        [CUBE, CUBE + 1],
        {
            "axis": Becomes({"axis": 2}, lambda t: np.concatenate(t.x, 2)),
            "concat_dim": Becomes({"concat_dim": 0}, lambda t: np.concatenate(t.x, 0)),
        },
    ),
    "Slice": Walk(
        [image(2, 4, 6)],
        {
            "axis": Becomes({"axis": 2}, lambda t: np.split(t.x[0], 2, 2)),
            "slice_dim": Becomes({"slice_dim": 0}, lambda t: np.split(t.x[0], 2, 0)),
            "slice_point": Becomes({"slice_point": [3]}, lambda t: np.split(t.x[0], [3], 1)),
        },
        tops=2,
    ),
    "Flatten": Walk(
        [image(2, 3, 4, 5)],
        {
            "axis": Becomes({"axis": 2}, reshaped(2, 3, 20)),
            "end_axis": Becomes({"end_axis": 2}, reshaped(2, 12, 5)),
        },
    ),
    "Reshape": Walk(
        [image(2, 3, 4)],
        {
            "shape": Becomes({"shape": {"dim": [0, -1]}}, reshaped(2, 12)),
            "axis": Becomes({"shape": {"dim": [6, 2]}, "axis": 1}, reshaped(2, 6, 2)),
            "num_axes": Becomes({"shape": {"dim": [6]}, "num_axes": 2}, reshaped(6, 4)),
        },
        {"shape": {"dim": [-1]}},
    ),
    "LSTMNode": Walk(
        [image(2, 3), image(2, 2)],
        {
            "num_cells": Becomes({"num_cells": 3}, node_step, [image(2, 3), image(2, 3), f32([0.5, 1])]),
            "bias_term": Becomes({"bias_term": False}, node_step),
            "weight_filler bias_filler": fillers(),
            "input_weight_filler input_bias_filler": fillers(),
            "input_gate_weight_filler forget_gate_weight_filler output_gate_weight_filler": fillers(),
            "input_gate_bias_filler forget_gate_bias_filler output_gate_bias_filler": fillers(),
            "clipping_threshold": Nothing("it is of another layer type, Lstm, where it limits gradients", [1.0]),
            "num_output batch_size": Refused(2),
        },
        {"num_cells": 2},
        tops=2,
    ),
    "Transpose": Walk(
        [CUBE],
        {"dim": Becomes({"dim": [2, 0, 1]}, lambda t: t.x[0].transpose(2, 0, 1))},
        {"dim": [0, 1, 2]},
    ),
    "Permute": Walk([CUBE], {"order": Becomes({"order": [2, 0]}, lambda t: t.x[0].transpose(2, 0, 1))}),
    "Tile": Walk(
        [CUBE],
        {
            "tiles": Becomes({"tiles": 3}, lambda t: np.tile(t.x[0], (1, 3, 1))),
            "axis": Becomes({"axis": 2}, lambda t: np.tile(t.x[0], (1, 1, 2))),
        },
        {"tiles": 2},
    ),
    "Axpy": Walk([image(2, 3), image(2, 3, 2), image(2, 3, 2, seed=1)], {}),
    **{type: Walk([image(2, 3), image(3, seed=1)], {}) for type in ("Add", "Sub", "Div", "Minimum", "Maximum")},
    "Mul": Walk(
        [image(2, 3)],
        {"mul_shape": Becomes({"mul_shape": [2, 1]}, lambda t: t.x[0] * t.w[0])},
        {"mul_shape": [3]},
    ),
    "ChannelScale": Walk(
        [image(2, 3, 2, 2), image(2, 1, 2, 2, seed=1)],
        {
            "do_forward": Becomes({"do_forward": False}, lambda t: t.x[0]),
            "do_backward_feature do_backward_scale": Nothing(TRAINING, [True, False]),
            "global_scale": Becomes({"global_scale": True}, lambda t: t.x[0] * t.w[0]),
            "max_global_scale": Becomes({"global_scale": True, "max_global_scale": 0.25}, lambda t: t.x[0] / 4),
            "min_global_scale": Becomes({"global_scale": True, "min_global_scale": 4}, lambda t: t.x[0] * 4),
            "init_global_scale": Refused(2),
        },
    ),
    "InnerDistance": Walk(
        [CUBE],
        {
            "num_output": Becomes({"num_output": 2}, lambda t: distances(t.x[0], t.w[0])),
            "axis": Becomes({"axis": -1}, lambda t: ((t.x[0][:, :, None] - t.w[0]) ** 2).sum(-1)),
            "distance_type": Becomes(
                {"distance_type": "L1"}, lambda t: np.abs(t.x[0].reshape(2, 1, 12) - t.w[0]).sum(-1)
            ),
            "normalize": Becomes(
                {"normalize": True},
                lambda t: distances(t.x[0], t.w[0] / np.sqrt((t.w[0] ** 2).sum(1, keepdims=True) + 1e-6)),
            ),
            "transpose": Refused(True),
            "update_center_only bias_term": Nothing("the first is for training, and there is no bias", [True, False]),
            "weight_filler bias_filler": fillers(),
        },
        {"num_output": 3},
    ),
    "Squeeze": Walk([image(1, 2, 1, 3)], {"axis": Becomes({"axis": [-2]}, lambda t: t.x[0][:, :, 0])}),
    "Pad": Walk(
        [image(2, 3)],
        {
            "paddings": Becomes({"paddings": [1, 0, 0, 2]}, lambda t: np.pad(t.x[0], [(1, 0), (0, 2)])),
            "constant_values": Becomes({"constant_values": 0.5}, lambda t: np.pad(t.x[0], 1, constant_values=0.5)),
        },
        {"paddings": [1, 1, 1, 1]},
    ),
    "Flip": Walk(
        [image(1, 2, 2, 3)],
        {
            "flip_width": Becomes({"flip_width": False}, lambda t: t.x[0]),
            "flip_height": Becomes({"flip_height": True}, lambda t: t.x[0][:, :, ::-1, ::-1]),
        },
    ),
    "ShuffleChannel": Walk(
        [image(1, 6, 2, 2)], {"group": Becomes({"group": 3}, lambda t: t.x[0][:, [0, 2, 4, 1, 3, 5]])}
    ),
    "Reorg": Walk(
        [image(1, 4, 2, 2)], {"stride": Golden("reorg_3"), "reverse": Golden("reorg_reverse")}, {"stride": 2}
    ),
    "DepthToSpace": Walk(
        [image(1, 4, 4, 4)],
        {
            "block_size": Becomes(
                {"block_size": 2}, lambda t: to_space(t.x[0].transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
            ),
            "data_format": Becomes({"data_format": "NCHW", "block_size": 2}, lambda t: to_space(t.x[0])),
        },
        {"block_size": 1},
    ),
    "SpaceToBatchND": Walk(
        [image(2, 4, 4)],
        {
            "block_shape": Becomes({"block_shape": [2]}, lambda t: f32([*t.x[0][:, ::2], *t.x[0][:, 1::2]])),
            "paddings": Becomes(
                {"block_shape": [2], "paddings": [2, 0]},
                lambda t: np.pad(f32([*t.x[0][:, ::2], *t.x[0][:, 1::2]]), [(0, 0), (1, 0), (0, 0)]),
            ),
        },
        {"block_shape": [1], "paddings": [0, 0]},
    ),
    "BatchToSpaceND": Walk(
        [image(2, 2, 3)],
        {
            "block_shape": Becomes({"block_shape": [2]}, lambda t: interleaved(t.x[0])),
            "crops": Becomes({"block_shape": [2], "crops": [1, 0]}, lambda t: interleaved(t.x[0])[:, 1:]),
        },
        {"block_shape": [1], "crops": [0, 0]},
    ),
    "AutoCrop": Walk([image(1, 2, 5, 6)], {}, reads=(0, 0)),
    "ArgMax": Walk(
        [CUBE],
        {
            "axis": Becomes({"axis": 2}, lambda t: t.x[0].argmax(2)[..., None]),
            "top_k": Becomes({"axis": 2, "top_k": 2}, lambda t: (-t.x[0]).argsort(2)[..., :2]),
            "out_max_val": Becomes({"axis": 2, "out_max_val": True}, lambda t: t.x[0].max(2, keepdims=True)),
        },
    ),
    "Reduction": Walk(
        [CUBE],
        {
            "operation=ASUM": Becomes({"operation": "ASUM"}, lambda t: np.abs(t.x[0]).sum()),
            "operation=SUMSQ": Becomes({"operation": "SUMSQ"}, lambda t: (t.x[0] ** 2).sum()),
            "operation=MEAN": Becomes({"operation": "MEAN"}, lambda t: t.x[0].mean()),
            "axis": Becomes({"axis": 1}, lambda t: t.x[0].sum((1, 2))),
            "coeff": Becomes({"coeff": -2}, lambda t: -2 * t.x[0].sum()),
        },
    ),
    "LSTM": recurrent(2),
    "RNN": recurrent(1),
    "Parameter": Walk([], {"shape": Golden("parameter")}, {"shape": {"dim": [2, 3]}}),
    "DummyData": Walk(
        [],
        {
            "shape": Becomes({"shape": {"dim": [3]}}, lambda t: np.zeros(3)),
            "data_filler": Becomes({"data_filler": {"value": 2.5}}, lambda t: np.full((2, 3), 2.5)),
            "num channels height width": Becomes(
                {"shape": None, "num": [1], "channels": [2], "height": [3], "width": [4]},
                lambda t: np.zeros((1, 2, 3, 4)),
            ),
        },
        {"shape": {"dim": [2, 3]}},
    ),
}
