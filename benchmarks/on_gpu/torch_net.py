"""A net as a torch module: functions of torch.nn.functional, BatchNorm folded, channels last."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cortado.compiler.ir import Constant, Graph, Node
from cortado.compiler.target import Target
from cortado.passes import Context
from cortado.passes.fold_batchnorm import fold_batchnorm
from cortado.passes.remove_dropout import remove_dropout


class TorchNet(nn.Module):
    """The operators of a net with one input, in order. Weights are buffers, so that `to` moves them."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        context = Context(Target())
        self.graph = graph = fold_batchnorm(remove_dropout(graph, context), context)
        self.names = {c: f"w{i}" for i, c in enumerate(graph.constants)}
        for constant, name in self.names.items():
            self.register_buffer(name, constant.data.clone())

    def forward(self, x: Tensor) -> Any:
        values = {self.graph.inputs[0]: x}

        def read(value: Any) -> Tensor:
            return getattr(self, self.names[value]) if isinstance(value, Constant) else values[value]

        for node in self.graph.nodes:
            values[node.output] = apply_node(node, [read(v) for v in node.inputs])
        return tuple(read(v) for v in self.graph.outputs)


def make_torch_net(graph: Graph, device: str) -> tuple[nn.Module, list[str]]:
    """A traced module, and the operators that are not torch functions: their reference is part of the module."""
    plain = TorchNet(graph)
    traced: Any = torch.fx.symbolic_trace(plain).eval()
    traced = traced.to(device=device, memory_format=torch.channels_last)
    return traced, sorted({node.op.name for node in plain.graph.nodes if not has_torch_function(node)})


def apply_node(node: Node, operands: list[Tensor]) -> Tensor:
    if not has_torch_function(node):
        return node.op.compute(operands)[0]
    made: Tensor = TORCH_FUNCTIONS[node.op.name](node.op, node, operands)
    return made


def has_torch_function(node: Node) -> bool:
    """True if torch.nn.functional computes the same: for a pooling only if it has the same windows."""
    op: Any = node.op
    if op.name == "lrn":
        return bool(op.region == "across")
    if op.name in ("max_pool", "avg_pool"):
        return is_global(op, node) or has_same_windows(node, *window_settings(op, node), op.round == "up")
    return op.name in TORCH_FUNCTIONS


def is_global(op: Any, node: Node) -> bool:
    """True for an average over the whole image."""
    kernel, _, pad = window_settings(op, node)
    return op.name == "avg_pool" and kernel == list(node.inputs[0].type.shape[2:]) and not any(pad)


def conv(op: Any, node: Node, operands: list[Tensor]) -> Tensor:
    x, w, *b = operands
    function = (F.conv1d, F.conv2d, F.conv3d)[len(node.inputs[0].type.dims) - 3]
    return function(x, w, b[0] if b else None, op.stride, op.pad, op.dilation, op.groups)


def linear(op: Any, node: Node, operands: list[Tensor]) -> Tensor:
    x, w, *b = operands
    return F.linear(x.flatten(op.axis), w.t() if op.transpose else w, b[0] if b else None)


def max_pool(op: Any, node: Node, operands: list[Tensor]) -> Tensor:
    kernel, stride, pad = window_settings(op, node)
    return F.max_pool2d(operands[0], kernel, stride, pad, ceil_mode=op.round == "up")


def avg_pool(op: Any, node: Node, operands: list[Tensor]) -> Tensor:
    kernel, stride, pad = window_settings(op, node)
    if is_global(op, node):
        return operands[0].mean((2, 3), keepdim=True)
    return F.avg_pool2d(operands[0], kernel, stride, pad, op.round == "up", op.include_pad)


def lrn(op: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """torch's own: x / (k + alpha · mean of x² over the channels, zeros outside)^beta, by avg_pool3d of the squares."""
    return F.local_response_norm(operands[0], op.size, op.alpha, op.beta, op.k)


def window_settings(op: Any, node: Node) -> tuple[list[int], list[int], list[int]]:
    def two(numbers: Any) -> list[int]:
        return list(numbers) * 2 if len(numbers) == 1 else list(numbers)

    kernel = list(node.inputs[0].type.shape[2:]) if op.kernel is None else two(op.kernel)
    return kernel, two(op.stride), two(op.pad)


def has_same_windows(node: Node, kernel: list[int], stride: list[int], pad: list[int], up: bool) -> bool:
    """True if torch has the same number of windows, and allows this padding."""
    sizes, count = node.inputs[0].type.shape[2:], node.output.type.shape[2:]
    if len(sizes) != 2 or len(node.results) != 1:
        return False
    probe = torch.empty(1, 1, *sizes, device="meta")
    fits = all(2 * p <= k for p, k in zip(pad, kernel, strict=True))
    return fits and F.avg_pool2d(probe, kernel, stride, pad, up).shape[2:] == torch.Size(count)


TORCH_FUNCTIONS: dict[str, Any] = {
    "conv": conv,
    "linear": linear,
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    "lrn": lrn,
    "relu": lambda op, node, x: F.leaky_relu(x[0], op.slope) if op.slope else F.relu(x[0]),
    "add": lambda op, node, x: x[0] + x[1] if op.alpha == op.beta == 1 else op.alpha * x[0] + op.beta * x[1],
    "concat": lambda op, node, x: torch.cat(x, op.axis),
    "softmax": lambda op, node, x: x[0].softmax(op.axis),
    "dropout": lambda op, node, x: x[0],
    "transpose": lambda op, node, x: x[0].permute(op.order),
    "flatten": lambda op, node, x: x[0].flatten(op.axis, op.end_axis),
    "reshape": lambda op, node, x: x[0].reshape(node.output.type.shape),
}
"""The torch function for each operator where `has_torch_function`; all others run their reference."""
