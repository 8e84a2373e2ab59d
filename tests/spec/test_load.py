"""Files, extends and overrides become one experiment."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from steerctl.errors import SpecError
from steerctl.spec.load import dump_spec, load_resolved, load_spec
from steerctl.spec.tree import MAX_BYTES


def fails(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    return str(caught.value).splitlines()


def test_defaults_then_file(write) -> None:
    loaded = load_spec(write())
    assert loaded.spec.optim.lr == 2e-6
    assert loaded.spec.optim.updates_per_step == 4
    assert str(loaded.origin("optim.lr")).endswith("exp.yaml:7")
    assert str(loaded.origin("optim.eps")).endswith("exp.yaml:6"), "a default stands where its mapping stands"


def test_extends_chains_over_folders(write) -> None:
    write(name="shared/base.yaml")
    write("extends: shared/base.yaml\noptim:\n  lr: 3e-6\n  eps: 1e-7\n", "middle.yaml")
    loaded = load_spec(write("extends: middle.yaml\nname: leaf\noptim: {eps: 1e-9}\n", "leaf.yaml"), ["optim.eps=1e-5"])
    assert (loaded.spec.name, loaded.spec.optim.lr, loaded.spec.optim.eps) == ("leaf", 3e-6, 1e-5)
    assert [path.name for path in loaded.files] == ["leaf.yaml", "middle.yaml", "base.yaml"]
    assert str(loaded.origin("optim.lr")).endswith("middle.yaml:3")
    assert str(loaded.origin("data.train.path")).endswith("shared/base.yaml:3")
    assert str(loaded.origin("optim.eps")) == "command line"


def test_extends_in_a_circle_is_refused(write) -> None:
    write("extends: b.yaml\n", "a.yaml")
    (line,) = fails(write("extends: ./a.yaml\nname: x\n", "b.yaml"))
    assert "a.yaml:1: extends: " in line
    assert "already in this chain" in line


def test_a_missing_parent_is_named_at_the_line_that_asks(write) -> None:
    write(name="base.yaml")
    (line,) = fails(write("name: x\nextends: bose.yaml\n", "a.yaml"))
    assert "a.yaml:2: extends: no such file" in line
    assert "did you mean" in line
    assert "base.yaml" in line


def test_kind_is_filled_from_the_default_and_a_new_kind_replaces(write) -> None:
    path = write(write().read_text() + "algorithm:\n  loss: {clip_ratio_high: 0.28}\n")
    assert load_spec(path).spec.algorithm.loss.model_dump(exclude_unset=True) == {
        "kind": "ppo_clip",
        "clip_ratio_high": 0.28,
    }
    replaced = load_spec(path, ["algorithm.loss.kind=reinforce"]).spec.algorithm.loss
    assert replaced.model_dump(exclude_unset=True) == {"kind": "reinforce"}
    child = write("extends: exp.yaml\nalgorithm: {loss: {clip_ratio_low: 0.1}}\n", "child.yaml")
    loss = load_spec(child).spec.algorithm.loss
    assert (loss.clip_ratio_low, loss.clip_ratio_high) == (0.1, 0.28)


def test_lists_are_replaced_whole(write) -> None:
    text = "algorithm:\n  interventions: [{kind: kl, kl_coef: 0.5}, {kind: clip_higher}]\n"
    write(write().read_text() + text)
    child = write("extends: exp.yaml\nalgorithm: {interventions: [{kind: kl}]}\n", "child.yaml")
    (only,) = load_spec(child).spec.algorithm.interventions
    assert only.model_dump(exclude_unset=True) == {"kind": "kl"}


def test_overrides_reach_into_lists_and_append(write) -> None:
    path = write(write().read_text() + "algorithm:\n  interventions: [{kind: kl, kl_coef: 0.5}]\n")
    overrides = ["algorithm.interventions.0.kl_coef=0.25", "algorithm.interventions.1.kind=clip_higher"]
    first, second = load_spec(path, overrides).spec.algorithm.interventions
    assert first.model_dump()["kl_coef"] == 0.25
    assert second.kind == "clip_higher"
    assert load_spec(path, ["algorithm.interventions=[]"]).spec.algorithm.interventions == []


def test_overrides_reach_into_default_lists(write) -> None:
    assert load_spec(write(), ["optim.betas.0=0.8"]).spec.optim.betas == (0.8, 0.999)


def test_overrides_reach_into_a_plug_in_s_default_list(write) -> None:
    path = write()
    levels = load_spec(path, ["data.train={kind: arithmetic}", "data.train.levels.0.weight=0.5"]).spec.data.train.levels
    assert next(level.weight for level in levels) == 0.5
    assert len(levels) == len(type(load_spec(path, ["data.train={kind: arithmetic}"]).spec.data.train)().levels)
    (line,) = fails(path, "data.train={kind: arithmetic}", "data.train.levels.0.wieght=3")
    assert line == "command line: data.train.levels.0.wieght: not a known key; did you mean weight?"


def test_override_values_are_yaml(write) -> None:
    spec = load_spec(write(), ["log.wandb=off", "steps=7"]).spec
    assert (spec.log.wandb, spec.steps) == ("off", 7)
    assert load_spec(write(), ["rollout.dynamic_sampling={}"]).spec.rollout.dynamic_sampling is not None
    assert load_spec(write(), ["rollout.dynamic_sampling="]).spec.rollout.dynamic_sampling is None
    assert load_spec(write(), ["policy.model=a=b"]).spec.policy.model == "a=b"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("steps", "expected key.path=value"),
        ("=3", "expected key.path=value"),
        ("optim..lr=3", "expected key.path=value"),
        ("optim={", "command line: optim: not valid YAML"),
        ("algorithm.interventions.1.kind=kl", "the list has 0 items; 0 is the next free number"),
        ("optim.betas.2=0.5", "must have at most 2 items, got 3"),
        ("optim.betas.3=0.5", "the list has 2 items"),
        ("optim.lr.x=3", "optim.lr is not a mapping"),
        ("steps=!!python/name:os.system x", "tags"),
        ("extends=other.yaml", "extends belongs at the top of a file"),
    ],
)
def test_wrong_overrides(write, override: str, said: str) -> None:
    (line,) = fails(write(), override)
    assert line.startswith("command line: ")
    assert said in line


def test_unreadable_files(write, tmp_path: Path) -> None:
    write(name="quickstart.yaml")
    (line,) = fails(tmp_path / "quikstart.yaml")
    assert "no such file; did you mean" in line
    (line,) = fails(tmp_path)
    assert "cannot read: is a directory; name an experiment file in it" in line
    (line,) = fails(tmp_path / "quickstart.yaml" / "x.yaml")
    assert "not a directory; a part of this path is a file" in line
    (line,) = fails(tmp_path / ("x" * 300))
    assert "file name too long; check what was meant" in line
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\x89PNG\r\n\x00\xff")
    assert "not a text file" in fails(binary)[0]
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    assert "larger than 1,000,000 bytes" in fails(large)[0]
    assert "the file is empty" in fails(write("# nothing\n", "empty.yaml"))[0]
    assert "not a mapping" in fails(write("- a\n", "list.yaml"))[0]
    assert fails(Path("nul\0byte.yaml"))


def test_a_byte_order_mark_is_no_key(write, tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + write().read_bytes())
    assert load_spec(path).spec.name == "base"


def test_the_resolved_experiment_comes_back(write) -> None:
    text = write().read_text() + (
        "algorithm:\n  loss: {clip_ratio_high: .inf}\n  interventions: [{kind: kl}]\nlog: {wandb: off}\n"
    )
    spec = load_spec(write(text)).spec
    assert spec.algorithm.loss.clip_ratio_high == math.inf
    dumped = dump_spec(spec)
    assert load_resolved(dumped) == spec
    assert dump_spec(load_resolved(dumped)) == dumped
    assert json.loads(dumped)["optim"]["betas"] == [0.9, 0.999]


def test_a_damaged_resolved_experiment_is_one_clear_line(write) -> None:
    dumped = dump_spec(load_spec(write()).spec)
    with pytest.raises(SpecError, match=r"^run/spec.json: not valid JSON"):
        load_resolved(dumped[:-20], "run/spec.json")
    with pytest.raises(SpecError, match=r"^run/spec.json: steps: must be > 0, got -1$"):
        load_resolved(dumped.replace('"steps": 100', '"steps": -1'), "run/spec.json")
    with pytest.raises(SpecError, match=r"^run/spec.json: not valid JSON"):
        load_resolved("[" * 100_000, "run/spec.json")


@pytest.mark.parametrize("asked", ["grpo.yaml", "a.yaml", "steer.yml", "notes"])
def test_only_a_name_that_is_nearly_right_is_suggested(write, tmp_path: Path, asked: str) -> None:
    for name in ("tiny.yaml", "base.yaml", "b.yaml", "notes.txt"):
        write(name=name)
    assert fails(tmp_path / asked) == [f"{tmp_path / asked}: no such file"]


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_name_is_said_to_be_empty(empty: str) -> None:
    with pytest.raises(SpecError, match="the name of the experiment file is empty"):
        load_spec(empty)


def test_a_run_s_experiment_is_json_and_its_faults_are_said_so(write, tmp_path: Path) -> None:
    dumped = dump_spec(load_spec(write(), ["algorithm.loss.clip_ratio_high=.inf", "log.wandb_project=\U0001f600"]).spec)
    path = tmp_path / "spec.json"
    path.write_text(dumped, encoding="utf-8")
    again = load_spec(path).spec
    assert again.algorithm.loss.clip_ratio_high == math.inf
    assert again.log.wandb_project == "\U0001f600"
    lines = dumped.splitlines()
    place = next(number for number, line in enumerate(lines, start=1) if '"steps"' in line)
    path.write_text(dumped.replace('"steps": 100', '"steps": '), encoding="utf-8")
    assert fails(path) == [f"{path}:{place}: not valid JSON: expecting value"]
    path.write_text(dumped.replace('"steps": 100', '"steps": -1'), encoding="utf-8")
    assert fails(path) == [f"{path}:{place}: steps: must be > 0, got -1"]
    path.write_text(dumped.replace("\n  ", "\n\t"), encoding="utf-8")
    assert load_spec(path).spec == again, "tabs are JSON"
    path.write_text(dumped.replace('"steps": 100', '"steps": 100, "steps": 3'), encoding="utf-8")
    assert "steps: given twice" in fails(path)[0]


def test_what_is_found_wrong_blames_the_override_that_caused_it(write) -> None:
    path = write(write().read_text() + "algorithm:\n  reduction: constant_norm\n  constant_norm_length: 9\n")
    loaded = load_spec(path, ["algorithm.reduction=token_mean"])
    text = "is not read with algorithm.reduction token_mean"
    assert loaded.blame("algorithm.constant_norm_length", text) == "command line: algorithm.reduction"
    assert loaded.blame("algorithm.constant_norm_length", "is too long") == f"{path}:10"
    assert loaded.blame("optim.lr", text.replace("algorithm.reduction", "optim.eps")) == f"{path}:7"
