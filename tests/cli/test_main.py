"""The program as a user starts it: quick, quiet about itself, and never a traceback for what a user can mend."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steerctl import __version__

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "deepspeed", "vllm", "pydantic", "numpy", "rich", "yaml", "matplotlib", "wandb")


def steerctl(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "steerctl", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, json; sys.argv = ['steerctl', '--help']\n"
        "from steerctl.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in HEAVY if name in loaded] == []
    assert [
        name for name in loaded if name.startswith("steerctl.") and name.split(".")[1] not in ("cli", "errors")
    ] == []


def test_help_answers_at_once() -> None:
    """Median of seven below 0.3 s: on the wall clock, or of processor time while other work keeps the cores busy."""
    steerctl("--help")
    walls, processor = [], []
    for _ in range(7):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        assert steerctl("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - start)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    assert statistics.median(processor if busy else walls) < 0.3, (walls, processor)


def test_version() -> None:
    assert steerctl("--version").stdout == f"steerctl {__version__}\n"


def test_without_arguments_it_helps() -> None:
    done = steerctl()
    assert "Usage: steerctl" in done.stdout + done.stderr
    assert done.returncode in (0, 2)


def test_help_snapshot_is_current() -> None:
    code = "import runpy; print(runpy.run_path('tests/golden/write_snapshots.py')['help_text'](), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    written = (ROOT / "tests" / "golden" / "cli_help.txt").read_text(encoding="utf-8")
    assert written == done.stdout, "the command line changed: look at the difference, `make golden`"


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_wrong_experiment_is_lines_and_exit_2(tmp_path: Path, command: str) -> None:
    file = tmp_path / "exp.yaml"
    file.write_text("name: x\nsteps: many\n")
    done = steerctl(command, str(file), "seed=-1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{file}:1: data: missing",
        f"{file}:1: reward: missing",
        f"{file}:2: steps: expected a whole number, got the text 'many'",
        "command line: seed: must be >= 0, got -1",
    ]


def test_a_missing_experiment_is_a_line_and_exit_2(tmp_path: Path) -> None:
    done = steerctl("train", str(tmp_path / "nowhere.yaml"))
    assert (done.returncode, done.stderr) == (2, f"{tmp_path / 'nowhere.yaml'}: no such file\n")


def test_an_unknown_command_or_option_is_exit_2() -> None:
    for arguments in (["trian"], ["check", "--jsno", "x.yaml"]):
        done = steerctl(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_an_error_of_ours_keeps_its_traceback() -> None:
    code = (
        "import steerctl.cli as cli\n"
        "def broken():\n    def app(**kw): raise ZeroDivisionError('boom')\n    return app\n"
        "cli.build = broken\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "boom" in done.stderr
    assert "--resume" in done.stderr


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("errors.EngineError('rank 1 died')", 1, "rank 1 died\n"),
        ("errors.DataError('x.parquet: no column prompt')", 2, "x.parquet: no column prompt\n"),
        ("KeyboardInterrupt()", 130, "interrupted\n"),
    ],
)
def test_errors_made_on_purpose_are_a_line_and_their_code(raised: str, code: int, said: str) -> None:
    program = (
        "from steerctl import cli, errors\n"
        f"def broken():\n    def app(**kw): raise {raised}\n    return app\n"
        "cli.build = broken\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (code, said, "")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "steerctl", "schema"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    program.stdout.close()
    _, said = program.communicate(timeout=60)
    assert said == b""
    assert program.returncode == 1
