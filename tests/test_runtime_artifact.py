"""The file: what is written comes back, in the same bytes each time, and what a stranger puts into it does no harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cortado.runtime.artifact import (
    Artifact,
    ArtifactError,
    Plan,
    Preprocessing,
    Slot,
    Step,
    Weight,
    read,
    write,
)
from cortado.runtime.encoding import decode, encode, parse


def small() -> Artifact:
    """conv and a per-channel expr over a handful of numbers."""
    w, b = torch.arange(6.0).reshape(2, 3, 1, 1), torch.tensor([1.0, -1.0])
    half = torch.tensor([0.5, 0.25, 3.0], dtype=torch.bfloat16)
    plan = Plan(
        net="tiny",
        target="cpu",
        runner="onednn",
        payload=1,
        arena=192,
        inputs=("data",),
        slots={
            "data": Slot("f32", (1, 3, 2, 2)),
            "c": Slot("f32", (1, 2, 2, 2), "nhwc", 64),
            "y": Slot("f32", (1, 2, 2, 2), "nhwc", 128),
        },
        weights={
            "w": Weight("f32", (2, 3, 1, 1), "aa"),
            "b": Weight("f32", (2,), "bb"),
            "b2": Weight("f32", (2,), "bb"),
        },
        steps=(
            Step(
                "conv_packed",
                {"stride": [1], "pad": [0], "dilation": [1], "bias": True},
                ("data", "w", "b"),
                ("c",),
                "k1",
            ),
            Step("expr", {"code": [["add", 0, 1]], "axes": [None, 1]}, ("c", "b2"), ("y",), "k2"),
        ),
        outputs=(("prob", "y"),),
    )
    return Artifact(
        (plan,),
        {"aa": w, "bb": b, "cc": half, "dd": torch.empty(0), "mm": torch.ones(3, 2, 2)},
        source="net tiny",
        net="net tiny, final: größer",
        kernels={"k1": "# conv"},
        preprocessing={"data": Preprocessing(mean=(104.0, 117.5, 123.0), crop=(2, 2), mean_image="mm")},
        version={"cortado": "0.1.0"},
    )


def is_same_artifact(a: Artifact, b: Artifact) -> bool:
    texts = all(
        getattr(a, name) == getattr(b, name)
        for name in ("plans", "source", "net", "kernels", "preprocessing", "version")
    )
    return (
        texts and set(a.weights) == set(b.weights) and all(torch.equal(t, b.weights[h]) for h, t in a.weights.items())
    )


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path, artifact = tmp_path / "net.cortado", small()
    write(path, artifact)
    found = read(path, verify=True)
    assert is_same_artifact(found, artifact)
    assert found.weights["cc"].dtype == torch.bfloat16
    assert len(found.hashes["aa"]) == 64
    assert [p.name for p in path.parent.iterdir()] == ["net.cortado"], "a temporary file is left"


def test_any_safetensors_tool_opens_it_and_tensors_are_aligned(tmp_path: Path) -> None:
    path = tmp_path / "net.cortado"
    write(path, small())
    assert set(load_file(path)) - {f"pad.{i}" for i in range(9)} == {"aa", "bb", "cc", "dd", "mm"}
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["plans"])[0]["net"] == "tiny"
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])
    starts = {n: 8 + size + form["data_offsets"][0] for n, form in header.items() if n[:3] not in ("pad", "__m")}
    assert starts.keys() == {"aa", "bb", "cc", "dd", "mm"} and all(at % 64 == 0 for at in starts.values())
    assert all(tensor.data_ptr() % 64 == 0 for tensor in read(path).weights.values())


def test_same_content_same_bytes(tmp_path: Path) -> None:
    one, other = small(), small()
    other = replace(other, weights=dict(reversed([*other.weights.items()])), version=dict(other.version))
    write(tmp_path / "a", one)
    write(tmp_path / "b", other)
    write(tmp_path / "c", read(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.cortado"
    write(path, small())
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("cortado.runtime.container.memory_of", fail)
    with pytest.raises(OSError, match="disk full"):
        write(path, replace(small(), hashes={}))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_weights_are_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.cortado"
    write(path, small())
    weights = read(path).weights
    apart = weights["mm"].data_ptr() - weights["aa"].data_ptr()
    content = path.read_bytes()
    ones, threes = torch.ones(12).numpy().tobytes(), torch.arange(6.0).numpy().tobytes()
    assert apart == content.index(ones) - content.index(threes), "they are not as far apart as in the file"


def rewrite_metadata(path: Path, change: Callable[[dict[str, str]], None]) -> None:
    """Change the metadata as a stranger with a hash function would."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {n: file.get_tensor(n) for n in file.keys() if not n.startswith("pad.")}  # noqa: SIM118
    change(metadata)
    save_file(tensors, path, metadata)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "net.cortado"
    with pytest.raises(ArtifactError, match="no such file"):
        read(path)
    for content in (
        b"",
        b"\x08\x95\x01hello",
        b"name: 'lenet'\n" * 50,
        b"<html>" * 100,
        b"PK\x03\x04" * 100,
        bytes(4096),
    ):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="no whole compiled net"):
            read(path)
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(ArtifactError, match="no net compiled by cortado"):
        read(path)
    with pytest.raises(ArtifactError):
        read(tmp_path)


def test_cut_off_newer_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "net.cortado"
    write(path, small())
    whole = path.read_bytes()
    for length in (*range(64), len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match="no whole compiled net"):
            read(path)
    path.write_bytes(whole)
    rewrite_metadata(path, lambda m: m.update(cortado="3"))
    with pytest.raises(ArtifactError, match=r"format '3'.*update cortado"):
        read(path)
    path.write_bytes(whole)
    rewrite_metadata(path, lambda m: m.update(net="another"))
    with pytest.raises(ArtifactError, match="damaged"):
        read(path)
    path.write_bytes(whole[:-1] + b"\x07")
    read(path)  # the hashes of weights are only checked if asked for
    with pytest.raises(ArtifactError, match="'mm' does not have the hash"):
        read(path, verify=True)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_refused_or_equal(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "net.cortado"
    artifact = small()
    if not (tmp_path / "whole").exists():
        write(tmp_path / "whole", artifact)
    content = bytearray((tmp_path / "whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if kind == "set":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[at : at + data.draw(st.integers(1, 9))]
        else:
            content[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    path.write_bytes(content)
    try:
        found = read(path, verify=True)
    except ArtifactError as error:
        assert str(path) in str(error)
    else:
        assert is_same_artifact(found, artifact)


def with_fields(**changes: Any) -> Plan:
    return replace(small().plan, **changes)


def with_slot(**changes: Any) -> Plan:
    plan = small().plan
    return replace(plan, slots={**plan.slots, "c": replace(plan.slots["c"], **changes)})


def with_step(**changes: Any) -> Plan:
    plan = small().plan
    return replace(plan, steps=(replace(plan.steps[0], **changes), plan.steps[1]))


def with_concat(at: int) -> Plan:
    """The plan with y as the concat of c, which lies at `at`, and d before it, at 64."""
    plan = small().plan
    part = Slot("f32", (1, 1, 2, 2), at=64)
    slots = {**plan.slots, "d": part, "c": replace(part, dims=(1, 2, 2, 2), at=at)}
    slots["y"] = replace(part, dims=(1, 3, 2, 2))
    first = Step("expr", {"code": [["neg", 0]], "axes": [None]}, ("c",), ("d",), "k0")
    last = Step("concat", {"axis": 1}, ("d", "c"), ("y",), "k2")
    return replace(plan, slots=slots, steps=(plan.steps[0], first, last))


CONV = {"stride": [1], "pad": [0], "dilation": [1]}
TWO_RESULTS = (replace(small().plan.steps[0], results=("c", "d")), small().plan.steps[1])
HOSTILE: list[tuple[str, Plan]] = [
    ("is not inside the arena", with_fields(arena=130)),
    ("is not inside the arena", with_slot(at=176)),
    ("is not inside the arena", with_slot(dims=(1 << 40, 2, 2, 2))),
    ("is not inside the arena", with_slot(dims=("?99", 2, 2, 2))),
    ("is not inside the arena", with_slot(channels=(0, 99))),
    ("cannot be at -64", with_slot(at=-64)),
    ("cannot be at 66", with_slot(at=66)),
    ("dimensions that cannot be", with_slot(dims=(1, -2, 2, 2))),
    ("dimensions that cannot be", with_slot(dims=(1, "?x", 2, 2))),
    ("cannot be channels", with_slot(channels=(1, 2))),
    ("cannot be channels", with_slot(channels=(-1, 4))),
    ("unknown layout", with_slot(layout="chwn")),
    ("too few dimensions for nhwc", with_slot(dims=(2, 2))),
    ("unknown dtype", with_slot(dtype="f128")),
    ("has no place", with_slot(at=None)),
    ("needs a slot without a place", with_fields(inputs=("c",))),
    ("which nothing computes", with_fields(outputs=(("prob", "z"),))),
    ("arena cannot be", with_fields(arena=-1)),
    ("needs the runner 'abacus', which this program lacks: it has onednn, native, cuda", with_fields(runner="abacus")),
    ("steps for 'onednn' have version 7 and this cortado reads 1", with_fields(payload=7)),
    ("step 'k2' .expr. writes 'y' over a part of 'c', which it reads", with_slot(at=112)),
    ("step 'k2' .concat. writes 'y' over a part of 'c', which it reads", with_concat(at=96)),
    ("no such primitive", with_step(kind="os.system")),
    ("nothing has computed before", with_step(operands=("y", "w", "b"))),
    ("cannot write 'data'", with_step(results=("data",))),
    ("cannot write 'w'", with_step(results=("w",))),
    ("has 1 operands", with_step(operands=("data",))),
    ("has 2 results", with_fields(slots={**small().plan.slots, "d": small().plan.slots["c"]}, steps=TWO_RESULTS)),
    ("'stride' is missing", with_step(payload={})),
    ("no attribute 'size'", with_step(payload={**CONV, "size": 3})),
    ("'stride' should be a list of whole numbers", with_step(payload={**CONV, "stride": [True]})),
    ("'groups' should be a whole number", with_step(payload={**CONV, "groups": 1.5})),
    ("'activation' should be an activation", with_step(payload={**CONV, "activation": "exec"})),
    (
        "reads line 9",
        with_step(kind="expr", operands=("data",), payload={"code": [["neg", 9]], "axes": [None]}),
    ),
    (
        "1 axes for 2 operands",
        with_step(kind="expr", operands=("data", "w"), payload={"code": [["neg", 0]], "axes": [None]}),
    ),
    (
        "should be lines",
        with_step(kind="expr", operands=("data",), payload={"code": [["eval", 0]], "axes": [None]}),
    ),
    (
        "should be lines",
        with_step(kind="expr", operands=("data",), payload={"code": [["add", 0]], "axes": [None]}),
    ),
    (
        "should be lines",
        with_step(kind="expr", operands=("data",), payload={"code": [["add", 0, -1]], "axes": [None]}),
    ),
    (
        "should be lines",
        with_step(kind="expr", operands=("data",), payload={"code": [["add", 0, {"c": "x"}]], "axes": [None]}),
    ),
]


@pytest.mark.parametrize(("sentence", "plan"), HOSTILE, ids=[f"{i}-{s}" for i, (s, _) in enumerate(HOSTILE)])
def test_plans_that_cannot_be_run(sentence: str, plan: Plan) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        Artifact((plan,), small().weights).check()


@pytest.mark.parametrize("at", [80, 128])
def test_an_operand_of_a_concat_may_be_its_part_or_apart(at: int) -> None:
    Artifact((with_concat(at),), small().weights).check()


def test_weights_have_to_be_there_and_fit() -> None:
    artifact = small()
    weights = {h: t for h, t in artifact.weights.items() if h != "bb"}
    with pytest.raises(ArtifactError, match="'b' is 'bb', which is missing"):
        replace(artifact, weights=weights).check()
    for wrong in (torch.zeros(3), torch.zeros(2, dtype=torch.float64)):
        with pytest.raises(ArtifactError, match=r"not f32 \[2\]"):
            replace(artifact, weights={**weights, "bb": wrong}).check()


def test_plans_survive_json_and_nothing_else_does() -> None:
    plan = small().plan
    text = encode(plan)
    assert decode(Plan, parse(text), "plan") == plan
    for wrong in (
        text.replace('"arena":192', '"arena":"192"'),
        text.replace('"arena":192', '"arena":192,"x":1'),
        "[]",
        "null",
    ):
        with pytest.raises(ArtifactError, match="plan"):
            decode(Plan, parse(wrong), "plan")
    for wrong in ("{", "NaN", "[" * 100_000):
        with pytest.raises(ArtifactError, match="damaged JSON"):
            parse(wrong)
