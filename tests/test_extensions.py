"""docs/plugins.md and docs/own.md, executed as they stand; and what is refused."""

from __future__ import annotations

import importlib
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steerctl.errors import UserError
from steerctl.extensions import extensions, room_folders, sources
from steerctl.plugins import Plugin, registry

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Shell:
    """A folder in which the page's files are written and its commands run, variables kept from one to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        for name, words in {"steerctl": "-m steerctl", "python": ""}.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.environment.pop("STEERCTL_PLUGINS", None)

    def run(self, command: str) -> str:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.environment[name] = value
            return ""
        if command.startswith("unset "):
            del self.environment[command.removeprefix("unset ")]
            return ""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        return done.stdout

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if name.endswith("pyproject.toml"):
            self.install(path)

    def install(self, project: Path) -> None:
        """What `pip install` would leave behind: the package beside a dist-info with its entry points."""
        site, told = self.folder / "site", tomllib.loads(project.read_text())["project"]
        package = site / "rare_gain_package"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "rare_gain.py").write_bytes((self.folder / "plugins/intervention/rare_gain.py").read_bytes())
        add_distribution(site, told["name"], told["version"], told["entry-points"])
        self.environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{site}"


def add_distribution(site: Path, name: str, version: str, groups: dict[str, dict[str, str]]) -> None:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in each.items()) for group, each in groups.items()
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines))


def squeezed(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def matches(expected: str, printed: str) -> bool:
    """Spaces squeezed; "..." stands for anything, a line of it for any lines."""
    pattern = re.escape(squeezed(expected)).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, squeezed(printed), re.DOTALL) is not None


def follow(page: str, shell: Shell) -> list[str]:
    """Write the page's files, run its commands, compare what they print; the commands."""
    ran = []
    for language, name, text in BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        if name:
            shell.write(name, text)
        elif language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, expected = part.partition("\n")
                printed = shell.run(command)
                assert matches(expected, printed), f"$ {command}\n{printed}"
                ran.append(command)
    return ran


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_own_model_problems_and_reward(tmp_path: Path) -> None:
    assert len(follow("own.md", Shell(tmp_path))) == 3
    line = json.loads((tmp_path / "runs/mine/metrics.jsonl").read_text().splitlines()[0])
    assert 0 < line["reward/max"] <= 1
    plugins = json.loads((tmp_path / "runs/mine/environment.json").read_text())["plugins"]
    assert plugins["reward.last_number"]["origin"] == "plugins/reward/last_number.py"


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_the_walk_through_holds(tmp_path: Path) -> None:
    assert len(follow("plugins.md", Shell(tmp_path))) == 8
    for run, origin in {
        "rare": "plugins/intervention/rare_gain.py",
        "rare-again": "entry point rare_gain of rare-gain 1.0",
    }.items():
        lines = (tmp_path / "runs" / run / "metrics.jsonl").read_text().splitlines()
        assert json.loads(lines[0])["weight/max"] == 3.0
        plugins = json.loads((tmp_path / "runs" / run / "environment.json").read_text())["plugins"]
        assert plugins["intervention.rare_gain"]["origin"] == origin
        assert len(plugins["intervention.rare_gain"]["sha256"]) == 64


KIND = """\
from typing import Literal
from steerctl.intervention import Intervention

class Mine(Intervention):
    '''Nothing.'''
    kind: Literal["{kind}"] = "{kind}"
"""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], dict[str, type[Plugin]]]]:
    """The room's registry, as a new process started in the temporary folder would see it."""
    monkeypatch.chdir(tmp_path)
    package = importlib.import_module("steerctl.intervention")
    monkeypatch.setattr(package, "__path__", list(package.__path__))
    before = set(sys.modules)

    def look(plugins: str) -> dict[str, type[Plugin]]:
        monkeypatch.setenv("STEERCTL_PLUGINS", plugins)
        return registry.__wrapped__("steerctl.intervention")

    yield look
    for name in set(sys.modules) - before:
        del sys.modules[name]
    vars(package).pop("mine", None)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"mine": "import nowhere_at_all\n"},
            "cannot be loaded: ModuleNotFoundError: No module named 'nowhere_at_all'",
        ),
        ({"mine": "def broken(:\n"}, "cannot be loaded: SyntaxError: invalid syntax (mine.py, line 1)"),
        ({"mine": "raise SystemError('two\\nlines')\n"}, "cannot be loaded: SystemError: two lines"),
        (
            {"mine": KIND.format(kind="other")},
            'holds no subclass of steerctl.intervention.Intervention with kind: Literal["mine"]',
        ),
        (
            {"mine": KIND.format(kind="mine"), "steer": KIND.format(kind="steer")},
            "the name steer is taken in steerctl.intervention",
        ),
    ],
    ids=["import", "syntax", "raises", "kind", "taken"],
)
def test_a_plug_in_that_will_not_do_is_a_line(tmp_path: Path, fresh, files: dict[str, str], said: str) -> None:
    room = tmp_path / "plugins" / "intervention"
    room.mkdir(parents=True)
    for name, text in files.items():
        (room / f"{name}.py").write_text(text)
    with pytest.raises(UserError) as caught:
        fresh("plugins")
    assert str(caught.value).startswith("plugins/intervention/")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_folders_and_an_underscore(tmp_path: Path, fresh) -> None:
    for name, file in {"one": "_shared", "two": "mine"}.items():
        (tmp_path / name / "intervention").mkdir(parents=True)
        (tmp_path / name / "intervention" / f"{file}.py").write_text(KIND.format(kind="mine"))
    found = fresh(os.pathsep.join(["one", "", "two"]))
    assert found["mine"].__module__ == "steerctl.intervention.mine"
    assert list(found) == sorted(found)
    with pytest.raises(UserError, match="the name mine is taken"):
        fresh(os.pathsep.join(["two", "two"]))


def test_a_broken_plug_in_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "intervention").mkdir()
    (tmp_path / "intervention" / "mine.py").write_text("import nowhere_at_all\n")
    done = subprocess.run(
        [sys.executable, "-m", "steerctl", "check", str(ROOT / "experiments" / "quickstart" / "grpo.yaml")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "STEERCTL_PLUGINS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_folders_that_are_not_there_or_hold_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERCTL_PLUGINS", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="no such folder"):
        room_folders("steerctl.loss")
    monkeypatch.setenv("STEERCTL_PLUGINS", str(tmp_path))
    with pytest.raises(UserError, match="holds none of the folders advantage, data"):
        room_folders("steerctl.loss")


def test_entry_points_are_seen_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEERCTL_PLUGINS", raising=False)
    (tmp_path / "explosive.py").write_text("raise RuntimeError\n")
    add_distribution(tmp_path, "bang", "2.0", {"steerctl.loss": {"boom": "explosive:Boom"}})
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = extensions("steerctl.loss")
    assert (found.name, found.module, found.file) == ("boom", "explosive:Boom", tmp_path / "explosive.py")
    assert found.origin == "entry point boom of bang 2.0"
    assert sources()["loss.boom"]["origin"] == found.origin
    assert "explosive" not in sys.modules
