"""Figure 3's data: δ by hand, states that exist, all four files."""

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "figures" / "fig3.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("fig3")
    done = subprocess.run([sys.executable, str(SCRIPT), "--out", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_all_four_files(folder):
    assert {path.name for path in folder.iterdir()} == {"fig3.svg", "fig3.png", "fig3.csv", "fig3.txt"}
    assert (folder / "fig3.txt").read_text(encoding="utf-8").count(".\n") == 1


def test_values_and_which_states_exist(folder):
    with (folder / "fig3.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 61 * 51
    rising = 0
    for row in rows:
        p, h = float(row["probability"]), float(row["entropy_nats"])
        own = -p * (1 - p) * (math.log(p) + h)
        assert float(row["delta_own_logit_nats"]) == pytest.approx(own, rel=1e-3, abs=1e-5)
        assert float(row["delta_squared_nats"]) == pytest.approx(own * (1 - p), rel=1e-3, abs=1e-5)
        if row["exists"] == "True":
            rising += own > 0
            assert own <= 0 or p <= 0.5
    assert rising > 500
