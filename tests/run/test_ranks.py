"""Two ranks: started by steerctl and by torchrun, they do what one rank does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.run.command import environment, metrics, train, write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

EXACT = ("batch/tokens/count", "reward/mean", "groups/no_signal/fraction", "response/length/mean")
CLOSE = (
    "policy/entropy/mean",
    "policy/entropy_after/mean",
    "optim/grad_norm/mean",
    "entropy_change/exact/mean",
    "weight/mean",
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    done = train(write_spec(folder, steps=3), "--quiet")
    assert done.returncode == 0, done.stderr
    return metrics(folder / "runs" / "small")


def assert_same(lines, reference):
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    first, expected = lines[1], reference[1]
    for key in EXACT:
        assert first[key] == expected[key], key
    for key in CLOSE:
        assert first[key] == pytest.approx(expected[key], rel=1e-4, abs=1e-7), key


def test_launched_by_steerctl(alone, tmp_path):
    done = train(write_spec(tmp_path, steps=3), "engine.ranks=2", "--quiet")
    assert done.returncode == 0, done.stderr
    assert_same(metrics(tmp_path / "runs" / "small"), alone)
    assert (tmp_path / "runs/small/model/model.safetensors").is_file()


def test_launched_by_torchrun(alone, tmp_path):
    spec = write_spec(tmp_path, steps=3)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29713",
        "-m", "steerctl", "train", str(spec), "engine.ranks=2", "--quiet",
    ]  # fmt: skip
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    assert_same(metrics(tmp_path / "runs" / "small"), alone)


def test_a_launcher_that_started_another_number_is_refused_with_the_mend(tmp_path):
    done = train(
        write_spec(tmp_path), RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29714"
    )
    assert done.returncode == 0 or "engine.ranks" in done.stderr
    refused = train(
        write_spec(tmp_path), "engine.ranks=2", "--overwrite",
        RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29714",
    )  # fmt: skip
    assert refused.returncode == 2
    assert "engine.ranks=1" in refused.stderr
