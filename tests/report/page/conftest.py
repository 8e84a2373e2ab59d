"""The study of runs.py on disk, read and reckoned, once for all tests."""

import pytest

from steerctl.report.page.methods import group
from steerctl.report.page.report import Asked, make_report
from steerctl.store.record import RunRecord, find_runs
from tests.report.page.runs import DECAY, write_run


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "runs"
    for method in DECAY:
        for seed in (1, 2, 3, 4):
            write_run(folder, method, seed)
    return folder


@pytest.fixture(scope="session")
def methods(study):
    return group(RunRecord(path) for path in find_runs(study))


@pytest.fixture(scope="session")
def report(methods):
    return make_report(methods, Asked(title="a study"))
