"""Motifs of real nets that passes match; they are drawn as a whole, since they would rarely occur by chance."""

from __future__ import annotations

from cortado.compiler.ir import Value
from cortado.compiler.op import Op
from cortado.compiler.ops.activation import Clip, Dropout, PRelu, Relu, Sigmoid, TanH
from cortado.compiler.ops.arithmetic import Add, Power
from cortado.compiler.ops.channels import BatchNorm, Bias, Scale
from cortado.compiler.ops.conv import Conv
from cortado.compiler.ops.dense import Linear
from cortado.compiler.ops.indexing import Transpose
from cortado.compiler.ops.shape import Concat, Flatten, Slice

from ..net_builder import NetBuilder, Unfit
from .weighted import conv, deconv, linear

ACTIVATIONS: tuple[Op, ...] = (Relu(), Relu(slope=0.25), Sigmoid(), TanH(), Clip(low=0.0, high=6.0))


def channels(x: Value) -> int:
    if x.type.rank < 2 or not isinstance(x.type.dims[1], int):
        raise Unfit
    return x.type.dims[1]


def add_norm(d: NetBuilder, x: Value) -> Value:
    """A random subset of batch norm, scale and bias."""
    c = channels(x)
    if d.dice.chance(0.7):
        x = d.add(BatchNorm(), x, d.weight("w", c), d.weight("v", c))
    if d.dice.chance(0.7):
        x = d.add(Scale(), x, d.weight("w", c), *([d.weight("w", c)] if d.dice.chance(0.7) else []))
    return d.add(Bias(), x, d.weight("w", c)) if d.dice.chance(0.2) else x


def add_activation(d: NetBuilder, x: Value) -> Value:
    return d.add(d.dice.pick(ACTIVATIONS), x)


def conv_norm_relu(d: NetBuilder) -> Value:
    made = d.dice.pick((conv, conv, conv, deconv, linear))(d)
    return add_activation(d, add_norm(d, made))


def norm_relu_conv(d: NetBuilder) -> Value:
    """Pre-activation, as in DenseNet and later ResNets; without the relu a layer can be folded forward."""
    x = add_norm(d, d.image())
    return conv(d, add_activation(d, x) if d.dice.chance(0.5) else x)


def residual(d: NetBuilder) -> Value:
    x = d.image()
    branch = conv(d, add_activation(d, add_norm(d, conv(d, x, channels(x), same=True))), channels(x), same=True)
    short = add_norm(d, conv(d, x, channels(x), same=True)) if d.dice.chance(0.3) else x
    total = d.add(Add(), *d.dice.shuffle([add_norm(d, branch), short]))
    return add_activation(d, total)


def branches(d: NetBuilder) -> Value:
    """A concat of convolutions of one value; a norm after it can be hoisted into them."""
    x = d.image()
    made = [conv(d, x, d.dice.pick((1, 2, 4)), same=True) for _ in range(d.dice.between(2, 3))]
    if d.dice.chance(0.4):
        made = [add_activation(d, v) if d.dice.chance(0.7) else v for v in made]
    return add_activation(d, add_norm(d, d.add(Concat(), *made)))


def one_geometry(d: NetBuilder) -> list[Value]:
    """Convolutions of one value that differ only in output channels, each optionally followed by a layer."""
    x, size = d.image(), d.dice.pick((1, 1, 3))
    op = Conv(pad=(size // 2,), stride=(d.dice.pick((1, 1, 2)),))
    window, ends = (size,) * (x.type.rank - 2), list[Value]()
    for _ in range(d.dice.between(2, 3)):
        outputs = d.dice.pick((8, 8, 16, 3))
        biases = [d.weight("w", outputs)] if d.dice.chance(0.5) else []
        end = d.add(op, x, d.weight("w", outputs, channels(x), *window), *biases)
        if d.dice.chance(0.3):
            end = d.add(PRelu(), end, d.weight("w", outputs))
        if d.dice.chance(0.3):
            end = d.add(Add(), end, d.value(lambda v, type=end.type: v.type == type))  # type: ignore[misc]
        ends.append(d.add(d.dice.pick((Relu(), Relu(), TanH())), end) if d.dice.chance(0.7) else end)
    return ends


def swapped_slices(d: NetBuilder) -> Value:
    """A sliced convolution; one half is transformed, and both are concatenated in swapped order."""
    whole = conv(d, None, 4, same=True)
    left, right = d.add_all(Slice(parts=2), whole)
    right = add_norm(d, right) if d.dice.chance(0.6) else add_activation(d, right)
    return d.add(Concat(), right, left)


def strided_pair(d: NetBuilder) -> Value:
    """Two 1×1 convolutions of stride 2."""
    x = conv(d, d.image(4), d.dice.pick((2, 3)), same=True)
    one, two = (d.add(Conv(stride=(2,)), x, d.weight("w", 2, channels(x), 1, 1)) for _ in range(2))
    return d.add(Add(), one, add_activation(d, two))


def siamese(d: NetBuilder) -> Value:
    """Two inputs of one shape, and layers with shared weights."""
    a = d.value(lambda v: v.type.rank == 2 and v.type.is_static)
    b, c, outputs = d.new_input("x", *a.type.dims), channels(a), d.dice.between(1, 4)
    w, gamma = d.weight("w", outputs, c), d.weight("w", outputs)

    one, two = (d.add(Scale(), d.add(Linear(), v, w), gamma) for v in (a, b))
    return d.add(Add(beta=-1.0), one, two)


def head(d: NetBuilder) -> Value:
    """The head of a detector: a convolution, permuted and flattened, optionally concatenated with others."""
    x, rows = d.image(4), list[Value]()
    for _ in range(d.dice.between(1, 2)):
        transposed = d.add(Transpose(order=(0, 2, 3, 1)), conv(d, x, d.dice.pick((2, 3, 4))))
        rows.append(d.add(Flatten(), add_activation(d, transposed) if d.dice.chance(0.4) else transposed))
    if d.dice.chance(0.5):
        rows.append(d.value(lambda v: v.type.rank == 2 and v.type.is_static and v.type.dims[0] == x.type.dims[0]))
    return d.add(Concat(), *d.dice.shuffle(rows))


def pixels_last(d: NetBuilder) -> Value:
    """Layers on an image with channels last, between two transposes."""
    x = d.image(4)
    transposed = add_activation(d, d.add(Transpose(order=(0, 2, 3, 1)), x))
    if d.dice.chance(0.5):
        transposed = d.add(Scale(axis=3), transposed, d.weight("w", channels(x)))
    if d.dice.chance(0.3):
        transposed = d.add(Concat(axis=3), transposed, d.add(Transpose(order=(0, 2, 3, 1)), x))
    back = d.add(Transpose(order=(0, 3, 1, 2)), transposed)
    return conv(d, back) if d.dice.chance(0.5) else back


def in_training(d: NetBuilder) -> Value:
    """Operators that are the identity at inference: dropout, or power with default attributes."""
    return add_activation(d, d.add(d.dice.pick((Dropout(), Power())), d.value()))


MOTIFS = {
    "conv, norm, relu": conv_norm_relu,
    "norm, relu, conv": norm_relu_conv,
    "residual": residual,
    "branches": branches,
    "one geometry": one_geometry,
    "shuffled pieces": swapped_slices,
    "strided pair": strided_pair,
    "siamese": siamese,
    "head": head,
    "pixels last": pixels_last,
    "in training": in_training,
}
