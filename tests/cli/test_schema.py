"""`steerctl schema`."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from steerctl.cli import build
from steerctl.spec.pages import pages
from steerctl.spec.schema import schema_text

RUN = CliRunner()


def test_on_the_screen() -> None:
    done = RUN.invoke(build(), ["schema"])
    assert done.exit_code == 0
    assert done.output == schema_text()


def test_into_a_file(tmp_path: Path) -> None:
    out = tmp_path / "experiment.schema.json"
    assert RUN.invoke(build(), ["schema", "--out", str(out)]).exit_code == 0
    assert json.loads(out.read_text(encoding="utf-8"))["title"] == "steerctl experiment"


def test_pages(tmp_path: Path) -> None:
    assert RUN.invoke(build(), ["schema", "--markdown", str(tmp_path)]).exit_code == 0
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == pages()
