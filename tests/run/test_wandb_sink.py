"""wandb: offline for real; whatever goes wrong, one line and the run goes on."""

import subprocess
import sys

import pytest

from steerctl.run.wandb_sink import WandbSink
from steerctl.spec.experiment import LogSpec


class Spec:
    name = "toy"
    log = LogSpec(wandb="offline")

    def model_dump(self, mode):
        return {"name": "toy", "mode": mode}


@pytest.fixture(autouse=True)
def no_account(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def drive(sink):
    sink.start(Spec(), None, 1, 3)
    for step in (1, 2, 3):
        sink.phase(step, "generate", 1, 2)
        sink.step(step, {"reward/mean": 0.5})
    sink.finish("done")
    sink.close()
    sink.close()


def test_offline_writes_into_the_run_folder(tmp_path):
    warnings = []
    drive(WandbSink("offline", "abc123", tmp_path / "wandb", warnings.append))
    assert warnings == []
    assert list((tmp_path / "wandb").rglob("*abc123.wandb"))


def test_online_without_a_key_goes_offline(tmp_path):
    warnings = []
    drive(WandbSink("online", "abc124", tmp_path / "wandb", warnings.append))
    assert len(warnings) == 1
    assert "no key" in warnings[0]
    assert list((tmp_path / "wandb").rglob("*abc124.wandb"))


def test_an_unreachable_server_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("steerctl.run.wandb_sink.INIT_SECONDS", 3.0)
    warnings = []
    drive(WandbSink("online", "abc125", tmp_path / "wandb", warnings.append))
    assert len(warnings) == 1
    assert "wandb could not start" in warnings[0]
    assert "\n" not in warnings[0]
    assert "f" * 40 not in warnings[0]


def test_a_missing_wandb_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    warnings = []
    drive(WandbSink("offline", "abc126", tmp_path / "wandb", warnings.append))
    assert len(warnings) == 1


def test_it_is_not_imported_until_used():
    code = "import sys, steerctl.run.wandb_sink; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
