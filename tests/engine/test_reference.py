"""Real ranks: the reference stays, is renewed, and comes back from a checkpoint."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.test_policy import run_ranks
from tests.engine.toy import write_toy_model

pytestmark = pytest.mark.engine

CASES = {1: ["stage0"], 2: ["stage2", "stage3"]}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("reference")
    model = str(write_toy_model(folder / "plain"))
    found = {}
    for ranks, names in CASES.items():
        cases = [{"name": name, "model": model, "stage": int(name[-1])} for name in names]
        found |= run_ranks(folder, f"renew{ranks}", ranks, cases, worker="reference_worker.py")
    return found


@pytest.mark.parametrize("case", [name for names in CASES.values() for name in names])
def test_the_reference_is_renewed_and_resumed(reports: dict[str, Any], case: str) -> None:
    report = reports[case]
    for moment in ("starts_equal", "stays_behind", "renewed", "stays_again", "resumed", "early"):
        assert report[moment], moment
    assert report["saved"] == [0, report["parameters"]]
