"""A run folder to write into."""

import pytest

from steerctl.store.folder import RunFolder

ENVIRONMENT = {"run_id": "abc"}
SPEC = '{"name": "toy", "steps": 10}'


@pytest.fixture
def run(tmp_path):
    with RunFolder.create(tmp_path / "runs" / "toy", SPEC, environment=ENVIRONMENT) as folder:
        yield folder
