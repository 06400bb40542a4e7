"""Tests of the scalar functions as Triton kernels: edge cases computed by hand, and a sweep against float64."""

from __future__ import annotations

import torch
from torch import Tensor

from cortado.compiler.ir import Graph
from cortado.compiler.targets import target
from cortado.passes import PIPELINE, Context, run

from ..test_scalar import EDGES, assert_same, function_graph, tensors
from . import interpreter
from .prove import generator, lower

SWEEPS: dict[str, tuple[float, float]] = {  # the range of the argument's magnitude, in powers of ten
    "exp": (-6, 1.95),
    "expm1": (-12, 1.95),
    "log": (-38, 38),
    "log1p": (-12, 38),
    "sqrt": (-38, 38),
    "rsqrt": (-38, 38),
    "tanh": (-12, 2),
    "sigmoid": (-6, 1.9),
    "erf": (-6, 1),
    "round": (-3, 9),
    "pow": (-3, 3),
}
ONLY_POSITIVE = ("log", "log1p", "sqrt", "rsqrt", "pow")
MAX_ERROR_UNITS = 4.0  # in the last place of f32
COUNT = 4096


def prove_edge(function: str, i: int) -> str:
    arguments, expected = EDGES[function][i]
    given = tensors(arguments)
    assert_same(run_graph(function_graph(function, arguments), given), expected)
    return ""


def prove_sweep(function: str) -> str:
    """The largest error in units in the last place. AssertionError if it exceeds MAX_ERROR_UNITS."""
    low, high = SWEEPS[function]
    random = generator(function)
    x = 10 ** (low + (high - low) * torch.rand(COUNT, generator=random, dtype=torch.float64))
    signs = 1 if function in ONLY_POSITIVE else torch.randint(0, 2, (COUNT,), generator=random) * 2 - 1
    given = [(x * signs).float()] + ([torch.randn(COUNT, generator=random) * 4] if function == "pow" else [])
    exact = getattr(torch, function)(*(t.double() for t in given))
    found = run_graph(function_graph(function, tuple([0.0] * COUNT for _ in given)), given)
    unit = torch.nextafter(exact.float().abs(), torch.tensor(torch.inf)) - exact.float().abs()
    normal = (exact.abs() > 1.2e-38) & (exact.abs() < 3.4e38)
    error = ((found.double() - exact).abs() / unit.double())[normal]
    assert torch.equal(found[exact.isinf()], exact[exact.isinf()].float())
    assert error.max() <= MAX_ERROR_UNITS, (
        f"{function}({given[0][normal][error.argmax()]}) is {error.max():.1f} units off"
    )
    return f"{error.max():.2f} units"


def run_graph(graph: Graph, given: list[Tensor]) -> Tensor:
    final = run(graph, Context(target("cuda")), PIPELINE)
    plan, made = lower(final, "cuda")
    return interpreter.run(plan, made.sources, {}, {v.name: t for v, t in zip(final.graph.inputs, given, strict=True)})[
        "y"
    ]
