"""Where a run came from, without secrets."""

import json
import subprocess

from steerctl.store.environment import describe_environment


def test_environment_holds_no_environment_variables(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "topsecret")
    text = json.dumps(describe_environment({"devices": ["cpu"]}))
    assert "topsecret" not in text
    found = json.loads(text)
    assert found["packages"]["torch"]
    assert found["devices"] == ["cpu"]
    assert found["host"]["cores"] >= 1


def test_code_outside_version_control_is_unknown(monkeypatch):
    def refuse(*_arguments, **_settings):
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert describe_environment()["code"] == {}


def test_every_run_has_its_own_id():
    assert describe_environment()["run_id"] != describe_environment()["run_id"]
