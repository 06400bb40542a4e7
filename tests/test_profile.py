"""`cortado profile`: what it counts, adds up and refuses. How long anything takes is never asserted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from cortado import driver
from cortado.cli import main
from cortado.cli.random_numbers import POSITIVE_OPERANDS, random_inputs, with_random_weights
from cortado.cli.timings import Measurement, Timings, make_timings
from cortado.compiler.cost import cost
from cortado.compiler.ir import Constant
from cortado.compiler.reference import evaluate
from cortado.compiler.text import parse, parse_planned
from cortado.runtime import Net, load, roofline
from cortado.runtime.artifact import read, write
from cortado.runtime.onednn.program import Instance, OneDnnProgram
from cortado.runtime.profile import Profile, profile
from cortado.runtime.roofline import Roofline

from .shared import ROOT

DIGITS = ROOT / "examples" / "digits"
NET, WEIGHTS = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
BEST = Roofline(flops=100e9, memory_bandwidth=20e9, cache_bandwidth=50e9)
SMALL = """net small(data: f32[2,3,8,8]) {
    weight conv.w: f32[4,3,3,3]
    weight conv.b: f32[4]
    weight ip.w: f32[10,64]
    conv = conv(data, conv.w, conv.b, pad=1)
    relu = relu(conv)
    pool = max_pool(relu, kernel=2, stride=2)
    ip = linear(pool, ip.w)
    prob = softmax(ip)
    return prob
}
"""
NUMBERS = {"seconds", "median", "share", "flops", "bytes", "gflops", "of_best", "gbytes", "of_copy"}


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixed ceilings: measuring them takes a second each time, and has a test of its own."""
    monkeypatch.setattr(roofline, "measure_roofline", lambda threads=None: BEST)


@pytest.fixture(scope="module")
def digits() -> Net:
    return driver.compile(NET, WEIGHTS, "onednn")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.net"
    path.write_text(SMALL)
    return path


def run_profile(*words: object) -> Result:
    return CliRunner().invoke(main, ["profile", *map(str, words)])


def run_json(*words: object) -> dict[str, Any]:
    done = run_profile(*words, "--repeat", 2, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def expect_refusal(*words: object) -> str:
    done = run_profile(*words)
    assert done.exit_code == 2, done.output
    return done.output


def test_counts_worked_out_by_hand(small: Path) -> None:
    """A multiplication and an addition are two operations; each number is read and written once, in four bytes."""
    steps = {s["step"]: s for s in run_json(small, "--random-weights")["steps"]}
    image, conv, pool, ip = 2 * 3 * 64, 2 * 4 * 64, 2 * 4 * 16, 2 * 10
    rode = next(s for s in steps.values() if s["primitive"] == "conv_packed")
    assert rode["flops"] == 2 * conv * 27 + conv + conv  # products and sums, bias, relu
    assert rode["bytes"] == 4 * (image + 4 * 27 + 4 + conv)
    assert (steps["pool"]["flops"], steps["pool"]["bytes"]) == (pool * 4, 4 * (conv + pool))
    assert (steps["ip"]["flops"], steps["ip"]["bytes"]) == (2 * ip * 64, 4 * (pool + 640 + ip))
    assert (steps["prob"]["flops"], steps["prob"]["bytes"]) == (5 * ip, 4 * 2 * ip)
    assert steps["prob"]["result"] == "f32[2,10]"


def test_all_steps_in_plan_order(digits: Net) -> None:
    found = run_json(NET, WEIGHTS)
    plan = digits.plan
    assert [(s["step"], s["primitive"], s["kernel"]) for s in found["steps"]] == [
        (s.results[0], s.kind, s.label) for s in plan.steps
    ]
    assert (found["net"], found["target"], found["inputs"]) == ("digits", "onednn", {"data": "f32[1,1,8,8]"})
    assert (found["repeat"], found["random"]) == (2, ["data"])
    assert found["roofline"] == {"gflops": 100, "gbytes": 20, "cached_gbytes": 50}
    assert all(set(s) == NUMBERS | {"step", "primitive", "kernel", "result"} for s in found["steps"])
    assert all(set(row) == NUMBERS | {"primitive", "steps"} for row in found["primitives"])
    assert set(found["total"]) == NUMBERS and set(found["run"]) == {"seconds", "median"}


def test_what_adds_up(digits: Net) -> None:
    found = run_json(NET, WEIGHTS)
    steps, primitives, total = found["steps"], found["primitives"], found["total"]
    for rows in (steps, primitives):
        for name in ("flops", "bytes"):
            assert sum(row[name] for row in rows) == total[name]
        for name in ("seconds", "median", "share"):
            assert sum(row[name] for row in rows) == pytest.approx(total[name])
        assert all(0 < row["seconds"] <= row["median"] for row in rows)
    assert total["share"] == pytest.approx(1)
    assert sum(row["steps"] for row in primitives) == len(steps)
    assert [row["seconds"] for row in primitives] == sorted((row["seconds"] for row in primitives), reverse=True)
    counted = cost(parse_planned(digits.artifact.net, "digits.net", digits.artifact.weights))
    assert (total["flops"], total["bytes"]) == (counted.flops, counted.bytes)


def test_what_moves_nothing_has_no_rate() -> None:
    """The digits' concat stands where its operands were written."""
    (concat,) = [s for s in run_json(NET, WEIGHTS)["steps"] if s["primitive"] == "concat"]
    assert (concat["flops"], concat["bytes"]) == (0, 0)
    assert [concat[name] for name in ("gflops", "of_best", "gbytes", "of_copy")] == [None] * 4


def test_rates_and_what_they_are_of() -> None:
    spent = Measurement(seconds=2.0, median=3.0, flops=50_000_000_000, bytes=10_000_000_000)
    assert spent.rates(BEST) == {"gflops": 25, "of_best": 0.25, "gbytes": 5, "of_copy": 0.25}
    assert Measurement(0.0, 0.0, 5, 5).rates(BEST)["gflops"] is None


def timings_by_hand(digits: Net, *seconds: tuple[float, ...], runs: tuple[float, ...]) -> Timings:
    times = tuple(seconds) + (((0.001,) * len(runs)),) * (len(digits.plan.steps) - len(seconds))
    return make_timings(digits.artifact, Profile(digits.plan, 1, times, runs), BEST)


def test_the_best_counts_and_the_median_is_told(digits: Net) -> None:
    made = timings_by_hand(digits, (0.009, 0.002, 0.003), runs=(0.02, 0.012, 0.012)).json()
    first, *others = made["steps"]
    total = 2 + len(others)  # milliseconds: the others take one each
    assert (first["seconds"], first["median"]) == (0.002, 0.003)
    assert first["share"] == pytest.approx(2 / total) and others[0]["share"] == pytest.approx(1 / total)
    assert made["run"] == {"seconds": 0.012, "median": 0.012}


def test_a_busy_machine_is_told(digits: Net) -> None:
    quiet, busy = (dict(timings_by_hand(digits, runs=runs).summary_rows()) for runs in ((0.01, 0.012), (0.01, 0.03)))
    assert "other work" in busy["a run"] and "other work" not in quiet["a run"]


def test_the_table(digits: Net) -> None:
    done = run_profile(NET, WEIGHTS, "--repeat", 1, "--threads", 1)
    assert done.exit_code == 0, done.output
    table, kinds, said = done.stdout.split("\n\n")
    head, *steps, total = table.split("\n")
    assert head.split()[:4] == ["step", "does", "ms", "share"]
    assert [line.split()[0] for line in steps] == [s.results[0] for s in digits.plan.steps]
    assert total.startswith(f"{len(digits.plan.steps)} steps") and "100.0%" in total
    assert len({len(line) for line in [head, total] if line}) == 1, "numbers stand below their titles"
    assert {line.split()[0] for line in kinds.split("\n")[1:]} == {s.kind for s in digits.plan.steps}
    assert "100 GFLOP/s" in said and "20.0 GB/s" in said and "threads          1" in said
    assert not any(c in done.stdout for c in "\x1b━│"), "in a pipe the table is plain text"


def test_a_compiled_file_tells_the_same(tmp_path: Path) -> None:
    path = tmp_path / "digits.cortado"
    driver.save(driver.compile(NET, WEIGHTS), path)
    counts = [
        [(s["step"], s["flops"], s["bytes"]) for s in run_json(*words)["steps"]] for words in ([path], [NET, WEIGHTS])
    ]
    assert counts[0] == counts[1]
    assert "is for a prototxt" in expect_refusal(path, WEIGHTS)
    assert "--shape" in expect_refusal(path, "--shape", "data=2,1,8,8")
    assert "--random-weights" in expect_refusal(path, "--random-weights")


def test_given_inputs(tmp_path: Path) -> None:
    """Arrays of another shape are compiled for, as when the net is called."""
    np.save(tmp_path / "two.npy", np.zeros((2, 1, 8, 8), np.float32))
    one, two = run_json(NET, WEIGHTS, "--input", "random"), run_json(NET, WEIGHTS, "--input", tmp_path / "two.npy")
    assert (one["random"], two["random"]) == (["data"], [])
    assert two["inputs"] == {"data": "f32[2,1,8,8]"}
    assert two["total"]["flops"] == 2 * one["total"]["flops"]
    assert run_json(NET, WEIGHTS, "--shape", "data=2,1,8,8")["total"]["flops"] == two["total"]["flops"]


def test_sizes_known_only_when_it_runs(tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.zeros((2, 1, 8, 8), np.float32))
    most = run_json(NET, WEIGHTS, "--shape", "data=?4,1,8,8")
    assert most["total"]["flops"] == run_json(NET, WEIGHTS, "--shape", "data=4,1,8,8")["total"]["flops"]
    assert "smaller than in the compiled net" in expect_refusal(
        NET, WEIGHTS, "--shape", "data=?4,1,8,8", "--input", tmp_path / "two.npy"
    )


def test_weights_are_given_or_asked_for(small: Path) -> None:
    for net in (NET, small):
        assert "--random-weights" in expect_refusal(net)
        assert run_json(net, "--random-weights")["random"] == ["weights", "data"]
    assert "3 weights without numbers, conv.w for one" in expect_refusal(small)
    assert "is for a net without weights" in expect_refusal(NET, WEIGHTS, "--random-weights")


def test_random_weights_keep_numbers_in_size() -> None:
    """The same for each call; variances and gains are positive, and no number is lost or infinite."""
    text = (ROOT / "benchmarks" / "nets" / "open_nsfw.net").read_text("utf-8")
    declared = parse(text, "open_nsfw.net")
    made, again = with_random_weights(declared), with_random_weights(declared)
    assert [c.handle for c in made.constants] == [c.handle for c in again.constants]
    positive = [
        n.inputs[{"batch_norm": 2, "scale": 1}[n.op.name]] for n in made.nodes if n.op.name in POSITIVE_OPERANDS
    ]
    assert positive and all(isinstance(c, Constant) and 0.5 <= c.data.min() <= c.data.max() <= 1.5 for c in positive)
    (answer,) = evaluate(made, torch.rand(made.inputs[0].type.shape))
    assert answer.isfinite().all() and answer.std() > 0


def test_nets_for_a_gpu_are_not_timed_here(tmp_path: Path, digits: Net) -> None:
    assert "on the GPU only" in expect_refusal(NET, WEIGHTS, "--target", "cuda-f16")
    path = tmp_path / "gpu.cortado"
    plan = replace(digits.plan, target="cuda", runner="cuda", steps=(), outputs=(("data", "data"),), weights={})
    write(path, replace(digits.artifact, plans=(plan,)))
    assert read(path).plan.target == "cuda" and "on the GPU only" in expect_refusal(path)


def test_each_step_is_timed_once_a_run(digits: Net) -> None:
    made = profile(digits, random_inputs(digits), repeat=3)
    assert (len(made.steps), {len(times) for times in made.steps}, len(made.runs)) == (len(digits.plan.steps), {3}, 3)
    assert made.plan is digits.plan and made.threads == torch.get_num_threads()
    with pytest.raises(ValueError, match="repeat is 1 or more"):
        profile(digits, random_inputs(digits), repeat=0)
    with pytest.raises(ValueError, match="is missing"):
        profile(digits, {})


def test_a_timed_run_computes_the_same(digits: Net) -> None:
    given = {"data": torch.rand(1, 1, 8, 8)}
    program, ready = digits.prepare_run(given)
    assert isinstance(program, OneDnnProgram)
    instance = Instance(program)
    assert len(instance.time_steps(ready)) == len(digits.plan.steps)
    assert torch.equal(instance.values["prob"], digits(given)["prob"])


def test_a_net_without_steps(tmp_path: Path) -> None:
    path = tmp_path / "nothing.net"
    path.write_text("net nothing(data: f32[1,2]) {\n    return data\n}\n")
    found = run_json(path)
    assert (found["steps"], found["primitives"], found["total"]["share"]) == ([], [], 0)
    assert run_profile(path, "--repeat", 1).stdout.startswith("step")


def test_ceilings_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(roofline, "MEMORY_BYTES", 1 << 20)
    monkeypatch.setattr(roofline, "MIN_SECONDS", 0.0)
    before = torch.get_num_threads()
    found = roofline.measure_roofline(threads=1)
    assert min(found.flops, found.memory_bandwidth, found.cache_bandwidth) > 0 and torch.get_num_threads() == before
    assert found.max_with(Roofline(1e30, 0, 1e30)) == Roofline(1e30, found.memory_bandwidth, 1e30)


def test_the_runtime_profiles_a_file(tmp_path: Path, digits: Net) -> None:
    driver.save(digits, tmp_path / "digits.cortado")
    net = load(tmp_path / "digits.cortado", threads=1)
    assert profile(net, {"data": np.zeros((1, 1, 8, 8), np.uint8)}, repeat=1).threads == 1
